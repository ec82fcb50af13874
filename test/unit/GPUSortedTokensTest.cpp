// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Orders that sort tokens, whose keys and values are gathered. On a GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "test/unit/GPUProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

using GPUSortedTokensTest = GPUTest;

constexpr const char *kLattice = "order by(first: 1, (token.h - token.w) mod 2)";

/// Key tiles of one to eight groups of sixteen rows, and of channels that do not fill the last group.
TEST_F(GPUSortedTokensTest, TilesOfEverySize) {
  struct {
    int64_t headDim, block;
    ElementType type;
  } cases[] = {{32, 128, ElementType::F16}, {40, 64, ElementType::BF16},  {64, 96, ElementType::BF16},
               {72, 128, ElementType::F16}, {128, 128, ElementType::BF16}, {192, 64, ElementType::BF16},
               {64, 64, ElementType::F32}};
  for (auto [headDim, block, type] : cases) {
    SCOPED_TRACE(fmt::format("head dim {}, block {}, type {}", headDim, block, static_cast<int>(type)));
    GPUProblem problem(fmt::format("{{ {} mask k.h mod 2 == k.w mod 2 or q.t < 1 }}", kLattice),
                       {{3, 7, 9, 19, false}, 1, headDim, block, 1, type});
    problem.fillNormal(17);
    EXPECT_EQ(problem.compare(), "");
  }
}

/// What is gathered beside what comes otherwise: a bias, listed rows, merged keys, selected blocks.
TEST_F(GPUSortedTokensTest, WithEveryOtherClause) {
  for (const char *clauses :
       {"bias given", "mask topk(block_mean, keep: 0.4) or k.t < 1", "reuse neighbours(channel, threshold: 0.15)",
        "reuse neighbours(token, threshold: 0.15)", "rows given mask abs(q.w - k.w) <= 3", "bias given rows given"}) {
    SCOPED_TRACE(clauses);
    GPUProblem problem(fmt::format("{{ {} {} }}", kLattice, clauses), {{3, 6, 10, 7, true}, 2, 64, 64, 2, ElementType::BF16});
    problem.fillNeighbours(19);
    problem.test.allocateResults([] { return TensorLayout::BHSD; });
    EXPECT_EQ(problem.compare(), "");
  }
}

/// Strips of columns through all frames and strips, which are boxes that the copy engine brings: one to four of them, with the
/// last one cut, beside text and every other clause.
TEST_F(GPUSortedTokensTest, BoxesOfStrips) {
  struct {
    const char *order, *clauses;
    GridShape grid;
    int64_t headDim, block;
    bool areBoxes = true;
  } cases[] = {
      {"token.w / 4, token.t, token.h", "", {5, 16, 8, 0, false}, 128, 128},
      {"token.w / 4, token.t, token.h", "mask abs(q.h - k.h) <= 2 or k.text", {5, 8, 12, 19, false}, 64, 64},
      {"token.w / 4, token.t, token.h", "", {3, 8, 8, 0, false}, 192, 128},
      {"first: 1, token.w / 4, token.t, token.h", "mask topk(block_mean, keep: 0.4) or k.t < 1", {6, 8, 8, 21, true}, 64, 128},
      {"first: 1, token.w / 8, token.t, token.h", "bias given rows given", {5, 10, 16, 0, false}, 72, 128},
      {"first: 2, token.w / 8, token.t, token.h", "reuse neighbours(token, threshold: 0.15)", {6, 8, 16, 0, false}, 64, 128},
      {"token.t, token.h", "mask k.w mod 3 != 1", {5, 9, 16, 5, false}, 40, 64},
      {"token.w / 4, token.t, token.h", "", {5, 10, 10, 0, false}, 64, 64, false},
      {"token.w / 4, token.t, token.h", "", {1, 3, 8, 40, false}, 64, 64, false},
  };
  for (auto [order, clauses, grid, headDim, block, areBoxes] : cases) {
    SCOPED_TRACE(fmt::format("order by({}) {}", order, clauses));
    GPUProblem problem(fmt::format("{{ order by({}) {} }}", order, clauses), {grid, 2, headDim, block, 2, ElementType::BF16});
    problem.fillNeighbours(29);
    problem.test.allocateResults([] { return TensorLayout::BHSD; });
    EXPECT_FALSE(areBoxes && problem.onDevice->gathersKeys());
    EXPECT_EQ(problem.compare(), "");
  }
}

/// Rows of a tile that hold no token are zeros: what was there before, even NaN, has no part.
TEST_F(GPUSortedTokensTest, ShortTilesEndInZeros) {
  GPUProblem problem(fmt::format("{{ {} mask k.text }}", kLattice), {{3, 6, 10, 5, false}, 2, 64, 128, 1, ElementType::BF16});
  problem.fillNormal(23);
  for (int64_t head = 0; head < 2; ++head)
    for (int64_t token = 0; token < 180; ++token)
      problem.test.operands.value.set(0, head, token, token % 64, NAN);
  EXPECT_EQ(problem.compare(), "");
}

/// An address is a token times 32 bits.
TEST_F(GPUSortedTokensTest, TokensThatAreTooFarApart) {
  GPUProblem problem(fmt::format("{{ {} }}", kLattice), {{3, 6, 10, 5, false}, 1, 64, 128, 1, ElementType::BF16});
  if (!problem.onDevice->gathersKeys())
    GTEST_SKIP() << "this device's generator gathers by 64 bits";
  DeviceOperands call;
  ASSERT_TRUE(problem.upload(call));
  call.args.value.strides[2] = int64_t{1} << 31;
  call.args.value.data = reinterpret_cast<void *>(uintptr_t{1} << 46); // where nothing overlaps it
  EXPECT_EQ(problem.onDevice->launch(call.args, nullptr).message(),
            "value: expected tokens fewer than 2147483648 elements apart, since the order gathers them, but got 2147483648");
}

} // namespace
