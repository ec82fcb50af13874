// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lists under merging: what they tell apart, and what they name once keys are merged.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/ReuseStages.h"
#include "codegen/CUDA/StageKernel.h"
#include "dialect/BlockPartition.h"
#include "passes/FormReuse.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::ListShape;

namespace {

/// A warp that walks a list.
class ListStage {
public:
  ListStage(func::FuncOp kernel, BlockAttentionOp op, StringRef name, StringRef letters)
      : k(kernel, name, letters, Shape::kThreads), e(k.e),
        queryBlocks(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks()),
        keyBlocks(partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks()),
        pool(e.add(e.mul(k.x, Shape::kLists), k.warp)) {}

  StageKernel k;
  Emitter &e;
  int64_t queryBlocks, keyBlocks;
  /// The warp's.
  Value pool;

  struct Entry {
    /// Whether the lane has one, and what it is; 0 if there is none.
    Value exists, entry;
  };
  /// Entries of a lane that are under way together: a warp waits for memory once for all of them.
  static constexpr int64_t kAtOnce = 8;
  using Entries = SmallVector<Entry, kAtOnce>;

  /// Walks list `list` of the ranges, 32 entries at a time and some such times together.
  Values walk(Value ranges, Value list, Value entries, ValueRange carried,
              llvm::function_ref<Values(const Entries &entries, ValueRange carried)> body) {
    Value range = e.advance(ranges, e.mul(e.extend(list), 8));
    Value offset = e.load(k.i32(), range, 4), count = e.load(k.i32(), e.advance(range, e.i64(4)), 4);
    return e.loop(e.i32(0), count, e.i32(32 * kAtOnce), carried, [&](Value first, ValueRange state) {
      Entries found;
      for (int64_t i = 0; i < kAtOnce; ++i) {
        Value number = e.add(e.add(first, 32 * i), k.lane), exists = e.below(number, count);
        found.push_back({exists, lookUp(exists, entries, e.add(offset, number))});
      }
      return body(found, state);
    });
  }

