// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Barriers: the sixteen named ones of a CTA, those of a warp, and mbarrier objects.

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <bit>

using namespace weft::ptx;

//===-- Named barriers ------------------------------------------------------===//

/// mode[0]: waits; mode[1]: has a count. slot: barrier, count.
static bool arriveNamed(Thread &thread, const Instruction &i, uint32_t threads, uint8_t &number) {
  Cta &cta = *thread.cta;
  if (!thread.known(i.slot[0], "names a barrier") || !thread.known(i.slot[1], "is a barrier's thread count"))
    return false;
  auto named = thread.get<uint32_t>(i.slot[0]), expected = thread.get<uint32_t>(i.slot[1]);
  if (named > 15)
    return thread.fault(fmt::format("expected a barrier from 0 to 15, but got {}", named)), false;
  if (i.mode[1] && (expected % 32 || !expected))
    return thread.fault(fmt::format("expected a thread count that is a positive multiple of 32, but got {}", expected)),
           false;
  NamedBarrier &barrier = cta.barriers[named];
  if (!barrier.arrived) {
    barrier.wholeCta = !i.mode[1];
    barrier.expected = expected;
  } else if (barrier.wholeCta != !i.mode[1] || (i.mode[1] && barrier.expected != expected)) {
    return thread.fault(fmt::format("barrier {} already expects {} threads", named,
                                    barrier.wholeCta ? cta.live : barrier.expected)),
           false;
  }
  barrier.arrived += threads;
  cta.races.publish(thread.warp(), thread.epoch, barrier.clock);
  if (!barrier.wholeCta && barrier.arrived > barrier.expected)
    return thread.fault(
               fmt::format("barrier {} expects {} threads, but got {}", named, barrier.expected, barrier.arrived)),
           false;
  number = static_cast<uint8_t>(named);
  return true;
}

/// All lanes arrive; with a count, a warp counts as 32 threads whatever its size.
static Outcome meetAligned(Warp &warp, uint32_t lanes, const Instruction &i) {
  uint32_t first = std::countr_zero(lanes);
  for (uint32_t rest = lanes; rest; rest &= rest - 1) {
    Thread &thread = warp.threads[std::countr_zero(rest)];
    if (thread.bits[i.slot[0]] != warp.threads[first].bits[i.slot[0]] ||
        thread.bits[i.slot[1]] != warp.threads[first].bits[i.slot[1]])
      return thread.fault("the lanes of the warp name different barriers or counts");
  }
  uint8_t number;
  if (!arriveNamed(warp.threads[first], i, i.mode[1] ? 32 : std::popcount(lanes), number))
    return Outcome::Fault;
  for (uint32_t rest = lanes; rest; rest &= rest - 1) {
    Thread &thread = warp.threads[std::countr_zero(rest)];
    thread.status = i.mode[0] ? Thread::Status::Barrier : Thread::Status::Ready;
    thread.pc += i.mode[0] ? 0 : 1;
    thread.barrier = number;
    thread.epoch = warp.threads[first].epoch;
  }
  warp.cta->checkBarrier(number);
  return Outcome::Parked;
}

static Outcome meetAlone(Thread &thread, const Instruction &i) {
  uint8_t number;
  if (!arriveNamed(thread, i, 1, number))
    return Outcome::Fault;
  thread.barrier = number;
  if (!i.mode[0]) {
    thread.cta->checkBarrier(number);
    return Outcome::Next;
  }
  NamedBarrier &barrier = thread.cta->barriers[number];
  if (barrier.arrived < (barrier.wholeCta ? thread.cta->live : barrier.expected))
    return Outcome::Parked;
  thread.cta->races.learn(thread.warp(), barrier.clock);
  thread.cta->checkBarrier(number);
  return Outcome::Next;
}

static Outcome meetWarp(Warp &, uint32_t, const Instruction &) { return Outcome::Next; }

