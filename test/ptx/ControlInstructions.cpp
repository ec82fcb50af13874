// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Branches, exits and what only concerns the machine.

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

using namespace weft::ptx;

static Outcome branch(Thread &thread, const Instruction &i) {
  thread.pc = i.target;
  return Outcome::Jump;
}

static Outcome branchIndexed(Thread &thread, const Instruction &i) {
  if (!thread.known(i.slot[1], "is used as a branch index"))
    return Outcome::Fault;
  auto index = thread.get<uint32_t>(i.slot[1]);
  if (index >= i.listSize)
    return thread.fault(fmt::format("branch index {} is out of the {} targets", index, i.listSize));
  thread.pc = thread.lists[i.list + index];
  return Outcome::Jump;
}

static Outcome leave(Thread &, const Instruction &) { return Outcome::Exit; }

static Outcome trap(Thread &thread, const Instruction &) { return thread.fault("trap"); }

static Outcome giveWay(Thread &, const Instruction &) { return Outcome::Yield; }

/// mode[0]: the new count; mode[1]: increase.
static Outcome setRegisters(Warp &warp, uint32_t lanes, const Instruction &i) {
  Cta &cta = *warp.cta;
  uint32_t wanted = i.mode[0];
  if (lanes != ~0u)
    return warp.threads[0].fault(fmt::format("only lanes {:#x} of the warp execute this", lanes));
  if (i.mode[1] ? wanted < warp.registersPerThread : wanted > warp.registersPerThread)
    return warp.threads[0].fault(fmt::format("the warp has {} registers per thread: expected a {} number than {}",
                                             warp.registersPerThread, i.mode[1] ? "greater" : "smaller", wanted));
  int64_t more = (int64_t(wanted) - warp.registersPerThread) * 32;
  if (more > cta.freeRegisters)
    return Outcome::Wait;
  cta.freeRegisters -= more;
  warp.registersPerThread = wanted;
  return Outcome::Next;
}

//===-- Decoding ------------------------------------------------------------===//

static bool decodeBranch(Decoder &d) {
  d.take("uni");
  d.instruction.run = branch;
  if (!d.count(1, 1) || d.operand(0).kind != Operand::Kind::Label)
    return d.fail("expected a label");
  if (!d.left().empty())
    return false;
  d.builder.jumpTo(d.operand(0).name);
  return true;
}

static bool decodeIndexedBranch(Decoder &d) {
  d.take("uni");
  d.instruction.run = branchIndexed;
  if (!d.take("idx") || !d.count(2, 2) || d.operand(1).kind != Operand::Kind::Label || !d.source(0, 1, Type::U32))
    return false;
  d.builder.jumpThrough(d.operand(1).name);
  return true;
}

static bool decodeExit(Decoder &d) {
  d.take("uni");
  d.instruction.run = leave;
  return true;
}

static bool decodeTrap(Decoder &d) {
  d.instruction.run = trap;
  return true;
}

static bool decodeSleep(Decoder &d) {
  d.instruction.run = giveWay;
  return d.take("u32") && d.count(1, 1);
}

static bool decodeSetRegisters(Decoder &d) {
  int direction = d.takeOneOf({"dec", "inc"});
  int64_t wanted = 0;
  if (direction < 0 || !d.take("sync") || !d.take("aligned") || !d.take("u32") || !d.immediate(0, wanted))
    return false;
  if (wanted < 24 || wanted > 256 || wanted % 8)
    return d.fail(fmt::format("expected a multiple of 8 from 24 to 256, but got {}", wanted));
  if (!d.builder.kernel.module->architectureSpecific)
    return d.fail("expected .target sm_90a");
  d.builder.kernel.usesSetmaxnreg = true;
  d.instruction.mode[0] = static_cast<uint8_t>(std::min<int64_t>(wanted, 255));
  d.instruction.mode[1] = direction == 1;
  d.instruction.run = joinWarp;
  d.instruction.collective = setRegisters;
  return true;
}

/// Dependencies between launches hold already: a launch ends before the next begins.
static bool decodeDependency(Decoder &d) {
  d.instruction.run = nothing;
  int kind = d.takeOneOf({"wait", "launch_dependents"});
  d.builder.kernel.waitsForLaunches |= kind == 0;
  return kind >= 0;
}

void weft::ptx::addControlInstructions(DecodeTable &table) {
  table["bra"] = decodeBranch;
  table["brx"] = decodeIndexedBranch;
  table["ret"] = decodeExit;
  table["exit"] = decodeExit;
  table["trap"] = decodeTrap;
  table["brkpt"] = decodeTrap;
  table["nanosleep"] = decodeSleep;
  table["setmaxnreg"] = decodeSetRegisters;
  table["griddepcontrol"] = decodeDependency;
}
