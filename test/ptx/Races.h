// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Races in shared memory between warps, found whether or not this run's order of threads makes them visible.
//
// Every warp counts epochs. It publishes its count, with all it knows of the counts of others, when one of its threads
// arrives at a barrier; whoever that barrier lets go learns what has been published there. A phase of an mbarrier is an
// agent of its own, on whose behalf asynchronous loads write. Memory remembers for every word the agent and epoch of
// the last write and each warp's last read. An access is ordered behind those whose epochs its warp knows; if it
// conflicts with another, nothing in the program orders the two.
//
// The lanes of a warp count as executed together, although threads run one at a time: what a lane does between two
// instructions of the whole warp is never later than another lane's arrival there. So a lane's arrival covers its
// fellow lanes, as on hardware, and races within a warp are not found. Words are the unit; narrower writes are not
// looked at.

#ifndef WEFT_TEST_PTX_RACES_H
#define WEFT_TEST_PTX_RACES_H

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace weft::ptx {

/// The agents: warps, and the mbarrier objects of a CTA in order of initialisation. Further objects are not tracked.
constexpr uint32_t kWarpAgents = 32, kBarrierAgents = 32, kAgents = kWarpAgents + kBarrierAgents;

/// How far each agent has come, as far as is known.
struct Clock {
  std::array<uint32_t, kAgents> epoch = {};

  void join(const Clock &other) {
    for (uint32_t agent = 0; agent < kAgents; ++agent)
      epoch[agent] = epoch[agent] < other.epoch[agent] ? other.epoch[agent] : epoch[agent];
  }
};

/// The order of accesses to one CTA's shared memory.
class Races {
public:
  void reset(uint32_t warps, uint32_t bytes, bool enabled);

  /// \name Accesses of a warp, in an epoch of one of its threads
  /// They return whether the access is ordered behind all that conflict with it; `conflict` then names one that is not.
  ///@{
  bool read(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes);
  bool write(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes);
  /// Of an asynchronous operation, when the warp issues it.
  bool mayRead(uint32_t warp, uint32_t address, uint32_t bytes);
  bool mayWrite(uint32_t warp, uint32_t address, uint32_t bytes);
  /// The same, when it is over; `agent` may be a barrier's.
  void noteRead(uint32_t warp, uint32_t epoch, uint32_t address, uint32_t bytes);
  void noteWrite(uint32_t agent, uint32_t epoch, uint32_t address, uint32_t bytes);
  std::string conflict() const;
  ///@}

  /// \name Order
  ///@{
  /// What a thread of the warp publishes; its next epoch begins.
  void publish(uint32_t warp, uint32_t &threadEpoch, Clock &where) const;
  void learn(uint32_t warp, const Clock &published) { known[warp].join(published); }
  /// The warp has seen phases of a barrier complete.
  void learnPhases(uint32_t warp, uint32_t barrier, uint64_t phases);
  /// Through memory that both sides access as strongly as flags demand.
  void synchronise(uint32_t warp, uint32_t &threadEpoch);
  ///@}
  /// What has been published at each mbarrier object.
  Clock &atBarrier(uint32_t barrier) { return barrierClocks[barrier % kBarrierAgents]; }

private:
  /// Looks at a word's last write, or at all reads by other warps.
  bool ordered(uint32_t warp, uint32_t word, bool alsoReads);

  bool isEnabled = false;
  uint32_t numWarps = 0, numWords = 0;
  std::vector<Clock> known;
  std::array<Clock, kBarrierAgents> barrierClocks;
  Clock flags;
  /// Per word: agent * 2^32 + epoch of the last write; 0 where there was none.
  std::vector<uint64_t> writes;
  /// For each warp and word, the epoch of the last read.
  std::vector<uint32_t> reads;
  uint32_t conflictAgent = 0, conflictWord = 0;
  bool conflictIsRead = false;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_RACES_H
