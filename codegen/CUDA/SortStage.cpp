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
    scanLengths();
    k.meet();
    placeItems();
    k.finish();
  }

private:
  /// Replaces the number of lists of each length by that of longer ones. A thread has some neighbouring lengths.
  void scanLengths() {
    int64_t each = (keyBlocks + k.threads) / k.threads;
    Values lengths, counts;
    for (int64_t i = 0; i < each; ++i) {
      lengths.push_back(e.sub(e.i32(keyBlocks - i), e.mul(k.thread, each)));
      counts.push_back(e.valueWhen(
          e.less(e.i32(-1), lengths[i]), [&] { return e.loadAt(k.i32(), k.argument(kLengths), lengths[i]); }, e.i32(0)));
    }
    Value longer = k.sumBefore(e.reduce(counts, [&](Value a, Value b) { return e.add(a, b); }));
    for (auto [length, count] : llvm::zip_equal(lengths, counts)) {
      e.when(e.less(e.i32(-1), length), [&] { e.storeAt(longer, k.argument(kLengths), length); });
      longer = e.add(longer, count);
    }
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
