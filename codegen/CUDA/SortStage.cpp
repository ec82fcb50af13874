// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Items by the lengths of their lists: a counting sort in one CTA.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Where each row's list is, how many lists have each length, the items, their number, and rows.
enum Argument : unsigned { kRanges, kLengths, kItems, kNumItems, kRows };

class SortStage {
public:
  SortStage(func::FuncOp kernel, int64_t queryBlocks, int64_t keyBlocks)
      : k(kernel, "sort", "ppppi", rt::cuda::SortShape::kThreads), e(k.e), queryBlocks(queryBlocks),
        keyBlocks(keyBlocks) {}

  void emit() {
    e.when(e.equal(k.warp, 0), [&] { scanLengths(); });
    k.meet();
    placeItems();
    k.finish();
  }

private:
  /// Replaces the number of lists of each length by that of longer ones.
  void scanLengths() {
    e.loop(e.i32(0), e.i32(keyBlocks + 1), e.i32(32), e.i32(0), [&](Value first, ValueRange longer) {
      Value length = e.sub(e.i32(keyBlocks), e.add(first, k.lane));
      Value exists = e.less(e.i32(-1), length);
      Value count = e.valueWhen(
          exists, [&] { return e.loadAt(k.i32(), k.argument(kLengths), length); }, e.i32(0));
      Value sum = k.scanWarp(count);
      e.when(exists, [&] {
        e.storeAt(e.add(longer[0], e.sub(sum, count)), k.argument(kLengths), length);
      });
      return Values{e.add(longer[0], e.broadcastLane(sum, e.i32(31)))};
    });
  }

  void placeItems() {
    e.when(e.equal(k.thread, 0), [&] { e.store(k.argument(kRows), k.argument(kNumItems), 4); });
    e.loop(e.i32(0), k.argument(kRows), e.i32(k.threads), [&](Value first) {
      Value row = e.add(first, k.thread), exists = e.below(row, k.argument(kRows));
      Value range = e.advance(k.argument(kRanges), e.mul(e.extend(row), 8));
      Value length = e.valueWhen(
          exists, [&] { return e.load(k.i32(), e.advance(range, e.i64(4)), 4); }, e.i32(-1));
      Value place = e.takeNumber(k.argument(kLengths), length, k.lane);
      e.when(exists, [&] {
        Value pair = e.divide(row, queryBlocks), block = e.sub(row, e.mul(pair, queryBlocks));
        e.store4({block, pair, e.load(k.i32(), range, 4), length},
                 e.advance(k.argument(kItems), e.mul(e.extend(place), 16)));
      });
    });
  }

  StageKernel k;
  Emitter &e;
  int64_t queryBlocks, keyBlocks;
};

} // namespace

void weft::cuda::formSort(func::FuncOp kernel, BlockAttentionOp op) {
  int64_t queryBlocks = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks();
  int64_t keyBlocks = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks();
  SortStage(kernel, queryBlocks, keyBlocks).emit();
}
