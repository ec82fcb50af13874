// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of tensors: strides, names, and exact conversion of 16-bit floats.

#include "runtime/Tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

using namespace weft::rt;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using Decode = double (*)(uint16_t);
using Encode = uint16_t (*)(double);

/// Every 16-bit pattern that is not NaN survives the way to double and back.
void checkRoundTrip(Decode decode, Encode encode) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    double value = decode(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(decode(encode(value)))) << bits;
    } else {
      EXPECT_EQ(encode(value), bits);
    }
  }
}

/// Between two neighbours: below the middle down, above it up, in the middle to
/// the even one.
void checkRounding(Decode decode, Encode encode, uint16_t largest) {
  for (uint16_t bits = 0; bits < largest; ++bits) {
    double low = decode(bits);
    double high = decode(bits + 1);
    double middle = (low + high) / 2;
    uint16_t even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(encode(middle), even);
    EXPECT_EQ(encode(-middle), even | 0x8000);
    EXPECT_EQ(encode(std::nextafter(middle, low)), bits);
    EXPECT_EQ(encode(std::nextafter(middle, high)), bits + 1);
  }
}

TEST(TensorTest, DTypeNames) {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16, DType::F64,
                      DType::I64, DType::I32, DType::U8, DType::Bool})
    EXPECT_EQ(parseDType(name(dtype)), dtype);
  EXPECT_EQ(name(DType::BF16), "bf16");
  EXPECT_EQ(name(DType::Bool), "bool");
  EXPECT_EQ(parseDType("float"), std::nullopt);
  EXPECT_EQ(parseDType(""), std::nullopt);
}

TEST(TensorTest, DTypeSizes) {
  EXPECT_EQ(sizeOf(DType::F64), 8u);
  EXPECT_EQ(sizeOf(DType::I64), 8u);
  EXPECT_EQ(sizeOf(DType::F32), 4u);
  EXPECT_EQ(sizeOf(DType::I32), 4u);
  EXPECT_EQ(sizeOf(DType::BF16), 2u);
  EXPECT_EQ(sizeOf(DType::F16), 2u);
  EXPECT_EQ(sizeOf(DType::U8), 1u);
  EXPECT_EQ(sizeOf(DType::Bool), 1u);
}

TEST(TensorTest, ContiguousStrides) {
  float data[24] = {};
  Tensor tensor = Tensor::contiguous(data, DType::F32, {2, 3, 4});
  EXPECT_EQ(tensor.strides, (std::vector<int64_t>{12, 4, 1}));
  EXPECT_EQ(tensor.numElements(), 24);
  EXPECT_EQ(tensor.rank(), 3);
  EXPECT_EQ(tensor.describe(), "f32[2, 3, 4]");
}

TEST(TensorTest, ScalarAndEmpty) {
  Tensor scalar = Tensor::contiguous(nullptr, DType::I32, {});
  EXPECT_EQ(scalar.numElements(), 1);
  EXPECT_EQ(scalar.describe(), "i32[]");
  Tensor empty = Tensor::contiguous(nullptr, DType::U8, {2, 0, 3});
  EXPECT_EQ(empty.numElements(), 0);
  EXPECT_EQ(empty.strides, (std::vector<int64_t>{3, 3, 1}));
}

TEST(TensorTest, Permuted) {
  float data[24] = {};
  Tensor tensor = Tensor::contiguous(data, DType::F32, {2, 3, 4});
  Tensor permuted = tensor.permuted({2, 0, 1});
  EXPECT_EQ(permuted.shape, (std::vector<int64_t>{4, 2, 3}));
  EXPECT_EQ(permuted.strides, (std::vector<int64_t>{1, 12, 4}));
  EXPECT_EQ(permuted.data, data);
}

TEST(TensorTest, BFloat16RoundTrip) {
  checkRoundTrip(bf16ToDouble, doubleToBf16);
}

TEST(TensorTest, HalfRoundTrip) { checkRoundTrip(halfToDouble, doubleToHalf); }

TEST(TensorTest, BFloat16RoundsToNearestEven) {
  checkRounding(bf16ToDouble, doubleToBf16, 0x7f7f);
}

TEST(TensorTest, HalfRoundsToNearestEven) {
  checkRounding(halfToDouble, doubleToHalf, 0x7bff);
}

