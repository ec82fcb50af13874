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

#include "codegen/CUDA/Emitter.h"
#include "codegen/CUDA/HopperSchedule.h"
#include "dialect/WeftDialect.h"

namespace weft::cuda {

/// Arguments of the kernel before the dynamic parameters; runtime/CUDA/Launch.h has the same order.
enum KernelArg : unsigned {
  kQueryMap, kKeyMap, kValueMap, kQueryTextMap, kKeyTextMap, kValueTextMap,
  kOut, kOutBatchStride, kOutHeadStride, kOutTokenStride,
  kLse, kLseBatchStride, kLseHeadStride, kLseTokenStride,
  kItems, kEntries, kTicket, kNumItems,
  kQueryBlocks, kKeyBlocks, kColumnMasks, kRowTokens, kQueryCoordinates, kKeyCoordinates,
  kBias, kBiasBatchStride, kBiasHeadStride, kBiasTokenStride, kKeyTokens,
  kNumKernelArgs,
};

/// Bits of a stage's flag: of a list's entry, and that not all columns hold a token of the block.
enum StageFlag : int64_t { kPartialFlag = 1, kGivenFlag = 2, kShortFlag = 4 };

/// Coordinates of a token as a predicate may read them.
constexpr int64_t kNumAxes = 4;
/// Which of t, h, w and index the predicate reads of its argument group that begins at `first`; text is read as t.
llvm::SmallVector<int64_t> usedAxes(mlir::Region &predicate, unsigned first);

/// The element type's name in PTX.
llvm::StringRef ptxType(mlir::Type type);

/// A kernel while it is emitted.
class HopperKernel {
public:
  HopperKernel(Emitter &e, BlockAttentionOp op, const HopperSchedule &schedule, mlir::Block::BlockArgListType arguments);

  Emitter &e;
  BlockAttentionOp op;
  HopperSchedule s;
  mlir::Block::BlockArgListType arguments;
  mlir::Type element;
  int64_t heads;
  llvm::SmallVector<int64_t> queryAxes, keyAxes;
  mlir::Value thread, lane, warpgroup;

  mlir::Value argument(unsigned number) const { return arguments[number]; }
  bool isMasked() { return !op.getBody().empty(); }
  bool hasBias() { return op.getBias() != nullptr; }

  /// Offset of buffer `index` of a kind of barrier.
  mlir::Value barrier(Barrier kind, mlir::Value index);
  void initializeBarriers();
  void waitFor(Barrier kind, mlir::Value index, mlir::Value parity);
  /// One arrival, and bytes that copies will bring.
  void expect(Barrier kind, mlir::Value index, mlir::Value bytes);
  /// One arrival of this thread; of this warp's first lane, which knows of the others that they came as far only if they
  /// met since: in a product, or in meetWarp().
  void arrive(Barrier kind, mlir::Value index);
  void arriveAsWarp(Barrier kind, mlir::Value index);
  void meetWarp();

  /// Fills shared memory with zeros; `thread` is the caller's number among `threads`. The bounds are multiples of 16.
  void clear(mlir::Value thread, int64_t threads, int64_t begin, int64_t end);
  /// Copies and products see what this thread stored into shared memory before.
  void fenceStores();

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
  llvm::SmallVector<int64_t> axesIfMasked(unsigned first);
};

/// What consumers and the bias' warp read of an item.
struct SharedItem {
  /// Entries of its list, or -1 at the end; query block; batch * heads + head; where its list begins.
  mlir::Value count, block, pair, offset;
};
SharedItem loadItem(HopperKernel &kernel, HopperKernel::Slot query);

/// Emits the producer's code, from the current block to the function's end.
void emitProducer(HopperKernel &kernel);
/// Emits the code of a consumer warpgroup likewise.
void emitConsumer(HopperKernel &kernel);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_HOPPERKERNEL_H
