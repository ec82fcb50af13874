// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Epochs of accesses to shared memory.

#include "test/ptx/Races.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

void Races::reset(uint32_t warps, uint32_t bytes, bool enabled) {
  isEnabled = enabled && warps <= kWarpAgents;
  numWarps = warps;
  numWords = (bytes + 3) / 4 + 4;
  known.assign(warps, Clock());
  barrierClocks.fill(Clock());
  flags = Clock();
  if (!isEnabled)
    return;
  writes.assign(numWords, 0);
  reads.assign(size_t(numWords) * warps, 0);
}

bool Races::ordered(uint32_t warp, uint32_t word, bool alsoReads) {
  const Clock &clock = known[warp];
  auto agent = static_cast<uint32_t>(writes[word] >> 32), epoch = static_cast<uint32_t>(writes[word]);
  if (epoch && agent != warp && clock.epoch[agent] < epoch) {
    conflictAgent = agent;
    conflictWord = word;
    conflictIsRead = false;
    return false;
  }
  for (uint32_t other = 0; alsoReads && other < numWarps; ++other)
    if (other != warp && reads[size_t(other) * numWords + word] > clock.epoch[other]) {
      conflictAgent = other;
      conflictWord = word;
      conflictIsRead = true;
      return false;
    }
  return true;
}

bool Races::mayRead(uint32_t warp, uint32_t address, uint32_t bytes) {
  for (uint32_t word = address / 4; isEnabled && word <= (address + bytes - 1) / 4; ++word)
    if (!ordered(warp, word, false))
      return false;
  return true;
}

bool Races::mayWrite(uint32_t warp, uint32_t address, uint32_t bytes) {
  for (uint32_t word = address / 4; isEnabled && word <= (address + bytes - 1) / 4; ++word)
    if (!ordered(warp, word, true))
      return false;
  return true;
}

void Races::noteRead(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes) {
  for (uint32_t word = address / 4; isEnabled && word <= (address + bytes - 1) / 4; ++word)
    reads[size_t(warp) * numWords + word] = epoch;
}

void Races::noteWrite(uint32_t agent, uint32_t epoch, uint32_t address, uint32_t bytes) {
  for (uint32_t word = address / 4; isEnabled && word <= (address + bytes - 1) / 4; ++word)
    writes[word] = uint64_t(agent) << 32 | epoch;
}

bool Races::read(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes) {
  if (!mayRead(warp, address, bytes))
    return false;
  noteRead(warp, epoch, address, bytes);
  return true;
}

bool Races::write(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes) {
  if (bytes < 4)
    return true;
  if (!mayWrite(warp, address, bytes))
    return false;
  noteWrite(warp, epoch, address, bytes);
  return true;
}

std::string Races::conflict() const {
  if (conflictAgent >= kWarpAgents)
    return fmt::format(
        "an asynchronous load has written at shared address {}: this warp has not waited for its mbarrier",
        conflictWord * 4);
  return fmt::format("warp {} {} at shared address {}: no barrier orders the two", conflictAgent,
                     conflictIsRead ? "reads" : "has written", conflictWord * 4);
}

void Races::publish(uint32_t warp, uint32_t &threadEpoch, Clock &where) const {
  where.join(known[warp]);
  where.epoch[warp] = std::max(where.epoch[warp], threadEpoch);
  ++threadEpoch;
}

void Races::learnPhases(uint32_t warp, uint32_t barrier, uint64_t phases) {
  if (barrier >= kBarrierAgents)
    return;
  uint32_t &epoch = known[warp].epoch[kWarpAgents + barrier];
  epoch = std::max(epoch, static_cast<uint32_t>(phases));
  known[warp].join(barrierClocks[barrier]);
}

void Races::synchronise(uint32_t warp, uint32_t &threadEpoch) {
  if (!isEnabled)
    return;
  learn(warp, flags);
  publish(warp, threadEpoch, flags);
}
