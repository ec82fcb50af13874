// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules of kernels of mma.sync.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/MMASchedule.h"

#include "llvm/ADT/StringRef.h"

#include <gtest/gtest.h>

using namespace weft::cuda;

namespace {

MMASchedule choose(const MMAProblem &problem, const char *wanted = "") {
  std::string error;
  auto schedule = MMASchedule::choose(problem, wanted, error);
  EXPECT_TRUE(schedule) << error;
  return schedule.value_or(MMASchedule());
}

std::string errorOf(const MMAProblem &problem, const char *wanted = "") {
  std::string error;
  EXPECT_FALSE(MMASchedule::choose(problem, wanted, error));
  return error;
}

TEST(MMAScheduleTest, FullTilesOf128Channels) {
  MMASchedule s = choose({128, 2, 128, 128});
  EXPECT_EQ(s.rows(), 128);
  EXPECT_EQ(s.columns, 64);
  EXPECT_EQ(s.threads(), 128);
  EXPECT_EQ(s.queryParts, 1);
  EXPECT_EQ(s.keyParts, 2);
  EXPECT_EQ(s.ctasPerSM, 2);
  // 32 KiB of queries, two stages of 16 KiB of keys and of values, and the ticket.
  EXPECT_EQ(s.sharedBytes, 96 * 1024 + 16);
}

TEST(MMAScheduleTest, EveryProblemFitsEveryGPU) {
  for (int64_t bytes : {2, 4})
    for (int64_t headDim = 8; headDim <= 256; headDim += 8)
      for (int64_t query : {1, 17, 64, 96, 128, 192, 256})
        for (int64_t key : {1, 16, 60, 64, 96, 128}) {
          MMASchedule s = choose({headDim, bytes, query, key});
          EXPECT_LE(s.sharedBytes, 101376);
          EXPECT_GE(s.blockRows(), query);
          EXPECT_LE(s.blockRows(), 256);
          EXPECT_GE(s.blockColumns(), key);
          EXPECT_LE(s.blockColumns(), 128);
          EXPECT_EQ(s.rows() % (s.threads() / 8), 0);
          EXPECT_EQ(s.columns % (s.threads() / 8), 0);
        }
}

TEST(MMAScheduleTest, TheLargestBoxFits) {
  int64_t most = mostBoxTokens(kMMAGenerator, 256);
  EXPECT_EQ(most, 128);
  choose({256, 4, most, most});
  EXPECT_NE(errorOf({256, 4, most + 1, most + 1}), "");
}

TEST(MMAScheduleTest, WideRowsAreCutIntoParts) {
  MMASchedule s = choose({256, 4, 128, 128});
  EXPECT_EQ(s.rows(), 32);
  EXPECT_EQ(s.queryParts, 4);
  EXPECT_EQ(s.columns, 16);
  EXPECT_EQ(s.keyParts, 8);
}

TEST(MMAScheduleTest, VariantsToMeasure) {
  MMASchedule s = choose({128, 2, 128, 128}, "1x8x64");
  EXPECT_EQ(s.rows(), 128);
  EXPECT_EQ(s.threads(), 256);
  for (const char *wanted : {"2x4x128", "3x4x64", "2x4", "x", "2x5x64", "1x4x8"})
    EXPECT_EQ(errorOf({128, 2, 128, 128}, wanted),
              "WEFT_MMA_SCHEDULE: expected row tiles, warps and columns like 2x4x64 that fit registers and shared "
              "memory, but got '" + std::string(wanted) + "'");
}

TEST(MMAScheduleTest, LimitsAreNamed) {
  EXPECT_EQ(errorOf({100, 2, 128, 128}),
            "expected a head dim that is a multiple of 8 from 8 to 256 for GPUs, but got 100");
  EXPECT_EQ(errorOf({64, 2, 512, 192}), "expected query blocks of at most 256 and key blocks of at most 128 tokens for "
                                        "GPUs, but got 512 and 192");
}

} // namespace
