// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the lanes of a warp do together with single values: shuffles, votes, matches, reductions, election.

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

using namespace weft::ptx;

/// Calls `f(lane)` for each of the lanes, until one fails.
template <typename F> static Outcome forEach(uint32_t lanes, F f) {
  for (; lanes; lanes &= lanes - 1)
    if (Outcome outcome = f(static_cast<uint32_t>(std::countr_zero(lanes))); outcome != Outcome::Next)
      return outcome;
  return Outcome::Next;
}

//===-- Shuffle -------------------------------------------------------------===//

enum ShuffleMode : uint8_t { kUp, kDown, kButterfly, kIndex };

/// Which lane to read, and whether that is in range.
static uint32_t sourceLane(uint8_t mode, uint32_t lane, uint32_t by, uint32_t control, bool &inRange) {
  uint32_t segment = control >> 8 & 31, last = (lane & segment) | (control & 31 & ~segment), first = lane & segment;
  uint32_t source = 0;
  by &= 31;
  switch (mode) {
  case kUp:
    inRange = lane >= by && lane - by >= last;
    source = lane - by;
    break;
  case kDown:
    source = lane + by;
    inRange = source <= last;
    break;
  case kButterfly:
    source = lane ^ by;
    inRange = source <= last;
    break;
  default:
    source = first | (by & ~segment);
    inRange = source <= last;
  }
  return inRange ? source : lane;
}

/// slot: result, in range, value, by, control. mode[0]: the mode.
static Outcome shuffle(Warp &warp, uint32_t lanes, const Instruction &i) {
  uint32_t values[32];
  uint8_t states[32];
  for (uint32_t lane = 0; lane < warp.size; ++lane) {
    values[lane] = warp.threads[lane].get<uint32_t>(i.slot[2]);
    states[lane] = warp.threads[lane].state[i.slot[2]];
  }
  return forEach(lanes, [&](uint32_t lane) {
    Thread &thread = warp.threads[lane];
    if (!thread.known(i.slot[3], "says which lane to read") || !thread.known(i.slot[4], "says which lane to read"))
      return Outcome::Fault;
    bool inRange = false;
    uint32_t from =
        sourceLane(i.mode[0], lane, thread.get<uint32_t>(i.slot[3]), thread.get<uint32_t>(i.slot[4]), inRange);
    // What a lane that does not take part would give is undefined.
    uint8_t state = lanes >> from & 1 ? states[from] : uint8_t(kSettled);
    if (thread.put<uint32_t>(i.slot[0], values[from], state) != Outcome::Next)
      return Outcome::Fault;
    return thread.putPredicate(i.slot[1], inRange, kPlain);
  });
}

static bool takeMembers(Decoder &d, size_t at) {
  if (!d.source(at, 0, Type::B32))
    return false;
  d.instruction.memberMask = d.instruction.slot[0];
  d.instruction.run = joinMembers;
  return true;
}

/// A destination of the form `d|p`.
static bool takePair(Decoder &d, uint32_t &first, uint32_t &second) {
  const Operand &operand = d.operand(0);
  bool isPair = operand.kind == Operand::Kind::Pair;
  first = d.slotOf(isPair ? operand.elements[0] : operand, Type::None);
  second = isPair ? d.slotOf(operand.elements[1], Type::None) : kSinkSlot;
  return isPair || operand.kind == Operand::Kind::Register || operand.kind == Operand::Kind::Sink;
}

static bool decodeShuffle(Decoder &d) {
  Instruction &i = d.instruction;
  i.mode[0] = static_cast<uint8_t>(d.takeOneOf({"up", "down", "bfly", "idx"}));
  if (!d.take("sync") || i.mode[0] > kIndex || !d.take("b32") || !d.count(5, 5) || !takeMembers(d, 4))
    return false;
  i.collective = shuffle;
  return takePair(d, i.slot[0], i.slot[1]) && d.source(1, 2, Type::B32) && d.source(2, 3, Type::B32) &&
         d.source(3, 4, Type::B32);
}

//===-- Vote and match ------------------------------------------------------===//

enum VoteMode : uint8_t { kAll, kAny, kUniform, kBallot };

/// slot: result, predicate. mode[0]: the mode; mode[1]: the predicate is negated.
static Outcome vote(Warp &warp, uint32_t lanes, const Instruction &i) {
  uint32_t trues = 0;
  for (uint32_t rest = lanes; rest; rest &= rest - 1) {
    uint32_t lane = static_cast<uint32_t>(std::countr_zero(rest));
    if (!warp.threads[lane].known(i.slot[1], "is voted on"))
      return Outcome::Fault;
    if (warp.threads[lane].getPredicate(i.slot[1]) != bool(i.mode[1]))
      trues |= 1u << lane;
  }
  uint32_t result = i.mode[0] == kAll       ? trues == lanes
                    : i.mode[0] == kAny     ? trues != 0
                    : i.mode[0] == kUniform ? !trues || trues == lanes
                                            : trues;
  return forEach(lanes, [&](uint32_t lane) { return warp.threads[lane].put<uint32_t>(i.slot[0], result, kPlain); });
}

