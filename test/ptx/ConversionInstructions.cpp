// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// cvt between all scalar types, and the forms that pack two results.

#include "test/ptx/FloatFormats.h"
#include "test/ptx/Operators.h"

#include <algorithm>
#include <limits>

using namespace weft::ptx;

namespace {

enum Rounding : uint8_t { kNone, kNearest, kZero, kDown, kUp, kIntNearest, kIntZero, kIntDown, kIntUp, kNearestAway };

/// What mode[] holds: destination type, source type, rounding, flags.
enum Flag : uint8_t { kFlush = 1, kSaturate = 2, kRelu = 4 };

double roundToInteger(double value, uint8_t rounding) {
  switch (rounding) {
  case kIntZero:
  case kZero:
    return std::trunc(value);
  case kIntDown:
  case kDown:
    return std::floor(value);
  case kIntUp:
  case kUp:
    return std::ceil(value);
  default:
    return std::nearbyint(value);
  }
}

double readFloat(uint64_t bits, Type type, bool flushes) {
  switch (type) {
  case Type::F16:
    return fromF16(static_cast<uint16_t>(bits));
  case Type::BF16:
    return fromBf16(static_cast<uint16_t>(bits));
  case Type::F32: {
    auto value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    return flushes ? flush(value) : value;
  }
  default:
    return std::bit_cast<double>(bits);
  }
}

/// The nearest float not beyond `value` in the direction of rounding.
float narrow(double value, uint8_t rounding) {
  auto result = static_cast<float>(value);
  bool tooBig = result > value, tooSmall = result < value;
  bool down = rounding == kDown || (rounding == kZero && value > 0),
       up = rounding == kUp || (rounding == kZero && value < 0);
  if ((tooBig && down) || (tooSmall && up))
    result = std::nextafter(result, down ? -INFINITY : INFINITY);
  return result;
}

uint64_t writeFloat(double value, Type type, uint8_t rounding, bool flushes) {
  switch (type) {
  case Type::F16:
    return toF16(static_cast<float>(value), rounding == kZero);
  case Type::BF16:
    return toBf16(static_cast<float>(value), rounding == kZero);
  case Type::F32: {
    float result = narrow(value, rounding);
    return std::isnan(result) ? 0x7fffffff : std::bit_cast<uint32_t>(flushes ? flush(result) : result);
  }
  case Type::TF32:
    return toTf32(static_cast<float>(value), rounding == kNearest);
  default:
    return std::bit_cast<uint64_t>(value);
  }
}

unsigned bitsOf(Type type) { return 8 * bytesOf(type); }

/// The value of an integer register, sign- or zero-extended.
__int128 readInteger(uint64_t bits, Type type) {
  unsigned unused = 64 - bitsOf(type);
  bits <<= unused;
  return isSigned(type) ? __int128(static_cast<int64_t>(bits) >> unused) : __int128(bits >> unused);
}

__int128 least(Type type) { return isSigned(type) ? -(__int128(1) << (bitsOf(type) - 1)) : 0; }
__int128 greatest(Type type) { return (__int128(1) << (bitsOf(type) - isSigned(type))) - 1; }

uint64_t toInteger(double value, Type type, uint8_t rounding) {
  if (std::isnan(value))
    return bitsOf(type) == 64 ? uint64_t(1) << 63 : 0;
  double whole = roundToInteger(value, rounding);
  if (whole <= static_cast<double>(least(type)))
    return static_cast<uint64_t>(least(type));
  if (whole >= static_cast<double>(greatest(type)))
    return static_cast<uint64_t>(greatest(type));
  return static_cast<uint64_t>(static_cast<__int128>(whole));
}

uint64_t convertInteger(__int128 value, Type type, uint8_t rounding, uint8_t flags) {
  if (isFloat(type)) {
    if (type == Type::F64)
      return std::bit_cast<uint64_t>(static_cast<double>(value));
    if (rounding == kNearest || rounding == kNone)
      return writeFloat(static_cast<float>(value), type, kNearest, false);
    return writeFloat(static_cast<double>(value), type, rounding, false);
  }
  if (flags & kSaturate)
    value = std::clamp(value, least(type), greatest(type));
  return static_cast<uint64_t>(value);
}

uint64_t convertFloat(double value, Type from, Type to, uint8_t rounding, uint8_t flags) {
  if (!isFloat(to))
    return toInteger(value, to, rounding);
  if (rounding >= kIntNearest && rounding <= kIntUp)
    value = roundToInteger(value, rounding);
  if (flags & kSaturate)
    value = std::isnan(value) ? 0 : std::clamp(value, 0.0, 1.0);
  if ((flags & kRelu) && value < 0)
    value = 0;
  return writeFloat(value, to, rounding, flags & kFlush);
}

/// A register of `type` holds the result's bits, sign-extended if the type is signed and the register wider.
uint64_t extend(uint64_t bits, Type type) {
  return isInteger(type) ? static_cast<uint64_t>(readInteger(bits, type)) : bits;
}

} // namespace

