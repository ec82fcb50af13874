// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of element types: they convert as the tensors' own conversions do, which are by double.

#include "runtime/Elements.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace weft::rt;

namespace {

template <typename Element> void checkFrom(float value, uint16_t (*encode)(double)) {
  uint16_t bits = Element::from(value).bits;
  if (std::isnan(value))
    EXPECT_TRUE(std::isnan(Element{bits}.load())) << std::hex << std::bit_cast<uint32_t>(value);
  else
    EXPECT_EQ(bits, encode(value)) << std::hex << std::bit_cast<uint32_t>(value);
}

/// Every number of the type, the middle to the next, and the floats on both sides of each.
template <typename Element> void checkType(double (*decode)(uint16_t), uint16_t (*encode)(double)) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    Element element{static_cast<uint16_t>(bits)};
    double value = decode(element.bits);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(element.load())) << std::hex << bits;
    else
      EXPECT_EQ(element.load(), value) << std::hex << bits;
    float next = Element{static_cast<uint16_t>(bits + 1)}.load(), middle = element.load() / 2 + next / 2;
    for (float center : {element.load(), middle})
      for (float toward : {-kInfinity, center, kInfinity})
        checkFrom<Element>(std::nextafter(center, toward), encode);
  }
  // Every exponent of a float, with few and with many bits.
  for (uint32_t top = 0; top <= 0x1ff; ++top)
    for (uint32_t fraction : {0u, 1u, 0x2aaaaau, 0x7fffffu})
      checkFrom<Element>(std::bit_cast<float>(top << 23 | fraction), encode);
}

TEST(ElementsTest, BFloat16) { checkType<BF16>(bf16ToDouble, doubleToBf16); }

TEST(ElementsTest, Half) { checkType<F16>(halfToDouble, doubleToHalf); }

} // namespace
