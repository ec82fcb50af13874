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
//
// With a bias the first walk over a block's scores replaces them by t = scale * s + bias,
// and weights are 2^(log2(e) (t - m)): a bias may be as large as f32 can hold, where c t
// would overflow.

#include "codegen/CPU/TileEmitter.h"
#include "passes/TileShapes.h"

#include "mlir/IR/IRMapping.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Rows that one pass works on side by side, to hide latencies.
constexpr int64_t kRows = TileEmitter::kReducedRows;

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

/// One step, `kRows` rows at a time: first all maxima, then all weights, so that the latencies between a row's scores
/// and its new maximum do not stand before its weights.
class SoftmaxStep {
public:
  SoftmaxStep(TileEmitter &e, SoftmaxOp op) : e(e), op(op), lanes(e.target.lanes) {
    whole = arith::AndIOp::create(e.b, op.getColumns(), e.index(-kTileGranule));
    end = e.alignUp(op.getColumns(), kTileGranule);
    scale = op.getScale().convertToDouble() * kLog2E;
    isMasked = !op.getBody().empty();
    weightType = cast<MemRefType>(op.getWeights().getType()).getElementType();
  }

  void emit() {
    e.loop(e.index(0), op.getRows(), kRows, [&](Value i) { raiseMaxima(i); });
    e.loop(e.index(0), op.getRows(), kRows, [&](Value i) { weigh(i); });
  }

private:
  VectorType rowVector() { return e.vector(kRows, e.b.getF32Type()); }

  Value loadScores(Value i, int64_t r, Value j) { return e.load(e.floats(), op.getScores(), {e.add(i, r), j}); }

  /// Which columns from `j` on are keys of the block.
  Value columnsFrom(Value j) {
    Value rest = arith::SubIOp::create(e.b, op.getColumns(), j);
    return vector::CreateMaskOp::create(e.b, e.vector(lanes, e.b.getI1Type()), ValueRange{rest});
  }

  using Step = llvm::function_ref<SmallVector<Value>(Value j, SmallVector<Value> carried, bool isTail)>;
  /// Walks over all columns; `step` may find some that are no keys of the block only in the last granule.
  SmallVector<Value> walk(int64_t columns, ArrayRef<Value> start, Step step) {
    auto part = [&](Value begin, Value end, ArrayRef<Value> before, bool isTail) {
      return e.loop(begin, end, columns, before,
                    [&](Value j, SmallVector<Value> carried) { return step(j, std::move(carried), isTail); });
    };
    return part(whole, end, part(e.index(0), whole, start, false), true);
  }

  Value select(Value condition, Value value) {
    return arith::SelectOp::create(e.b, condition, value, e.splat(-kInfinity, cast<VectorType>(value.getType())));
  }

  /// Stores the rows' new maxima and the corrections 2^(c m - c m'), which are 1 where a maximum stays.
  void raiseMaxima(Value i) {
    Value found = rowMaxima(i), old = e.load(rowVector(), op.getMaximum(), {i});
    Value next = e.maximum(old, found);
    e.store(next, op.getMaximum(), {i});
    Value fall = arith::SubFOp::create(e.b, scaled(old), reference(next));
    e.store(e.exp2(op.getBias() ? inPowersOfTwo(fall) : fall, 5), op.getCorrection(), {i});
  }

  /// Whether what the first walk makes of the scores takes their place.
  bool replacesScores() { return isMasked || op.getBias(); }

  /// Biases and masks the scores in place and finds each row's maximum.
  Value rowMaxima(Value i) {
    SmallVector<Value> lowest(kRows, e.splat(-kInfinity));
    auto raise = [&](Value j, int64_t columns, SmallVector<Value> carried, bool isTail) {
      for (int64_t column = 0; column < columns; column += lanes) {
        Value first = e.add(j, column), bias = op.getBias() ? e.load(e.floats(), op.getBias(), {first}) : Value();
        Value valid = isTail ? columnsFrom(first) : Value();
        for (int64_t r = 0; r < kRows; ++r)
          carried[r] = raised(carried[r], finalScores(i, r, first, bias, valid), valid);
      }
      return carried;
    };
    SmallVector<Value> maxima;
    if (isMasked) // A predicate is much code.
      maxima = e.loop(e.index(0), end, lanes, lowest, [&](Value j, SmallVector<Value> carried) {
        return raise(j, lanes, std::move(carried), true);
      });
    else
      maxima = walk(columnsPerStep(), lowest, [&](Value j, SmallVector<Value> carried, bool isTail) {
        return raise(j, columnsPerStep(), std::move(carried), isTail);
      });
    return e.reduceRows(maxima, [&](Value a, Value b) { return e.maximum(a, b); });
  }

  /// Here and in weights the select comes last: it is a mask of the instruction before, which costs nothing.
  Value raised(Value maximum, Value scores, Value valid) {
    Value raised = e.maximum(scores, maximum);
    return valid && !replacesScores() ? arith::SelectOp::create(e.b, valid, raised, maximum) : raised;
  }

