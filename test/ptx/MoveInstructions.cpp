// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Moves, packing, selection and address conversion.

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <chrono>

using namespace weft::ptx;

template <typename T> static Outcome move(Thread &thread, const Instruction &i) {
  return thread.put<T>(i.slot[0], thread.get<T>(i.slot[1]), thread.state[i.slot[1]]);
}

static Outcome moveAddress(Thread &thread, const Instruction &i) {
  return thread.put<uint64_t>(i.slot[0], thread.get<uint64_t>(i.slot[1]) + static_cast<uint64_t>(i.offset),
                              thread.state[i.slot[1]]);
}

/// mode[0]: bits of a part. The first part is the lowest.
static Outcome pack(Thread &thread, const Instruction &i) {
  uint64_t result = 0, mask = i.mode[0] == 64 ? ~uint64_t(0) : (uint64_t(1) << i.mode[0]) - 1;
  uint8_t state = kPlain;
  for (uint32_t at = 0; at < i.listSize; ++at) {
    uint32_t slot = thread.lists[i.list + at];
    result |= (thread.bits[slot] & mask) << (i.mode[0] * at);
    state &= thread.state[slot];
  }
  return thread.put<uint64_t>(i.slot[0], result, state);
}

static Outcome unpack(Thread &thread, const Instruction &i) {
  uint64_t value = thread.bits[i.slot[1]], mask = (uint64_t(1) << i.mode[0]) - 1;
  uint8_t state = thread.state[i.slot[1]];
  for (uint32_t at = 0; at < i.listSize; ++at)
    if (thread.put<uint64_t>(thread.lists[i.list + at], value >> (i.mode[0] * at) & mask, state) != Outcome::Next)
      return Outcome::Fault;
  return Outcome::Next;
}

template <typename T> static Outcome select(Thread &thread, const Instruction &i) {
  uint32_t chosen = thread.getPredicate(i.slot[3]) ? i.slot[1] : i.slot[2];
  return thread.put<T>(i.slot[0], thread.get<T>(chosen), thread.state[chosen] & thread.state[i.slot[3]]);
}

template <typename T, typename C> static Outcome selectBySign(Thread &thread, const Instruction &i) {
  uint32_t chosen = thread.get<C>(i.slot[3]) >= 0 ? i.slot[1] : i.slot[2];
  return thread.put<T>(i.slot[0], thread.get<T>(chosen), thread.state[chosen] & thread.state[i.slot[3]]);
}

static Outcome readClock(Thread &thread, const Instruction &i) {
  return thread.put<uint64_t>(i.slot[0], thread.cta->time, kPlain);
}

static Outcome readTimer(Thread &thread, const Instruction &i) {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return thread.put<int64_t>(i.slot[0], std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), kPlain);
}

static uint64_t windowOf(Space space) {
  return space == Space::Shared ? kSharedWindow : space == Space::Local ? kLocalWindow : 0;
}

/// The offset is the window's, added or subtracted.
static Outcome convertAddress(Thread &thread, const Instruction &i) {
  return thread.put<uint64_t>(i.slot[0], thread.get<uint64_t>(i.slot[1]) + static_cast<uint64_t>(i.offset),
                              thread.state[i.slot[1]]);
}

static Outcome testSpace(Thread &thread, const Instruction &i) {
  auto address = thread.get<uint64_t>(i.slot[1]);
  auto within = [&](uint64_t window) { return address - window < kWindowBytes; };
  bool result = i.space == Space::Shared  ? within(kSharedWindow)
                : i.space == Space::Local ? within(kLocalWindow)
                : i.space == Space::Param ? within(kParamWindow)
                                          : !within(kSharedWindow) && !within(kLocalWindow) && !within(kParamWindow);
  return thread.putPredicate(i.slot[0], result, thread.state[i.slot[1]]);
}

//===-- Decoding ------------------------------------------------------------===//

static bool decodePack(Decoder &d, Type type) {
  d.instruction.run = pack;
  if (!d.destination(0, 0) || !d.vector(1, type, false))
    return false;
  d.instruction.mode[0] = static_cast<uint8_t>(8 * bytesOf(type) / d.instruction.listSize);
  return true;
}

static bool decodeUnpack(Decoder &d, Type type) {
  d.instruction.run = unpack;
  if (!d.source(1, 1, type) || !d.vector(0, type, true) || d.instruction.listSize < 2)
    return false;
  d.instruction.mode[0] = static_cast<uint8_t>(8 * bytesOf(type) / d.instruction.listSize);
  return true;
}

