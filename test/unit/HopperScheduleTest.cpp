// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules of Hopper kernels: sizes, registers and shared memory.

#include "codegen/CUDA/HopperSchedule.h"

#include <gtest/gtest.h>

using namespace weft::cuda;

namespace {

HopperSchedule choose(int64_t headDim, int64_t tokens, int64_t axes = 0) {
  std::string error;
  auto schedule = HopperSchedule::choose({headDim, tokens, tokens, axes, axes}, error);
  EXPECT_TRUE(schedule) << error;
  return schedule.value_or(HopperSchedule());
}

TEST(HopperScheduleTest, RowsAreConsumersOfSixtyFour) {
  HopperSchedule large = choose(128, 128), small = choose(128, 32);
  EXPECT_EQ(large.consumers, 2);
  EXPECT_EQ(large.rows, 128);
  EXPECT_EQ(large.threads(), 384);
  EXPECT_TRUE(large.takesTurns);
  EXPECT_EQ(small.consumers, 1);
  EXPECT_EQ(small.rows, 64);
  EXPECT_EQ(small.columns, 32);
  EXPECT_FALSE(small.takesTurns);
}

TEST(HopperScheduleTest, OnlyTheChannelsThatExistAreMultiplied) {
  HopperSchedule s = choose(72, 128);
  EXPECT_EQ(s.channelGroups, 2);
  EXPECT_EQ(s.depthSteps, 5);
  EXPECT_EQ(s.valueChannels, 72);
}

/// A multiprocessor has 65536 registers, and hands them out by warps in units of 8 per thread.
TEST(HopperScheduleTest, RegistersFitTheMultiprocessor) {
  for (int64_t headDim = 8; headDim <= 128; headDim += 8)
    for (int64_t tokens = 32; tokens <= 128; tokens += 32) {
      HopperSchedule s = choose(headDim, tokens);
      int64_t registers = 128 * (s.producerRegisters + s.consumers * s.consumerRegisters);
      EXPECT_LE(registers * s.registerCTAs, 65536) << headDim << " " << tokens;
      EXPECT_EQ(s.producerRegisters % 8, 0);
      EXPECT_EQ(s.consumerRegisters % 8, 0);
    }
}

TEST(HopperScheduleTest, BuffersAreApartAlignedAndFit) {
  for (int64_t headDim : {8, 64, 72, 128})
    for (int64_t tokens : {32, 90, 128})
      for (int64_t axes : {0, 1, 4}) {
        HopperSchedule s = choose(headDim, tokens, axes);
        for (int64_t offset : {s.queryOffset, s.keyOffset, s.valueOffset})
          EXPECT_EQ(offset % 1024, 0);
        EXPECT_EQ(s.barrierOffset % 8, 0);
        EXPECT_EQ(s.maskOffset % 16, 0);
        EXPECT_EQ(s.itemOffset % 16, 0);
        EXPECT_EQ(s.keyCoordinatesOffset % 16, 0);
        EXPECT_GE(s.keyOffset, s.queryOffset + 2 * s.queryBytes());
        EXPECT_GE(s.valueOffset, s.keyOffset + HopperSchedule::kStages * s.keyBytes());
        EXPECT_GE(s.queryCoordinatesOffset, s.valueOffset + HopperSchedule::kStages * s.keyBytes());
        EXPECT_GE(s.keyCoordinatesOffset, s.queryCoordinatesOffset + 2 * axes * s.rows * 4);
        EXPECT_GE(s.maskOffset, s.keyCoordinatesOffset + HopperSchedule::kStages * axes * s.columns * 4);
        EXPECT_LE(s.sharedBytes, HopperSchedule::kSharedLimit);
        EXPECT_GE(s.ctasPerSM, 1);
        EXPECT_LE((s.sharedBytes + 1024) * s.ctasPerSM, 228 * 1024);
      }
}

TEST(HopperScheduleTest, LimitsAreNamed) {
  std::string error;
  EXPECT_FALSE(HopperSchedule::choose({136, 128, 128, 0, 0}, error));
  EXPECT_EQ(error, "expected a head dim that is a multiple of 8 from 8 to 128 for sm_90a, but got 136");
  EXPECT_FALSE(HopperSchedule::choose({64, 128, 160, 0, 0}, error));
  EXPECT_EQ(error, "expected blocks of at most 128 tokens for sm_90a, but got 160");
}

} // namespace
