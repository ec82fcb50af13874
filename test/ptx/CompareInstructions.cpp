// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// setp and set.

#include "test/ptx/FloatFormats.h"
#include "test/ptx/Operators.h"

using namespace weft::ptx;

namespace {

struct Equal {
  template <typename T> static bool run(T a, T b) { return a == b; }
};
struct NotEqual {
  template <typename T> static bool run(T a, T b) { return a < b || a > b; }
};
struct Less {
  template <typename T> static bool run(T a, T b) { return a < b; }
};
struct LessEqual {
  template <typename T> static bool run(T a, T b) { return a <= b; }
};
struct Greater {
  template <typename T> static bool run(T a, T b) { return a > b; }
};
struct GreaterEqual {
  template <typename T> static bool run(T a, T b) { return a >= b; }
};
/// True as well where an operand is NaN.
template <typename Opposite> struct Unordered {
  template <typename T> static bool run(T a, T b) { return !Opposite::run(a, b); }
};
struct AreNumbers {
  template <typename T> static bool run(T a, T b) { return a == a && b == b; }
};

struct IsF16 {};
struct IsBf16 {};
template <typename T> struct Register {
  static T read(const Thread &thread, uint32_t slot) { return thread.get<T>(slot); }
};
template <> struct Register<IsF16> {
  static float read(const Thread &thread, uint32_t slot) { return fromF16(thread.get<uint16_t>(slot)); }
};
template <> struct Register<IsBf16> {
  static float read(const Thread &thread, uint32_t slot) { return fromBf16(thread.get<uint16_t>(slot)); }
};

enum Combination : uint8_t { kNone, kAnd, kOr, kXor };

} // namespace

static bool combine(bool result, bool with, uint8_t combination) {
  return combination == kAnd   ? result && with
         : combination == kOr  ? result || with
         : combination == kXor ? result != with
                               : result;
}

/// slot: p, q, a, b, c. mode[0]: combination; mode[1]: c is negated; mode[2]: flush.
template <typename T, typename Op> static Outcome compare(Thread &thread, const Instruction &i) {
  auto a = Register<T>::read(thread, i.slot[2]), b = Register<T>::read(thread, i.slot[3]);
  if constexpr (std::is_same_v<T, float>)
    if (i.mode[2]) {
      a = flush(a);
      b = flush(b);
    }
  bool result = Op::run(a, b);
  uint8_t state = thread.state[i.slot[2]] & thread.state[i.slot[3]];
  if (i.mode[0] == kNone)
    return thread.putPredicate(i.slot[0], result, state);
  bool with = thread.getPredicate(i.slot[4]) != bool(i.mode[1]);
  state &= thread.state[i.slot[4]];
  bool other = combine(!result, with, i.mode[0]);
  Outcome outcome = thread.putPredicate(i.slot[0], combine(result, with, i.mode[0]), state);
  return outcome == Outcome::Next && i.slot[1] ? thread.putPredicate(i.slot[1], other, state) : outcome;
}

/// The second predicate of a plain comparison.
template <typename T, typename Op> static Outcome compareBoth(Thread &thread, const Instruction &i) {
  bool result = Op::run(Register<T>::read(thread, i.slot[2]), Register<T>::read(thread, i.slot[3]));
  uint8_t state = thread.state[i.slot[2]] & thread.state[i.slot[3]];
  Outcome outcome = thread.putPredicate(i.slot[0], result, state);
  return outcome == Outcome::Next ? thread.putPredicate(i.slot[1], !result, state) : outcome;
}