static bool decodeSpecial(Decoder &d) {
  std::string_view name = d.operand(1).name;
  if (name == "%clock" || name == "%clock64" || name == "%clock_hi")
    d.instruction.run = readClock;
  else if (name == "%globaltimer" || name == "%globaltimer_lo")
    d.instruction.run = readTimer;
  else
    return d.fail(fmt::format("'{}' is not declared", name));
  return d.destination(0, 0);
}

static bool decodeMove(Decoder &d) {
  Type type = d.takeLastType();
  if (!d.count(2, 2) || type == Type::None)
    return false;
  if (d.operand(1).kind == Operand::Kind::Vector)
    return decodePack(d, type);
  if (d.operand(0).kind == Operand::Kind::Vector)
    return decodeUnpack(d, type);
  if (d.operand(1).kind == Operand::Kind::Label)
    return decodeSpecial(d);
  if (d.operand(1).offset) {
    d.instruction.run = moveAddress;
    d.instruction.offset = d.operand(1).offset;
    d.instruction.slot[1] = d.operand(1).slot;
    return d.destination(0, 0);
  }
  switch (bytesOf(type)) {
  case 2:
    d.instruction.run = move<uint16_t>;
    break;
  case 4:
    d.instruction.run = move<uint32_t>;
    break;
  default:
    d.instruction.run = move<uint64_t>;
  }
  return registers(d, 1, type);
}

static bool decodeSelect(Decoder &d) {
  Type type = d.takeLastType();
  switch (bytesOf(type)) {
  case 2:
    d.instruction.run = select<uint16_t>;
    break;
  case 4:
    d.instruction.run = select<uint32_t>;
    break;
  case 8:
    d.instruction.run = select<uint64_t>;
    break;
  default:
    return false;
  }
  return d.count(4, 4) && d.destination(0, 0) && d.source(1, 1, type) && d.source(2, 2, type) &&
         d.source(3, 3, Type::Pred);
}

static bool decodeSelectBySign(Decoder &d) {
  Type by = d.takeLastType(), type = d.takeLastType();
  d.take("ftz");
  bool isWide = bytesOf(type) == 8;
  if (by == Type::S32)
    d.instruction.run = isWide ? selectBySign<uint64_t, int32_t> : selectBySign<uint32_t, int32_t>;
  else if (by == Type::F32)
    d.instruction.run = isWide ? selectBySign<uint64_t, float> : selectBySign<uint32_t, float>;
  else
    return false;
  return d.count(4, 4) && d.destination(0, 0) && d.source(1, 1, type) && d.source(2, 2, type) && d.source(3, 3, by);
}

static bool decodeConvertAddress(Decoder &d) {
  bool to = d.take("to");
  uint64_t window = windowOf(d.takeSpace());
  d.instruction.run = convertAddress;
  d.instruction.offset = static_cast<int64_t>(to ? -window : window);
  return (d.take("u64") || d.take("u32")) && d.count(2, 2) && d.destination(0, 0) && (d.source(1, 1, Type::U64));
}

static bool decodeTestSpace(Decoder &d) {
  d.instruction.space = d.takeSpace();
  d.instruction.run = testSpace;
  return registers(d, 1, Type::U64);
}

/// Without clusters every shared address is in the executing CTA.
static bool decodeMapAddress(Decoder &d) {
  d.takeSpace();
  Type type = d.takeLastType();
  d.instruction.run = move<uint64_t>;
  return type != Type::None && d.count(3, 3) && d.destination(0, 0) && d.source(1, 1, type);
}

/// There is no cache for which a policy would matter.
static bool decodePolicy(Decoder &d) {
  while (!d.left().empty() && d.left()[0] != "b64")
    d.dropWord(0);
  d.instruction.run = move<uint64_t>;
  d.instruction.slot[1] = kZeroSlot;
  return d.take("b64") && d.destination(0, 0);
}

void weft::ptx::addMoveInstructions(DecodeTable &table) {
  table["mov"] = decodeMove;
  table["selp"] = decodeSelect;
  table["slct"] = decodeSelectBySign;
  table["cvta"] = decodeConvertAddress;
  table["isspacep"] = decodeTestSpace;
  table["mapa"] = decodeMapAddress;
  table["createpolicy"] = decodePolicy;
}
