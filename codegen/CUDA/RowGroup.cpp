// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Places and addresses of lanes.

#include "codegen/CUDA/RowGroup.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

RowGroup::RowGroup(StageKernel &k, BlockAttentionOp op)
    : shape{op.getQuery().getType().getDimSize(3), op.getQuery().getType().getElementTypeBitWidth() / 8},
      element(op.getQuery().getType().getElementType()), elements(16 / shape.elementBytes),
      heads(op.getQuery().getType().getDimSize(1)), k(k), e(k.e) {
  group = e.divide(k.thread, shape.lanes()), lane = e.remainder(k.thread, shape.lanes());
  isLeader = e.equal(lane, 0);
}

Value RowGroup::hasChunk(int64_t pass) { return e.less(lane, e.i32(shape.chunks() - pass * shape.lanes())); }

Value RowGroup::chunkAddress(unsigned tensor, unsigned strides, Value pair) {
  Value batch = e.divide(pair, heads), head = e.sub(pair, e.mul(batch, heads));
  Value elementsBefore =
      e.add(e.mul(e.extend(batch), k.argument(strides)), e.mul(e.extend(head), k.argument(strides + 1)));
  return e.advance(k.argument(tensor), e.add(elementsBefore, e.extend(e.mul(lane, elements))), element);
}

Value RowGroup::chunkAddress(unsigned tensor, Value pair, Value rows) {
  Value before = e.mul(e.mul(e.extend(pair), e.extend(rows)), shape.headDim);
  return e.advance(k.argument(tensor), e.add(before, e.extend(e.mul(lane, elements))), element);
}

Value RowGroup::chunkAt(Value address, Value row, Value stride, int64_t pass) {
  Value offset = e.mul(e.extend(row), stride);
  return e.advance(address, e.add(offset, pass * shape.lanes() * elements), element);
}

Value RowGroup::load(Value chunk) { return e.load(VectorType::get(elements, element), chunk, 16); }

void RowGroup::store(Value vector, Value chunk) { e.store(vector, chunk, 16); }

Value RowGroup::at(Value vector, int64_t i) { return LLVM::ExtractElementOp::create(e.b, vector, e.i32(i)); }

Value RowGroup::ballot(Value condition) {
  Value bits = e.ballot(condition);
  if (shape.lanes() == 32)
    return bits;
  return e.bitAnd(e.shiftRight(bits, e.sub(k.lane, lane)), (int64_t{1} << shape.lanes()) - 1);
}
