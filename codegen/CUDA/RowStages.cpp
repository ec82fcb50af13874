// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows: query tokens of one pool, whose blocks have one list, fill tiles together.

#include "codegen/CUDA/Stages.h"
#include "passes/FormReuse.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RowShape;

namespace {

/// What counting and scattering have in common: a CTA walks a part of a pair's rows.
///
/// Indices with the strides of batch, head and row, their counts with those of batch and head, and the capacity; the
/// pool of each query block by set, these sets, and the block of each token; a number per pool and pair.
enum RowArgument : unsigned {
  kIndices, kIndexBatchStride, kIndexHeadStride, kIndexStride, kCounts, kCountBatchStride, kCountHeadStride, kCapacity,
  kPoolOf, kSets, kBlockOf, kNumbers, kPairs, kNumRowArguments
};
constexpr StringLiteral kRowLetters = "plllpllipippi";

class RowStage {
public:
  RowStage(func::FuncOp kernel, BlockAttentionOp op, StringRef name, StringRef letters)
      : k(kernel, name, (kRowLetters + letters).str(), Shape::kThreads), e(k.e),
        heads(op.getQuery().getType().getDimSize(1)), tokens(op.getQueryGrid().getTokens()),
        queryBlocks(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks()),
        byToken(mergesQueries(op)), inOnePool(byToken && isOnePool(op)), pair(k.y),
        set(e.remainder(pair, k.argument(kSets))) {}

  struct Row {
    /// Query token and pool, -1 where there is none; what takeNumber() gave for the pool.
    Value token, pool, number;
  };

  void emit(llvm::function_ref<void(const Row &)> body) {
    Value batch = e.divide(pair, heads), head = e.sub(pair, e.mul(batch, heads));
    auto placeOf = [&](unsigned array, unsigned strides) {
      Value elements = e.add(e.mul(e.extend(batch), k.argument(strides)), e.mul(e.extend(head), k.argument(strides + 1)));
      return e.advance(k.argument(array), elements, k.i32());
    };
    Value indices = placeOf(kIndices, kIndexBatchStride);
    Value count = e.load(k.i32(), placeOf(kCounts, kCountBatchStride), 4);
    count = e.minimum(e.greater(count, e.i32(0)), k.argument(kCapacity));
    e.loop(e.mul(k.x, k.threads), count, e.i32(Shape::kParts * k.threads), [&](Value first) {
      Value place = e.add(first, k.thread);
      Value token = e.valueWhen(
          e.below(place, count),
          [&] { return e.load(k.i32(), e.advance(indices, e.mul(e.extend(place), k.argument(kIndexStride)), k.i32()), 4); },
          e.i32(-1));
      Value exists = byToken ? e.equal(token, place) : e.below(token, e.i32(tokens));
      Value pool = e.valueWhen(exists, [&] { return loadPool(token); }, e.i32(-1));
      Value counter = e.select(exists, e.add(e.mul(pool, k.argument(kPairs)), pair), e.i32(-1));
      Value number = e.takeNumber(k.argument(kNumbers), counter, k.lane);
      body({token, pool, number});
    });
    k.finish();
  }

  StageKernel k;
  Emitter &e;
  int64_t heads, tokens, queryBlocks;
  /// Indices have a place per token, and name those to compute in their own. All tokens may be of one pool.
  bool byToken, inOnePool;
  Value pair, set;

private:
  Value loadPool(Value token) {
    if (inOnePool)
      return e.i32(0);
    Value block = e.loadAt(k.i32(), k.argument(kBlockOf), token);
    return e.loadAt(k.i32(), k.argument(kPoolOf), e.add(e.mul(set, queryBlocks), block));
  }
};

/// Rows per pool and pair, the first tile of each, how many there are, and the number of items.
enum PlanArgument : unsigned { kPlanNumbers, kPlanTiles, kPlanCount, kPlanItems };

/// Where tiles begin: the sum over all pools and pairs before. Also the numbers become 0 again, for the rows' places.
class PlanStage {
public:
  PlanStage(func::FuncOp kernel, int64_t rows)
      : k(kernel, "plan_rows", "ppip", Shape::kPlanThreads), e(k.e), rows(rows) {}