static bool decodeBarrier(Decoder &d) {
  Instruction &i = d.instruction;
  if (d.take("warp")) {
    if (!d.take("sync") || !d.count(1, 1) || !d.source(0, 0, Type::B32))
      return false;
    i.memberMask = i.slot[0];
    i.run = joinMembers;
    i.collective = meetWarp;
    return true;
  }
  d.take("cta");
  bool isAligned = d.take("aligned") || d.statement.opcode.starts_with("bar.");
  int kind = d.takeOneOf({"arrive", "sync"});
  i.mode[0] = kind == 1;
  i.mode[1] = d.operands() == 2;
  i.run = isAligned ? joinWarp : meetAlone;
  i.collective = meetAligned;
  i.slot[1] = kZeroSlot;
  return kind >= 0 && d.count(kind == 1 ? 1 : 2, 2) && d.source(0, 0, Type::U32) &&
         (!i.mode[1] || d.source(1, 1, Type::U32));
}

//===-- mbarrier objects ----------------------------------------------------===//

/// The live object that the address operand names.
static Mbarrier *objectAt(Thread &thread, const Instruction &i, uint32_t slot) {
  uint64_t address;
  uint32_t at;
  if (!thread.address(i, slot, address) || !thread.sharedAddress(i.space, address, 8, 8, at))
    return nullptr;
  Mbarrier *barrier = thread.cta->shared.barrierAt(at);
  if (!barrier)
    thread.fault(fmt::format("shared address {} holds no live mbarrier object", at));
  return barrier;
}

/// slot: address, count.
static Outcome initialise(Thread &thread, const Instruction &i) {
  uint64_t address;
  uint32_t at;
  if (!thread.address(i, i.slot[0], address) || !thread.sharedAddress(i.space, address, 8, 8, at) ||
      !thread.known(i.slot[1], "is an arrival count"))
    return Outcome::Fault;
  SharedMemory &shared = thread.cta->shared;
  if (shared.barrierAt(at))
    return thread.fault(
        fmt::format("shared address {} already holds a live mbarrier object: mbarrier.inval must come first", at));
  if (!shared.mayWrite(at, 8))
    return thread.fault(shared.whyNot(at, 8, true));
  auto count = thread.get<uint32_t>(i.slot[1]);
  if (count < 1 || count > (1 << 20) - 1)
    return thread.fault(fmt::format("expected an arrival count from 1 to 2^20 - 1, but got {}", count));
  Mbarrier &barrier = shared.makeBarrier(at);
  barrier.count = count;
  barrier.pendingArrivals = count;
  return Outcome::Next;
}

static Outcome invalidate(Thread &thread, const Instruction &i) {
  Mbarrier *barrier = objectAt(thread, i, i.slot[0]);
  if (!barrier)
    return Outcome::Fault;
  thread.cta->shared.removeBarrier(*barrier);
  return Outcome::Next;
}

/// slot: state, address, count or bytes. mode[0]: arrives; mode[1]: the operand is bytes; mode[2]: the barrier expects
/// one arrival less from now on; mode[3]: the bytes have come.
static Outcome arrive(Thread &thread, const Instruction &i) {
  Mbarrier *barrier = objectAt(thread, i, i.slot[1]);
  if (!barrier || !thread.known(i.slot[2], "is an operand of an mbarrier"))
    return Outcome::Fault;
  auto operand = thread.get<uint32_t>(i.slot[2]);
  uint32_t arrivals = !i.mode[0] ? 0 : i.mode[1] ? 1 : operand;
  int64_t bytes = i.mode[1] ? (i.mode[3] ? -int64_t(operand) : operand) : 0;
  uint64_t phase = barrier->phase;
  if (i.mode[2])
    barrier->count -= arrivals;
  if (i.mode[0])
    thread.cta->races.publish(thread.warp(), thread.epoch, thread.cta->races.atBarrier(barrier->number));
  std::string message;
  if (!arriveAt(*barrier, arrivals, bytes, message))
    return thread.fault(message);
  if (i.mode[0] && thread.put<uint64_t>(i.slot[0], phase, kPlain) != Outcome::Next)
    return Outcome::Fault;
  // Whoever waits may now go ahead of what this thread does next.
  return thread.cta->launch->random.below(2) ? Outcome::Yield : Outcome::Next;
}

