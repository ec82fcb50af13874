// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Integer arithmetic, logic, shifts and bit fields.

#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <type_traits>

using namespace weft::ptx;

namespace {

template <typename T> using Unsigned = std::make_unsigned_t<T>;
/// Twice as wide, of the same signedness.
template <typename T>
using Wide =
    std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
                       std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                                          std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>;

struct Add {
  template <typename T> static uint64_t run(T a, T b) { return uint64_t(a) + uint64_t(b); }
};
struct Subtract {
  template <typename T> static uint64_t run(T a, T b) { return uint64_t(a) - uint64_t(b); }
};
struct MultiplyLow {
  template <typename T> static uint64_t run(T a, T b) { return uint64_t(a) * uint64_t(b); }
};
struct MultiplyHigh {
  template <typename T> static T run(T a, T b) { return static_cast<T>(Wide<T>(a) * Wide<T>(b) >> (8 * sizeof(T))); }
};
struct MultiplyAddLow {
  template <typename T> static uint64_t run(T a, T b, T c) { return uint64_t(a) * uint64_t(b) + uint64_t(c); }
};
struct MultiplyAddHigh {
  template <typename T> static uint64_t run(T a, T b, T c) { return uint64_t(MultiplyHigh::run(a, b)) + uint64_t(c); }
};
struct Minimum {
  template <typename T> static T run(T a, T b) { return std::min(a, b); }
};
struct Maximum {
  template <typename T> static T run(T a, T b) { return std::max(a, b); }
};
/// A result below 0 becomes 0.
template <typename Op> struct Clamped {
  template <typename T> static T run(T a, T b) { return std::max(Op::run(a, b), T(0)); }
};
struct And {
  template <typename T> static T run(T a, T b) { return a & b; }
};
struct Or {
  template <typename T> static T run(T a, T b) { return a | b; }
};
struct Xor {
  template <typename T> static T run(T a, T b) { return a ^ b; }
};
struct Not {
  template <typename T> static T run(T a) { return static_cast<T>(~a); }
};
struct NotPredicate {
  template <typename T> static T run(T a) { return ~a & 1; }
};
struct ConditionalNot {
  template <typename T> static T run(T a) { return a == 0; }
};
struct Negate {
  template <typename T> static uint64_t run(T a) { return -uint64_t(a); }
};
struct Absolute {
  template <typename T> static uint64_t run(T a) { return a < 0 ? -uint64_t(a) : uint64_t(a); }
};
struct PopulationCount {
  template <typename T> static uint32_t run(T a) {
    return static_cast<uint32_t>(std::popcount(static_cast<Unsigned<T>>(a)));
  }
};
struct LeadingZeros {
  template <typename T> static uint32_t run(T a) {
    return static_cast<uint32_t>(std::countl_zero(static_cast<Unsigned<T>>(a)));
  }
};
struct ReverseBits {
  template <typename T> static T run(T a) {
    T result = 0;
    for (unsigned bit = 0; bit < 8 * sizeof(T); ++bit)
      result = static_cast<T>(result << 1 | (a >> bit & 1));
    return result;
  }
};
struct SumOfDifference {
  template <typename T> static uint64_t run(T a, T b, T c) {
    return uint64_t(c) + (a < b ? uint64_t(b) - uint64_t(a) : uint64_t(a) - uint64_t(b));
  }
};

/// Three-input table look-up: bit `abc` of the table.
uint32_t lookUp(uint32_t a, uint32_t b, uint32_t c, uint8_t table) {
  uint32_t result = 0;
  for (unsigned row = 0; row < 8; ++row)
    if (table >> row & 1)
      result |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
  return result;
}

} // namespace

template <typename T, bool Add> static Outcome multiplyWide(Thread &thread, const Instruction &i) {
  Wide<T> product = Wide<T>(thread.get<T>(i.slot[1])) * Wide<T>(thread.get<T>(i.slot[2]));
  uint8_t state = thread.state[i.slot[1]] & thread.state[i.slot[2]];
  if constexpr (Add) {
    product = static_cast<Wide<T>>(uint64_t(product) + uint64_t(thread.get<Wide<T>>(i.slot[3])));
    state &= thread.state[i.slot[3]];
  }
  return thread.put<Wide<T>>(i.slot[0], product, state);
}

