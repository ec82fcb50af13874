// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Means of tokens, and the scores of a mean.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

/// Lanes of vectors that fit a row of `d` channels, a multiple of 8, without a rest.
static int64_t widthFor(int64_t d, TileTarget target) { return d % target.lanes == 0 ? target.lanes : 8; }

namespace {

class MeanEmitter {
public:
  MeanEmitter(MeanRowOp op, TileTarget target)
      : op(op), e(op, target), d(cast<MemRefType>(op.getMean().getType()).getDimSize(0)), width(widthFor(d, target)) {}

  void emit() {
    constexpr int64_t kSums = 8; // vectors of sums in registers
    for (int64_t begin = 0; begin < d; begin += kSums * width)
      emitColumns(begin, std::min(kSums, (d - begin) / width));
  }

private:
  void emitColumns(int64_t begin, int64_t count) {
    VectorType floats = e.vector(width, e.b.getF32Type());
    SmallVector<Value> sums(count, e.splat(0.0, floats));
    sums = e.loop(e.index(0), op.getCount(), 1, sums, [&](Value i, SmallVector<Value> sums) {
      Value token = e.loadScalar(op.getTable(), {e.index(0), e.add(op.getFirst(), i)});
      Value position = arith::IndexCastOp::create(e.b, e.b.getIndexType(), token);
      Value row = e.rowAt(op.getSource(), e.mul(position, op.getStride()), d);
      for (auto [v, sum] : llvm::enumerate(sums))
        sum = arith::AddFOp::create(e.b, sum, loadFloats(row, begin + static_cast<int64_t>(v) * width));
      return sums;
    });
    Value integer = arith::IndexCastOp::create(e.b, e.b.getI32Type(), op.getCount());
    Value number = arith::SIToFPOp::create(e.b, e.b.getF32Type(), integer);
    Value divisor = vector::BroadcastOp::create(e.b, floats, number);
    for (auto [v, sum] : llvm::enumerate(sums))
      e.store(arith::DivFOp::create(e.b, sum, divisor), op.getMean(),
              {e.index(begin + static_cast<int64_t>(v) * width)});
  }

  Value loadFloats(Value row, int64_t c) {
    Type source = cast<MemRefType>(op.getSource().getType()).getElementType();
    Value value = e.load(e.vector(width, source), row, {e.index(c)});
    return source.isF32() ? value : arith::ExtFOp::create(e.b, e.vector(width, e.b.getF32Type()), value);
  }

  MeanRowOp op;
  TileEmitter e;
  int64_t d, width;
};

} // namespace

void weft::lowerMeanRow(MeanRowOp op, TileTarget target) {
  MeanEmitter(op, target).emit();
  op.erase();
}

/// Four keys at a time, so that their sums over lanes are formed together; beyond the end the last key stands in.
void weft::lowerScoreRow(ScoreRowOp op, TileTarget target) {
  TileEmitter e(op, target);
  auto keys = cast<MemRefType>(op.getKeys().getType());
  int64_t count = keys.getDimSize(0), d = keys.getDimSize(1), width = widthFor(d, target);
  constexpr int64_t kRows = TileEmitter::kReducedRows;
  VectorType floats = e.vector(width, e.b.getF32Type());
  e.loop(e.index(0), e.index(count), kRows, [&](Value j) {
    SmallVector<Value> rows;
    for (int64_t r = 0; r < kRows; ++r)
      rows.push_back(arith::MinSIOp::create(e.b, e.add(j, r), e.index(count - 1)));
    SmallVector<Value> sums(kRows, e.splat(0.0, floats));
    sums = e.loop(e.index(0), e.index(d), width, sums, [&](Value c, SmallVector<Value> sums) {
      Value query = e.load(floats, op.getQuery(), {c});
      for (int64_t r = 0; r < kRows; ++r)
        sums[r] = e.fma(query, e.load(floats, op.getKeys(), {rows[r], c}), sums[r]);
      return sums;
    });
    Value total = e.reduceRows(sums, [&](Value lhs, Value rhs) { return arith::AddFOp::create(e.b, lhs, rhs); });
    Value scale = e.splat(op.getScale().convertToDouble(), cast<VectorType>(total.getType()));
    e.store(arith::MulFOp::create(e.b, total, scale), op.getScores(), {j});
  });
  op.erase();
}
