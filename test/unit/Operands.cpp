// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory of tensors for tests.

#include "test/unit/Operands.h"

#include <algorithm>

using namespace weft;
using namespace weft::test;

TestTensor::TestTensor(rt::DType dtype, std::vector<int64_t> shape, TensorLayout layout, int64_t granule) {
  std::vector<int64_t> strides(shape.size());
  auto odd = [&](int64_t number) { return (number + granule - 1) / granule * granule; };
  int64_t width = shape.size() == 4 ? shape[3] : 1, row = layout == TensorLayout::Padded ? width + odd(5) : width;
  int64_t offset = layout == TensorLayout::BHSD ? 0 : odd(3);
  if (layout == TensorLayout::BSHD || layout == TensorLayout::Packed) {
    int64_t packed = layout == TensorLayout::Packed ? 3 : 1; // q, k and v of a token side by side
    strides[1] = row, strides[2] = packed * shape[1] * row, strides[0] = shape[2] * strides[2];
  } else {
    strides[2] = row, strides[1] = shape[2] * row, strides[0] = shape[1] * strides[1];
  }
  int64_t count = offset + shape[0] * strides[0] + row;
  if (layout == TensorLayout::Reversed)
    offset += (shape[2] - 1) * strides[2], strides[2] = -strides[2];
  if (layout == TensorLayout::Broadcast)
    strides[1] = 0;
  if (shape.size() == 4)
    strides[3] = 1;
  storage.assign(count * rt::sizeOf(dtype), kUntouched);
  view.data = storage.data() + offset * rt::sizeOf(dtype);
  view.dtype = dtype, view.shape = std::move(shape), view.strides = std::move(strides);
}

TestTensor &TestTensor::operator=(const TestTensor &other) {
  storage = other.storage, view = other.view;
  if (other.view.data)
    view.data = storage.data() + other.start();
  return *this;
}

bool TestTensor::isUntouchedAround() {
  auto bytes = static_cast<int64_t>(rt::sizeOf(view.dtype));
  forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
    std::fill_n(static_cast<std::byte *>(view.data) + offset(b, h, s, c) * bytes, bytes, kUntouched);
  });
  return std::all_of(storage.begin(), storage.end(), [](std::byte byte) { return byte == kUntouched; });
}

rt::RowLists TestRows::view() const {
  auto tensor = [](const std::vector<int32_t> &numbers, std::vector<int64_t> shape) {
    return rt::Tensor::contiguous(const_cast<int32_t *>(numbers.data()), rt::DType::I32, std::move(shape));
  };
  return {tensor(indices, {shape[0], shape[1], capacity}), tensor(counts, shape)};
}

rt::Tensor test::perToken(const TestTensor &tensor) {
  const rt::Tensor &view = tensor.view;
  return {view.data, view.dtype, {view.shape[0], view.shape[2]}, {view.strides[0], view.strides[2]}};
}

rt::RunArgs Operands::args(int threads) const {
  rt::RunArgs args;
  args.query = query.view, args.key = key.view, args.value = value.view;
  args.out = out.view, args.lse = lse.view;
  args.given = given ? &*given : nullptr;
  if (bias)
    args.bias = bias->view;
  if (rows)
    rowView = rows->view(), args.rows = &rowView;
  if (drift)
    args.drift = perToken(*drift);
  if (age)
    args.age = perToken(*age);
  args.threads = threads;
  return args;
}
