// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Register-tiled products: scores and accumulation.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

namespace {

/// Emits `C[i][j] = (factor[i] C[i][j] +) sum_k A[i][k] B[k][j]` tile by tile, each tile's accumulators held in
/// registers over the whole sum. B lies in panels: see weft.load_tile. In pairs, A and B hold two consecutive k side by
/// side and one instruction sums their products; the matrix instruction of AArch64 takes four k.
class Product {
public:
  Product(TileEmitter &e, Value a, Value b, Value c, Value ahead)
      : e(e), a(a), bTile(b), c(c), ahead(ahead), pairs(cast<MemRefType>(a.getType()).getElementType().isBF16()),
        panel(cast<MemRefType>(b.getType()).getDimSize(2) / (pairs ? 2 : 1)) {}

  /// The factor of the old C in row `i`; without one C is overwritten.
  using Scale = llvm::function_ref<Value(Value)>;

  /// All rows, and the columns of the first `panels` panels.
  void emit(Value rows, Value panels, Value steps, Scale scale) {
    e.loop(e.index(0), panels, 1, [&](Value number) { emitPanel(rows, number, panel, steps, scale); });
  }

  /// As emit() for `width` columns, which need not fill their last panel.
  void emit(Value rows, int64_t width, Value steps, Scale scale) {
    if (int64_t whole = width / panel)
      emit(rows, e.index(whole), steps, scale);
    if (int64_t rest = width % panel)
      emitPanel(rows, e.index(width / panel), rest, steps, scale);
  }

  int64_t columnsPerPanel() const { return panel; }
  /// Terms of the sum that one step takes.
  int64_t termsPerStep() const { return pairs ? 2 : 1; }

private:
  static constexpr int64_t unroll = 4;

  /// One register tile.
  struct Tile {
    int64_t rows, vectors;
    /// Its first row; its panel, and its first column there.
    Value i, panel;
    int64_t offset;
  };

  /// NEON multiplies by any lane of a register: terms are loaded four at a time.
  bool usesLanes() const { return e.target.lanes == 4; }
  bool usesMatrices() const { return pairs && e.target.bf16 == BF16Unit::MatrixNEON; }

  int64_t maxVectors() const { return usesLanes() && !usesMatrices() ? 4 : 2; }

  /// As many sums as the registers hold beside the operands; enough of them to hide the latency of an addition.
  int64_t rowsFor(int64_t vectors) const {
    int64_t sums = e.target.lanes == 8 ? 8 : 16;
    return sums / vectors;
  }

  /// All rows and the first `width` columns of a panel.
  void emitPanel(Value rows, Value number, int64_t width, Value steps, Scale scale) {
    for (int64_t offset = 0; offset < width; offset += maxVectors() * e.target.lanes) {
      int64_t vectors = std::min(maxVectors(), (width - offset) / e.target.lanes);
      e.loop(e.index(0), rows, rowsFor(vectors), [&](Value i) {
        emitTile({rowsFor(vectors), vectors, i, number, offset}, steps, scale);
      });
    }
  }

  void emitTile(Tile tile, Value steps, Scale scale) {
    if (ahead)
      prefetch(tile);
    SmallVector<Value> sums(tile.rows * tile.vectors, e.splat(0.0));
    sums = e.loop(e.index(0), steps, unroll, sums, [&](Value k, SmallVector<Value> carried) {
      SmallVector<Value> terms = usesLanes() ? loadTerms(tile, k) : SmallVector<Value>();
      if (usesMatrices())
        stepMatrices(tile, k, terms, carried);
      else
        for (int64_t u = 0; u < unroll; ++u)
          step(tile, k, u, terms, carried);
      return carried;
    });
    if (usesMatrices())
      sums = rowsOfMatrices(tile, sums);
    Value first = e.mul(tile.panel, e.index(panel));
    for (int64_t row = 0; row < tile.rows; ++row) {
      Value at = e.add(tile.i, row);
      Value factor = scale ? scale(at) : Value();
      for (int64_t vector = 0; vector < tile.vectors; ++vector)
        finish(sums[row * tile.vectors + vector], at, e.add(first, columnOf(tile, vector)), factor);
    }
  }

