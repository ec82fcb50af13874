// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The states of shared memory's bytes.

#include "test/ptx/SharedMemory.h"

#include "test/ptx/Instruction.h"

#include <fmt/format.h>

using namespace weft::ptx;

void SharedMemory::reset(uint32_t bytes) {
  uint32_t size = (kSharedStart + bytes + 15) / 16 * 16;
  data.assign(size, 0xcb);
  written.assign(size, 0);
  readers.assign(size / 4, 0);
  writers.assign(size / 4, 0);
  writes.assign(size / 4, 0);
  barriers.clear();
  barrierIndex.assign(size / 8, 0);
  data.resize(kSharedStart + bytes);
}

bool SharedMemory::contains(uint64_t address, uint64_t bytes) const {
  return address >= kSharedStart && address <= data.size() && bytes <= data.size() - address;
}

bool SharedMemory::mayRead(uint32_t address, uint32_t bytes) const {
  return !any(writers, address, bytes) && !touchesBarrier(address, bytes);
}

bool SharedMemory::mayWrite(uint32_t address, uint32_t bytes) const {
  return mayRead(address, bytes) && !any(readers, address, bytes);
}

std::string SharedMemory::whyNot(uint32_t address, uint32_t bytes, bool write) const {
  if (touchesBarrier(address, bytes))
    return "touches a live mbarrier object";
  if (hasWriter(address, bytes))
    return write ? "overwrites bytes that an asynchronous copy in flight still writes"
                 : "reads bytes that an asynchronous copy in flight still writes";
  return "overwrites bytes that an asynchronous operation in flight may still read";
}

void SharedMemory::noteWrite(uint32_t address, uint32_t bytes, uint32_t thread, uint64_t time) {
  for (uint32_t granule = address / 4; granule <= (address + bytes - 1) / 4; ++granule)
    writes[granule] = time * 2048 + thread;
}

int SharedMemory::unfencedWriter(uint32_t address, uint32_t bytes, const std::vector<uint64_t> &fenceTimes,
                                 uint32_t issuer) const {
  for (uint32_t granule = address / 4; granule <= (address + bytes - 1) / 4; ++granule) {
    uint64_t time = writes[granule] / 2048;
    uint32_t thread = writes[granule] % 2048;
    if (time && fenceTimes[thread] <= time && fenceTimes[issuer] <= time)
      return static_cast<int>(thread);
  }
  return -1;
}

Mbarrier *SharedMemory::barrierAt(uint32_t address) {
  uint16_t index = address % 8 ? 0 : barrierIndex[address / 8];
  return index ? &barriers[index - 1] : nullptr;
}

Mbarrier &SharedMemory::makeBarrier(uint32_t address) {
  barriers.push_back({});
  barriers.back().address = address;
  barriers.back().number = static_cast<uint32_t>(barriers.size()) - 1;
  barriers.back().live = true;
  barrierIndex[address / 8] = static_cast<uint16_t>(barriers.size());
  return barriers.back();
}

bool SharedMemory::touchesBarrier(uint32_t address, uint32_t bytes) const {
  for (uint32_t word = address / 8; word <= (address + bytes - 1) / 8; ++word)
    if (barrierIndex[word])
      return true;
  return false;
}

void SharedMemory::removeBarrier(Mbarrier &barrier) {
  barrierIndex[barrier.address / 8] = 0;
  barrier.live = false;
}

std::string SharedMemory::describeBarriers() const {
  std::string text;
  for (const Mbarrier &barrier : barriers)
    if (barrier.live)
      text += fmt::format("  mbarrier at {}: phase {}, {} of {} arrivals and {} bytes pending\n", barrier.address,
                          barrier.phase, barrier.pendingArrivals, barrier.count, barrier.pendingBytes);
  return text;
}
