// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensors in files: reading and writing .safetensors and .npy.

#ifndef WEFT_LIB_TENSORFILE_TENSORFILE_H
#define WEFT_LIB_TENSORFILE_TENSORFILE_H

#include "runtime/Status.h"
#include "runtime/Tensor.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// A tensor together with its memory, 64-byte aligned; copies share the memory.
struct OwnedTensor {
  rt::Tensor view;
  std::shared_ptr<void> storage;

  /// A contiguous tensor of zeros; an error when the size overflows or memory
  /// runs out.
  static rt::Result<OwnedTensor> allocate(rt::DType dtype,
                                          std::vector<int64_t> shape);
  /// A contiguous copy of a strided view.
  static rt::Result<OwnedTensor> copyOf(const rt::Tensor &source);
};

/// The content of a tensor file: named tensors, and free text about them.
struct TensorMap {
  std::map<std::string, OwnedTensor, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

/// Bytes of a contiguous tensor; nothing for a negative extent or when any
/// stride or the size overflows 64 bits.
std::optional<int64_t> contiguousBytes(rt::DType dtype,
                                       const std::vector<int64_t> &shape);

/// True when the elements follow each other in row-major order.
bool isContiguous(const rt::Tensor &tensor);

/// Reads a .safetensors or .npy file; an .npy file gives one tensor named by
/// the file's stem.
rt::Result<TensorMap> readTensorFile(const std::string &path);

/// Writes a .safetensors or .npy file, which appears whole or not at all. An
/// .npy file takes one tensor, no metadata.
rt::Status writeTensorFile(const std::string &path, const TensorMap &map);

} // namespace weft

#endif // WEFT_LIB_TENSORFILE_TENSORFILE_H
