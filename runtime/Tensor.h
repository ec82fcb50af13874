// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor: a strided view of memory that somebody else owns, and the element types.

#ifndef WEFT_RUNTIME_TENSOR_H
#define WEFT_RUNTIME_TENSOR_H

#include "runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::rt {

/// Element types that tensors and tensor files may have.
enum class DType : uint8_t { F32, BF16, F16, F64, I64, I32, U8, Bool };

/// Bytes per element.
size_t sizeOf(DType dtype);
/// "f32", "bf16", ...: the spelling used in messages and on command lines.
std::string_view name(DType dtype);
/// The inverse of name(); nothing for an unknown spelling.
std::optional<DType> parseDType(std::string_view text);

/// A strided view, of any rank; `strides` count elements. Does not own `data`.
struct Tensor {
  void *data = nullptr;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  /// Product of the extents.
  int64_t numElements() const;
  /// A view of contiguous row-major memory.
  static Tensor contiguous(void *data, DType dtype, std::vector<int64_t> shape);
  /// The same memory with its axes in another order: axis i of the result is axis `axes[i]` of this.
  Tensor permuted(const std::vector<int> &axes) const;
  /// "f32[1, 2, 17550, 64]"
  std::string describe() const;
};

/// bfloat16 and half bits to double and back, rounding to nearest even.
double bf16ToDouble(uint16_t bits);
uint16_t doubleToBf16(double value);
double halfToDouble(uint16_t bits);
uint16_t doubleToHalf(double value);

/// Element access for references and tests: any float dtype as double. `index` counts elements from `data`.
double loadAsDouble(const void *data, DType dtype, int64_t index);
void storeFromDouble(void *data, DType dtype, int64_t index, double value);

} // namespace weft::rt

#endif // WEFT_RUNTIME_TENSOR_H
