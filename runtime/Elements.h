// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The element types of queries, keys and values, for loops that compilers make vectors of.

#ifndef WEFT_RUNTIME_ELEMENTS_H
#define WEFT_RUNTIME_ELEMENTS_H

#include "runtime/Tensor.h"

#include <bit>
#include <cstdint>

namespace weft::rt {

struct F32 {
  float bits;

  float load() const { return bits; }
  static F32 from(float value) { return {value}; }
};

struct BF16 {
  uint16_t bits;

  float load() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
  /// Rounds to nearest even; a NaN stays one.
  static BF16 from(float value) {
    uint32_t word = std::bit_cast<uint32_t>(value);
    uint32_t rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
    return {static_cast<uint16_t>(value == value ? rounded : word >> 16 | 0x40u)};
  }
};

struct F16 {
  uint16_t bits;

  /// A half is a float whose exponent is 112 too small, but for infinity and NaN.
  float load() const {
    uint32_t word = std::bit_cast<uint32_t>(std::bit_cast<float>((bits & 0x7fffu) << 13) * 0x1p112f);
    word |= (bits & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    return std::bit_cast<float>(word | (bits & 0x8000u) << 16);
  }
  /// Rounds to nearest even; a NaN stays one. What is below the least normal half is added to a float whose last bit is
  /// that of a subnormal half.
  static F16 from(float value) {
    uint32_t word = std::bit_cast<uint32_t>(value), size = word & 0x7fffffffu;
    uint32_t normal = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    uint32_t small = std::bit_cast<uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3f000000u;
    uint32_t large = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
    uint32_t result = size < 0x38800000u ? small : size < 0x47800000u ? normal : large;
    return {static_cast<uint16_t>(result | (word >> 16 & 0x8000u))};
  }
};

/// Calls `body` with an element of a type that tensors of `dtype` have.
template <typename Body> auto withElement(DType dtype, Body body) {
  switch (dtype) {
  case DType::F32:
    return body(F32{});
  case DType::BF16:
    return body(BF16{});
  default:
    return body(F16{});
  }
}

} // namespace weft::rt

#endif // WEFT_RUNTIME_ELEMENTS_H
