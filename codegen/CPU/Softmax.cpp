// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The online softmax's state: initial values, one step, and the final normalisation's counterpart in StoreTile.cpp.
//
// Everything is in powers of two: with c = scale * log2(e), exp(scale * (s - m)) is
// 2^(c s - c m), one fma and a polynomial. A row that has seen no key has m = -inf;
// it is referred to 0 instead, so that -inf - (-inf) never occurs and its weights
// are 0. Masked scores are -inf. NaN goes through every step into the row's sum.

#include "codegen/CPU/TileEmitter.h"

#include "mlir/IR/IRMapping.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Rows that one pass works on side by side, to hide latencies.
constexpr int64_t kRows = 4;

/// Evaluates a predicate region for one query and `lanes` keys. What depends on the query alone stays scalar.
class VectorPredicate {
public:
  VectorPredicate(TileEmitter &e, SoftmaxOp op) : e(e), op(op) {}

  /// A vector of i1 for row `i` and columns from `j`.
  Value emit(Value i, Value j) {
    IRMapping mapping;
    Block &body = op.getBody().front();
    mapping.map(body.getArgument(kHead), op.getHead());
    mapping.map(body.getArgument(kGiven), op.getGiven());
    mapCoordinates(mapping, body, kQueryT, [&](int64_t row) {
      return e.loadScalar(op.getQueryTable(), {e.index(row), e.add(op.getQueryFirst(), i)});
    });
    mapCoordinates(mapping, body, kKeyT, [&](int64_t row) {
      return e.load(e.vector(e.target.lanes, e.b.getI32Type()), op.getKeyTable(),
                    {e.index(row), e.add(op.getKeyFirst(), j)});
    });
    for (Operation &inner : body.without_terminator())
      cloneOp(inner, mapping);
    return asVector(mapping.lookupOrDefault(cast<YieldOp>(body.getTerminator()).getValue()));
  }

private:
  /// Maps t, h, w, index and text of one side, as far as they are used. The table's rows are index, t, h, w.
  void mapCoordinates(IRMapping &mapping, Block &body, unsigned first, llvm::function_ref<Value(int64_t)> loadRow) {
    constexpr int64_t tableRow[] = {1, 2, 3, 0};
    for (unsigned axis = 0; axis < 4; ++axis)
      if (BlockArgument argument = body.getArgument(first + axis); !argument.use_empty())
        mapping.map(argument, loadRow(tableRow[axis]));
    BlockArgument text = body.getArgument(first + 4);
    if (text.use_empty())
      return;
    Value t = loadRow(1);
    Value far = e.integer(WeftDialect::kTextCoordinate);
    if (isa<VectorType>(t.getType()))
      far = e.broadcast(far);
    mapping.map(text, arith::CmpIOp::create(e.b, arith::CmpIPredicate::eq, t, far));
  }

  Value asVector(Value value) { return isa<VectorType>(value.getType()) ? value : e.broadcast(value); }

  void cloneOp(Operation &inner, IRMapping &mapping) {
    SmallVector<Value> operands;
    for (Value operand : inner.getOperands())
      operands.push_back(mapping.lookupOrDefault(operand));
    bool isVector = llvm::any_of(operands, [](Value value) { return isa<VectorType>(value.getType()); });
    if (!isVector) {
      e.b.clone(inner, mapping);
      return;
    }
    SmallVector<Type> types;
    for (Type type : inner.getResultTypes())
      types.push_back(e.vector(e.target.lanes, type));
    for (Value &operand : operands)
      operand = asVector(operand);
    OperationState state(inner.getLoc(), inner.getName(), operands, types, inner.getAttrs());
    mapping.map(inner.getResults(), e.b.create(state)->getResults());
  }

  TileEmitter &e;
  SoftmaxOp op;
};

/// One step for `kRows` rows.
class SoftmaxStep {
public:
  SoftmaxStep(TileEmitter &e, SoftmaxOp op, Value i) : e(e), op(op) {
    lanes = e.target.lanes;
    for (int64_t r = 0; r < kRows; ++r)
      rows.push_back(e.add(i, r));
    wholeEnd = arith::AndIOp::create(e.b, op.getColumns(), e.index(-lanes));
    end = e.alignUp(op.getColumns(), lanes);
    scale = op.getScale().convertToDouble() * kLog2E;
    degree = cast<MemRefType>(op.getWeights().getType()).getElementType().isBF16() ? 3 : 5;
  }

  void emit() {
    SmallVector<Value> maxima = rowMaxima();
    SmallVector<Value> corrections = updateMaxima(maxima);
    SmallVector<Value> sums = weigh();
    clearPadding();
    for (int64_t r = 0; r < kRows; ++r) {
      Value sum = e.reduce(sums[r], [&](Value a, Value b) { return arith::AddFOp::create(e.b, a, b); });
      Value old = e.loadScalar(op.getSum(), {rows[r]});
      Value corrected = arith::MulFOp::create(e.b, old, corrections[r]);
      e.store(arith::AddFOp::create(e.b, corrected, sum), op.getSum(), {rows[r]});
    }
  }

private:
  Value loadScores(int64_t r, Value j) { return e.load(e.floats(), op.getScores(), {rows[r], j}); }

  Value select(Value condition, Value value) {
    return arith::SelectOp::create(e.b, condition, value, e.splat(-kInfinity));
  }

