// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The life of asynchronous copies.

#include "test/ptx/Launch.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

bool weft::ptx::arriveAt(Mbarrier &barrier, uint32_t arrivals, int64_t bytes, std::string &message) {
  constexpr int64_t kMostBytes = (1 << 20) - 1;
  barrier.pendingBytes += bytes;
  if (barrier.pendingBytes > kMostBytes || barrier.pendingBytes < -kMostBytes) {
    message =
        fmt::format("the mbarrier at {} has {} pending bytes, beyond 2^20 - 1", barrier.address, barrier.pendingBytes);
    return false;
  }
  if (arrivals > barrier.pendingArrivals) {
    message = fmt::format("over-arrival: the mbarrier at {} (count {}, phase {}) expects {} more arrivals, but got {}",
                          barrier.address, barrier.count, barrier.phase, barrier.pendingArrivals, arrivals);
    return false;
  }
  barrier.pendingArrivals -= arrivals;
  if (barrier.pendingArrivals == 0 && barrier.pendingBytes == 0) {
    ++barrier.phase;
    barrier.pendingArrivals = barrier.count;
  }
  return true;
}

void AsyncQueue::reset(Cta &owner, uint32_t threads) {
  cta = &owner;
  copies.clear();
  arrivals.clear();
  storeGroups.assign(threads, 0);
  elementGroups.assign(threads, 0);
  earliest = ~uint64_t(0);
}

bool AsyncQueue::fault(const AsyncCopy &copy, bool illegal, const std::string &message) {
  cta->launch->fault(illegal ? FaultKind::Illegal : FaultKind::Failed, *cta, copy.thread, copy.line, message);
  return false;
}

/// Short delays and very long ones are equally likely.
uint64_t AsyncQueue::drawDue() {
  Random &random = cta->launch->random;
  return cta->time + 1 + random.below(1u << random.below(17));
}

/// Why a copy may not touch a piece of shared memory now, or empty.
std::string AsyncQueue::objection(const Thread &thread, const AsyncCopy &copy, const Piece &piece) {
  bool isStore = copy.kind == AsyncCopy::Kind::Store;
  SharedMemory &shared = cta->shared;
  Races &races = cta->races;
  if (!(isStore ? shared.mayRead(piece.shared, piece.span) : shared.mayWrite(piece.shared, piece.span)))
    return fmt::format("{} (shared address {})", shared.whyNot(piece.shared, piece.span, !isStore), piece.shared);
  if (!(isStore ? races.mayRead(thread.warp(), piece.shared, piece.span)
                : races.mayWrite(thread.warp(), piece.shared, piece.span)))
    return fmt::format("race: {} what {}", isStore ? "reads" : "overwrites", races.conflict());
  // Element copies belong to the generic proxy.
  int writer = copy.kind == AsyncCopy::Kind::Element
                   ? -1
                   : shared.unfencedWriter(piece.shared, piece.span, cta->fenceTimes, thread.index);
  if (writer >= 0)
    return fmt::format("missing fence.proxy.async: thread {} wrote shared address {} through the generic proxy", writer,
                       piece.shared);
  return {};
}

bool AsyncQueue::issue(Thread &thread, AsyncCopy copy) {
  copy.thread = thread.index;
  copy.line = cta->kernel->code[thread.pc].line;
  copy.sequence = ++sequence;
  copy.due = drawDue();
  bool isStore = copy.kind == AsyncCopy::Kind::Store;
  copy.group = (isStore ? storeGroups : elementGroups)[thread.index];
  for (const Piece &piece : copy.pieces)
    if (std::string why = objection(thread, copy, piece); !why.empty())
      return fault(copy, false, why);
  for (const Piece &piece : copy.pieces)
    isStore ? cta->shared.beginRead(piece.shared, piece.span) : cta->shared.beginWrite(piece.shared, piece.span);
  earliest = std::min(earliest, copy.due);
  copies.push_back(std::move(copy));
  return true;
}

void AsyncQueue::issueArrival(Thread &thread, uint32_t barrier) {
  arrivals.push_back({thread.index, cta->kernel->code[thread.pc].line, barrier, ++sequence, drawDue()});
  earliest = std::min(earliest, arrivals.back().due);
}

void AsyncQueue::commit(Thread &thread, AsyncCopy::Kind kind) {
  ++(kind == AsyncCopy::Kind::Store ? storeGroups : elementGroups)[thread.index];
}

