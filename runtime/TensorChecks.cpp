// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks of single tensors, and of two that must lie apart.

#include "runtime/TensorChecks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

using namespace weft::rt;

namespace {

/// The bytes from the first to the last element.
struct Extent {
  const std::byte *begin, *end;
  explicit Extent(const Tensor &tensor) {
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < tensor.rank(); ++i) {
      int64_t reach = (tensor.shape[i] - 1) * tensor.strides[i];
      (reach < 0 ? low : high) += reach;
    }
    int64_t size = sizeOf(tensor.dtype);
    begin = static_cast<const std::byte *>(tensor.data) + low * size;
    end = static_cast<const std::byte *>(tensor.data) + (high + 1) * size;
  }
  bool overlaps(const Extent &other) const { return begin < other.end && other.begin < end; }
};

} // namespace

bool weft::rt::shareMemory(const Tensor &a, const Tensor &b) { return Extent(a).overlaps(Extent(b)); }

Status weft::rt::checkTensor(const char *name, const Tensor &tensor, DType dtype, const std::vector<int64_t> &shape) {
  if (tensor.dtype != dtype)
    return Status::error(
        fmt::format("{}: expected dtype {}, but got {}", name, weft::rt::name(dtype), weft::rt::name(tensor.dtype)));
  if (tensor.shape.size() != shape.size() || tensor.strides.size() != tensor.shape.size())
    return Status::error(fmt::format("{}: expected rank {} with as many strides, but got shape [{}] and strides [{}]",
                                     name, shape.size(), fmt::join(tensor.shape, ", "),
                                     fmt::join(tensor.strides, ", ")));
  if (tensor.shape != shape)
    return Status::error(fmt::format("{}: expected shape [{}], but got [{}]", name, fmt::join(shape, ", "),
                                     fmt::join(tensor.shape, ", ")));
  if (!tensor.data)
    return Status::error(fmt::format("{}: expected memory, but got a null pointer", name));
  if (reinterpret_cast<uintptr_t>(tensor.data) % sizeOf(dtype) != 0)
    return Status::error(
        fmt::format("{}: expected an address aligned to {} bytes, but got {}", name, sizeOf(dtype), tensor.data));
  return Status::ok();
}

Status weft::rt::checkContiguousRows(const char *name, const Tensor &tensor) {
  if (tensor.strides.back() != 1)
    return Status::error(fmt::format("{}: expected a contiguous last axis (stride 1), but got strides [{}]", name,
                                     fmt::join(tensor.strides, ", ")));
  return Status::ok();
}

Status weft::rt::checkDistinctElements(const char *name, const Tensor &tensor) {
  std::vector<std::pair<int64_t, int64_t>> axes;
  for (int64_t i = 0; i < tensor.rank(); ++i)
    if (tensor.shape[i] > 1)
      axes.emplace_back(std::abs(tensor.strides[i]), tensor.shape[i]);
  std::sort(axes.begin(), axes.end());
  int64_t reach = 0;
  for (auto [stride, extent] : axes) {
    if (stride <= reach)
      return Status::error(fmt::format("{}: expected strides that keep elements apart, but got [{}] for shape [{}]",
                                       name, fmt::join(tensor.strides, ", "), fmt::join(tensor.shape, ", ")));
    reach += stride * (extent - 1);
  }
  return Status::ok();
}
