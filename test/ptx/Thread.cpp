// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory accesses of a thread and its faults.

#include "test/ptx/Launch.h"

#include <fmt/format.h>

using namespace weft::ptx;

Outcome Thread::fault(FaultKind kind, const std::string &message) {
  cta->launch->fault(kind, *cta, index, cta->kernel->code[pc].line, message);
  return Outcome::Fault;
}

Outcome Thread::inFlight() {
  return fault("accesses a register of a wgmma that is in flight: a wgmma.wait_group must come first");
}

void Thread::unknown(uint32_t slot, const char *use) {
  if (!(state[slot] & kSettled))
    inFlight();
  else
    fault(fmt::format("the uninitialised value of {} {}", cta->kernel->slotNames[slot], use));
}

static const char *nameOf(Space space) {
  switch (space) {
  case Space::Generic:
    return "generic";
  case Space::Global:
    return "global";
  case Space::Shared:
    return "shared";
  case Space::Param:
    return "parameter";
  case Space::Const:
    return "constant";
  case Space::Local:
    return "local";
  }
  return "";
}

/// Takes a generic address to the space whose window holds it.
static void resolveWindow(Space &space, uint64_t &address) {
  if (space != Space::Generic && space != Space::Param)
    return;
  auto within = [&](uint64_t window) { return address >= window && address - window < kWindowBytes; };
  if (space == Space::Generic && within(kSharedWindow)) {
    space = Space::Shared;
    address -= kSharedWindow;
  } else if (space == Space::Generic && within(kLocalWindow)) {
    space = Space::Local;
    address -= kLocalWindow;
  } else if (within(kParamWindow)) {
    space = Space::Param;
    address -= kParamWindow;
  } else if (space == Space::Generic) {
    space = Space::Global;
  }
}

static std::string outside(const Launch &launch, Space space, uint64_t address, uint64_t bytes) {
  std::string text = fmt::format("{} bytes at {} address {:#x} are out of bounds", bytes, nameOf(space), address);
  if (space == Space::Global || space == Space::Const) {
    if (const Allocation *below = launch.memory.below(address))
      text += fmt::format(": the allocation below has {} bytes at {:#x}", below->size, below->address);
  }
  return text;
}

bool Thread::locate(Space &space, uint64_t &address, uint32_t bytes, bool write, Span &span) {
  resolveWindow(space, address);
  if (address % bytes) [[unlikely]] {
    fault(FaultKind::Misaligned,
          fmt::format("{} address {:#x} is not a multiple of {}", nameOf(space), address, bytes));
    return false;
  }
  switch (space) {
  case Space::Shared:
    if (!cta->shared.contains(address, bytes))
      break;
    span = {&cta->shared.data[address], &cta->shared.written[address]};
    return true;
  case Space::Global:
  case Space::Const:
  case Space::Generic:
    return globalBytes(space, address, bytes, write, span);
  case Space::Param:
    if (write || address > cta->launch->shape.parameters.size() ||
        bytes > cta->launch->shape.parameters.size() - address)
      break;
    span = {const_cast<uint8_t *>(&cta->launch->shape.parameters[address]), &cta->launch->parameterWritten[address]};
    return true;
  case Space::Local: {
    if (address > cta->kernel->localBytes || bytes > cta->kernel->localBytes - address)
      break;
    uint64_t at = uint64_t(index) * cta->kernel->localBytes + address;
    span = {&cta->local[at], &cta->localWritten[at]};
    return true;
  }
  }
  fault(FaultKind::Illegal, outside(*cta->launch, space, address, bytes));
  return false;
}

bool Thread::globalBytes(Space space, uint64_t address, uint64_t bytes, bool write, Span &span) {
  resolveWindow(space, address);
  Allocation *allocation =
      space == Space::Global || space == Space::Const ? cta->launch->find(address, bytes) : nullptr;
  if (!allocation) {
    fault(FaultKind::Illegal, outside(*cta->launch, space, address, bytes));
    return false;
  }
  if (write && allocation->readOnly) {
    fault(FaultKind::Illegal, fmt::format("address {:#x} is constant", address));
    return false;
  }
  span = {allocation->data + (address - allocation->address), allocation->written + (address - allocation->address),
          true};
  return true;
}

bool Thread::load(Space space, uint64_t address, uint32_t bytes, Span &span, bool isStrong) {
  if (!locate(space, address, bytes, false, span))
    return false;
  if (isStrong)
    cta->races.synchronise(warp(), epoch);
  if (space != Space::Shared)
    return true;
  auto at = static_cast<uint32_t>(address);
  if (!cta->shared.mayRead(at, bytes)) [[unlikely]] {
    fault(fmt::format("{} (shared address {})", cta->shared.whyNot(at, bytes, false), address));
    return false;
  }
  if (!isStrong && !cta->races.read(warp(), epoch, at, bytes)) [[unlikely]] {
    fault("race: reads what " + cta->races.conflict());
    return false;
  }
  return true;
}

bool Thread::store(Space space, uint64_t address, uint32_t bytes, Span &span, bool isStrong) {
  if (!locate(space, address, bytes, true, span))
    return false;
  if (isStrong)
    cta->races.synchronise(warp(), epoch);
  if (space != Space::Shared)
    return true;
  auto at = static_cast<uint32_t>(address);
  if (!cta->shared.mayWrite(at, bytes)) [[unlikely]] {
    fault(fmt::format("{} (shared address {})", cta->shared.whyNot(at, bytes, true), address));
    return false;
  }
  if (!isStrong && !cta->races.write(warp(), epoch, at, bytes)) [[unlikely]] {
    fault("race: overwrites what " + cta->races.conflict());
    return false;
  }
  cta->shared.noteWrite(at, bytes, index, cta->time);
  return true;
}

bool Thread::sharedAddress(Space space, uint64_t address, uint32_t bytes, uint32_t alignment, uint32_t &result) {
  resolveWindow(space, address);
  if (address % alignment) {
    fault(FaultKind::Misaligned, fmt::format("shared address {:#x} is not a multiple of {}", address, alignment));
    return false;
  }
  if (space != Space::Shared || !cta->shared.contains(address, bytes)) {
    fault(FaultKind::Illegal, outside(*cta->launch, space, address, bytes));
    return false;
  }
  result = static_cast<uint32_t>(address);
  return true;
}
