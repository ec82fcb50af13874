// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Device memory: allocations at addresses that the host cannot dereference, and which of their bytes were ever written.

#ifndef WEFT_TEST_PTX_DEVICEMEMORY_H
#define WEFT_TEST_PTX_DEVICEMEMORY_H

#include <cstdint>
#include <map>

namespace weft::ptx {

/// One allocation; owned by DeviceMemory.
struct Allocation {
  uint64_t address = 0, size = 0;
  uint8_t *data = nullptr;
  /// One byte per byte: whether it was written.
  uint8_t *written = nullptr;
  bool readOnly = false;

  bool contains(uint64_t at, uint64_t bytes) const {
    return at >= address && at - address <= size && bytes <= size - (at - address);
  }
};

/// The allocations of a device. Addresses are not used twice, so that a stale pointer is always noticed.
class DeviceMemory {
public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory &) = delete;
  ~DeviceMemory() { clear(); }

  /// 256-byte aligned; 0 if the host has no memory left.
  uint64_t allocate(uint64_t bytes, bool readOnly = false);
  /// False unless the address is the start of an allocation.
  bool release(uint64_t address);
  void clear();
  /// The allocation that holds all these bytes, or null.
  Allocation *find(uint64_t address, uint64_t bytes);
  /// The nearest allocation at or below an address, for messages; or null.
  const Allocation *below(uint64_t address) const;

private:
  std::map<uint64_t, Allocation> allocations;
  uint64_t next = kFirst;
  /// Neither the heap nor shared libraries are ever mapped here on x86-64 and AArch64 Linux.
  static constexpr uint64_t kFirst = 0x0502'0000'0000, kGap = 1 << 16;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_DEVICEMEMORY_H
