// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Merging of keys: which keys stay, and where they go.
//
// Key blocks that the same queries visit as wholes are a pool. The blocks of a pool have neighbouring places, and the
// keys that stay fill them from the first on, so that no pool waits for another to know where it begins. A block that
// is visited partially is a pool of its own whose keys all stay, and a block that nobody visits keeps none.

#include "codegen/CUDA/BlockOfKeys.h"
#include "codegen/CUDA/ReuseStages.h"
#include "runtime/CUDA/Segment.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::MergeShape;

namespace {

//===----------------------------------------------------------------------===//
// Counting
//===----------------------------------------------------------------------===//

/// As BlockOfKeys has them; then by pair, block and column the number of the key among those of its block that stay, -1
/// if it does not; how many these are, by pair and block; the grid.
enum CountArgument : unsigned {
  kTokens,
  kDonors,
  kBlockOf,
  kBaseOf,
  kPoolSets,
  kFlags,
  kFlagSets,
  kRanks,
  kCounts,
  kCountGrid
};

class CountStage {
public:
  CountStage(func::FuncOp kernel, BlockAttentionOp op, int64_t columns)
      : k(kernel, "count_keys", ("ppppipipp" + CellGrid::kLetters).str(), Shape::kThreads), e(k.e),
        keys(k, op, columns, {kTokens, kDonors, kBlockOf, kBaseOf, kPoolSets, kFlags, kFlagSets}, kCountGrid) {}

  void emit() {
    Value isColumn = e.below(k.thread, e.i32(keys.columns));
    Value token = e.valueWhen(e.bitAnd(isColumn, keys.isVisited), [&] { return keys.tokenOf(k.thread); }, e.i32(-1));
    Value exists = e.less(e.i32(-1), token);
    Value stays = e.valueWhen(exists, [&] { return e.equal(findFirst(token), token); }, e.i1(false));
    Value staying = e.ballot(stays), lower = e.add(e.shiftLeft(e.i32(1), k.lane), -1);
    e.when(e.equal(k.lane, 0), [&] { e.store(e.countBits(staying), e.shared(e.shiftLeft(k.warp, 2)), 4); });
    k.meet();
    Value before = e.i32(0), all = e.i32(0);
    for (int64_t warp = 0; warp < Shape::kThreads / 32; ++warp) {
      Value count = e.load(k.i32(), e.shared(e.i32(4 * warp)), 4);
      before = e.add(before, e.select(e.below(e.i32(warp), k.warp), count, e.i32(0)));
      all = e.add(all, count);
    }
    Value rank = e.add(before, e.countBits(e.bitAnd(staying, lower)));
    e.when(isColumn, [&] {
      e.storeAt(e.select(stays, rank, e.i32(-1)), k.argument(kRanks),
                e.add(e.mul(keys.number, keys.columns), k.thread));
    });
    e.when(e.equal(k.thread, 0), [&] { e.storeAt(all, k.argument(kCounts), keys.number); });
    k.finish();
  }

private:
  /// Donors stay as they are, and lie before whom they give to.
  Value findFirst(Value token) {
    Value donor = keys.donorOf(token);
    if (keys.isOnePool)
      return donor;
    CellGrid::Cell cell = keys.grid.cellOf(token);
    return e.loop(e.i32(0), keys.grid.size, e.i32(1), e.i32(-1), [&](Value position, ValueRange found) {
      Value other = keys.grid.placeAt(cell, position).token;
      Value isFirst = e.bitAnd(e.less(found[0], e.i32(0)), keys.isAlike(other, token, donor));
      return Values{e.select(isFirst, other, found[0])};
    })[0];
  }

  StageKernel k;
  Emitter &e;
  BlockOfKeys keys;
};

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

/// Keys that stay by pair and block; by set and place the block, the first place of its pool and the first behind it;
/// these sets. By pair and place the keys of blocks in earlier places; the keys of the merged block; and what the
/// attention reads of a key block: its first key, and the class of its columns.
enum PlanArgument : unsigned { kPlanCounts, kBlockAt, kBaseAt, kEndAt, kPlanSets, kStarts, kSizes, kTable };

class PlanStage {
public:
  PlanStage(func::FuncOp kernel, BlockAttentionOp op, int64_t columns)
      : k(kernel, "plan_keys", "ppppippp", Shape::kPlanThreads), e(k.e), keyBlocks(countKeyBlocks(op)),
        columns(columns), firstBlock(e.mul(k.y, keyBlocks)), firstStart(e.mul(k.y, keyBlocks + 1)),
        set(e.mul(e.remainder(k.y, k.argument(kPlanSets)), keyBlocks)) {}

  void emit() {
    int64_t each = (keyBlocks + k.threads - 1) / k.threads;
    Value begin = e.minimum(e.mul(k.thread, each), e.i32(keyBlocks));
    Value end = e.minimum(e.add(begin, each), e.i32(keyBlocks));
    Value own = e.loop(begin, end, e.i32(1), e.i32(0),
                       [&](Value place, ValueRange sum) { return Values{e.add(sum[0], countAt(place))}; })[0];
    Value before = k.sumBefore(own);
    e.loop(begin, end, e.i32(1), before, [&](Value place, ValueRange sum) {
      e.storeAt(sum[0], k.argument(kStarts), e.add(firstStart, place));
      return Values{e.add(sum[0], countAt(place))};
    });
    e.when(e.equal(k.thread, k.threads - 1),
           [&] { e.storeAt(e.add(before, own), k.argument(kStarts), e.add(firstStart, keyBlocks)); });
    k.meet();
    e.loop(k.thread, e.i32(keyBlocks), e.i32(k.threads), [&](Value place) { describe(place); });
    k.finish();
  }

private:
  Value at(unsigned table, Value place) { return e.loadAt(k.i32(), k.argument(table), e.add(set, place)); }
  Value countAt(Value place) {
    return e.loadAt(k.i32(), k.argument(kPlanCounts), e.add(firstBlock, at(kBlockAt, place)));
  }
  Value startOf(Value place) { return e.loadAt(k.i32(), k.argument(kStarts), e.add(firstStart, place)); }

  /// Class 0 has all columns, class n the first n.
  void describe(Value place) {
    Value base = at(kBaseAt, place), keys = e.sub(startOf(at(kEndAt, place)), startOf(base));
    Value left = e.sub(keys, e.mul(e.sub(place, base), columns));
    Value size = e.minimum(e.greater(left, e.i32(0)), e.i32(columns)), number = e.add(firstBlock, place);
    e.storeAt(size, k.argument(kSizes), number);
    Value columnClass = e.select(e.equal(size, columns), e.i32(0), size);
    e.store4({e.mul(place, columns), e.i32(0), e.i32(0), e.shiftLeft(columnClass, rt::cuda::kSegmentBits)},
             e.advance(k.argument(kTable), e.mul(e.extend(number), 16)));
  }

  StageKernel k;
  Emitter &e;
  int64_t keyBlocks, columns;
  Value firstBlock, firstStart, set;
};

} // namespace

void weft::cuda::formCountKeys(func::FuncOp kernel, BlockAttentionOp op, int64_t columns) {
  CountStage(kernel, op, columns).emit();
}

void weft::cuda::formPlanKeys(func::FuncOp kernel, BlockAttentionOp op, int64_t columns) {
  PlanStage(kernel, op, columns).emit();
}
