// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Views of buffers, and integers from them.

#include "lib/Interpreter/Ops.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

static std::vector<int64_t> getIntegers(ArrayRef<OpFoldResult> mixed, const Scope &scope) {
  std::vector<int64_t> integers;
  for (OpFoldResult value : mixed) {
    std::optional<int64_t> constant = getConstantIntValue(value);
    integers.push_back(constant ? *constant : scope.getInteger(cast<Value>(value)));
  }
  return integers;
}

/// Of contiguous buffers to one axis alone.
LogicalResult interp::evaluate(memref::CollapseShapeOp op, Scope &scope) {
  Buffer buffer = scope.get<Buffer>(op.getSrc());
  int64_t count = 1;
  for (auto [stride, extent] : llvm::reverse(llvm::zip_equal(buffer.strides, buffer.shape))) {
    if (stride != count)
      return op.emitOpError("expected a contiguous buffer, but got ") << op.getSrcType();
    count *= extent;
  }
  if (op.getResultType().getRank() != 1)
    return op.emitOpError("expected a result of rank 1, but got ") << op.getResultType();
  buffer.strides = {1}, buffer.shape = {count};
  scope.bind(op, std::move(buffer));
  return success();
}

LogicalResult interp::evaluate(memref::LoadOp op, Scope &scope) {
  if (!op.getType().isIntOrIndex())
    return op.emitOpError("expected to load an integer, but got ") << op.getType();
  std::vector<int64_t> indices;
  for (Value index : op.getIndices())
    indices.push_back(scope.getInteger(index));
  FailureOr<int64_t> integer = loadInteger(op, scope.get<Buffer>(op.getMemRef()), indices);
  if (failed(integer))
    return failure();
  scope.bind(op, *integer);
  return success();
}

LogicalResult interp::evaluate(memref::ViewOp op, Scope &scope) {
  MemRefType type = op.getType();
  if (!type.getElementType().isIntOrIndexOrFloat())
    return op.emitOpError("expected a view of integers or floats, but got ") << type;
  std::vector<int64_t> shape(type.getShape());
  auto size = op.getSizes().begin();
  for (int64_t &extent : shape)
    if (ShapedType::isDynamic(extent))
      extent = scope.getInteger(*size++);
  FailureOr<Buffer> view = viewBytes(op, scope.get<Buffer>(op.getSource()), scope.getInteger(op.getByteShift()),
                                     getBytes(type.getElementType()), std::move(shape));
  if (failed(view))
    return failure();
  scope.bind(op, std::move(*view));
  return success();
}

LogicalResult interp::evaluate(memref::SubViewOp op, Scope &scope) {
  const Buffer &source = scope.get<Buffer>(op.getSource());
  std::vector<int64_t> offsets = getIntegers(op.getMixedOffsets(), scope);
  std::vector<int64_t> sizes = getIntegers(op.getMixedSizes(), scope);
  std::vector<int64_t> strides = getIntegers(op.getMixedStrides(), scope);
  std::vector<int64_t> last = offsets;
  for (size_t axis = 0; axis < last.size(); ++axis)
    last[axis] += (sizes[axis] - 1) * strides[axis];
  if (failed(checkIndices(op, source, offsets)) || failed(checkIndices(op, source, last)))
    return failure();

  Buffer view{source.storage, source.offset, source.unit, {}, {}};
  llvm::SmallBitVector dropped = op.getDroppedDims();
  for (size_t axis = 0; axis < offsets.size(); ++axis) {
    view.offset += source.unit * source.strides[axis] * offsets[axis];
    if (dropped.test(axis))
      continue;
    view.strides.push_back(source.strides[axis] * strides[axis]);
    view.shape.push_back(sizes[axis]);
  }
  scope.bind(op, std::move(view));
  return success();
}