  int64_t columnOf(Tile tile, int64_t vector) const { return tile.offset + vector * e.target.lanes; }

  /// Each register tile fetches its share of `ahead`, which was packed long ago.
  void prefetch(Tile tile) {
    auto whole = cast<MemRefType>(c.getType());
    int64_t width = maxVectors() * e.target.lanes, rows = rowsFor(maxVectors());
    int64_t tilesDown = whole.getDimSize(0) / rows;
    Value row = arith::DivUIOp::create(e.b, tile.i, e.index(tile.rows));
    Value strip = e.add(e.mul(tile.panel, e.index(panel / width)), tile.offset / width);
    e.prefetchShare(ahead, e.add(e.mul(strip, e.index(tilesDown)), row),
                    tilesDown * llvm::divideCeil(whole.getDimSize(1), width));
  }

  /// Stores a sum; with a factor, adds it to what stood there times the factor. A block's terms are summed by
  /// themselves first: adding them one by one to a long sum would lose their low bits.
  void finish(Value sum, Value row, Value column, Value factor) {
    if (factor)
      sum = e.fma(e.load(e.floats(), c, {row, column}), factor, sum);
    e.store(sum, c, {row, column});
  }

  /// The vectors of B's row `k` in the tile.
  SmallVector<Value> loadColumns(Tile tile, Value k) {
    Type element = cast<MemRefType>(bTile.getType()).getElementType();
    VectorType type = e.vector(e.target.lanes * termsPerStep(), element);
    SmallVector<Value> columns;
    for (int64_t vector = 0; vector < tile.vectors; ++vector)
      columns.push_back(e.load(type, bTile, {tile.panel, k, e.index(columnOf(tile, vector) * termsPerStep())}));
    return columns;
  }

  /// Of each of the tile's rows of A the terms that `unroll` steps take.
  SmallVector<Value> loadTerms(Tile tile, Value k) {
    VectorType type = e.vector(unroll * termsPerStep(), cast<MemRefType>(a.getType()).getElementType());
    SmallVector<Value> terms;
    for (int64_t row = 0; row < tile.rows; ++row)
      terms.push_back(e.load(type, a, {e.add(tile.i, row), e.mul(k, e.index(termsPerStep()))}));
    return terms;
  }

  /// Step `k + u`; `terms` are from loadTerms, or empty.
  void step(Tile tile, Value k, int64_t u, ArrayRef<Value> terms, MutableArrayRef<Value> sums) {
    SmallVector<Value> columns = loadColumns(tile, e.add(k, u));
    for (int64_t row = 0; row < tile.rows; ++row) {
      Value factor = terms.empty() ? broadcastTerm(e.add(tile.i, row), e.add(k, u)) : broadcastLane(terms[row], u);
      for (int64_t vector = 0; vector < tile.vectors; ++vector) {
        Value &sum = sums[row * tile.vectors + vector];
        sum = pairs ? x86vector::DotBF16Op::create(e.b, sum.getType(), sum, factor, columns[vector]).getResult()
                    : e.fma(factor, columns[vector], sum);
      }
    }
  }

  Value broadcastLane(Value vector, int64_t lane) {
    SmallVector<int64_t> indices(e.target.lanes, lane);
    return vector::ShuffleOp::create(e.b, vector, vector, indices);
  }

  Value shuffle(Value left, Value right, ArrayRef<int64_t> indices) {
    return vector::ShuffleOp::create(e.b, left, right, indices);
  }

