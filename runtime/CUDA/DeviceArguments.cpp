// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks and slices.

#include "runtime/CUDA/DeviceArguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace weft::rt;
using namespace weft::rt::cuda;

Status weft::rt::cuda::checkAlignment(std::initializer_list<NamedTensor> tensors) {
  for (auto [name, tensor] : tensors) {
    if (reinterpret_cast<uintptr_t>(tensor->data) % 16)
      return Status::error(fmt::format("{}: expected an address that is a multiple of 16, but got {}", name,
                                       tensor->data));
    for (int64_t axis = 0; axis + 1 < tensor->rank(); ++axis)
      if (tensor->shape[axis] > 1 && (tensor->strides[axis] < 0 || tensor->strides[axis] % 8))
        return Status::error(fmt::format("{}: expected strides that are multiples of 8 elements and not below 0, since "
                                         "copies take no others, but got [{}]",
                                         name, fmt::join(tensor->strides, ", ")));
  }
  return Status::ok();
}

Status weft::rt::cuda::checkTensors(const RunArgs &args) {
  return checkAlignment({{"query", &args.query}, {"key", &args.key}, {"value", &args.value}, {"out", &args.out}});
}

Status weft::rt::cuda::checkGathered(std::initializer_list<NamedTensor> tensors) {
  constexpr int64_t kLimit = int64_t{1} << 31;
  for (auto [name, tensor] : tensors)
    if (tensor->strides[2] >= kLimit)
      return Status::error(fmt::format("{}: expected tokens fewer than {} elements apart, since the order gathers them, "
                                       "but got {}",
                                       name, kLimit, tensor->strides[2]));
  return Status::ok();
}

Tensor weft::rt::cuda::sliceBatches(const Tensor &tensor, int64_t first, int64_t count) {
  if (tensor.shape[0] == 1)
    return tensor;
  Tensor slice = tensor;
  slice.data = static_cast<std::byte *>(tensor.data) +
               first * tensor.strides[0] * static_cast<int64_t>(sizeOf(tensor.dtype));
  slice.shape[0] = count;
  return slice;
}