  /// Pass 1: masks the scores in place and finds each row's maximum.
  SmallVector<Value> rowMaxima() {
    maskTail();
    SmallVector<Value> lowest(kRows, e.splat(-kInfinity));
    bool masked = !op.getBody().empty();
    SmallVector<Value> maxima = e.loop(e.index(0), end, lanes, lowest, [&](Value j, SmallVector<Value> carried) {
      for (int64_t r = 0; r < kRows; ++r) {
        Value score = loadScores(r, j);
        if (masked) {
          score = select(VectorPredicate(e, op).emit(rows[r], j), score);
          e.store(score, op.getScores(), {rows[r], j});
        }
        carried[r] = e.maximum(score, carried[r]);
      }
      return carried;
    });
    for (Value &value : maxima)
      value = e.reduce(value, [&](Value a, Value b) { return e.maximum(a, b); });
    return maxima;
  }

  /// Sets the columns of the last vector beyond the block's keys to -inf.
  void maskTail() {
    Value ragged = e.less(wholeEnd, end);
    scf::IfOp::create(e.b, ragged, [&](OpBuilder &, Location) {
      Value rest = arith::SubIOp::create(e.b, op.getColumns(), wholeEnd);
      Value valid = vector::CreateMaskOp::create(e.b, e.vector(lanes, e.b.getI1Type()), ValueRange{rest});
      for (int64_t r = 0; r < kRows; ++r)
        e.store(select(valid, loadScores(r, wholeEnd)), op.getScores(), {rows[r], wholeEnd});
      scf::YieldOp::create(e.b);
    });
  }

  /// Stores the new maxima and the corrections; keeps each row's reference point -c m'.
  SmallVector<Value> updateMaxima(ArrayRef<Value> maxima) {
    Value lowest = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(-kInfinity));
    Value zero = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(0.0));
    Value factor = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(scale));
    SmallVector<Value> shifts, corrections;
    for (int64_t r = 0; r < kRows; ++r) {
      Value old = e.loadScalar(op.getMaximum(), {rows[r]});
      Value next = e.maximum(old, maxima[r]);
      e.store(next, op.getMaximum(), {rows[r]});
      Value isEmpty = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, next, lowest);
      Value reference = arith::SelectOp::create(e.b, isEmpty, zero, next);
      Value shift = arith::NegFOp::create(e.b, arith::MulFOp::create(e.b, reference, factor));
      references.push_back(e.broadcast(shift));
      shifts.push_back(math::FmaOp::create(e.b, old, factor, shift));
    }
    Value packed = vector::FromElementsOp::create(e.b, e.vector(kRows, e.b.getF32Type()), shifts);
    Value powers = e.exp2(packed, 5);
    for (int64_t r = 0; r < kRows; ++r) {
      corrections.push_back(vector::ExtractOp::create(e.b, powers, r));
      e.store(corrections.back(), op.getCorrection(), {rows[r]});
    }
    return corrections;
  }

  /// Pass 2: the weights and their sums.
  SmallVector<Value> weigh() {
    SmallVector<Value> zeros(kRows, e.splat(0.0));
    Value factor = e.splat(scale);
    return e.loop(e.index(0), end, lanes, zeros, [&](Value j, SmallVector<Value> sums) {
      for (int64_t r = 0; r < kRows; ++r) {
        Value weight = e.exp2(e.fma(loadScores(r, j), factor, references[r]), degree);
        sums[r] = arith::AddFOp::create(e.b, sums[r], weight);
        storeWeights(weight, r, j);
      }
      return sums;
    });
  }

  void storeWeights(Value weight, int64_t r, Value j) {
    Type element = cast<MemRefType>(op.getWeights().getType()).getElementType();
    if (!element.isF32())
      weight = arith::TruncFOp::create(e.b, e.vector(lanes, element), weight);
    e.store(weight, op.getWeights(), {rows[r], j});
  }

  /// Weights of 0 up to the products' granule.
  void clearPadding() {
    e.loop(end, e.alignUp(op.getColumns(), 32), lanes, [&](Value j) {
      for (int64_t r = 0; r < kRows; ++r)
        storeWeights(e.splat(0.0), r, j);
    });
  }

  TileEmitter &e;
  SoftmaxOp op;
  SmallVector<Value> rows, references;
  Value wholeEnd, end;
  int64_t lanes;
  double scale;
  int degree;
};

} // namespace

void weft::lowerInitTile(InitTileOp op, TileTarget target) {
  TileEmitter e(op, target);
  int64_t width = cast<MemRefType>(op.getAccumulator().getType()).getDimSize(1);
  Value zeros = e.splat(0.0);
  Value zero = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(0.0));
  Value lowest = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(-kInfinity));
  e.loop(e.index(0), e.alignUp(op.getRows(), 32), 1, [&](Value i) {
    for (int64_t c = 0; c < width; c += target.lanes)
      e.store(zeros, op.getAccumulator(), {i, e.index(c)});
    e.store(lowest, op.getMaximum(), {i});
    e.store(zero, op.getSum(), {i});
  });
  op.erase();
}

void weft::lowerSoftmax(SoftmaxOp op, TileTarget target) {
  TileEmitter e(op, target);
  e.loop(e.index(0), op.getRows(), kRows, [&](Value i) { SoftmaxStep(e, op, i).emit(); });
  op.erase();
}
