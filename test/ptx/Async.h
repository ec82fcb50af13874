// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies that complete later than they are issued: bulk and tensor copies, and cp.async.
//
// An operation is issued, which marks its granules of shared memory; it performs at a random time, a store in two
// steps, the reading of shared memory and the writing of device memory; and it is over when somebody has waited for it,
// by its group or, for a load, by seeing the phase of its mbarrier complete. The marks stay until it is over, also if
// it performed long before: an access that nothing but luck kept apart from it is reported all the same.

#ifndef WEFT_TEST_PTX_ASYNC_H
#define WEFT_TEST_PTX_ASYNC_H

#include <cstdint>
#include <string>
#include <vector>

namespace weft::ptx {

class Cta;
class Thread;
struct Mbarrier;

/// Consecutive bytes of a copy; at least one. Of `span` bytes in shared memory, [first, first + bytes) have a
/// counterpart at `global`.
struct Piece {
  uint32_t shared = 0;
  uint16_t span = 0, first = 0, bytes = 0;
  uint64_t global = 0;
};

/// A copy.
struct AsyncCopy {
  enum class Kind : uint8_t { Load, Store, Element } kind = Kind::Load;
  std::vector<Piece> pieces;
  /// Of a load: the mbarrier to signal, by how many bytes.
  uint32_t barrier = 0, bytes = 0;
  /// What elements outside a tensor become: a pattern of two bytes.
  uint16_t fill = 0;

  /// \name Known to the queue
  ///@{
  uint32_t thread = 0, line = 0;
  /// Of a store or an element copy: its group in the issuing thread.
  uint32_t group = 0;
  uint64_t sequence = 0, due = 0;
  /// Of a load that has performed: the phase of the barrier that it signalled.
  uint64_t phase = 0;
  bool hasRead = false, performed = false, over = false;
  std::vector<uint8_t> staged;
  ///@}
};

/// cp.async.mbarrier.arrive: an arrival when the thread's earlier element copies are complete.
struct AsyncArrival {
  uint32_t thread = 0, line = 0, barrier = 0;
  uint64_t sequence = 0, due = 0;
};

/// The copies of one CTA.
class AsyncQueue {
public:
  /// Forgets everything, for a new CTA.
  void reset(Cta &owner, uint32_t threads);
  /// Marks the granules of a new copy and takes it on. False after a fault.
  bool issue(Thread &thread, AsyncCopy copy);
  /// An arrival at the barrier object at an address, once the thread's element copies so far are complete.
  void issueArrival(Thread &thread, uint32_t barrier);
  /// Ends the issuing thread's current group of stores or of element copies.
  void commit(Thread &thread, AsyncCopy::Kind kind);
  /// Ends the groups of this thread but the latest `keep`; of stores perhaps only their reading. False after a fault.
  bool wait(Thread &thread, AsyncCopy::Kind kind, uint32_t keep, bool onlyReading);
  /// Ends the loads that signalled phases which a thread has seen complete.
  void observe(const Mbarrier &barrier);
  /// Ends all element copies of this thread, committed or not.
  bool waitAll(Thread &thread);
  /// Performs what is due, or the next if there is no hurry to wait for. False after a fault.
  bool perform(bool next, bool &progress);
  /// When something performs next.
  uint64_t nextDue() const { return earliest; }
  /// Stores of this thread for which nothing waits until they have read shared memory.
  uint32_t unfinishedStores(uint32_t thread) const;
  /// Lets everything left reach memory, after the last thread's exit.
  bool drain();

private:
  std::string objection(const Thread &thread, const AsyncCopy &copy, const Piece &piece);
  bool performStep(AsyncCopy &copy);
  bool fillShared(AsyncCopy &copy);
  bool readShared(AsyncCopy &copy);
  bool writeGlobal(AsyncCopy &copy);
  bool signal(AsyncCopy &copy);
  void noteWrite(const Piece &piece, const Mbarrier &barrier);
  bool arrive(const AsyncArrival &arrival);
  bool finish(AsyncCopy &copy, bool onlyReading);
  void unmark(AsyncCopy &copy);
  bool fault(const AsyncCopy &copy, bool illegal, const std::string &message);
  void tidy();
  uint64_t drawDue();

  Cta *cta = nullptr;
  std::vector<AsyncCopy> copies;
  std::vector<AsyncArrival> arrivals;
  std::vector<uint32_t> storeGroups, elementGroups;
  uint64_t earliest = ~uint64_t(0), sequence = 0;
};

/// Arrives at a barrier object and accounts for bytes that are expected (positive) or have come. False with a message
/// if it may not.
bool arriveAt(Mbarrier &barrier, uint32_t arrivals, int64_t bytes, std::string &message);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_ASYNC_H
