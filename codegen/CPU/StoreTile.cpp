// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Normalises the accumulator and scatters its rows.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

namespace {

class TileStorer {
public:
  TileStorer(StoreTileOp op, TileTarget target) : op(op), e(op, target) {}

  void emit() {
    e.loop(e.index(0), op.getCount(), 1, [&](Value i) {
      Value token = arith::IndexCastOp::create(
          e.b, e.b.getIndexType(), e.loadScalar(op.getTable(), {e.index(0), e.add(op.getFirst(), i)}));
      Value sum = e.loadScalar(op.getSum(), {i});
      storeRow(i, token, inverse(sum));
      scf::IfOp::create(e.b, op.getWantLse(), [&](OpBuilder &, Location) {
        storeLse(i, token, sum);
        scf::YieldOp::create(e.b);
      });
    });
  }

private:
  /// 1 / sum, and 0 for the sum 0 of a row without keys.
  Value inverse(Value sum) {
    Value zero = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(0.0));
    Value one = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(1.0));
    Value isEmpty = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, sum, zero);
    return arith::SelectOp::create(e.b, isEmpty, zero, arith::DivFOp::create(e.b, one, sum));
  }

  void storeRow(Value i, Value token, Value factor) {
    int64_t d = op.getD();
    Type element = cast<MemRefType>(op.getOut().getType()).getElementType();
    Value row = e.rowAt(op.getOut(), e.mul(token, op.getStride()), d);
    for (int64_t c = 0; c < d; c += e.target.lanes) {
      int64_t width = std::min(e.target.lanes, d - c);
      VectorType type = e.vector(width, e.b.getF32Type());
      Value value = e.load(type, op.getAccumulator(), {i, e.index(c)});
      value = arith::MulFOp::create(e.b, value, vector::BroadcastOp::create(e.b, type, factor));
      if (!element.isF32())
        value = arith::TruncFOp::create(e.b, e.vector(width, element), value);
      e.store(value, row, {e.index(c)});
    }
  }

  void storeLse(Value i, Value token, Value sum) {
    Value scale = arith::ConstantOp::create(e.b, e.b.getF32FloatAttr(op.getScale().convertToDouble()));
    Value scaled = arith::MulFOp::create(e.b, scale, e.loadScalar(op.getMaximum(), {i}));
    Value lse = arith::AddFOp::create(e.b, scaled, math::LogOp::create(e.b, sum));
    Value place = e.rowAt(op.getLse(), e.mul(token, op.getLseStride()), 1);
    e.store(lse, place, {e.index(0)});
  }

  StoreTileOp op;
  TileEmitter e;
};

} // namespace

void weft::lowerStoreTile(StoreTileOp op, TileTarget target) {
  TileStorer(op, target).emit();
  op.erase();
}