TEST(TensorTest, BFloat16IsTheUpperHalfOfFloat) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    float value = std::bit_cast<float>(bits << 16);
    if (!std::isnan(value)) {
      EXPECT_EQ(bf16ToDouble(static_cast<uint16_t>(bits)), value);
    }
  }
}

TEST(TensorTest, HalfKnownValues) {
  EXPECT_EQ(halfToDouble(0x3c00), 1.0);
  EXPECT_EQ(halfToDouble(0xc000), -2.0);
  EXPECT_EQ(halfToDouble(0x7bff), 65504.0);
  EXPECT_EQ(halfToDouble(0x0400), std::ldexp(1.0, -14));
  EXPECT_EQ(halfToDouble(0x0001), std::ldexp(1.0, -24));
  EXPECT_EQ(halfToDouble(0x3555), 0.333251953125);
}

TEST(TensorTest, OverflowBecomesInfinity) {
  EXPECT_EQ(doubleToHalf(65519.99), 0x7bff);
  EXPECT_EQ(doubleToHalf(65520.0), 0x7c00);
  EXPECT_EQ(doubleToHalf(-1e300), 0xfc00);
  EXPECT_EQ(doubleToBf16(3.3895313892515355e38), 0x7f7f);
  EXPECT_EQ(doubleToBf16(3.4e38), 0x7f80);
  EXPECT_EQ(doubleToBf16(-1e300), 0xff80);
}

TEST(TensorTest, UnderflowKeepsTheSign) {
  EXPECT_EQ(doubleToHalf(std::ldexp(1.0, -25)), 0x0000);
  EXPECT_EQ(doubleToHalf(-std::ldexp(1.0, -26)), 0x8000);
  EXPECT_EQ(doubleToHalf(std::ldexp(1.5, -25)), 0x0001);
  EXPECT_EQ(doubleToBf16(std::numeric_limits<double>::denorm_min()), 0x0000);
  EXPECT_EQ(doubleToBf16(-0.0), 0x8000);
}

TEST(TensorTest, InfinityAndNaN) {
  EXPECT_EQ(doubleToHalf(infinity), 0x7c00);
  EXPECT_EQ(doubleToHalf(-infinity), 0xfc00);
  EXPECT_EQ(doubleToBf16(infinity), 0x7f80);
  EXPECT_EQ(doubleToBf16(-infinity), 0xff80);
  EXPECT_EQ(halfToDouble(0x7c00), infinity);
  EXPECT_EQ(bf16ToDouble(0xff80), -infinity);
  EXPECT_TRUE(std::isnan(halfToDouble(doubleToHalf(nan))));
  EXPECT_TRUE(std::isnan(bf16ToDouble(doubleToBf16(nan))));
  EXPECT_TRUE(std::isnan(halfToDouble(0x7c01)));
  EXPECT_TRUE(std::isnan(bf16ToDouble(0xff81)));
}

/// 1 + 2^-11 + 2^-40 rounds up; a float in between would drop the last term and
/// round to even, down.
TEST(TensorTest, DoubleRoundsOnce) {
  double aboveMiddle = 1 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40);
  EXPECT_EQ(doubleToHalf(aboveMiddle), 0x3c01);
}

TEST(TensorTest, LoadAndStoreEveryDType) {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16, DType::F64,
                      DType::I64, DType::I32, DType::U8, DType::Bool}) {
    double data[4] = {};
    storeFromDouble(data, dtype, 2, 1.0);
    EXPECT_EQ(loadAsDouble(data, dtype, 1), 0.0) << name(dtype);
    EXPECT_EQ(loadAsDouble(data, dtype, 2), 1.0) << name(dtype);
  }
}

TEST(TensorTest, StoreToIntegersSaturates) {
  int64_t data = 0;
  storeFromDouble(&data, DType::I64, 0, 1e30);
  EXPECT_EQ(data, std::numeric_limits<int64_t>::max());
  storeFromDouble(&data, DType::I64, 0, -1e30);
  EXPECT_EQ(data, std::numeric_limits<int64_t>::min());
  storeFromDouble(&data, DType::I64, 0, nan);
  EXPECT_EQ(data, 0);
  storeFromDouble(&data, DType::U8, 0, 300.0);
  EXPECT_EQ(loadAsDouble(&data, DType::U8, 0), 255.0);
  storeFromDouble(&data, DType::I32, 0, 2.5);
  EXPECT_EQ(loadAsDouble(&data, DType::I32, 0), 2.0);
}

} // namespace
