// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensors in files: memory of tensors, and the choice of the format by the
// file's extension.

#include "lib/TensorFile/TensorFile.h"
#include "lib/TensorFile/Npy.h"
#include "lib/TensorFile/Safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace weft {
namespace {

constexpr size_t alignment = 64;

/// Copies element by element in row-major order; `offset` follows `index`
/// through the strides.
void copyStrided(const rt::Tensor &source, std::byte *target) {
  size_t bytes = rt::sizeOf(source.dtype);
  const auto *data = static_cast<const std::byte *>(source.data);
  std::vector<int64_t> index(source.shape.size(), 0);
  int64_t offset = 0;
  for (int64_t left = source.numElements(); left > 0; --left) {
    std::memcpy(target, data + offset * static_cast<int64_t>(bytes), bytes);
    target += bytes;
    for (size_t axis = index.size(); axis-- > 0;) {
      offset += source.strides[axis];
      if (++index[axis] < source.shape[axis])
        break;
      offset -= source.strides[axis] * source.shape[axis];
      index[axis] = 0;
    }
  }
}

rt::Status unknownExtension(const std::string &path) {
  return rt::Status::error(fmt::format(
      "{}: expected a file name that ends in .safetensors or .npy, but got "
      "extension '{}'",
      path, std::filesystem::path(path).extension().string()));
}

} // namespace

std::optional<int64_t> contiguousBytes(rt::DType dtype,
                                       const std::vector<int64_t> &shape) {
  int64_t product = static_cast<int64_t>(rt::sizeOf(dtype));
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0)
      return std::nullopt;
    empty |= extent == 0;
    // An extent of 0 counts as 1, so that the strides are representable too.
    if (__builtin_mul_overflow(product, std::max<int64_t>(extent, 1), &product))
      return std::nullopt;
  }
  return empty ? 0 : product;
}

bool isContiguous(const rt::Tensor &tensor) {
  int64_t stride = 1;
  for (size_t axis = tensor.shape.size(); axis-- > 0;) {
    if (tensor.shape[axis] == 0)
      return true;
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != stride)
      return false;
    stride *= tensor.shape[axis];
  }
  return true;
}

rt::Result<OwnedTensor> OwnedTensor::allocate(rt::DType dtype,
                                              std::vector<int64_t> shape) {
  std::optional<int64_t> bytes = contiguousBytes(dtype, shape);
  rt::Tensor request{nullptr, dtype, shape, {}};
  if (!bytes)
    return rt::Status::error(fmt::format(
        "expected a tensor whose size fits into 64 bits, but got {}",
        request.describe()));
  // Zero pages of the system are free, so a large allocation is not touched
  // here.
  size_t padded = static_cast<size_t>(*bytes) + alignment;
  void *raw = std::calloc(padded, 1);
  if (!raw)
    return rt::Status::error(fmt::format("cannot allocate {} bytes for {}",
                                         *bytes, request.describe()));
  void *aligned = raw;
  std::align(alignment, static_cast<size_t>(*bytes), aligned, padded);
  return OwnedTensor{rt::Tensor::contiguous(aligned, dtype, std::move(shape)),
                     std::shared_ptr<void>(raw, std::free)};
}

rt::Result<OwnedTensor> OwnedTensor::copyOf(const rt::Tensor &source) {
  rt::Result<OwnedTensor> copy = allocate(source.dtype, source.shape);
  if (copy)
    copyStrided(source, static_cast<std::byte *>(copy->view.data));
  return copy;
}

rt::Result<TensorMap> readTensorFile(const std::string &path) {
  std::filesystem::path extension = std::filesystem::path(path).extension();
  if (extension == ".safetensors")
    return readSafetensors(path);
  if (extension == ".npy")
    return readNpy(path);
  return unknownExtension(path);
}

rt::Status writeTensorFile(const std::string &path, const TensorMap &map) {
  std::filesystem::path extension = std::filesystem::path(path).extension();
  if (extension == ".safetensors")
    return writeSafetensors(path, map);
  if (extension == ".npy")
    return writeNpy(path, map);
  return unknownExtension(path);
}

} // namespace weft