/// slot: result, address, phase. mode[0]: waits; mode[1]: the phase is a parity.
static Outcome test(Thread &thread, const Instruction &i) {
  Mbarrier *barrier = objectAt(thread, i, i.slot[1]);
  if (!barrier || !thread.known(i.slot[2], "is a phase"))
    return Outcome::Fault;
  bool done = i.mode[1] ? (barrier->phase & 1) != thread.get<uint32_t>(i.slot[2]) % 2
                        : barrier->phase != thread.get<uint64_t>(i.slot[2]);
  bool polling = thread.polling;
  thread.polling = false;
  if (done) {
    thread.cta->async.observe(*barrier);
    thread.cta->races.learnPhases(thread.warp(), barrier->number, barrier->phase);
  }
  if (done || !i.mode[0]) {
    thread.gaveUp = false;
    Outcome outcome = thread.putPredicate(i.slot[0], done, kPlain);
    return outcome == Outcome::Next && !done ? Outcome::Yield : outcome;
  }
  // A wait may give up early. Once is enough to see whether the program tries again.
  if (!polling && !thread.gaveUp && thread.cta->launch->random.below(4) == 0) {
    thread.gaveUp = true;
    return thread.putPredicate(i.slot[0], false, kPlain);
  }
  thread.polling = true;
  return Outcome::Wait;
}

static bool decodeArrive(Decoder &d, bool isDrop) {
  Instruction &i = d.instruction;
  d.take("noComplete");
  bool expects = d.take("expect_tx");
  i.mode = {1, expects, isDrop, 0};
  i.run = arrive;
  if (!d.count(expects ? 3 : 1, 3))
    return false;
  // The state may be left out where nobody wants it.
  bool hasState = d.operand(0).kind != Operand::Kind::Address;
  size_t first = hasState ? 1 : 0;
  if ((hasState && !d.destination(0, 0)) || !d.address(first, 1))
    return false;
  i.slot[2] = d.builder.constantSlot(1);
  return d.operands() == first + 1 || d.source(first + 1, 2, Type::U32);
}

static bool decodeTest(Decoder &d, bool waits) {
  Instruction &i = d.instruction;
  i.mode = {waits, d.take("parity")};
  i.run = test;
  return d.count(3, waits ? 4 : 3) && d.destination(0, 0) && d.address(1, 1) && d.source(2, 2, Type::B64);
}

static bool decodeExpect(Decoder &d, bool haveCome) {
  Instruction &i = d.instruction;
  i.mode = {0, 1, 0, haveCome};
  i.run = arrive;
  return d.count(2, 2) && d.address(0, 1) && d.source(1, 2, Type::U32);
}

static bool decodeMbarrier(Decoder &d) {
  Instruction &i = d.instruction;
  d.takeHints();
  i.space = d.takeSpace();
  if (!d.take("b64"))
    return false;
  switch (d.takeOneOf({"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "complete_tx"})) {
  case 0:
    i.run = initialise;
    return d.count(2, 2) && d.address(0, 0) && d.source(1, 1, Type::U32);
  case 1:
    i.run = invalidate;
    return d.count(1, 1) && d.address(0, 0);
  case 2:
    return decodeArrive(d, false);
  case 3:
    return decodeArrive(d, true);
  case 4:
    return decodeTest(d, false);
  case 5:
    return decodeTest(d, true);
  case 6:
    return decodeExpect(d, true);
  default:
    return d.take("expect_tx") && decodeExpect(d, false);
  }
}

void weft::ptx::addBarrierInstructions(DecodeTable &table) {
  table["bar"] = decodeBarrier;
  table["barrier"] = decodeBarrier;
  table["mbarrier"] = decodeMbarrier;
}
