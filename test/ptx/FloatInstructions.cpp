// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Floating-point arithmetic: f32 and f64, and f16 and bf16 alone and in pairs.

#include "test/ptx/FloatFormats.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <limits>

using namespace weft::ptx;

namespace {

/// \name Formats: how one value is read from a register and written to it
///@{
struct F32 {
  using Bits = uint32_t;
  using Value = float;
  static float load(uint32_t bits) { return std::bit_cast<float>(bits); }
  static uint32_t store(float value) { return std::isnan(value) ? 0x7fffffff : std::bit_cast<uint32_t>(value); }
};
struct F64 {
  using Bits = uint64_t;
  using Value = double;
  static double load(uint64_t bits) { return std::bit_cast<double>(bits); }
  static uint64_t store(double value) { return std::bit_cast<uint64_t>(value); }
};
struct F16 {
  using Bits = uint16_t;
  using Value = float;
  static float load(uint16_t bits) { return fromF16(bits); }
  static uint16_t store(float value) { return toF16(value); }
};
struct BF16 {
  using Bits = uint16_t;
  using Value = float;
  static float load(uint16_t bits) { return fromBf16(bits); }
  static uint16_t store(float value) { return toBf16(value); }
};
///@}

enum Mode : uint8_t { kFlush = 1, kSaturate = 2, kPropagateNan = 4, kRelu = 8 };

struct Add {
  template <typename V> static V run(V a, V b, uint8_t) { return a + b; }
};
struct Subtract {
  template <typename V> static V run(V a, V b, uint8_t) { return a - b; }
};
struct Multiply {
  template <typename V> static V run(V a, V b, uint8_t) { return a * b; }
};
struct Divide {
  template <typename V> static V run(V a, V b, uint8_t) { return a / b; }
};
struct MultiplyAdd {
  template <typename V> static V run(V a, V b, V c, uint8_t) { return std::fma(a, b, c); }
};
template <bool Largest> struct Extremum {
  template <typename V> static V run(V a, V b, uint8_t mode) {
    if (std::isnan(a) || std::isnan(b))
      return mode & kPropagateNan ? std::numeric_limits<V>::quiet_NaN() : std::isnan(a) ? b : a;
    // Zeros are ordered by their sign.
    bool firstIsLess = a < b || (a == b && std::signbit(a));
    return firstIsLess == Largest ? b : a;
  }
};
struct CopySign {
  template <typename V> static V run(V a, V b, uint8_t) { return std::copysign(b, a); }
};
struct Negate {
  template <typename V> static V run(V a, uint8_t) { return -a; }
};
struct Absolute {
  template <typename V> static V run(V a, uint8_t) { return std::fabs(a); }
};
struct Exponential {
  template <typename V> static V run(V a, uint8_t) { return std::exp2(a); }
};
struct Logarithm {
  template <typename V> static V run(V a, uint8_t) { return std::log2(a); }
};
struct Reciprocal {
  template <typename V> static V run(V a, uint8_t) { return 1 / a; }
};
struct SquareRoot {
  template <typename V> static V run(V a, uint8_t) { return std::sqrt(a); }
};
struct ReciprocalRoot {
  template <typename V> static V run(V a, uint8_t) { return 1 / std::sqrt(a); }
};
struct Sine {
  template <typename V> static V run(V a, uint8_t) { return std::sin(a); }
};
struct Cosine {
  template <typename V> static V run(V a, uint8_t) { return std::cos(a); }
};
struct HyperbolicTangent {
  template <typename V> static V run(V a, uint8_t) { return std::tanh(a); }
};

template <typename V> V input(V value, uint8_t mode) {
  if constexpr (sizeof(V) == 4)
    return mode & kFlush ? flush(value) : value;
  return value;
}

template <typename V> V output(V value, uint8_t mode) {
  if (std::isnan(value))
    return mode & kSaturate ? V(0) : std::numeric_limits<V>::quiet_NaN();
  if (mode & kSaturate)
    value = value < 0 ? V(0) : value > 1 ? V(1) : value;
  if ((mode & kRelu) && value < 0)
    value = 0;
  return input(value, mode);
}

/// Applies Op lane by lane to registers that hold Lanes values of a format.
template <typename Format, int Lanes, int Sources, typename Op> Outcome apply(Thread &thread, const Instruction &i) {
  using Bits = typename Format::Bits;
  uint64_t result = 0, sources[Sources];
  uint8_t state = kPlain, mode = i.mode[0];
  for (int source = 0; source < Sources; ++source) {
    sources[source] = thread.bits[i.slot[1 + source]];
    state &= thread.state[i.slot[1 + source]];
  }
  for (int lane = 0; lane < Lanes; ++lane) {
    auto value = [&](int source) {
      return input(Format::load(static_cast<Bits>(sources[source] >> (8 * sizeof(Bits) * lane))), mode);
    };
    typename Format::Value computed;
    if constexpr (Sources == 1)
      computed = Op::run(value(0), mode);
    else if constexpr (Sources == 2)
      computed = Op::run(value(0), value(1), mode);
    else
      computed = Op::run(value(0), value(1), value(2), mode);
    result |= uint64_t(Format::store(output(computed, mode))) << (8 * sizeof(Bits) * lane);
  }
  return thread.put<uint64_t>(i.slot[0], result, state);
}

template <int Sources, typename Op> bool select(Decoder &d, Type type) {
  switch (type) {
  case Type::F32:
    d.instruction.run = apply<F32, 1, Sources, Op>;
    break;
  case Type::F64:
    d.instruction.run = apply<F64, 1, Sources, Op>;
    break;
  case Type::F16:
    d.instruction.run = apply<F16, 1, Sources, Op>;
    break;
  case Type::F16x2:
    d.instruction.run = apply<F16, 2, Sources, Op>;
    break;
  case Type::BF16:
    d.instruction.run = apply<BF16, 1, Sources, Op>;
    break;
  case Type::BF16x2:
    d.instruction.run = apply<BF16, 2, Sources, Op>;
    break;
  default:
    return false;
  }
  return registers(d, Sources, type);
}

using Select = bool (*)(Decoder &, Type);

} // namespace