  /// An array's element, or 0 where there is none.
  Value lookUp(Value exists, Value array, Value index) {
    return e.valueWhen(exists, [&] { return e.loadAt(k.i32(), array, index); }, e.i32(0));
  }
};

/// Where each list is by set and pool; entries; by set and pool whether an entry is partial, and by set and key block
/// bit 0 if it is visited and bit 1 if partially; pools; keys of each block, and by set and pool those that the list
/// visits.
enum InspectArgument : unsigned { kRanges, kEntries, kIsPartial, kKeyFlags, kPools, kBlockKeys, kColumns };

void emitInspect(func::FuncOp kernel, BlockAttentionOp op) {
  ListStage stage(kernel, op, "inspect_lists", "ppppipp");
  StageKernel &k = stage.k;
  Emitter &e = stage.e;
  e.when(e.below(stage.pool, k.argument(kPools)), [&] {
    Value list = e.add(e.mul(k.y, stage.queryBlocks), stage.pool);
    Value flags = e.advance(k.argument(kKeyFlags), e.mul(e.extend(k.y), stage.keyBlocks * 4));
    Values found = stage.walk(
        k.argument(kRanges), list, k.argument(kEntries), {e.i32(0), e.i32(0)},
        [&](const ListStage::Entries &entries, ValueRange state) {
          Values keys, next(state);
          for (const ListStage::Entry &entry : entries)
            keys.push_back(stage.lookUp(entry.exists, k.argument(kBlockKeys), e.shiftRight(entry.entry, 2)));
          for (auto [i, entry] : llvm::enumerate(entries)) {
            Value isPartial = e.bitAnd(entry.entry, kPartialFlag);
            if (mergesKeys(op))
              e.when(entry.exists, [&, number = entry.entry] {
                Value at = e.advance(flags, e.extend(e.shiftRight(number, 2)), k.i32());
                LLVM::AtomicRMWOp::create(e.b, LLVM::AtomicBinOp::_or, at,
                                          e.bitOr(e.i32(1), e.shiftLeft(isPartial, 1)),
                                          LLVM::AtomicOrdering::monotonic, "device");
              });
            next[0] = e.bitOr(next[0], e.ballot(e.notEqual(isPartial, 0)));
            next[1] = e.add(next[1], keys[i]);
          }
          return next;
        });
    Value columns = e.sumWarp(found[1]);
    e.when(e.equal(k.lane, 0), [&] {
      e.storeAt(found[0], k.argument(kIsPartial), list);
      e.storeAt(columns, k.argument(kColumns), list);
    });
  });
  k.finish();
}

/// The original lists, these sets, entries, pools; the place of each key block by set, and these sets; the keys of each
/// merged block by pair and place; where the new lists are by pair and pool, their entries, and the keys that they
/// visit.
enum MergeArgument : unsigned {
  kOldRanges,
  kOldSets,
  kOldEntries,
  kNumPools,
  kPlaceOf,
  kPlaceSets,
  kSizes,
  kNewRanges,
  kNewEntries,
  kNewColumns
};

/// All blocks of a pool stand in a list together, and their merged blocks take their places: each entry becomes that of
/// the merged block in its block's place, or none.
void emitMerge(func::FuncOp kernel, BlockAttentionOp op) {
  ListStage stage(kernel, op, "merge_lists", "pipipipppp");
  StageKernel &k = stage.k;
  Emitter &e = stage.e;
  e.when(e.below(stage.pool, k.argument(kNumPools)), [&] {
    Value list = e.add(e.mul(e.remainder(k.y, k.argument(kOldSets)), stage.queryBlocks), stage.pool);
    Value placeSet = e.mul(e.remainder(k.y, k.argument(kPlaceSets)), stage.keyBlocks);
    Value pairFirst = e.mul(k.y, stage.keyBlocks);
    Value first = e.mul(e.add(e.mul(k.y, k.argument(kNumPools)), stage.pool), stage.keyBlocks);
    Value lower = e.add(e.shiftLeft(e.i32(1), k.lane), -1);
    Values found = stage.walk(
        k.argument(kOldRanges), list, k.argument(kOldEntries), {e.i32(0), e.i32(0)},
        [&](const ListStage::Entries &entries, ValueRange state) {
          Values blocks, sizes, next(state);
          for (const ListStage::Entry &entry : entries)
            blocks.push_back(e.add(pairFirst, stage.lookUp(entry.exists, k.argument(kPlaceOf),
                                                           e.add(placeSet, e.shiftRight(entry.entry, 2)))));
          for (auto [i, entry] : llvm::enumerate(entries))
            sizes.push_back(stage.lookUp(entry.exists, k.argument(kSizes), blocks[i]));
          for (auto [i, entry] : llvm::enumerate(entries)) {
            Value stays = e.less(e.i32(0), sizes[i]), staying = e.ballot(stays);
            Value position = e.add(e.add(first, next[0]), e.countBits(e.bitAnd(staying, lower)));
            Value merged = e.bitOr(e.shiftLeft(blocks[i], 2), e.bitAnd(entry.entry, 3));
            e.when(stays, [&] { e.storeAt(merged, k.argument(kNewEntries), position); });
            next[0] = e.add(next[0], e.countBits(staying)), next[1] = e.add(next[1], sizes[i]);
          }
          return next;
        });
    Value columns = e.sumWarp(found[1]);
    e.when(e.equal(k.lane, 0), [&] {
      Value number = e.add(e.mul(k.y, stage.queryBlocks), stage.pool);
      e.storeAt(columns, k.argument(kNewColumns), number);
      Value range = e.advance(k.argument(kNewRanges), e.mul(e.extend(number), 8));
      e.store(first, range, 4);
      e.store(found[0], e.advance(range, e.i64(4)), 4);
    });
  });
  k.finish();
}

} // namespace

void weft::cuda::formInspectLists(func::FuncOp kernel, BlockAttentionOp op) { emitInspect(kernel, op); }

void weft::cuda::formMergeLists(func::FuncOp kernel, BlockAttentionOp op) { emitMerge(kernel, op); }
