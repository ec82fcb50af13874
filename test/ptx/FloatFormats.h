// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Conversions between f32 and the narrower formats.

#ifndef WEFT_TEST_PTX_FLOATFORMATS_H
#define WEFT_TEST_PTX_FLOATFORMATS_H

#include <bit>
#include <cmath>
#include <cstdint>

namespace weft::ptx {

inline float fromBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

/// To nearest even, or towards zero.
inline uint16_t toBf16(float value, bool truncate = false) {
  auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value))
    return 0x7fff;
  return static_cast<uint16_t>((truncate ? bits : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float fromF16(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0)
    return std::copysign(static_cast<float>(fraction) * 0x1p-24f, std::bit_cast<float>(sign | 0x3f800000));
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/// To nearest even, or towards zero.
inline uint16_t toF16(float value, bool truncate = false) {
  auto bits = std::bit_cast<uint32_t>(value);
  auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  if (std::isnan(value))
    return 0x7fff;
  float size = std::fabs(value);
  if (size >= 65520.0f || (truncate && size >= 65504.0f))
    return sign | (truncate && std::isfinite(value) ? 0x7bff : 0x7c00);
  // A unit in the last place of the result is 2^-24 where that is subnormal.
  int exponent = size < 0x1p-14f ? -14 : std::ilogb(size);
  float scaled = std::ldexp(size, 10 - exponent), whole = truncate ? std::floor(scaled) : std::nearbyint(scaled);
  auto fraction = static_cast<uint32_t>(whole);
  if (size < 0x1p-14f)
    return static_cast<uint16_t>(sign | fraction);
  // Rounding up to 2048 carries into the exponent, as it should.
  return static_cast<uint16_t>(sign | (((exponent + 15) << 10) + (fraction - 1024)));
}

/// The ten bits of a tf32 fraction, rounded to nearest with ties away, as cvt.rna does.
inline uint32_t toTf32(float value, bool nearestEven = false) {
  auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value))
    return 0x7fffffff;
  if (std::isinf(value))
    return bits;
  return (bits + (nearestEven ? 0xfff + (bits >> 13 & 1) : 0x1000)) & ~0x1fffu;
}

/// What a tensor core sees of a tf32 operand: lower bits are ignored.
inline float fromTf32(uint32_t bits) { return std::bit_cast<float>(bits & ~0x1fffu); }

inline float flush(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value; }

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_FLOATFORMATS_H
