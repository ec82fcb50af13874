// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What all families of instructions share.

#include "test/ptx/Decoder.h"

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

using namespace weft::ptx;

Decoder::Decoder(KernelBuilder &builder, const Statement &statement) : builder(builder), statement(statement) {
  std::string_view rest = statement.opcode;
  for (size_t dot = rest.find('.'); dot != std::string_view::npos;) {
    rest.remove_prefix(dot + 1);
    dot = rest.find('.');
    words.push_back(rest.substr(0, dot));
  }
  instruction.line = statement.line;
  instruction.guard = statement.guard;
  instruction.guardNegated = statement.guardNegated;
}

bool Decoder::fail(std::string message) {
  if (error.empty())
    error = std::move(message);
  return false;
}

bool Decoder::take(std::string_view modifier) {
  auto found = std::find(words.begin(), words.end(), modifier);
  if (found == words.end())
    return false;
  words.erase(found);
  return true;
}

int Decoder::takeOneOf(std::initializer_list<std::string_view> modifiers) {
  int index = 0;
  for (std::string_view modifier : modifiers) {
    if (take(modifier))
      return index;
    ++index;
  }
  return -1;
}

Type Decoder::takeLastType() {
  for (size_t at = words.size(); at-- > 0;)
    if (Type type = typeOf(words[at]); type != Type::None) {
      words.erase(words.begin() + at);
      return type;
    }
  return Type::None;
}

Type Decoder::takeFirstType() {
  for (size_t at = 0; at < words.size(); ++at)
    if (Type type = typeOf(words[at]); type != Type::None) {
      words.erase(words.begin() + at);
      return type;
    }
  return Type::None;
}

Space Decoder::takeSpace() {
  constexpr std::pair<std::string_view, Space> kNames[] = {
      {"global", Space::Global},      {"shared", Space::Shared},
      {"shared::cta", Space::Shared}, {"shared::cluster", Space::Shared},
      {"param", Space::Param},        {"param::entry", Space::Param},
      {"const", Space::Const},        {"local", Space::Local}};
  for (auto [name, space] : kNames)
    if (take(name))
      return space;
  return Space::Generic;
}

void Decoder::takeHints() {
  std::erase_if(words, [](std::string_view word) {
    constexpr std::string_view kHints[] = {"relaxed", "acquire", "release", "acq_rel", "sc",  "volatile", "weak",
                                           "mmio",    "cta",     "cluster", "gpu",     "sys", "nc",       "ca",
                                           "cg",      "cs",      "lu",      "cv",      "wb",  "wt"};
    return std::find(std::begin(kHints), std::end(kHints), word) != std::end(kHints) || word.starts_with("L1::") ||
           word.starts_with("L2::");
  });
}

bool Decoder::count(size_t least, size_t most) {
  if (operands() >= least && operands() <= most)
    return true;
  return fail(least == most ? fmt::format("expected {} operands, but got {}", least, operands())
                            : fmt::format("expected {} to {} operands, but got {}", least, most, operands()));
}

uint32_t Decoder::slotOf(const Operand &operand, Type type) {
  if (operand.kind == Operand::Kind::Register)
    return operand.slot;
  if (operand.kind == Operand::Kind::Sink)
    return kSinkSlot;
  uint64_t bits = operand.number.bits;
  if (operand.number.isFloat && type == Type::F64)
    bits = std::bit_cast<uint64_t>(operand.number.value);
  else if (operand.number.isFloat && type == Type::F32)
    bits = std::bit_cast<uint32_t>(static_cast<float>(operand.number.value));
  return builder.constantSlot(bits);
}

static bool isValue(const Operand &operand) {
  return (operand.kind == Operand::Kind::Register || operand.kind == Operand::Kind::Immediate) && !operand.negated &&
         !operand.offset;
}

bool Decoder::destination(size_t at, size_t to) {
  if (at >= operands() || (operand(at).kind != Operand::Kind::Register && operand(at).kind != Operand::Kind::Sink))
    return fail(fmt::format("expected a register as operand {}", at + 1));
  instruction.slot[to] = slotOf(operand(at), Type::None);
  return true;
}

bool Decoder::source(size_t at, size_t to, Type type) {
  if (at >= operands() || !isValue(operand(at)))
    return fail(fmt::format("expected a register or a constant as operand {}", at + 1));
  instruction.slot[to] = slotOf(operand(at), type);
  return true;
}

