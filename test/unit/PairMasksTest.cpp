// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which partial blocks get tiles of bits.

#include "runtime/CUDA/PairMasks.h"

#include <gtest/gtest.h>

using weft::rt::BlockLists;
using weft::rt::cuda::MaskPlan;

namespace {

/// Two query and three key blocks: (0, 0) and (1, 2) are partial, and (0, 2) is full.
BlockLists someLists(bool given = false) {
  return BlockLists::fromClassified(1, 2, 3, {0, 2, 3}, {0 * 2 + 1, 2 * 2, 2 * 2 + 1}, given);
}

TEST(MaskPlanTest, PartialPairsGetTiles) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 1, 1, 64, 1 << 20}, {{&lists}});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2}));
  EXPECT_EQ(plan.pairs, (std::vector<int32_t>{0, 0, 0, 0, 1, 2, 0, 0}));
}

TEST(MaskPlanTest, EachHeadHasItsTilesIfThePredicateReadsIt) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 1, 2, 64, 1 << 20}, {{&lists}});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4}));
  EXPECT_EQ(plan.pairs[4 * 2 + 2], 1);
}

TEST(MaskPlanTest, PairsInsideAndOutsideOfASelectionDiffer) {
  BlockLists outside = someLists(), inside = someLists(/*given=*/true);
  MaskPlan plan({2, 1, 1, 64, 1 << 20}, {{&outside}, {&inside}});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4}));
  EXPECT_EQ(plan.pairs[4 * 2 + 3], 1);
  MaskPlan alike({1, 1, 1, 64, 1 << 20}, {{&outside}, {&inside}});
  EXPECT_EQ(alike.tiles(), 2);
}

TEST(MaskPlanTest, EachCandidateHasItsTiles) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 2, 1, 64, 1 << 20}, {{&lists, 1}});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2}));
  EXPECT_EQ(plan.pairs, (std::vector<int32_t>{0, 0, 0, 2, 1, 2, 0, 2}));
  // Lists of the caller are of whatever the caller chose.
  MaskPlan all({1, 2, 1, 64, 1 << 20}, {{&lists}});
  EXPECT_EQ(all.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4}));
  EXPECT_EQ(all.pairs[4 * 2 + 3], 2);
}

TEST(MaskPlanTest, WhatDoesNotFitHasNoTile) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 1, 1, 64, 64 * 16}, {{&lists}});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(MaskPlan({1, 1, 1, 64, 0}, {{&lists}}).tiles(), 0);
}

} // namespace
