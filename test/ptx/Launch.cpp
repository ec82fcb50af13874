// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The scheduler.

#include "test/ptx/Launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

using namespace weft::ptx;

uint32_t weft::ptx::residentCtas(const Kernel &kernel, uint32_t threads, uint32_t dynamicShared) {
  constexpr uint32_t kSharedPerProcessor = 233472, kThreadsPerProcessor = 2048, kMostCtas = 32;
  uint32_t warpThreads = (threads + 31) / 32 * 32;
  uint32_t shared = kernel.staticShared + dynamicShared + kSharedStart;
  return std::min({kMostCtas, kThreadsPerProcessor / warpThreads, kSharedPerProcessor / shared});
}

uint32_t Warp::live() const {
  uint32_t lanes = 0;
  for (uint32_t lane = 0; lane < size; ++lane)
    if (threads[lane].status != Thread::Status::Done)
      lanes |= 1u << lane;
  return lanes;
}

//===-- Start ---------------------------------------------------------------===//

static uint64_t valueOf(Special special, const Cta &cta, uint32_t thread) {
  const LaunchShape &shape = cta.launch->shape;
  uint32_t lane = thread % 32;
  switch (special) {
  case Special::TidX:
    return thread % shape.block[0];
  case Special::TidY:
    return thread / shape.block[0] % shape.block[1];
  case Special::TidZ:
    return thread / shape.block[0] / shape.block[1];
  case Special::CtaX:
  case Special::CtaY:
  case Special::CtaZ:
    return cta.id[static_cast<int>(special) - static_cast<int>(Special::CtaX)];
  case Special::NtidX:
  case Special::NtidY:
  case Special::NtidZ:
    return shape.block[static_cast<int>(special) - static_cast<int>(Special::NtidX)];
  case Special::NctaX:
  case Special::NctaY:
  case Special::NctaZ:
    return shape.grid[static_cast<int>(special) - static_cast<int>(Special::NctaX)];
  case Special::LaneId:
    return lane;
  case Special::WarpId:
    return thread / 32;
  case Special::NWarpId:
    return cta.warps.size();
  case Special::SmId:
    return cta.processor;
  case Special::NSmId:
    return cta.launch->machine.processors;
  case Special::DynamicShared:
    return shape.dynamicShared;
  case Special::TotalShared:
    return cta.shared.end();
  case Special::MaskEq:
    return 1u << lane;
  case Special::MaskLt:
    return (1u << lane) - 1;
  case Special::MaskLe:
    return (2u << lane) - 1;
  case Special::MaskGt:
    return ~((2u << lane) - 1);
  case Special::MaskGe:
    return ~((1u << lane) - 1);
  case Special::GridId:
    return 1;
  }
  return 0;
}

void Cta::startThread(Thread &thread) {
  for (auto [slot, value] : kernel->constants) {
    thread.bits[slot] = value;
    thread.state[slot] = kPlain;
  }
  for (auto [slot, special] : kernel->specials) {
    thread.bits[slot] = valueOf(special, *this, thread.index) & 0xffffffff;
    thread.state[slot] = kPlain;
  }
}

/// The registers that a thread has at launch, as ptxas derives them from the threads of the CTAs that are to fit.
static uint32_t registersAtLaunch(const Kernel &kernel, uint32_t threads) {
  return std::min(255u, 65536 / (threads * kernel.minCtas) / 8 * 8);
}

