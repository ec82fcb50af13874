// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A CTA's shared memory and what is known about each of its bytes.
//
// The values alone would hide most mistakes: a buffer that is read too early usually holds the right bytes by then. So
// every granule of four bytes remembers
//
//  - how many asynchronous operations may still read or write it: an ordinary access that they would race with is
//    reported, whether or not this run's timing makes the race visible;
//  - which thread wrote it last through the generic proxy, and when: an asynchronous operation may only see what has
//    passed a fence.proxy.async since, of the writer or, ordered behind it, of whoever issues the operation;
//
// and every byte whether it was ever written. Times are counts of executed instructions.

#ifndef WEFT_TEST_PTX_SHAREDMEMORY_H
#define WEFT_TEST_PTX_SHAREDMEMORY_H

#include <cstdint>
#include <string>
#include <vector>

namespace weft::ptx {

/// An mbarrier object: a phase completes when no arrival and no byte is pending.
struct Mbarrier {
  uint32_t address = 0, count = 0;
  /// How many objects the CTA had before.
  uint32_t number = 0;
  int64_t pendingArrivals = 0, pendingBytes = 0;
  uint64_t phase = 0;
  bool live = false;
};

/// Shared memory of one CTA.
class SharedMemory {
public:
  /// Uninitialised memory of kSharedStart + bytes bytes; addresses below kSharedStart belong to the hardware.
  void reset(uint32_t bytes);

  bool contains(uint64_t address, uint64_t bytes) const;
  uint32_t end() const { return static_cast<uint32_t>(data.size()); }

  /// \name A generic access
  /// Whether it may be, and if not, why. Bounds and alignment are the caller's.
  ///@{
  bool mayRead(uint32_t address, uint32_t bytes) const;
  bool mayWrite(uint32_t address, uint32_t bytes) const;
  std::string whyNot(uint32_t address, uint32_t bytes, bool write) const;
  void noteWrite(uint32_t address, uint32_t bytes, uint32_t thread, uint64_t time);
  ///@}

  /// \name An asynchronous access of 4-byte granules, from its issue to its completion
  ///@{
  void beginRead(uint32_t address, uint32_t bytes) { count(readers, address, bytes, 1); }
  void endRead(uint32_t address, uint32_t bytes) { count(readers, address, bytes, -1); }
  void beginWrite(uint32_t address, uint32_t bytes) { count(writers, address, bytes, 1); }
  void endWrite(uint32_t address, uint32_t bytes) { count(writers, address, bytes, -1); }
  bool hasWriter(uint32_t address, uint32_t bytes) const { return any(writers, address, bytes); }
  ///@}

  /// The thread whose generic write to these bytes no proxy fence covers, or -1.
  int unfencedWriter(uint32_t address, uint32_t bytes, const std::vector<uint64_t> &fenceTimes, uint32_t issuer) const;

  /// The live barrier object at an address, or null.
  Mbarrier *barrierAt(uint32_t address);
  /// Makes a barrier object; the address is a multiple of 8 in bounds.
  Mbarrier &makeBarrier(uint32_t address);
  /// Whether any of these bytes belongs to a live barrier object.
  bool touchesBarrier(uint32_t address, uint32_t bytes) const;
  /// Ends the object's life.
  void removeBarrier(Mbarrier &barrier);
  /// A line for every live barrier object.
  std::string describeBarriers() const;

  /// The bytes, from address 0, and whether each was ever written.
  std::vector<uint8_t> data, written;

private:
  static void count(std::vector<uint16_t> &counts, uint32_t address, uint32_t bytes, int by) {
    for (uint32_t granule = address / 4; granule <= (address + bytes - 1) / 4; ++granule)
      counts[granule] = static_cast<uint16_t>(counts[granule] + by);
  }
  static bool any(const std::vector<uint16_t> &counts, uint32_t address, uint32_t bytes) {
    uint16_t all = 0;
    for (uint32_t granule = address / 4; granule <= (address + bytes - 1) / 4; ++granule)
      all |= counts[granule];
    return all;
  }

  std::vector<uint16_t> readers, writers;
  /// Time * 2048 + thread of the last generic write; 0 where there was none.
  std::vector<uint64_t> writes;
  std::vector<Mbarrier> barriers;
  /// Per 8 bytes: 1 + the index of the barrier object there.
  std::vector<uint16_t> barrierIndex;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_SHAREDMEMORY_H