/// mode[3]: the destination is f32 1.0 rather than all ones.
template <typename T, typename Op> static Outcome setRegister(Thread &thread, const Instruction &i) {
  bool result = Op::run(Register<T>::read(thread, i.slot[2]), Register<T>::read(thread, i.slot[3]));
  return thread.put<uint32_t>(i.slot[0], result ? (i.mode[3] ? 0x3f800000 : ~0u) : 0,
                              thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

template <typename T, typename Op> static bool choose(Decoder &d, bool isSet) {
  bool plainBoth = d.instruction.slot[1] != kSinkSlot && d.instruction.mode[0] == kNone;
  d.instruction.run = isSet ? setRegister<T, Op> : plainBoth ? compareBoth<T, Op> : compare<T, Op>;
  return true;
}

template <typename T> static bool chooseInteger(Decoder &d, bool isSet) {
  switch (d.takeOneOf({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"})) {
  case 0:
    return choose<T, Equal>(d, isSet);
  case 1:
    return choose<T, NotEqual>(d, isSet);
  case 2:
  case 6:
    return choose<T, Less>(d, isSet);
  case 3:
  case 7:
    return choose<T, LessEqual>(d, isSet);
  case 4:
  case 8:
    return choose<T, Greater>(d, isSet);
  case 5:
  case 9:
    return choose<T, GreaterEqual>(d, isSet);
  default:
    return false;
  }
}

template <typename T> static bool chooseFloat(Decoder &d, bool isSet) {
  switch (d.takeOneOf({"equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"})) {
  case 0:
    return choose<T, Unordered<NotEqual>>(d, isSet);
  case 1:
    return choose<T, Unordered<Equal>>(d, isSet);
  case 2:
    return choose<T, Unordered<GreaterEqual>>(d, isSet);
  case 3:
    return choose<T, Unordered<Greater>>(d, isSet);
  case 4:
    return choose<T, Unordered<LessEqual>>(d, isSet);
  case 5:
    return choose<T, Unordered<Less>>(d, isSet);
  case 6:
    return choose<T, AreNumbers>(d, isSet);
  case 7:
    return choose<T, Unordered<AreNumbers>>(d, isSet);
  default:
    return chooseInteger<T>(d, isSet);
  }
}

static bool chooseType(Decoder &d, Type type, bool isSet) {
  switch (type) {
  case Type::F32:
    return chooseFloat<float>(d, isSet);
  case Type::F64:
    return chooseFloat<double>(d, isSet);
  case Type::F16:
    return chooseFloat<IsF16>(d, isSet);
  case Type::BF16:
    return chooseFloat<IsBf16>(d, isSet);
  default:
    return withInteger(type, [&](auto t) { return chooseInteger<decltype(t)>(d, isSet); });
  }
}

static bool decodeSetPredicate(Decoder &d) {
  Instruction &i = d.instruction;
  Type type = d.takeLastType();
  i.mode[2] = d.take("ftz");
  if (!d.count(3, 4))
    return false;
  if (d.operand(0).kind == Operand::Kind::Pair) {
    i.slot[0] = d.slotOf(d.operand(0).elements[0], Type::Pred);
    i.slot[1] = d.slotOf(d.operand(0).elements[1], Type::Pred);
  } else if (!d.destination(0, 0)) {
    return false;
  }
  if (d.operands() == 4) {
    i.mode[0] = static_cast<uint8_t>(1 + d.takeOneOf({"and", "or", "xor"}));
    i.mode[1] = d.operand(3).negated;
    i.slot[4] = d.slotOf(d.operand(3), Type::Pred);
    if (i.mode[0] == kNone)
      return false;
  }
  return d.source(1, 2, type) && d.source(2, 3, type) && chooseType(d, type, false);
}

static bool decodeSet(Decoder &d) {
  d.take("ftz");
  Type type = d.takeLastType(), to = d.takeLastType();
  d.instruction.mode[3] = to == Type::F32;
  return bytesOf(to) == 4 && d.count(3, 3) && d.destination(0, 0) && d.source(1, 2, type) && d.source(2, 3, type) &&
         chooseType(d, type, true);
}

void weft::ptx::addCompareInstructions(DecodeTable &table) {
  table["setp"] = decodeSetPredicate;
  table["set"] = decodeSet;
}
