// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules of Hopper kernels: sizes, registers and shared memory.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/HopperSchedule.h"

#include <gtest/gtest.h>

using namespace weft::cuda;

namespace {

/// With as many keys as fit beside the queries.
HopperSchedule choose(int64_t headDim, int64_t tokens, int64_t axes = 0) {
  std::string error;
  int64_t keys = std::min<int64_t>(tokens, HopperSchedule::mostKeys(headDim, tokens));
  auto schedule = HopperSchedule::choose({headDim, tokens, keys, axes, axes}, error);
  EXPECT_TRUE(schedule) << error;
  return schedule.value_or(HopperSchedule());
}

TEST(HopperScheduleTest, RowsAreConsumersOfSixtyFour) {
  HopperSchedule large = choose(128, 128), small = choose(128, 32);
  EXPECT_EQ(large.consumers, 2);
  EXPECT_EQ(large.rows, 128);
  EXPECT_EQ(large.threads(), 384);
  EXPECT_EQ(small.consumers, 1);
  EXPECT_EQ(small.rows, 64);
  EXPECT_EQ(small.columns, 32);
}

TEST(HopperScheduleTest, WideHeadsHaveOneBufferOfQueries) {
  EXPECT_EQ(choose(192, 128).queryBuffers, 2);
  HopperSchedule s = choose(256, 128);
  EXPECT_EQ(s.queryBuffers, 1);
  EXPECT_EQ(s.columns, 64);
  EXPECT_EQ(choose(256, 32).consumers, 2);
}

TEST(HopperScheduleTest, ThreeConsumersShareRegistersWithFewerKeys) {
  EXPECT_EQ(choose(64, 192).consumers, 3);
  EXPECT_EQ(choose(64, 192).rows, 192);
  std::pair<int64_t, int64_t> keysOfHeadDim[] = {{64, 128}, {72, 128}, {80, 112}, {96, 112}, {112, 96}, {128, 80}};
  for (auto [headDim, keys] : keysOfHeadDim)
    EXPECT_EQ(choose(headDim, 192).columns, keys) << headDim;
}

TEST(HopperScheduleTest, TheLargestBoxFits) {
  std::string error;
  for (int64_t headDim = 8; headDim <= 256; headDim += 8) {
    int64_t most = mostBoxTokens(kHopperGenerator, headDim);
    EXPECT_EQ(most, headDim <= 128 ? 128 : 64);
    EXPECT_TRUE(HopperSchedule::choose({headDim, most, most}, error)) << error;
    EXPECT_FALSE(HopperSchedule::choose({headDim, most + 1, most + 1}, error)) << headDim;
  }
}

TEST(HopperScheduleTest, OnlyTheChannelsThatExistAreMultiplied) {
  HopperSchedule s = choose(72, 128);
  EXPECT_EQ(s.channelGroups, 2);
  EXPECT_EQ(s.depthSteps, 5);
  EXPECT_EQ(s.valueChannels, 72);
}

/// A multiprocessor has 65536 registers, and hands them out by warps in units of 8 per thread.
TEST(HopperScheduleTest, RegistersFitTheMultiprocessor) {
  for (int64_t headDim = 8; headDim <= 256; headDim += 8)
    for (int64_t tokens = 32; tokens <= HopperSchedule::mostQueries(headDim); tokens += 32) {
      HopperSchedule s = choose(headDim, tokens);
      int64_t registers = 128 * (s.producerRegisters + s.consumers * s.consumerRegisters);
      EXPECT_LE(registers * s.registerCTAs, 65536) << headDim << " " << tokens;
      EXPECT_EQ(s.producerRegisters % 8, 0);
      EXPECT_EQ(s.consumerRegisters % 8, 0);
    }
}

TEST(HopperScheduleTest, BuffersAreApartAlignedAndFit) {
  for (int64_t headDim : {8, 64, 72, 128, 192, 256})
    for (int64_t tokens : {32, 90, 128, 192})
      for (int64_t axes : {0, 1, 4}) {
        if (tokens > HopperSchedule::mostQueries(headDim))
          continue;
        HopperSchedule s = choose(headDim, tokens, axes);
        for (int64_t offset : {s.queryOffset, s.keyOffset, s.valueOffset})
          EXPECT_EQ(offset % 1024, 0);
        EXPECT_EQ(s.barrierOffset % 8, 0);
        EXPECT_EQ(s.maskOffset % 16, 0);
        EXPECT_EQ(s.itemOffset % 16, 0);
        EXPECT_EQ(s.keyCoordinatesOffset % 16, 0);
        EXPECT_GE(s.keyOffset, s.queryOffset + s.queryBuffers * s.queryBytes());
        EXPECT_GE(s.valueOffset, s.keyOffset + HopperSchedule::kStages * s.keyBytes());
        EXPECT_GE(s.queryCoordinatesOffset, s.valueOffset + HopperSchedule::kStages * s.keyBytes());
        EXPECT_GE(s.keyCoordinatesOffset, s.queryCoordinatesOffset + s.queryBuffers * axes * s.rows * 4);
        EXPECT_GE(s.maskOffset, s.keyCoordinatesOffset + HopperSchedule::kStages * axes * s.columns * 4);
        EXPECT_LE(s.sharedBytes, HopperSchedule::kSharedLimit);
        EXPECT_GE(s.ctasPerSM, 1);
        EXPECT_LE((s.sharedBytes + 1024) * s.ctasPerSM, 228 * 1024);
      }
}

TEST(HopperScheduleTest, LimitsAreNamed) {
  std::string error;
  EXPECT_FALSE(HopperSchedule::choose({264, 64, 64, 0, 0}, error));
  EXPECT_EQ(error, "expected a head dim that is a multiple of 8 from 8 to 256 for sm_90a, but got 264");
  EXPECT_FALSE(HopperSchedule::choose({64, 192, 160, 0, 0}, error));
  EXPECT_EQ(error, "expected query blocks of at most 192 and key blocks of at most 128 tokens for sm_90a and head dim 64, "
                   "but got 192 and 160");
  EXPECT_FALSE(HopperSchedule::choose({136, 128, 128, 0, 0}, error));
  EXPECT_EQ(error, "expected query blocks of at most 128 and key blocks of at most 64 tokens for sm_90a and head dim 136, "
                   "but got 128 and 128");
}

} // namespace