template <typename T, bool Remainder> static Outcome divide(Thread &thread, const Instruction &i) {
  T a = thread.get<T>(i.slot[1]), b = thread.get<T>(i.slot[2]);
  uint8_t state = thread.state[i.slot[1]] & thread.state[i.slot[2]];
  if (b == 0)
    return state & kInitialised ? thread.fault("division by zero") : thread.put<T>(i.slot[0], T(), state);
  if (std::is_signed_v<T> && b == T(-1))
    return thread.put<T>(i.slot[0], Remainder ? T() : static_cast<T>(-uint64_t(a)), state);
  return thread.put<T>(i.slot[0], static_cast<T>(Remainder ? a % b : a / b), state);
}

template <typename T, bool Left> static Outcome shift(Thread &thread, const Instruction &i) {
  T a = thread.get<T>(i.slot[1]);
  constexpr uint32_t kBits = 8 * sizeof(T);
  uint32_t by = thread.get<uint32_t>(i.slot[2]);
  T result;
  if (Left)
    result = by >= kBits ? T() : static_cast<T>(Unsigned<T>(a) << by);
  else
    result = by < kBits ? static_cast<T>(a >> by) : static_cast<T>(a < 0 ? -1 : 0);
  return thread.put<T>(i.slot[0], result, thread.state[i.slot[1]] & thread.state[i.slot[2]]);
}

/// mode[0]: left; mode[1]: the amount wraps.
static Outcome funnelShift(Thread &thread, const Instruction &i) {
  uint64_t both = uint64_t(thread.get<uint32_t>(i.slot[2])) << 32 | thread.get<uint32_t>(i.slot[1]);
  uint32_t by = thread.get<uint32_t>(i.slot[3]);
  by = i.mode[1] ? by % 32 : std::min(by, 32u);
  uint64_t result = i.mode[0] ? both << by >> 32 : both >> by;
  return thread.put<uint32_t>(i.slot[0], static_cast<uint32_t>(result),
                              thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

template <typename T> static Outcome extractField(Thread &thread, const Instruction &i) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  T a = thread.get<T>(i.slot[1]);
  uint32_t at = thread.get<uint32_t>(i.slot[2]) & 255, length = thread.get<uint32_t>(i.slot[3]) & 255;
  T result = 0;
  if (length) {
    T shifted = at < kBits ? static_cast<T>(a >> at) : static_cast<T>(a < 0 ? -1 : 0);
    uint32_t unused = length < kBits ? kBits - length : 0;
    // The sign is the field's last bit, or the number's where the field extends beyond.
    result = static_cast<T>(static_cast<T>(Unsigned<T>(shifted) << unused) >> unused);
  }
  return thread.put<T>(i.slot[0], result, thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

template <typename T> static Outcome insertField(Thread &thread, const Instruction &i) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  T field = thread.get<T>(i.slot[1]), into = thread.get<T>(i.slot[2]);
  uint32_t at = thread.get<uint32_t>(i.slot[3]) & 255, length = thread.get<uint32_t>(i.slot[4]) & 255;
  T mask = 0;
  if (at < kBits && length)
    mask = static_cast<T>((length < kBits ? (T(1) << length) - 1 : ~T(0)) << at);
  T result = (into & ~mask) | (mask ? (field << at) & mask : T(0));
  return thread.put<T>(i.slot[0], result,
                       thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]] &
                           thread.state[i.slot[4]]);
}