  Value finalScores(Value i, int64_t r, Value j, Value bias, Value valid) {
    Value score = loadScores(i, r, j);
    if (!replacesScores())
      return score;
    if (bias)
      score = e.fma(score, e.splat(op.getScale().convertToDouble()), bias);
    Value counts = valid;
    if (isMasked) {
      Value isKept = VectorPredicate(e, op).emit(e.add(i, r), j);
      counts = valid ? Value(arith::AndIOp::create(e.b, valid, isKept)) : isKept;
    }
    if (counts)
      score = select(counts, score);
    e.store(score, op.getScores(), {e.add(i, r), j});
    return score;
  }

  /// c m, or m with a bias.
  Value scaled(Value maximum) {
    return op.getBias() ? maximum : Value(arith::MulFOp::create(e.b, maximum, e.splat(scale, rowVector())));
  }

  Value inPowersOfTwo(Value exponent) {
    return arith::MulFOp::create(e.b, exponent, e.splat(kLog2E, cast<VectorType>(exponent.getType())));
  }

  /// The exponents of weights, where `shift` is -reference(m).
  Value exponents(Value scores, Value shift) {
    return op.getBias() ? inPowersOfTwo(arith::AddFOp::create(e.b, scores, shift))
                        : e.fma(scores, e.splat(scale), shift);
  }

  /// scaled(m), and 0 for a row that has seen no key.
  Value reference(Value maximum) {
    Value lowest = e.splat(-kInfinity, rowVector());
    Value isEmpty = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, maximum, lowest);
    return arith::SelectOp::create(e.b, isEmpty, e.splat(0.0, rowVector()), scaled(maximum));
  }

  /// The weights and their sums.
  void weigh(Value i) {
    Value shift = arith::NegFOp::create(e.b, reference(e.load(rowVector(), op.getMaximum(), {i})));
    SmallVector<Value> shifts;
    for (int64_t r = 0; r < kRows; ++r)
      shifts.push_back(e.broadcast(vector::ExtractOp::create(e.b, shift, r)));
    SmallVector<Value> zeros(kRows, e.splat(0.0));
    auto weighAll = [&](Value j, SmallVector<Value> carried, bool isTail) {
      for (int64_t r = 0; r < kRows; ++r)
        carried[r] = weighColumns(i, r, j, shifts[r], carried[r], isTail);
      return carried;
    };
    SmallVector<Value> sums;
    if (replacesScores())
      sums = e.loop(e.index(0), end, columnsPerStep(), zeros, [&](Value j, SmallVector<Value> carried) {
        return weighAll(j, std::move(carried), /*isTail=*/false);
      });
    else
      sums = walk(columnsPerStep(), zeros, weighAll);
    Value sum = e.reduceRows(sums, [&](Value a, Value b) { return arith::AddFOp::create(e.b, a, b); });
    Value old = e.load(rowVector(), op.getSum(), {i}), correction = e.load(rowVector(), op.getCorrection(), {i});
    e.store(e.fma(old, correction, sum), op.getSum(), {i});
  }

  /// Weighs `columnsPerStep()` columns of a row; returns `sum` with their weights.
  Value weighColumns(Value i, int64_t r, Value j, Value shift, Value sum, bool isTail) {
    SmallVector<Value> weights;
    for (int64_t column = 0; column < columnsPerStep(); column += lanes) {
      Value first = e.add(j, column), exponent = exponents(loadScores(i, r, first), shift);
      weights.push_back(e.exp2(exponent, weightType.isBF16() ? 3 : 5));
      if (isTail)
        weights.back() = arith::SelectOp::create(e.b, columnsFrom(first), weights.back(), e.splat(0.0));
      sum = arith::AddFOp::create(e.b, sum, weights.back());
    }
    if (roundsTwo()) {
      e.store(e.roundToBF16(weights[0], weights[1]), op.getWeights(), {e.add(i, r), j});
      return sum;
    }
    for (auto [number, weight] : llvm::enumerate(weights))
      storeWeights(weight, e.add(i, r), e.add(j, number * lanes));
    return sum;
  }

  void storeWeights(Value weight, Value row, Value j) {
    if (!weightType.isF32())
      weight = arith::TruncFOp::create(e.b, e.vector(lanes, weightType), weight);
    e.store(weight, op.getWeights(), {row, j});
  }

  /// AVX512-BF16 rounds two vectors in the time of one.
  bool roundsTwo() const {
    return weightType.isBF16() && (e.target.bf16 == BF16Unit::DotX86 || e.target.bf16 == BF16Unit::TileX86);
  }
  int64_t columnsPerStep() const { return lanes == 16 ? 2 * lanes : lanes; }

  TileEmitter &e;
  SoftmaxOp op;
  int64_t lanes;
  /// The block's columns, rounded down and up.
  Value whole, end;
  double scale;
  bool isMasked;
  Type weightType;
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
  SoftmaxStep(e, op).emit();
  op.erase();
}
