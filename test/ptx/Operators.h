// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Handlers that apply a function to registers of one type.

#ifndef WEFT_TEST_PTX_OPERATORS_H
#define WEFT_TEST_PTX_OPERATORS_H

#include "test/ptx/Decoder.h"
#include "test/ptx/Thread.h"

namespace weft::ptx {

template <typename T, typename Op> Outcome unary(Thread &thread, const Instruction &i) {
  return thread.put<T>(i.slot[0], static_cast<T>(Op::run(thread.get<T>(i.slot[1]))), thread.state[i.slot[1]]);
}

template <typename T, typename Op> Outcome binary(Thread &thread, const Instruction &i) {
  return thread.put<T>(i.slot[0], static_cast<T>(Op::run(thread.get<T>(i.slot[1]), thread.get<T>(i.slot[2]))),
                       thread.state[i.slot[1]] & thread.state[i.slot[2]]);
}

template <typename T, typename Op> Outcome ternary(Thread &thread, const Instruction &i) {
  return thread.put<T>(
      i.slot[0], static_cast<T>(Op::run(thread.get<T>(i.slot[1]), thread.get<T>(i.slot[2]), thread.get<T>(i.slot[3]))),
      thread.state[i.slot[1]] & thread.state[i.slot[2]] & thread.state[i.slot[3]]);
}

/// A destination and `sources` sources, all of one type.
inline bool registers(Decoder &decoder, size_t sources, Type type) {
  if (!decoder.count(sources + 1, sources + 1) || !decoder.destination(0, 0))
    return false;
  for (size_t at = 1; at <= sources; ++at)
    if (!decoder.source(at, at, type))
      return false;
  return true;
}

/// Calls `f` with a value of the integer type that `type` names; `b` types count as unsigned.
template <typename F> bool withInteger(Type type, F f) {
  switch (type) {
  case Type::B8:
  case Type::U8:
    return f(uint8_t());
  case Type::S8:
    return f(int8_t());
  case Type::B16:
  case Type::U16:
    return f(uint16_t());
  case Type::S16:
    return f(int16_t());
  case Type::B32:
  case Type::U32:
    return f(uint32_t());
  case Type::S32:
    return f(int32_t());
  case Type::B64:
  case Type::U64:
    return f(uint64_t());
  case Type::S64:
    return f(int64_t());
  default:
    return false;
  }
}

/// The floating-point side of opcodes that integers have as well.
bool decodeFloatArithmetic(Decoder &decoder, Type type);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_OPERATORS_H