static Outcome convert(Thread &thread, const Instruction &i) {
  auto to = static_cast<Type>(i.mode[0]), from = static_cast<Type>(i.mode[1]);
  uint64_t bits = thread.bits[i.slot[1]];
  uint64_t result = isFloat(from)
                        ? convertFloat(readFloat(bits, from, i.mode[3] & kFlush), from, to, i.mode[2], i.mode[3])
                        : convertInteger(readInteger(bits, from), to, i.mode[2], i.mode[3]);
  return thread.put<uint64_t>(i.slot[0], extend(result, to), thread.state[i.slot[1]]);
}

/// Integer to integer without saturation, the most frequent form.
template <typename To, typename From> static Outcome resize(Thread &thread, const Instruction &i) {
  return thread.put<int64_t>(i.slot[0], static_cast<int64_t>(static_cast<To>(thread.get<From>(i.slot[1]))),
                             thread.state[i.slot[1]]);
}

/// The first source becomes the upper half.
template <bool IsBf16> static Outcome convertPair(Thread &thread, const Instruction &i) {
  bool truncate = i.mode[2] == kZero;
  auto half = [&](uint32_t slot) -> uint32_t {
    auto value = thread.get<float>(slot);
    if ((i.mode[3] & kRelu) && value < 0)
      value = 0;
    return IsBf16 ? toBf16(value, truncate) : toF16(value, truncate);
  };
  return thread.put<uint32_t>(i.slot[0], half(i.slot[1]) << 16 | half(i.slot[2]),
                              thread.state[i.slot[1]] & thread.state[i.slot[2]]);
}

static bool decodeConvert(Decoder &d) {
  Instruction &i = d.instruction;
  i.mode[2] = static_cast<uint8_t>(1 + d.takeOneOf({"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna"}));
  i.mode[3] = (d.take("ftz") ? kFlush : 0) | (d.take("sat") ? kSaturate : 0) | (d.take("relu") ? kRelu : 0);
  Type to = d.takeFirstType(), from = d.takeFirstType();
  if (to == Type::None || from == Type::None || to == Type::Pred || from == Type::Pred)
    return false;
  i.mode[0] = static_cast<uint8_t>(to);
  i.mode[1] = static_cast<uint8_t>(from);
  if (to == Type::F16x2 || to == Type::BF16x2) {
    i.run = to == Type::F16x2 ? convertPair<false> : convertPair<true>;
    return from == Type::F32 && registers(d, 2, Type::F32);
  }
  i.run = convert;
  if (isInteger(to) && isInteger(from) && !i.mode[3])
    withInteger(to, [&](auto t) {
      return withInteger(from, [&](auto f) {
        i.run = resize<decltype(t), decltype(f)>;
        return true;
      });
    });
  return registers(d, 1, from);
}

void weft::ptx::addConversionInstructions(DecodeTable &table) { table["cvt"] = decodeConvert; }