static Outcome lookUpBits(Thread &thread, const Instruction &i) {
  return thread.put<uint32_t>(i.slot[0],
                              lookUp(thread.get<uint32_t>(i.slot[1]), thread.get<uint32_t>(i.slot[2]),
                                     thread.get<uint32_t>(i.slot[3]), i.mode[0]),
                              thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

static Outcome permuteBytes(Thread &thread, const Instruction &i) {
  uint64_t bytes = uint64_t(thread.get<uint32_t>(i.slot[2])) << 32 | thread.get<uint32_t>(i.slot[1]);
  uint32_t selector = thread.get<uint32_t>(i.slot[3]), result = 0;
  for (unsigned at = 0; at < 4; ++at) {
    uint32_t choice = selector >> 4 * at & 15;
    auto byte = static_cast<uint8_t>(bytes >> 8 * (choice & 7));
    if (choice & 8)
      byte = byte & 0x80 ? 0xff : 0;
    result |= uint32_t(byte) << 8 * at;
  }
  return thread.put<uint32_t>(i.slot[0], result,
                              thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

/// The most significant bit that differs from the sign; mode[0]: as a shift amount.
template <typename T> static Outcome findBit(Thread &thread, const Instruction &i) {
  T a = thread.get<T>(i.slot[1]);
  auto bits = static_cast<Unsigned<T>>(a < 0 ? ~a : a);
  uint32_t zeros = static_cast<uint32_t>(std::countl_zero(bits));
  uint32_t result = !bits ? ~0u : i.mode[0] ? zeros : static_cast<uint32_t>(8 * sizeof(T)) - 1 - zeros;
  return thread.put<uint32_t>(i.slot[0], result, thread.state[i.slot[1]]);
}

/// Counts have 32 bits whatever they count.
template <typename T, typename Op> static Outcome countBits(Thread &thread, const Instruction &i) {
  return thread.put<uint32_t>(i.slot[0], Op::run(thread.get<T>(i.slot[1])), thread.state[i.slot[1]]);
}

//===-- Decoding ------------------------------------------------------------===//

template <typename Op> static bool decodeBinary(Decoder &d) {
  Type type = d.takeLastType();
  if (isFloat(type))
    return decodeFloatArithmetic(d, type);
  return withInteger(type, [&](auto t) {
    d.instruction.run = binary<decltype(t), Op>;
    return registers(d, 2, type);
  });
}

template <typename Op> static bool decodeExtremum(Decoder &d) {
  if (!d.statement.opcode.ends_with(".relu.s32"))
    return decodeBinary<Op>(d);
  d.take("relu");
  return decodeBinary<Clamped<Op>>(d);
}

template <typename Op> static bool decodeUnary(Decoder &d) {
  Type type = d.takeLastType();
  if (isFloat(type))
    return decodeFloatArithmetic(d, type);
  return withInteger(type, [&](auto t) {
    d.instruction.run = unary<decltype(t), Op>;
    return registers(d, 1, type);
  });
}

template <typename Op> static bool decodeLogic(Decoder &d) {
  if (!d.take("pred"))
    return decodeBinary<Op>(d);
  d.instruction.run = binary<uint64_t, Op>;
  return registers(d, 2, Type::Pred);
}

static bool decodeNot(Decoder &d) {
  if (!d.take("pred"))
    return decodeUnary<Not>(d);
  d.instruction.run = unary<uint64_t, NotPredicate>;
  return registers(d, 1, Type::Pred);
}

static bool decodeMultiply(Decoder &d) {
  Type type = d.takeLastType();
  if (isFloat(type))
    return decodeFloatArithmetic(d, type);
  int part = d.takeOneOf({"lo", "hi", "wide"});
  return part >= 0 && withInteger(type, [&](auto t) {
           using T = decltype(t);
           if constexpr (sizeof(T) < 8)
             d.instruction.run = part == 0   ? binary<T, MultiplyLow>
                                 : part == 1 ? binary<T, MultiplyHigh>
                                             : multiplyWide<T, false>;
           else if (part < 2)
             d.instruction.run = part == 0 ? binary<T, MultiplyLow> : binary<T, MultiplyHigh>;
           else
             return false;
           return registers(d, 2, type);
         });
}

static bool decodeMultiplyAdd(Decoder &d) {
  Type type = d.takeLastType();
  if (isFloat(type))
    return decodeFloatArithmetic(d, type);
  int part = d.takeOneOf({"lo", "hi", "wide"});
  return part >= 0 && withInteger(type, [&](auto t) {
           using T = decltype(t);
           if constexpr (sizeof(T) < 8)
             d.instruction.run = part == 0   ? ternary<T, MultiplyAddLow>
                                 : part == 1 ? ternary<T, MultiplyAddHigh>
                                             : multiplyWide<T, true>;
           else if (part < 2)
             d.instruction.run = part == 0 ? ternary<T, MultiplyAddLow> : ternary<T, MultiplyAddHigh>;
           else
             return false;
           return registers(d, 3, type);
         });
}

template <bool Remainder> static bool decodeDivide(Decoder &d) {
  Type type = d.takeLastType();
  if (isFloat(type))
    return decodeFloatArithmetic(d, type);
  return withInteger(type, [&](auto t) {
    d.instruction.run = divide<decltype(t), Remainder>;
    return registers(d, 2, type);
  });
}

template <bool Left> static bool decodeShift(Decoder &d) {
  Type type = d.takeLastType();
  return withInteger(type, [&](auto t) {
    d.instruction.run = shift<decltype(t), Left>;
    return registers(d, 2, type);
  });
}

static bool decodeFunnelShift(Decoder &d) {
  int direction = d.takeOneOf({"r", "l"}), wrap = d.takeOneOf({"clamp", "wrap"});
  d.instruction.mode[0] = direction == 1;
  d.instruction.mode[1] = wrap == 1;
  d.instruction.run = funnelShift;
  return direction >= 0 && wrap >= 0 && d.take("b32") && registers(d, 3, Type::B32);
}

static bool decodeExtract(Decoder &d) {
  Type type = d.takeLastType();
  return bytesOf(type) >= 4 && withInteger(type, [&](auto t) {
           d.instruction.run = extractField<decltype(t)>;
           return registers(d, 3, type);
         });
}

static bool decodeInsert(Decoder &d) {
  Type type = d.takeLastType();
  d.instruction.run = type == Type::B64 ? insertField<uint64_t> : insertField<uint32_t>;
  return (type == Type::B32 || type == Type::B64) && registers(d, 4, type);
}

static bool decodeLookUp(Decoder &d) {
  int64_t table = 0;
  if (!d.take("b32") || !d.count(5, 5) || !d.immediate(4, table))
    return false;
  d.instruction.mode[0] = static_cast<uint8_t>(table);
  d.instruction.run = lookUpBits;
  return d.destination(0, 0) && d.source(1, 1, Type::B32) && d.source(2, 2, Type::B32) && d.source(3, 3, Type::B32);
}

static bool decodePermute(Decoder &d) {
  d.instruction.run = permuteBytes;
  return d.take("b32") && registers(d, 3, Type::B32);
}

template <typename Op> static bool decodeCount(Decoder &d) {
  Type type = d.takeLastType();
  d.instruction.run = bytesOf(type) == 8 ? countBits<uint64_t, Op> : countBits<uint32_t, Op>;
  return bytesOf(type) >= 4 && registers(d, 1, type);
}

static bool decodeFindBit(Decoder &d) {
  Type type = d.takeLastType();
  d.instruction.mode[0] = d.take("shiftamt");
  return bytesOf(type) >= 4 && withInteger(type, [&](auto t) {
           d.instruction.run = findBit<decltype(t)>;
           return registers(d, 1, type);
         });
}

static bool decodeSumOfDifference(Decoder &d) {
  Type type = d.takeLastType();
  return withInteger(type, [&](auto t) {
    d.instruction.run = ternary<decltype(t), SumOfDifference>;
    return registers(d, 3, type);
  });
}

void weft::ptx::addIntegerInstructions(DecodeTable &table) {
  table["add"] = decodeBinary<Add>;
  table["sub"] = decodeBinary<Subtract>;
  table["mul"] = decodeMultiply;
  table["mad"] = decodeMultiplyAdd;
  table["div"] = decodeDivide<false>;
  table["rem"] = decodeDivide<true>;
  table["min"] = decodeExtremum<Minimum>;
  table["max"] = decodeExtremum<Maximum>;
  table["neg"] = decodeUnary<Negate>;
  table["abs"] = decodeUnary<Absolute>;
  table["and"] = decodeLogic<And>;
  table["or"] = decodeLogic<Or>;
  table["xor"] = decodeLogic<Xor>;
  table["not"] = decodeNot;
  table["cnot"] = decodeUnary<ConditionalNot>;
  table["shl"] = decodeShift<true>;
  table["shr"] = decodeShift<false>;
  table["shf"] = decodeFunnelShift;
  table["bfe"] = decodeExtract;
  table["bfi"] = decodeInsert;
  table["bfind"] = decodeFindBit;
  table["brev"] = decodeUnary<ReverseBits>;
  table["lop3"] = decodeLookUp;
  table["prmt"] = decodePermute;
  table["popc"] = decodeCount<PopulationCount>;
  table["clz"] = decodeCount<LeadingZeros>;
  table["sad"] = decodeSumOfDifference;
}