void AsyncQueue::unmark(AsyncCopy &copy) {
  if (copy.over)
    return;
  copy.over = true;
  for (const Piece &piece : copy.pieces)
    copy.kind == AsyncCopy::Kind::Store ? cta->shared.endRead(piece.shared, piece.span)
                                        : cta->shared.endWrite(piece.shared, piece.span);
}

bool AsyncQueue::fillShared(AsyncCopy &copy) {
  SharedMemory &shared = cta->shared;
  for (const Piece &piece : copy.pieces) {
    uint8_t *to = &shared.data[piece.shared], *written = &shared.written[piece.shared];
    for (uint32_t at = 0; piece.bytes < piece.span && at < piece.span; ++at)
      to[at] = static_cast<uint8_t>(copy.fill >> 8 * (at % 2));
    std::memset(written, 1, piece.span);
    if (copy.kind == AsyncCopy::Kind::Element)
      shared.noteWrite(piece.shared, piece.span, copy.thread, cta->time);
    if (!piece.bytes)
      continue;
    Allocation *from = cta->launch->find(piece.global, piece.bytes);
    if (!from)
      return fault(copy, true,
                   fmt::format("an asynchronous copy reads {} bytes at global address {:#x}, out of bounds",
                               piece.bytes, piece.global));
    std::memcpy(to + piece.first, from->data + (piece.global - from->address), piece.bytes);
    std::memcpy(written + piece.first, from->written + (piece.global - from->address), piece.bytes);
  }
  return true;
}

/// What a phase of a barrier has brought.
void AsyncQueue::noteWrite(const Piece &piece, const Mbarrier &barrier) {
  uint32_t agent = kWarpAgents + barrier.number;
  bool isTracked = agent < kAgents;
  cta->races.noteWrite(isTracked ? agent : 0, isTracked ? static_cast<uint32_t>(barrier.phase) + 1 : 0, piece.shared,
                       piece.span);
}

bool AsyncQueue::signal(AsyncCopy &copy) {
  Mbarrier *barrier = cta->shared.barrierAt(copy.barrier);
  if (!barrier)
    return fault(copy, false,
                 fmt::format("an asynchronous copy signals shared address {}, which holds no live mbarrier object",
                             copy.barrier));
  copy.phase = barrier->phase;
  for (const Piece &piece : copy.pieces)
    noteWrite(piece, *barrier);
  std::string message;
  return arriveAt(*barrier, 0, -int64_t(copy.bytes), message) || fault(copy, false, message);
}

void AsyncQueue::observe(const Mbarrier &barrier) {
  for (AsyncCopy &copy : copies)
    if (copy.kind == AsyncCopy::Kind::Load && copy.performed && copy.barrier == barrier.address &&
        copy.phase < barrier.phase)
      unmark(copy);
  std::erase_if(copies, [](const AsyncCopy &copy) { return copy.over && copy.performed; });
}

bool AsyncQueue::readShared(AsyncCopy &copy) {
  copy.hasRead = true;
  for (const Piece &piece : copy.pieces) {
    const uint8_t *written = &cta->shared.written[piece.shared + piece.first];
    if (std::memchr(written, 0, piece.bytes))
      return fault(copy, false,
                   fmt::format("an asynchronous store reads uninitialised bytes from shared address {}", piece.shared));
    const uint8_t *from = &cta->shared.data[piece.shared + piece.first];
    copy.staged.insert(copy.staged.end(), from, from + piece.bytes);
  }
  return true;
}

bool AsyncQueue::writeGlobal(AsyncCopy &copy) {
  size_t at = 0;
  for (const Piece &piece : copy.pieces) {
    if (!piece.bytes)
      continue;
    Allocation *to = cta->launch->find(piece.global, piece.bytes);
    if (!to || to->readOnly)
      return fault(copy, true,
                   fmt::format("an asynchronous store writes {} bytes at global address {:#x}, out of bounds",
                               piece.bytes, piece.global));
    std::memcpy(to->data + (piece.global - to->address), &copy.staged[at], piece.bytes);
    std::memset(to->written + (piece.global - to->address), 1, piece.bytes);
    at += piece.bytes;
  }
  return true;
}