void Cta::start(Launch &owner, uint32_t number, uint32_t onProcessor) {
  launch = &owner;
  kernel = &owner.kernel;
  processor = onProcessor;
  const LaunchShape &shape = owner.shape;
  id[0] = number % shape.grid[0];
  id[1] = number / shape.grid[0] % shape.grid[1];
  id[2] = number / shape.grid[0] / shape.grid[1];
  uint32_t count = owner.threadsPerCta(), slots = kernel->slots();
  uint32_t sharedEnd =
      shape.dynamicShared ? kernel->dynamicBase + shape.dynamicShared : kSharedStart + kernel->staticShared;
  shared.reset(sharedEnd - kSharedStart);
  races.reset((count + 31) / 32, sharedEnd, owner.machine.findRaces);
  local.assign(size_t(count) * kernel->localBytes, 0);
  localWritten.assign(local.size(), 0);
  registers.resize(size_t(count) * slots);
  registerStates.assign(registers.size(), kSettled);
  fenceTimes.assign(count, 0);
  std::fill(std::begin(barriers), std::end(barriers), NamedBarrier());
  async.reset(*this, count);
  threads.assign(count, Thread());
  warps.assign((count + 31) / 32, Warp());
  productLogs.assign((warps.size() + 3) / 4, {});
  freeRegisters = 0;
  live = count;
  for (uint32_t index = 0; index < count; ++index) {
    Thread &thread = threads[index];
    thread.cta = this;
    thread.bits = &registers[size_t(index) * slots];
    thread.state = &registerStates[size_t(index) * slots];
    thread.lists = kernel->lists.data();
    thread.index = static_cast<uint16_t>(index);
    startThread(thread);
  }
  for (uint32_t index = 0; index < warps.size(); ++index) {
    Warp &warp = warps[index];
    warp.cta = this;
    warp.threads = &threads[index * 32];
    warp.index = index;
    warp.size = std::min(32u, count - index * 32);
    warp.registersPerThread = registersAtLaunch(*kernel, count);
  }
}

//===-- Running -------------------------------------------------------------===//

/// Instructions after which another thread has its turn.
constexpr uint64_t kTurn = 8192;

bool Cta::finish(Thread &thread) {
  if (uint32_t stores = async.unfinishedStores(thread.index)) {
    thread.fault(fmt::format(
        "exits with {} bulk stores that may still read shared memory: cp.async.bulk.wait_group.read must come first",
        stores));
    return false;
  }
  if (!warps[thread.warp()].products.empty()) {
    thread.fault("exits with a wgmma in flight: wgmma.wait_group must come first");
    return false;
  }
  thread.status = Thread::Status::Done;
  --live;
  for (uint32_t number = 0; number < 16; ++number)
    if (barriers[number].wholeCta)
      checkBarrier(number);
  return !launch->failed();
}

void Cta::checkBarrier(uint32_t number) {
  NamedBarrier &barrier = barriers[number];
  uint32_t expected = barrier.wholeCta ? live : barrier.expected;
  if (!barrier.arrived || barrier.arrived < expected)
    return;
  Clock published = barrier.clock;
  barrier = NamedBarrier();
  for (Thread &thread : threads)
    if (thread.status == Thread::Status::Barrier && thread.barrier == number) {
      races.learn(thread.warp(), published);
      thread.status = Thread::Status::Ready;
      ++thread.pc;
    }
}

/// What becomes of a thread that does not just go on.
bool Cta::stop(Thread &thread, Outcome outcome) {
  switch (outcome) {
  case Outcome::Yield:
    ++thread.pc;
    yielded = true;
    return true;
  case Outcome::Wait:
    thread.status = Thread::Status::Waiting;
    return true;
  case Outcome::Collective:
    thread.status = Thread::Status::Collective;
    return true;
  case Outcome::Parked:
    thread.status = Thread::Status::Barrier;
    return true;
  case Outcome::Exit:
    return finish(thread);
  default:
    return false;
  }
}

bool Cta::runThread(Thread &thread, bool &progress) {
  const Instruction *code = kernel->code.data();
  uint64_t begin = time, limit = time + kTurn;
  bool waited = thread.status == Thread::Status::Waiting;
  thread.status = Thread::Status::Ready;
  while (time < limit) {
    const Instruction &instruction = code[thread.pc];
    ++time;
    if (instruction.guard != Instruction::kNone) {
      if (!thread.known(instruction.guard, "is used as a guard"))
        return false;
      if (thread.getPredicate(instruction.guard) == instruction.guardNegated) {
        ++thread.pc;
        continue;
      }
    }
    Outcome outcome = instruction.run(thread, instruction);
    if (outcome == Outcome::Next) [[likely]] {
      ++thread.pc;
    } else if (outcome != Outcome::Jump) {
      if (!stop(thread, outcome))
        return false;
      break;
    }
  }
  // To have waited in vain once more is no progress.
  progress |= !(waited && thread.status == Thread::Status::Waiting && time == begin + 1);
  launch->executed += time - begin;
  return time < async.nextDue() || async.perform(false, progress);
}

