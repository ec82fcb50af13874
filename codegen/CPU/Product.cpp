// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Register-tiled products: scores and accumulation.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

namespace {

/// Emits `C[i][j] = (factor[i] C[i][j] +) sum_k A[i][k] B[k][j]` tile by tile, each tile's accumulators held in registers
/// over the whole sum. In pairs, A and B hold two consecutive k side by side and one instruction sums their products.
class Product {
public:
  Product(TileEmitter &e, Value a, Value b, Value c, Value ahead)
      : e(e), a(a), bTile(b), c(c), ahead(ahead), pairs(cast<MemRefType>(a.getType()).getElementType().isBF16()),
        tileRows(e.target.lanes == 16 ? 8 : 4), strip(e.target.lanes == 4 ? 4 : 2) {}

  /// The factor of the old C in row `i`; without one C is overwritten.
  using Scale = llvm::function_ref<Value(Value)>;

  /// All rows and the first `width` columns.
  void emit(Value rows, Value width, Value steps, Scale scale) {
    e.loop(e.index(0), width, strip * e.target.lanes, [&](Value j) { emitStrip(rows, steps, j, strip, scale); });
  }

  /// As emit() for a width that need not be whole strips.
  void emit(Value rows, int64_t width, Value steps, Scale scale) {
    int64_t vectors = width / e.target.lanes, whole = vectors / strip * strip;
    if (whole)
      emit(rows, e.index(whole * e.target.lanes), steps, scale);
    if (whole != vectors)
      emitStrip(rows, steps, e.index(whole * e.target.lanes), vectors - whole, scale);
  }

  /// Terms of the sum that one step takes.
  int64_t termsPerStep() const { return pairs ? 2 : 1; }

private:
  static constexpr int64_t unroll = 4;

  /// A column strip of `strip` vectors at column j: all rows.
  void emitStrip(Value rows, Value steps, Value j, int64_t strip, Scale scale) {
    e.loop(e.index(0), rows, tileRows, [&](Value i) { emitTile(i, j, strip, steps, scale); });
  }

  Value columnOf(Value j, int64_t vector) { return e.add(j, vector * e.target.lanes); }

  void emitTile(Value i, Value j, int64_t strip, Value steps, Scale scale) {
    if (ahead)
      prefetch(i, j);
    SmallVector<Value> sums(tileRows * strip, e.splat(0.0));
    sums = e.loop(e.index(0), steps, unroll, sums, [&](Value k, SmallVector<Value> carried) {
      for (int64_t u = 0; u < unroll; ++u)
        step(i, j, strip, e.add(k, u), carried);
      return carried;
    });
    for (int64_t row = 0; row < tileRows; ++row) {
      Value at = e.add(i, row);
      Value factor = scale ? scale(at) : Value();
      for (int64_t vector = 0; vector < strip; ++vector)
        finish(sums[row * strip + vector], at, columnOf(j, vector), factor);
    }
  }

  /// Each register tile fetches its share of `ahead`: the products read it in strides of a row, which the hardware does
  /// not foresee.
  void prefetch(Value i, Value j) {
    auto whole = cast<MemRefType>(c.getType());
    int64_t tilesDown = whole.getDimSize(0) / tileRows, width = strip * e.target.lanes;
    Value row = arith::DivUIOp::create(e.b, i, e.index(tileRows));
    Value column = arith::DivUIOp::create(e.b, j, e.index(width));
    e.prefetchShare(ahead, e.add(e.mul(column, e.index(tilesDown)), row),
                    tilesDown * llvm::divideCeil(whole.getDimSize(1), width));
  }

  /// Stores a sum; with a factor, adds it to what stood there times the factor. A block's terms are summed by themselves
  /// first: adding them one by one to a long sum would lose their low bits.
  void finish(Value sum, Value row, Value column, Value factor) {
    if (factor)
      sum = e.fma(e.load(e.floats(), c, {row, column}), factor, sum);
    e.store(sum, c, {row, column});
  }

  void step(Value i, Value j, int64_t strip, Value k, MutableArrayRef<Value> sums) {
    Type element = cast<MemRefType>(bTile.getType()).getElementType();
    VectorType type = e.vector(e.target.lanes * termsPerStep(), element);
    SmallVector<Value> columns;
    for (int64_t vector = 0; vector < strip; ++vector) {
      Value column = columnOf(j, vector);
      columns.push_back(e.load(type, bTile, {k, pairs ? e.mul(column, e.index(2)) : column}));
    }
    for (int64_t row = 0; row < tileRows; ++row) {
      Value factor = broadcastTerm(e.add(i, row), k);
      for (int64_t vector = 0; vector < strip; ++vector) {
        Value &sum = sums[row * strip + vector];
        sum = pairs ? addPairs(sum, factor, columns[vector]) : e.fma(factor, columns[vector], sum);
      }
    }
  }

  Value addPairs(Value sum, Value a, Value b) {
    if (e.target.bf16 == BF16Unit::DotX86)
      return x86vector::DotBF16Op::create(e.b, sum.getType(), sum, a, b);
    return LLVM::CallIntrinsicOp::create(e.b, sum.getType(), e.b.getStringAttr("llvm.aarch64.neon.bfdot"),
                                         ValueRange{sum, a, b})
        .getResult(0);
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
  int64_t tileRows;
  /// Vectors of a tile's row.
  int64_t strip;
};

} // namespace

void weft::lowerScores(ScoresOp op, TileTarget target) {
  TileEmitter e(op, target);
  Product product(e, op.getQuery(), op.getKey(), op.getScores(), op.getAhead());
  int64_t depth = cast<MemRefType>(op.getQuery().getType()).getDimSize(1);
  Value steps = e.index(depth / product.termsPerStep());
  product.emit(op.getRows(), e.alignUp(op.getColumns(), 32), steps, nullptr);
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
