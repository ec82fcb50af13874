// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A launch: CTAs that are resident at the same time, their warps, and the scheduler that runs them.
//
// Threads run one at a time, each until it must wait, and nothing keeps the lanes of a warp together but the
// instructions that say so: that is what independent thread scheduling allows, and more hostile to missing
// synchronisation than lockstep. Which warp comes next, how long it may run, and when each asynchronous operation
// completes are drawn from a seeded generator. A launch in which no thread can proceed and no operation is in flight
// is a dead-lock.

#ifndef WEFT_TEST_PTX_LAUNCH_H
#define WEFT_TEST_PTX_LAUNCH_H

#include "test/ptx/Async.h"
#include "test/ptx/DeviceMemory.h"
#include "test/ptx/Races.h"
#include "test/ptx/SharedMemory.h"
#include "test/ptx/Thread.h"

#include <deque>
#include <optional>

namespace weft::ptx {

/// A small generator: the same numbers on every machine.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 1) {}
  /// Below a positive limit.
  uint32_t below(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>((state >> 32) * limit >> 32);
  }

private:
  uint64_t state;
};

/// One of the sixteen barriers of a CTA.
struct NamedBarrier {
  /// 0 while nobody has arrived; the threads that are expected otherwise.
  uint32_t expected = 0, arrived = 0;
  bool wholeCta = false;
  /// What those who arrived have published.
  Clock clock;
};

/// A matrix product that a warp has issued and that is not known to be complete.
struct PendingProduct {
  const Instruction *instruction = nullptr;
  uint64_t descriptorA = 0, descriptorB = 0;
  bool accumulate = false;
  /// Whether it has been computed, and to which group it belongs once that is committed.
  bool done = false, committed = false;
  uint32_t group = 0;
  /// The chunks of 16 bytes that it reads.
  std::vector<uint32_t> granules;
};

/// 32 threads.
class Warp {
public:
  Cta *cta = nullptr;
  Thread *threads = nullptr;
  uint32_t index = 0, size = 0;
  /// In the order of issue.
  std::deque<PendingProduct> products;
  uint32_t productGroups = 0, productsIssued = 0;
  /// As setmaxnreg left it.
  uint32_t registersPerThread = 0;

  /// The lanes that have not exited.
  uint32_t live() const;
};

/// A resident CTA.
class Cta {
public:
  Launch *launch = nullptr;
  const Kernel *kernel = nullptr;
  /// %ctaid and %smid.
  uint32_t id[3] = {}, processor = 0;
  SharedMemory shared;
  Races races;
  /// All threads' local memory, and their registers.
  std::vector<uint8_t> local, localWritten;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<uint64_t> registers;
  std::vector<uint8_t> registerStates;
  NamedBarrier barriers[16];
  /// Instructions executed so far, and each thread's last fence.proxy.async.
  uint64_t time = 1;
  std::vector<uint64_t> fenceTimes;
  AsyncQueue async;
  /// Registers that setmaxnreg has given back.
  int64_t freeRegisters = 0;
  /// The products that the warps of each warpgroup issue, which must agree.
  std::vector<std::vector<std::pair<uint32_t, uint64_t>>> productLogs;
  /// Threads that have not exited.
  uint32_t live = 0;
  /// Whether a thread of the warp that runs lets other warps go first.
  bool yielded = false;

  /// Becomes CTA `number` of a launch, with nothing left of the one before.
  void start(Launch &launch, uint32_t number, uint32_t processor);
  /// Runs every warp for a while. False after a fault.
  bool round(bool &progress);
  /// Releases those parked at a named barrier if everybody is there.
  void checkBarrier(uint32_t number);
  /// Where every thread is, and what the barriers wait for.
  std::string describe() const;

private:
  void startThread(Thread &thread);
  bool runWarp(Warp &warp, bool &progress);
  bool runThread(Thread &thread, bool &progress);
  bool stop(Thread &thread, Outcome outcome);
  bool runCollective(Warp &warp, Thread &first, bool &progress);
  bool finish(Thread &thread);
};

/// The size and operands of a launch.
struct LaunchShape {
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  uint32_t dynamicShared = 0;
  std::vector<uint8_t> parameters;
};

/// What the machine is like.
struct Machine {
  uint32_t processors = 4;
  uint64_t seed = 1;
  bool findRaces = true;
  /// Instructions of all threads after which a launch counts as endless.
  uint64_t instructionLimit = ~uint64_t(0);
};

/// One launch, from its first CTA to its last.
class Launch {
public:
  Launch(const Kernel &kernel, const LaunchShape &shape, DeviceMemory &memory, const Machine &machine)
      : kernel(kernel), shape(shape), memory(memory), machine(machine), random(machine.seed) {}

  const Kernel &kernel;
  const LaunchShape &shape;
  DeviceMemory &memory;
  const Machine &machine;
  Random random;
  uint64_t executed = 0;
  /// Every byte of the parameters counts as written.
  std::vector<uint8_t> parameterWritten;
  /// The last allocation that was accessed.
  Allocation *recent = nullptr;

  uint32_t threadsPerCta() const { return shape.block[0] * shape.block[1] * shape.block[2]; }
  /// Runs to the end; 0, or the number of the first fault, of which the report is then complete.
  int run();
  /// As DeviceMemory::find, but faster for neighbours.
  Allocation *find(uint64_t address, uint64_t bytes);

  /// Reports the first fault.
  void fault(FaultKind kind, const Cta &cta, std::optional<uint32_t> thread, uint32_t line, const std::string &message);
  bool failed() const { return code != 0; }
  const std::string &report() const { return text; }

private:
  void deadlock(const std::vector<std::unique_ptr<Cta>> &resident);

  int code = 0;
  std::string text;
};

/// How many CTAs of a kernel fit on one multiprocessor.
uint32_t residentCtas(const Kernel &kernel, uint32_t threads, uint32_t dynamicShared);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_LAUNCH_H