/// From here on all lanes are behind what each of them has published.
static void gatherEpochs(Warp &warp, uint32_t lanes) {
  uint32_t latest = 0;
  for (uint32_t rest = lanes; rest; rest &= rest - 1)
    latest = std::max(latest, warp.threads[std::countr_zero(rest)].epoch);
  for (uint32_t rest = lanes; rest; rest &= rest - 1)
    warp.threads[std::countr_zero(rest)].epoch = latest;
}

/// Runs the collective at which `first` waits, if all its lanes are there.
bool Cta::runCollective(Warp &warp, Thread &first, bool &progress) {
  const Instruction &instruction = kernel->code[first.pc];
  uint32_t lanes = instruction.memberMask ? first.gather : warp.live();
  for (uint32_t rest = lanes; rest; rest &= rest - 1) {
    Thread &other = warp.threads[std::countr_zero(rest)];
    if (other.status != Thread::Status::Collective || other.pc != first.pc)
      return true;
    if (other.gather != first.gather) {
      other.fault(fmt::format("lanes disagree about the member mask: {:#x} and {:#x}", other.gather, first.gather));
      return false;
    }
  }
  gatherEpochs(warp, lanes);
  Outcome outcome = instruction.collective(warp, lanes, instruction);
  if (outcome == Outcome::Fault)
    return false;
  if (outcome == Outcome::Wait)
    return true;
  progress = true;
  for (uint32_t rest = lanes; outcome == Outcome::Next && rest; rest &= rest - 1) {
    Thread &other = warp.threads[std::countr_zero(rest)];
    other.status = Thread::Status::Ready;
    ++other.pc;
  }
  return true;
}

bool Cta::runWarp(Warp &warp, bool &progress) {
  uint32_t turns = 1 + launch->random.below(64), flip = launch->random.below(2) ? 31 : 0;
  bool any = true;
  yielded = false;
  for (uint32_t turn = 0; any && !yielded && turn < turns; ++turn) {
    any = false;
    for (uint32_t at = 0; at < 32; ++at) {
      uint32_t lane = at ^ flip;
      if (lane >= warp.size)
        continue;
      Thread &thread = warp.threads[lane];
      if ((thread.status == Thread::Status::Ready || thread.status == Thread::Status::Waiting) &&
          !runThread(thread, any))
        return false;
    }
    for (uint32_t lane = 0; lane < warp.size; ++lane)
      if (warp.threads[lane].status == Thread::Status::Collective && !runCollective(warp, warp.threads[lane], any))
        return false;
    progress |= any;
  }
  return true;
}

bool Cta::round(bool &progress) {
  uint32_t count = static_cast<uint32_t>(warps.size()), first = launch->random.below(count);
  for (uint32_t at = 0; at < count; ++at)
    if (!runWarp(warps[(first + at) % count], progress))
      return false;
  return async.perform(false, progress);
}

Allocation *Launch::find(uint64_t address, uint64_t bytes) {
  if (recent && recent->contains(address, bytes))
    return recent;
  Allocation *found = memory.find(address, bytes);
  if (found)
    recent = found;
  return found;
}

int Launch::run() {
  uint32_t total = shape.grid[0] * shape.grid[1] * shape.grid[2], next = 0;
  uint32_t places =
      std::min({total, machine.processors * residentCtas(kernel, threadsPerCta(), shape.dynamicShared), 64u});
  parameterWritten.assign(shape.parameters.size() + 1, 1);
  std::vector<std::unique_ptr<Cta>> resident;
  for (; next < places; ++next) {
    resident.push_back(std::make_unique<Cta>());
    resident.back()->start(*this, next, next % machine.processors);
  }
  while (!resident.empty()) {
    bool progress = false;
    for (size_t at = 0; at < resident.size();) {
      Cta &cta = *resident[at];
      if (!cta.round(progress) || (!cta.live && !cta.async.drain()))
        return code;
      if (cta.live)
        ++at;
      else if (next < total)
        cta.start(*this, next++, cta.processor);
      else
        resident.erase(resident.begin() + at);
    }
    for (auto &cta : resident)
      if (!progress && !cta->async.perform(true, progress))
        return code;
    if (!progress && !resident.empty())
      return deadlock(resident), code;
    if (executed > machine.instructionLimit) {
      fault(FaultKind::Failed, *resident[0], std::nullopt, 0,
            fmt::format("does not end: {} instructions so far\n{}", executed, resident[0]->describe()));
      return code;
    }
  }
  return code;
}