bool Decoder::address(size_t at, size_t to) {
  if (at >= operands() || operand(at).kind != Operand::Kind::Address)
    return fail(fmt::format("expected an address as operand {}", at + 1));
  instruction.slot[to] = operand(at).slot;
  instruction.offset = operand(at).offset;
  return true;
}

bool Decoder::secondAddress(size_t at, size_t to) {
  int64_t first = instruction.offset;
  if (!address(at, to))
    return false;
  int64_t second = instruction.offset;
  instruction.offset = first;
  if (!second)
    return true;
  // An instruction of its own adds the offset.
  Instruction add;
  add.run = [](Thread &thread, const Instruction &i) {
    return thread.put<uint64_t>(i.slot[0], thread.get<uint64_t>(i.slot[1]) + static_cast<uint64_t>(i.offset),
                                thread.state[i.slot[1]]);
  };
  add.line = instruction.line;
  add.slot[0] = builder.temporarySlot();
  add.slot[1] = instruction.slot[to];
  add.offset = second;
  instruction.slot[to] = add.slot[0];
  builder.append(add);
  return true;
}

bool Decoder::vector(size_t at, Type type, bool isDestination) {
  if (at >= operands())
    return fail(fmt::format("expected {} operands", at + 1));
  std::vector<uint32_t> slots;
  const Operand &given = operand(at);
  const std::vector<Operand> one = {given};
  for (const Operand &element : given.kind == Operand::Kind::Vector ? given.elements : one) {
    bool isPlace = element.kind == Operand::Kind::Register || element.kind == Operand::Kind::Sink;
    if (isDestination ? !isPlace : !isValue(element))
      return fail(fmt::format("expected registers as operand {}", at + 1));
    slots.push_back(slotOf(element, type));
  }
  if (!instruction.listSize)
    instruction.list = builder.addList(slots);
  else
    builder.addList(slots);
  instruction.listSize += static_cast<uint32_t>(slots.size());
  return true;
}

bool Decoder::immediate(size_t at, int64_t &value) const {
  if (at >= operands() || operand(at).kind != Operand::Kind::Immediate || operand(at).number.isFloat)
    return false;
  value = static_cast<int64_t>(operand(at).number.bits);
  return true;
}

Outcome weft::ptx::nothing(Thread &, const Instruction &) { return Outcome::Next; }

Outcome weft::ptx::joinWarp(Thread &thread, const Instruction &instruction) {
  thread.gather = 0;
  return Outcome::Collective;
}

Outcome weft::ptx::joinMembers(Thread &thread, const Instruction &instruction) {
  if (!thread.known(instruction.memberMask, "is used as a member mask"))
    return Outcome::Fault;
  auto mask = thread.get<uint32_t>(instruction.memberMask);
  const Warp &warp = thread.cta->warps[thread.warp()];
  if (!(mask >> thread.lane() & 1))
    return thread.fault(fmt::format("the member mask {:#x} does not name the executing lane {}", mask, thread.lane()));
  if (uint32_t gone = mask & ~warp.live())
    return thread.fault(
        fmt::format("the member mask {:#x} names lanes {:#x} that have exited or never were", mask, gone));
  thread.gather = mask;
  return Outcome::Collective;
}

static const DecodeTable &families() {
  static const DecodeTable kTable = [] {
    DecodeTable table;
    addIntegerInstructions(table);
    addFloatInstructions(table);
    addMoveInstructions(table);
    addConversionInstructions(table);
    addCompareInstructions(table);
    addMemoryInstructions(table);
    addControlInstructions(table);
    addWarpInstructions(table);
    addMatrixInstructions(table);
    addBarrierInstructions(table);
    addCopyInstructions(table);
    addWarpgroupInstructions(table);
    return table;
  }();
  return kTable;
}

bool weft::ptx::decode(KernelBuilder &builder, const Statement &statement, std::string &error) {
  auto family = families().find(statement.opcode.substr(0, statement.opcode.find('.')));
  if (family == families().end()) {
    error = fmt::format("unknown instruction '{}'", statement.opcode);
    return false;
  }
  Decoder decoder(builder, statement);
  bool understood = family->second(decoder);
  if (!understood || !decoder.left().empty()) {
    error = !decoder.error.empty()    ? fmt::format("'{}': {}", statement.opcode, decoder.error)
            : !decoder.left().empty() ? fmt::format("unknown instruction '{}': modifier '.{}' is not understood",
                                                    statement.opcode, decoder.left()[0])
                                      : fmt::format("unknown instruction '{}'", statement.opcode);
    return false;
  }
  builder.append(decoder.instruction);
  return true;
}