static bool decodeVote(Decoder &d) {
  Instruction &i = d.instruction;
  i.mode[0] = static_cast<uint8_t>(d.takeOneOf({"all", "any", "uni", "ballot"}));
  if (!d.take("sync") || i.mode[0] > kBallot || !d.take(i.mode[0] == kBallot ? "b32" : "pred") || !d.count(3, 3) ||
      !takeMembers(d, 2))
    return false;
  i.mode[1] = d.operand(1).negated;
  i.slot[1] = d.slotOf(d.operand(1), Type::Pred);
  i.collective = vote;
  return d.destination(0, 0);
}

/// slot: result, all equal, value. mode[0]: all; mode[1]: 64 bits.
static Outcome match(Warp &warp, uint32_t lanes, const Instruction &i) {
  auto value = [&](uint32_t lane) {
    return i.mode[1] ? warp.threads[lane].get<uint64_t>(i.slot[2]) : warp.threads[lane].get<uint32_t>(i.slot[2]);
  };
  auto equalTo = [&](uint32_t lane) {
    uint32_t result = 0;
    for (uint32_t rest = lanes; rest; rest &= rest - 1)
      if (value(std::countr_zero(rest)) == value(lane))
        result |= 1u << std::countr_zero(rest);
    return result;
  };
  uint32_t results[32] = {};
  for (uint32_t rest = lanes; rest; rest &= rest - 1) {
    uint32_t lane = std::countr_zero(rest);
    if (!warp.threads[lane].known(i.slot[2], "is compared between lanes"))
      return Outcome::Fault;
    results[lane] = equalTo(lane);
  }
  return forEach(lanes, [&](uint32_t lane) {
    bool all = results[lane] == lanes;
    if (warp.threads[lane].put<uint32_t>(i.slot[0], i.mode[0] && !all ? 0 : results[lane], kPlain) != Outcome::Next)
      return Outcome::Fault;
    return warp.threads[lane].putPredicate(i.slot[1], all, kPlain);
  });
}

static bool decodeMatch(Decoder &d) {
  Instruction &i = d.instruction;
  int mode = d.takeOneOf({"any", "all"});
  Type type = d.takeLastType();
  i.mode[0] = mode == 1;
  i.mode[1] = type == Type::B64;
  i.collective = match;
  return d.take("sync") && mode >= 0 && bytesOf(type) >= 4 && d.count(3, 3) && takeMembers(d, 2) &&
         takePair(d, i.slot[0], i.slot[1]) && d.source(1, 2, type);
}

//===-- Reduction, election, synchronisation --------------------------------===//

enum ReduceOp : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor };

static uint32_t reduce(uint8_t op, bool isSigned, uint32_t a, uint32_t b) {
  auto less = isSigned ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  switch (op) {
  case kAdd:
    return a + b;
  case kMin:
    return less ? a : b;
  case kMax:
    return less ? b : a;
  case kAnd:
    return a & b;
  case kOr:
    return a | b;
  default:
    return a ^ b;
  }
}

static Outcome reduceLanes(Warp &warp, uint32_t lanes, const Instruction &i) {
  uint8_t state = kPlain;
  uint32_t result = warp.threads[std::countr_zero(lanes)].get<uint32_t>(i.slot[1]);
  for (uint32_t rest = lanes, first = 1; rest; rest &= rest - 1, first = 0) {
    Thread &thread = warp.threads[std::countr_zero(rest)];
    state &= thread.state[i.slot[1]];
    if (!first)
      result = reduce(i.mode[0], i.mode[1], result, thread.get<uint32_t>(i.slot[1]));
  }
  return forEach(lanes, [&](uint32_t lane) { return warp.threads[lane].put<uint32_t>(i.slot[0], result, state); });
}

static bool decodeReduce(Decoder &d) {
  Instruction &i = d.instruction;
  int op = d.takeOneOf({"add", "min", "max", "and", "or", "xor"});
  Type type = d.takeLastType();
  i.mode[0] = static_cast<uint8_t>(op);
  i.mode[1] = isSigned(type);
  i.collective = reduceLanes;
  return d.take("sync") && op >= 0 && bytesOf(type) == 4 && isInteger(type) && d.count(3, 3) && takeMembers(d, 2) &&
         d.destination(0, 0) && d.source(1, 1, type);
}

static Outcome elect(Warp &warp, uint32_t lanes, const Instruction &i) {
  uint32_t leader = std::countr_zero(lanes);
  return forEach(lanes, [&](uint32_t lane) {
    if (warp.threads[lane].put<uint32_t>(i.slot[0], leader, kPlain) != Outcome::Next)
      return Outcome::Fault;
    return warp.threads[lane].putPredicate(i.slot[1], lane == leader, kPlain);
  });
}

static bool decodeElect(Decoder &d) {
  d.instruction.collective = elect;
  return d.take("sync") && d.count(2, 2) && takeMembers(d, 1) &&
         takePair(d, d.instruction.slot[0], d.instruction.slot[1]);
}

/// Lanes are never known to be together, so each sees itself alone.
static Outcome activeMask(Thread &thread, const Instruction &i) {
  return thread.put<uint32_t>(i.slot[0], 1u << thread.lane(), kPlain);
}

static bool decodeActiveMask(Decoder &d) {
  d.instruction.run = activeMask;
  return d.take("b32") && d.count(1, 1) && d.destination(0, 0);
}

void weft::ptx::addWarpInstructions(DecodeTable &table) {
  table["shfl"] = decodeShuffle;
  table["vote"] = decodeVote;
  table["match"] = decodeMatch;
  table["redux"] = decodeReduce;
  table["elect"] = decodeElect;
  table["activemask"] = decodeActiveMask;
}