static Select operatorOf(std::string_view name) {
  static const std::unordered_map<std::string_view, Select> kOperators = {{"add", select<2, Add>},
                                                                          {"sub", select<2, Subtract>},
                                                                          {"mul", select<2, Multiply>},
                                                                          {"div", select<2, Divide>},
                                                                          {"fma", select<3, MultiplyAdd>},
                                                                          {"mad", select<3, MultiplyAdd>},
                                                                          {"min", select<2, Extremum<false>>},
                                                                          {"max", select<2, Extremum<true>>},
                                                                          {"copysign", select<2, CopySign>},
                                                                          {"neg", select<1, Negate>},
                                                                          {"abs", select<1, Absolute>},
                                                                          {"ex2", select<1, Exponential>},
                                                                          {"lg2", select<1, Logarithm>},
                                                                          {"rcp", select<1, Reciprocal>},
                                                                          {"sqrt", select<1, SquareRoot>},
                                                                          {"rsqrt", select<1, ReciprocalRoot>},
                                                                          {"sin", select<1, Sine>},
                                                                          {"cos", select<1, Cosine>},
                                                                          {"tanh", select<1, HyperbolicTangent>}};
  auto found = kOperators.find(name);
  return found == kOperators.end() ? nullptr : found->second;
}

bool weft::ptx::decodeFloatArithmetic(Decoder &d, Type type) {
  Select choose = operatorOf(d.statement.opcode.substr(0, d.statement.opcode.find('.')));
  uint8_t mode = 0;
  if (d.take("ftz"))
    mode |= kFlush;
  if (d.take("sat"))
    mode |= kSaturate;
  if (d.take("NaN"))
    mode |= kPropagateNan;
  if (d.take("relu"))
    mode |= kRelu;
  // Results are rounded to nearest; approximations are computed exactly and then rounded.
  d.takeOneOf({"rn", "approx", "full"});
  d.instruction.mode[0] = mode;
  return choose && choose(d, type);
}

static bool decodeFloat(Decoder &d) { return decodeFloatArithmetic(d, d.takeLastType()); }

void weft::ptx::addFloatInstructions(DecodeTable &table) {
  for (const char *name : {"fma", "copysign", "ex2", "lg2", "rcp", "sqrt", "rsqrt", "sin", "cos", "tanh"})
    table[name] = decodeFloat;
}