/// One step towards the end: a store takes two.
bool AsyncQueue::performStep(AsyncCopy &copy) {
  if (copy.kind == AsyncCopy::Kind::Store && !copy.hasRead) {
    copy.due = drawDue();
    return readShared(copy);
  }
  copy.performed = true;
  if (copy.kind == AsyncCopy::Kind::Store)
    return writeGlobal(copy);
  if (!fillShared(copy))
    return false;
  return copy.kind != AsyncCopy::Kind::Load || signal(copy);
}

bool AsyncQueue::finish(AsyncCopy &copy, bool onlyReading) {
  while (!copy.performed && !(onlyReading && copy.hasRead))
    if (!performStep(copy))
      return false;
  unmark(copy);
  return true;
}

bool AsyncQueue::wait(Thread &thread, AsyncCopy::Kind kind, uint32_t keep, bool onlyReading) {
  uint32_t groups = (kind == AsyncCopy::Kind::Store ? storeGroups : elementGroups)[thread.index];
  for (AsyncCopy &copy : copies)
    if (copy.kind == kind && copy.thread == thread.index && copy.group < groups && copy.group + keep < groups) {
      if (!finish(copy, onlyReading))
        return false;
      for (const Piece &piece : copy.pieces)
        if (kind == AsyncCopy::Kind::Store)
          cta->races.noteRead(thread.warp(), thread.epoch, piece.shared, piece.span);
        else
          cta->races.noteWrite(thread.warp(), thread.epoch, piece.shared, piece.span);
    }
  tidy();
  return true;
}

bool AsyncQueue::waitAll(Thread &thread) {
  commit(thread, AsyncCopy::Kind::Element);
  return wait(thread, AsyncCopy::Kind::Element, 0, false);
}

bool AsyncQueue::arrive(const AsyncArrival &arrival) {
  Mbarrier *barrier = cta->shared.barrierAt(arrival.barrier);
  std::string message = fmt::format("shared address {} holds no live mbarrier object", arrival.barrier);
  for (AsyncCopy &copy : copies)
    if (copy.kind == AsyncCopy::Kind::Element && copy.thread == arrival.thread && copy.sequence < arrival.sequence) {
      if (!finish(copy, false))
        return false;
      for (const Piece &piece : copy.pieces)
        if (barrier)
          noteWrite(piece, *barrier);
    }
  if (barrier && arriveAt(*barrier, 1, 0, message))
    return true;
  cta->launch->fault(FaultKind::Failed, *cta, arrival.thread, arrival.line, message);
  return false;
}

/// Forgets what is over, and finds what is next.
void AsyncQueue::tidy() {
  std::erase_if(copies, [](const AsyncCopy &copy) { return copy.over && copy.performed; });
  earliest = ~uint64_t(0);
  for (const AsyncCopy &copy : copies)
    if (!copy.performed)
      earliest = std::min(earliest, copy.due);
  for (const AsyncArrival &arrival : arrivals)
    earliest = std::min(earliest, arrival.due);
}

bool AsyncQueue::perform(bool next, bool &progress) {
  uint64_t until = next ? std::max(cta->time, earliest) : cta->time;
  if (earliest == ~uint64_t(0) || earliest > until)
    return true;
  progress = true;
  for (AsyncCopy &copy : copies)
    if (!copy.performed && copy.due <= until && !performStep(copy))
      return false;
  for (size_t at = 0; at < arrivals.size();) {
    if (arrivals[at].due > until) {
      ++at;
      continue;
    }
    AsyncArrival arrival = arrivals[at];
    arrivals.erase(arrivals.begin() + at);
    if (!arrive(arrival))
      return false;
  }
  tidy();
  return true;
}

uint32_t AsyncQueue::unfinishedStores(uint32_t thread) const {
  return static_cast<uint32_t>(std::count_if(copies.begin(), copies.end(), [&](const AsyncCopy &copy) {
    return copy.kind == AsyncCopy::Kind::Store && copy.thread == thread && !copy.over;
  }));
}

bool AsyncQueue::drain() {
  for (AsyncCopy &copy : copies) {
    if (copy.kind == AsyncCopy::Kind::Load && !copy.performed)
      return fault(copy, false, "the CTA ends before this asynchronous load has completed");
    while (copy.kind == AsyncCopy::Kind::Store && !copy.performed)
      if (!performStep(copy))
        return false;
  }
  return true;
}