  /// Four steps by bfmmla, which adds the product of 2 x 4 and 4 x 2 numbers to 2 x 2 sums in one register. Sum
  /// `vectors * row + vector` of a tile is here that of the rows 2 (row / 2) and + 1 with two columns of that vector,
  /// the first two for an even row.
  void stepMatrices(Tile tile, Value k, ArrayRef<Value> terms, MutableArrayRef<Value> sums) {
    SmallVector<Value> right[unroll];
    for (int64_t u = 0; u < unroll; ++u)
      right[u] = loadColumns(tile, e.add(k, u));
    for (int64_t half = 0; half < 2; ++half) {
      int64_t first = 4 * half;
      for (int64_t vector = 0; vector < tile.vectors; ++vector) {
        Value low = right[2 * half][vector], high = right[2 * half + 1][vector];
        Value columns[] = {shuffle(low, high, {0, 1, 8, 9, 2, 3, 10, 11}),
                           shuffle(low, high, {4, 5, 12, 13, 6, 7, 14, 15})};
        for (int64_t row = 0; row < tile.rows; ++row) {
          Value left = shuffle(terms[row & ~1], terms[row | 1],
                               {first, first + 1, first + 2, first + 3, first + 8, first + 9, first + 10, first + 11});
          Value &sum = sums[row * tile.vectors + vector];
          sum = LLVM::CallIntrinsicOp::create(e.b, sum.getType(), e.b.getStringAttr("llvm.aarch64.neon.bfmmla"),
                                              ValueRange{sum, left, columns[row % 2]})
                    .getResult(0);
        }
      }
    }
  }

  /// From sums of 2 x 2 to sums of whole rows.
  SmallVector<Value> rowsOfMatrices(Tile tile, ArrayRef<Value> sums) {
    SmallVector<Value> result;
    for (int64_t row = 0; row < tile.rows; ++row)
      for (int64_t vector = 0; vector < tile.vectors; ++vector) {
        Value left = sums[(row & ~1) * tile.vectors + vector], right = sums[(row | 1) * tile.vectors + vector];
        result.push_back(row % 2 ? shuffle(left, right, {2, 3, 6, 7}) : shuffle(left, right, {0, 1, 4, 5}));
      }
    return result;
  }

  /// A[i][k], or the pair at k, in every lane.
  Value broadcastTerm(Value i, Value k) {
    if (!pairs)
      return e.broadcast(e.loadScalar(a, {i, k}));
    Value pair = e.load(e.vector(2, e.b.getBF16Type()), a, {i, e.mul(k, e.index(2))});
    Value bits = vector::BitCastOp::create(e.b, e.vector(1, e.b.getI32Type()), pair);
    Value all = e.broadcast(vector::ExtractOp::create(e.b, bits, 0));
    return vector::BitCastOp::create(e.b, e.vector(2 * e.target.lanes, e.b.getBF16Type()), all);
  }

  TileEmitter &e;
  Value a, bTile, c, ahead;
  bool pairs;
  /// Columns of a panel.
  int64_t panel;
};

} // namespace

void weft::lowerScores(ScoresOp op, TileTarget target) {
  TileEmitter e(op, target);
  Product product(e, op.getQuery(), op.getKey(), op.getScores(), op.getAhead());
  int64_t depth = cast<MemRefType>(op.getQuery().getType()).getDimSize(1);
  Value steps = e.index(depth / product.termsPerStep());
  Value panels = arith::CeilDivUIOp::create(e.b, op.getColumns(), e.index(product.columnsPerPanel()));
  product.emit(op.getRows(), panels, steps, nullptr);
  op.erase();
}

void weft::lowerAccumulate(AccumulateOp op, TileTarget target) {
  TileEmitter e(op, target);
  Product product(e, op.getWeights(), op.getValue(), op.getAccumulator(), op.getAhead());
  int64_t width = cast<MemRefType>(op.getAccumulator().getType()).getDimSize(1);
  Value padded = e.alignUp(op.getColumns(), 32);
  Value steps = arith::ShRUIOp::create(e.b, padded, e.index(product.termsPerStep() - 1));
  auto scale = [&](Value row) { return e.broadcast(e.loadScalar(op.getCorrection(), {row})); };
  product.emit(op.getRows(), width, steps, scale);
  op.erase();
}