//===-- Reports -------------------------------------------------------------===//

static std::string lineOf(const Kernel &kernel, uint32_t line) {
  std::string text(line && line <= kernel.module->lines.size() ? kernel.module->lines[line - 1] : std::string_view());
  text.erase(0, text.find_first_not_of(" \t"));
  return text.size() > 160 ? text.substr(0, 157) + "..." : text;
}

void Launch::fault(FaultKind kind, const Cta &cta, std::optional<uint32_t> thread, uint32_t line,
                   const std::string &message) {
  if (code)
    return;
  code = static_cast<int>(kind);
  text = fmt::format("kernel {}, CTA ({}, {}, {})", kernel.name, cta.id[0], cta.id[1], cta.id[2]);
  if (thread) {
    uint32_t x = *thread % shape.block[0], y = *thread / shape.block[0] % shape.block[1];
    text += fmt::format(", thread ({}, {}, {})", x, y, *thread / shape.block[0] / shape.block[1]);
  }
  if (line)
    text += fmt::format(", line {}", line);
  text += ": " + message + "\n";
  if (line)
    text += fmt::format("  {} | {}\n", line, lineOf(kernel, line));
}

static const char *nameOf(Thread::Status status) {
  switch (status) {
  case Thread::Status::Ready:
    return "can run";
  case Thread::Status::Waiting:
    return "wait";
  case Thread::Status::Collective:
    return "wait for the other lanes";
  case Thread::Status::Barrier:
    return "wait at a barrier";
  case Thread::Status::Done:
    return "have ended";
  }
  return "";
}

std::string Cta::describe() const {
  std::string text;
  for (size_t begin = 0, end; begin < threads.size(); begin = end) {
    const Thread &first = threads[begin];
    for (end = begin + 1; end < threads.size(); ++end)
      if (threads[end].status != first.status || (threads[end].pc != first.pc && first.status != Thread::Status::Done))
        break;
    text += fmt::format("  CTA ({}, {}, {}), threads {} to {} {}", id[0], id[1], id[2], begin, end - 1,
                        nameOf(first.status));
    if (first.status != Thread::Status::Done)
      text += fmt::format(": {} | {}", kernel->code[first.pc].line, lineOf(*kernel, kernel->code[first.pc].line));
    if (first.status == Thread::Status::Barrier) {
      const NamedBarrier &barrier = barriers[first.barrier];
      text += fmt::format("  [barrier {}: {} of {} threads]", first.barrier, barrier.arrived,
                          barrier.wholeCta ? live : barrier.expected);
    }
    text += "\n";
  }
  return text + shared.describeBarriers();
}

/// A lane that waits for another which itself waits for lanes or threads elsewhere, or is gone.
static const Thread *findDivergence(const Cta &cta) {
  for (const Warp &warp : cta.warps)
    for (uint32_t lane = 0; lane < warp.size; ++lane) {
      const Thread &thread = warp.threads[lane];
      if (thread.status != Thread::Status::Collective)
        continue;
      for (uint32_t at = 0; at < warp.size; ++at) {
        const Thread &other = warp.threads[at];
        bool isExpected = thread.gather ? thread.gather >> at & 1 : other.status != Thread::Status::Done;
        if (isExpected && other.pc != thread.pc && other.status != Thread::Status::Waiting)
          return &thread;
      }
    }
  return nullptr;
}

void Launch::deadlock(const std::vector<std::unique_ptr<Cta>> &resident) {
  std::string who;
  for (const auto &cta : resident)
    who += cta->describe();
  for (const auto &cta : resident)
    if (const Thread *thread = findDivergence(*cta))
      return fault(
          FaultKind::Failed, *cta, thread->index, kernel.code[thread->pc].line,
          "divergent warp: an instruction that its lanes must execute together waits for lanes that do not come\n" +
              who);
  fault(FaultKind::Failed, *resident[0], std::nullopt, 0,
        "dead-lock: no thread can proceed and no asynchronous operation is in flight\n" + who);
}
