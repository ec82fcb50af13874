// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses a schedule and lays out shared memory.

#include "codegen/CUDA/HopperSchedule.h"

#include "llvm/Support/MathExtras.h"

using namespace weft::cuda;

static void layOut(HopperSchedule &s) {
  int64_t offset = 0;
  auto place = [&](int64_t bytes, int64_t alignment) {
    int64_t begin = llvm::alignTo(offset, alignment);
    offset = begin + bytes;
    return begin;
  };
  constexpr int64_t stages = HopperSchedule::kStages;
  s.queryOffset = place(s.queryBuffers * s.queryBytes(), 1024);
  s.keyOffset = place(stages * s.keyBytes(), 1024);
  s.valueOffset = place(stages * s.keyBytes(), 1024);
  s.queryCoordinatesOffset = place(s.queryBuffers * s.queryCoordinateBytes(), 16);
  s.keyCoordinatesOffset = place(stages * s.keyCoordinateBytes(), 16);
  s.biasOffset = place(stages * s.biasBytes(), 128);
  s.onesOffset = place(s.onesBytes(), 128);
  s.maskBitsOffset = place(stages * s.maskBitsBytes(), 16);
  s.maskOffset = place(stages * 16, 16);
  s.itemOffset = place(2 * 16, 16);
  s.shareOffset = place(3 * 4, 16);
  s.notesOffset = place(s.notesBytes(), 16);
  s.flagOffset = place(stages * 4, 8);
  s.barrierOffset = place(static_cast<int64_t>(Barrier::Count) * 8, 8);
  s.sharedBytes = offset;
}

/// Registers of a multiprocessor are dealt to threads in eights: a producer needs little once it walks lists, consumers
/// hold scores, weights and output.
static void dealRegisters(HopperSchedule &s) {
  switch (s.consumers) {
  case 1: // 256 threads of 128 registers, two CTAs
    s.producerRegisters = 40, s.consumerRegisters = 216, s.registerCTAs = 2;
    break;
  case 2: // 384 threads of 168
    s.producerRegisters = 40, s.consumerRegisters = 232;
    break;
  default: // 512 threads of 128
    s.producerRegisters = 32, s.consumerRegisters = 160;
  }
}

int64_t HopperSchedule::mostKeys(int64_t headDim, int64_t queryTokens) {
  if (headDim > 128)
    return 64;
  if (queryTokens <= 128)
    return 128;
  // Of a thread of three consumers, about 132 registers are left for the accumulator, the scores and their weights.
  constexpr int64_t kRegisters = 132;
  return std::min<int64_t>(128, llvm::alignDown((kRegisters - headDim / 2) * 4 / 3, 16));
}

std::optional<HopperSchedule> HopperSchedule::choose(const HopperProblem &problem, std::string &error) {
  HopperSchedule s;
  s.problem = problem;
  if (problem.headDim % 8 || problem.headDim < 8 || problem.headDim > 256) {
    error = "expected a head dim that is a multiple of 8 from 8 to 256 for sm_90a, but got " +
            std::to_string(problem.headDim);
    return std::nullopt;
  }
  int64_t queries = mostQueries(problem.headDim), keys = mostKeys(problem.headDim, problem.queryTokens);
  if (problem.queryTokens > queries || problem.keyTokens > keys) {
    error = "expected query blocks of at most " + std::to_string(queries) + " and key blocks of at most " +
            std::to_string(keys) + " tokens for sm_90a and head dim " + std::to_string(problem.headDim) +
            ", but got " + std::to_string(problem.queryTokens) + " and " + std::to_string(problem.keyTokens);
    return std::nullopt;
  }
  s.consumers = llvm::divideCeil(problem.queryTokens, 64);
  // One consumer shares a multiprocessor with another CTA's, and has too few registers for a wide accumulator.
  if (problem.headDim > 128)
    s.consumers = 2;
  s.rows = 64 * s.consumers;
  s.columns = llvm::alignTo(problem.keyTokens, 16);
  s.channelGroups = llvm::divideCeil(problem.headDim, 64);
  s.depthSteps = llvm::divideCeil(problem.headDim, 16);
  s.valueChannels = problem.headDim;
  s.correctsRarely = problem.headDim <= 80;
  dealRegisters(s);
  layOut(s);
  if (s.sharedBytes > kSharedLimit) {
    s.queryBuffers = 1;
    layOut(s);
  }
  // Each CTA takes a kilobyte more of a multiprocessor's 228 than it asks for.
  s.ctasPerSM = std::min<int64_t>(s.registerCTAs, 228 * 1024 / (s.sharedBytes + 1024));
  return s;
}
