// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the parts of a Hopper kernel share: its arguments, who a thread is, barriers, copies and products.
//
// One kernel computes all query blocks of all heads. Its CTAs stay on their multiprocessors and draw items, longest
// first, by a ticket. In each CTA
//
//     the producer   draws an item, walks its list and asks the copy engine for Q once and K, V per key block
//     the consumers  S = Q K^T,  softmax,  O += P V, each 64 query rows, P staying in registers
//
// and a full and an empty barrier per buffer tell each side when the other is done with it. The consumers run one step
// behind: the scores of a key block are asked for before the product of the previous weights with the previous values,
// and the softmax runs under that product. This does not stop at the end of a list: the first scores of the next item
// run under the last product of this one.

#ifndef WEFT_CODEGEN_CUDA_HOPPERKERNEL_H
#define WEFT_CODEGEN_CUDA_HOPPERKERNEL_H

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/HopperSchedule.h"
#include "codegen/CUDA/TileCopy.h"

namespace weft::cuda {

/// The first arguments of the kernel: tensor maps of the video, then those of the text, then those of the first frames
/// that stand apart (rt::cuda::Segment).
enum HopperOperand : unsigned { kQueryMap, kKeyMap, kValueMap, kMapsPerSegment, kNumHopperMaps = 3 * kMapsPerSegment };

/// All operands of an attention: behind the maps four, as in TokenTensor, of each tensor whose tokens are gathered.
unsigned countHopperOperands(BlockAttentionOp op);

/// A Hopper kernel while it is emitted.
class HopperKernel : public AttentionKernel {
public:
  /// The producer's warps: items, queries and keys; bias; and two that gather tokens, or else one for values.
  static constexpr int64_t kBiasWarp = 1, kFirstGatherWarp = 2, kGatherWarps = 2, kValueWarp = 2;

  HopperKernel(Emitter &e, BlockAttentionOp op, const HopperSchedule &schedule, mlir::Block::BlockArgListType arguments);

  HopperSchedule s;
  mlir::Value warpgroup;

  /// Offset of buffer `index` of a kind of barrier.
  mlir::Value barrier(Barrier kind, mlir::Value index);
  void initializeBarriers();
  void waitFor(Barrier kind, mlir::Value index, mlir::Value parity);
  /// One arrival, and bytes that copies will bring.
  void expect(Barrier kind, mlir::Value index, mlir::Value bytes);
  /// An arrival of each thread that comes here, which orders what the thread itself read and stored. (The first lane alone
  /// would do after meetWarp(), and is no faster; racecheck does not see that it speaks for the others.)
  void arrive(Barrier kind, mlir::Value index);
  /// One of the warp's first lane, where products alone have read: their wait is for all lanes.
  void arriveAsWarp(Barrier kind, mlir::Value index);
  /// Warps meet before they arrive, so that they go on to their next product together.
  void meetWarp();

  /// Fills shared memory with zeros; `thread` is the caller's number among `threads`. The bounds are multiples of 16.
  void clear(mlir::Value thread, int64_t threads, int64_t begin, int64_t end);
  /// Copies and products see what this thread stored into shared memory before.
  void fenceStores();

  /// Whether a tile is of gathered tokens: of queries, of keys and values, or either.
  bool queriesAreGathered() { return gathersQueries(op); }
  bool keysAreGathered() { return gathersKeys(op); }
  bool gathers() { return queriesAreGathered() || keysAreGathered(); }
  bool hasValueThread() { return !gathers(); }
  /// The tensors whose tokens are.
  TokenTensor gatheredQuery() { return gatheredTensor(0); }
  TokenTensor gatheredKey() { return gatheredTensor(queriesAreGathered()); }
  TokenTensor gatheredValue() { return gatheredTensor(queriesAreGathered() + 1); }

  /// Buffer and parity of the n-th use of a pair of buffers.
  struct Slot {
    mlir::Value index, parity;
  };
  Slot slotOf(mlir::Value use);
  /// Likewise of the query buffers, of which there may be one.
  Slot querySlotOf(mlir::Value use);

  /// Offset of `base` + index * bytes.
  mlir::Value bufferAt(int64_t base, int64_t bytes, mlir::Value index);

private:
  TokenTensor gatheredTensor(unsigned number);
};

/// What the other warps read of an item.
struct SharedItem {
  /// Entries of its list, or -1 at the end; query block; batch * heads + head; where its list begins.
  mlir::Value count, block, pair, offset;
};
SharedItem loadItem(HopperKernel &kernel, HopperKernel::Slot query);

/// Where the number of an item's piece is in shared memory, ItemPiece::share; and how many pieces an item has.
mlir::Value shareAt(HopperKernel &kernel, HopperKernel::Slot query);
mlir::Value partsAt(HopperKernel &kernel);

/// Emits the producer's code, from the current block to the function's end.
void emitProducer(HopperKernel &kernel);
/// Emits the code of a consumer warpgroup likewise.
void emitConsumer(HopperKernel &kernel);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_HOPPERKERNEL_H