  void emit() {
    Value each = e.divide(e.add(k.argument(kPlanCount), Shape::kPlanThreads - 1), Shape::kPlanThreads);
    Value first = e.minimum(e.mul(k.thread, each), k.argument(kPlanCount));
    Value end = e.minimum(e.add(first, each), k.argument(kPlanCount));
    Value own = e.loop(first, end, e.i32(1), e.i32(0), [&](Value at, ValueRange sum) {
      return Values{e.add(sum[0], tilesOf(at))};
    })[0];
    Value before = k.sumBefore(own);
    e.loop(first, end, e.i32(1), before, [&](Value at, ValueRange next) {
      Value tiles = tilesOf(at);
      e.storeAt(next[0], k.argument(kPlanTiles), at);
      e.storeAt(e.i32(0), k.argument(kPlanNumbers), at);
      return Values{e.add(next[0], tiles)};
    });
    e.when(e.equal(k.thread, Shape::kPlanThreads - 1),
           [&] { e.store(e.add(before, own), k.argument(kPlanItems), 4); });
    k.finish();
  }

private:
  Value tilesOf(Value at) {
    return e.divide(e.add(e.loadAt(k.i32(), k.argument(kPlanNumbers), at), rows - 1), rows);
  }

  StageKernel k;
  Emitter &e;
  int64_t rows;
};

/// The first tile of each pool and pair, each pool's list by set, these sets, items, tokens of the tiles' rows, their coordinates,
/// and the coordinates of all tokens.
enum ScatterArgument : unsigned {
  kTiles = kNumRowArguments, kRanges, kRangeSets, kItems, kRowTokens, kTileCoordinates, kTokenCoordinates
};

} // namespace

void weft::cuda::formCountRows(func::FuncOp kernel, BlockAttentionOp op) {
  RowStage(kernel, op, "count_rows", "").emit([](const RowStage::Row &) {});
}

void weft::cuda::formPlanRows(func::FuncOp kernel, BlockAttentionOp, int64_t rows) { PlanStage(kernel, rows).emit(); }

void weft::cuda::formScatterRows(func::FuncOp kernel, BlockAttentionOp op, int64_t rows, ArrayRef<int64_t> axes) {
  RowStage stage(kernel, op, "scatter_rows", "ppipppp");
  Emitter &e = stage.e;
  StageKernel &k = stage.k;
  stage.emit([&](const RowStage::Row &row) {
    e.when(e.less(e.i32(-1), row.pool), [&] {
      Value first = e.loadAt(k.i32(), k.argument(kTiles), e.add(e.mul(row.pool, k.argument(kPairs)), stage.pair));
      Value tile = e.add(first, e.divide(row.number, rows)), place = e.remainder(row.number, rows);
      e.storeAt(row.token, k.argument(kRowTokens), e.add(e.mul(tile, rows), place));
      int64_t numAxes = axes.size();
      for (auto [i, axis] : llvm::enumerate(axes)) {
        int64_t number = static_cast<int64_t>(i);
        Value from = e.add(row.token, axis * stage.tokens);
        Value to = e.add(e.mul(e.add(e.mul(tile, numAxes), number), rows), place);
        e.storeAt(e.loadAt(k.i32(), k.argument(kTokenCoordinates), from), k.argument(kTileCoordinates), to);
      }
      e.when(e.equal(place, 0), [&] {
        Value set = e.remainder(stage.pair, k.argument(kRangeSets));
        Value list = e.add(e.mul(set, stage.queryBlocks), row.pool);
        Value range = e.advance(k.argument(kRanges), e.mul(e.extend(list), 8));
        e.store4({tile, stage.pair, e.load(k.i32(), range, 4), e.load(k.i32(), e.advance(range, e.i64(4)), 4)},
                 e.advance(k.argument(kItems), e.mul(e.extend(tile), 16)));
      });
    });
  });
}
