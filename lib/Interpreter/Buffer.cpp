// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Views of memory and the checks of their bounds.

#include "lib/Interpreter/Buffer.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

double &Buffer::at(ArrayRef<int64_t> indices) const {
  int64_t element = 0;
  for (size_t axis = 0; axis < indices.size(); ++axis)
    element += indices[axis] * strides[axis];
  return (*storage)[offset + unit * element];
}

int64_t interp::getBytes(Type type) {
  return type.isIndex() ? 8 : llvm::divideCeil(type.getIntOrFloatBitWidth(), 8);
}

Buffer interp::allocateBytes(int64_t count) {
  constexpr double nobodyWrote = std::numeric_limits<double>::quiet_NaN();
  return {std::make_shared<std::vector<double>>(count, nobodyWrote), 0, 1, {1}, {count}};
}

Buffer interp::allocateIntegers(ArrayRef<int32_t> values) {
  constexpr int64_t unit = sizeof(int32_t);
  Buffer bytes = allocateBytes(unit * values.size());
  for (auto [i, value] : llvm::enumerate(values))
    bytes.at({static_cast<int64_t>(unit * i)}) = value;
  return bytes;
}

static LogicalResult checkIndex(Operation *op, int64_t limit, size_t axis, int64_t index) {
  if (index >= 0 && index < limit)
    return success();
  return op->emitOpError("expected an index below ") << limit << " on axis " << axis << ", but got " << index;
}

LogicalResult interp::checkIndices(Operation *op, const Buffer &buffer, ArrayRef<int64_t> indices) {
  for (size_t axis = 0; axis < indices.size(); ++axis)
    if (failed(checkIndex(op, buffer.shape[axis], axis, indices[axis])))
      return failure();
  return success();
}

FailureOr<Buffer> interp::viewBytes(Operation *op, const Buffer &bytes, int64_t offset, int64_t unit,
                                    std::vector<int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t elements = 1;
  for (size_t axis = shape.size(); axis-- > 0; elements *= shape[axis])
    strides[axis] = elements;
  if (offset < 0 || elements < 0 || offset + unit * elements > bytes.shape[0])
    return op->emitOpError("expected a view within ")
           << bytes.shape[0] << " bytes, but got one from byte " << offset << " to " << offset + unit * elements;
  return Buffer{bytes.storage, bytes.offset + offset, unit, strides, std::move(shape)};
}

FailureOr<Buffer> interp::viewRow(Operation *op, const Buffer &base, int64_t first, int64_t count) {
  int64_t begin = base.offset + base.unit * first;
  int64_t available = (static_cast<int64_t>(base.storage->size()) - base.offset) / base.unit;
  if (begin < 0)
    return op->emitOpError("expected an index below ") << available << " on axis 0, but got " << first;
  if (count > 0 && failed(checkIndex(op, available, 0, std::max<int64_t>(0, first + count - 1))))
    return failure();
  return Buffer{base.storage, begin, base.unit, {1}, {count}};
}

FailureOr<int64_t> interp::loadInteger(Operation *op, const Buffer &buffer, ArrayRef<int64_t> indices) {
  if (failed(checkIndices(op, buffer, indices)))
    return failure();
  double value = buffer.at(indices);
  if (std::nearbyint(value) != value)
    return op->emitOpError("expected an integer in memory, but got ") << value;
  return static_cast<int64_t>(value);
}
