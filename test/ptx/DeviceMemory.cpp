// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pages come from mmap: memory that a kernel never touches costs nothing.

#include "test/ptx/DeviceMemory.h"

#include <sys/mman.h>

using namespace weft::ptx;

static uint8_t *reserve(uint64_t bytes) {
  void *pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<uint8_t *>(pages);
}

static void unmap(Allocation &allocation) {
  munmap(allocation.data, allocation.size);
  munmap(allocation.written, allocation.size);
}

uint64_t DeviceMemory::allocate(uint64_t bytes, bool readOnly) {
  if (!bytes || bytes > uint64_t(1) << 40)
    return 0;
  Allocation allocation{next, bytes, reserve(bytes), reserve(bytes), readOnly};
  if (!allocation.data || !allocation.written)
    return 0;
  next = (next + bytes + kGap + 255) / 256 * 256;
  allocations.emplace(allocation.address, allocation);
  return allocation.address;
}

bool DeviceMemory::release(uint64_t address) {
  auto found = allocations.find(address);
  if (found == allocations.end())
    return false;
  unmap(found->second);
  allocations.erase(found);
  return true;
}

void DeviceMemory::clear() {
  for (auto &[address, allocation] : allocations)
    unmap(allocation);
  allocations.clear();
}

Allocation *DeviceMemory::find(uint64_t address, uint64_t bytes) {
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin())
    return nullptr;
  Allocation &candidate = std::prev(after)->second;
  return candidate.contains(address, bytes) ? &candidate : nullptr;
}

const Allocation *DeviceMemory::below(uint64_t address) const {
  auto after = allocations.upper_bound(address);
  return after == allocations.begin() ? nullptr : &std::prev(after)->second;
}
