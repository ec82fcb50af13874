// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor: shapes, strides, and exact conversion of elements to and from double.

#include "runtime/Tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace weft::rt {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  size_t bytes;
};

constexpr std::array<DTypeInfo, 8> dtypeInfos = {{
    {DType::F32, "f32", 4},
    {DType::BF16, "bf16", 2},
    {DType::F16, "f16", 2},
    {DType::F64, "f64", 8},
    {DType::I64, "i64", 8},
    {DType::I32, "i32", 4},
    {DType::U8, "u8", 1},
    {DType::Bool, "bool", 1},
}};

const DTypeInfo &infoOf(DType dtype) {
  const DTypeInfo &info = dtypeInfos[static_cast<size_t>(dtype)];
  assert(info.dtype == dtype && "the table follows the order of the enum");
  return info;
}

/// A 16-bit IEEE-like format: sign, exponent, then `mantissaBits` bits.
struct Format16 {
  int mantissaBits;
  int bias;

  uint32_t infinity() const { return (2u * bias + 1) << mantissaBits; }
  uint32_t quietBit() const { return 1u << (mantissaBits - 1); }
};

constexpr Format16 bf16Format = {7, 127};
constexpr Format16 halfFormat = {10, 15};

double decode(uint16_t bits, Format16 format) {
  uint32_t magnitude = bits & 0x7fffu;
  int exponent = static_cast<int>(magnitude >> format.mantissaBits);
  uint32_t mantissa = magnitude & ((1u << format.mantissaBits) - 1);
  double value;
  if (magnitude > format.infinity())
    value = std::numeric_limits<double>::quiet_NaN();
  else if (magnitude == format.infinity())
    value = std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    value = std::ldexp(mantissa, 1 - format.bias - format.mantissaBits);
  else
    value = std::ldexp(mantissa | (1u << format.mantissaBits),
                       exponent - format.bias - format.mantissaBits);
  return std::copysign(value, bits & 0x8000u ? -1.0 : 1.0);
}

/// Rounds once, from double, so that no intermediate float can round twice.
uint32_t encodeMagnitude(double magnitude, Format16 format) {
  if (std::isnan(magnitude))
    return format.infinity() | format.quietBit();
  if (std::isinf(magnitude))
    return format.infinity();
  if (magnitude == 0)
    return 0;
  int smallest = 1 - format.bias;
  int exponent = std::max(std::ilogb(magnitude), smallest);
  if (exponent > format.bias)
    return format.infinity();
  double ulps = std::ldexp(magnitude, format.mantissaBits - exponent);
  // The leading one of a normal number, and a carry out of the mantissa, add
  // one to the exponent.
  uint32_t rounded = static_cast<uint32_t>(std::nearbyint(ulps));
  return (static_cast<uint32_t>(exponent - smallest) << format.mantissaBits) +
         rounded;
}

uint16_t encode(double value, Format16 format) {
  uint32_t sign = std::signbit(value) ? 0x8000u : 0;
  return static_cast<uint16_t>(sign |
                               encodeMagnitude(std::fabs(value), format));
}

template <typename T> T load(const void *data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const std::byte *>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

template <typename T> void store(void *data, int64_t index, T value) {
  std::memcpy(static_cast<std::byte *>(data) + index * static_cast<int64_t>(sizeof(T)), &value,
              sizeof(T));
}

/// Rounds to nearest even and saturates; NaN becomes 0.
template <typename T> T toInteger(double value) {
  if (std::isnan(value))
    return 0;
  double rounded = std::nearbyint(value);
  // 2^digits is exact in double, unlike the largest 64-bit integer.
  if (rounded >= std::ldexp(1.0, std::numeric_limits<T>::digits))
    return std::numeric_limits<T>::max();
  if (rounded <= static_cast<double>(std::numeric_limits<T>::min()))
    return std::numeric_limits<T>::min();
  return static_cast<T>(rounded);
}

} // namespace

size_t sizeOf(DType dtype) { return infoOf(dtype).bytes; }

std::string_view name(DType dtype) { return infoOf(dtype).name; }

std::optional<DType> parseDType(std::string_view text) {
  for (const DTypeInfo &info : dtypeInfos)
    if (info.name == text)
      return info.dtype;
  return std::nullopt;
}

int64_t Tensor::numElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

Tensor Tensor::contiguous(void *data, DType dtype, std::vector<int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= std::max<int64_t>(shape[axis], 1);
  }
  return {data, dtype, std::move(shape), std::move(strides)};
}

Tensor Tensor::permuted(const std::vector<int> &axes) const {
  assert(axes.size() == shape.size() && "one axis per dimension");
  Tensor result{data, dtype, {}, {}};
  for (int axis : axes) {
    assert(axis >= 0 && axis < rank() && "axis out of range");
    result.shape.push_back(shape[axis]);
    result.strides.push_back(strides[axis]);
  }
  return result;
}

std::string Tensor::describe() const {
  return fmt::format("{}[{}]", name(dtype), fmt::join(shape, ", "));
}

double bf16ToDouble(uint16_t bits) { return decode(bits, bf16Format); }
uint16_t doubleToBf16(double value) { return encode(value, bf16Format); }
double halfToDouble(uint16_t bits) { return decode(bits, halfFormat); }
uint16_t doubleToHalf(double value) { return encode(value, halfFormat); }

double loadAsDouble(const void *data, DType dtype, int64_t index) {
  switch (dtype) {
  case DType::F32:
    return load<float>(data, index);
  case DType::BF16:
    return bf16ToDouble(load<uint16_t>(data, index));
  case DType::F16:
    return halfToDouble(load<uint16_t>(data, index));
  case DType::F64:
    return load<double>(data, index);
  case DType::I64:
    return static_cast<double>(load<int64_t>(data, index));
  case DType::I32:
    return load<int32_t>(data, index);
  case DType::U8:
  case DType::Bool:
    return load<uint8_t>(data, index);
  }
  assert(false && "unknown dtype");
  return 0;
}

void storeFromDouble(void *data, DType dtype, int64_t index, double value) {
  switch (dtype) {
  case DType::F32:
    return store(data, index, static_cast<float>(value));
  case DType::BF16:
    return store(data, index, doubleToBf16(value));
  case DType::F16:
    return store(data, index, doubleToHalf(value));
  case DType::F64:
    return store(data, index, value);
  case DType::I64:
    return store(data, index, toInteger<int64_t>(value));
  case DType::I32:
    return store(data, index, toInteger<int32_t>(value));
  case DType::U8:
    return store(data, index, toInteger<uint8_t>(value));
  case DType::Bool:
    return store(data, index, static_cast<uint8_t>(value != 0));
  }
  assert(false && "unknown dtype");
}

} // namespace weft::rt
