// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the tests of reuse share.

#ifndef WEFT_TEST_UNIT_REUSECASES_H
#define WEFT_TEST_UNIT_REUSECASES_H

#include "test/unit/CompiledProblem.h"

namespace weft::test {

inline constexpr char kMergeTokens[] = "{ reuse neighbours(token, threshold: 0.15) }";

inline const char *const kReuseMasks[] = {
    "mask abs(q.t - k.t) <= 1",
    "order tiles mask q.t == k.t or k.t == 0",
    "order tiles(t: 2, h: 3, w: 5) mask abs(q.w - k.w) <= 3 or q.text or k.text",
    "mask topk(block_mean, keep: 0.5)",
    "order tiles(t: 1, h: 6, w: 10) mask topk(block_mean, keep: 0.5) or k.t == 0",
    "mask (head == 0) == (k.t < 2)",
    "mask false",
};

/// Biases of merged keys, finite and not: what `compare` finds under each must be nothing.
template <typename Problem> void compareBiases(Problem &problem) {
  auto compareWith = [&](auto bias) {
    problem.operands().bias->fill([&](int64_t, int64_t, int64_t token, int64_t) -> double { return bias(token); });
    return problem.compare();
  };
  EXPECT_EQ(compareWith([](int64_t token) { return 0.1 * (token % 7); }), "");
  EXPECT_EQ(compareWith([](int64_t token) { return token % 2 ? -kInfinity : 0; }), "");
  EXPECT_EQ(compareWith([](int64_t token) { return token < 200 ? -kInfinity : 30; }), "");
  EXPECT_EQ(compareWith([](int64_t) { return -kInfinity; }), "");
  EXPECT_EQ(compareWith([](int64_t token) { return token == 3 ? kNaN : 0; }), "");
  EXPECT_EQ(compareWith([](int64_t token) { return token == 3 ? kInfinity : 0; }), "");
}

/// Rows of 4 x 6 x 10 tokens that reuse merges at any deviation: a cell's last token alone, and both tokens of another
/// pair.
template <typename Problem> void compareListedRows(Problem &problem) {
  problem.operands().rows = TestRows{{1, 1}, 3, {71, 100, 101}, {3}};
  EXPECT_EQ(problem.compare(), "");
  EXPECT_EQ(problem.operands().out.at(0, 0, 0, 0), Case::kHeld) << "its donor was not listed";
  EXPECT_EQ(problem.operands().out.at(0, 0, 100, 5), problem.operands().out.at(0, 0, 101, 5));
  EXPECT_DOUBLE_EQ(problem.saving().queries, 1.0 / 3);
}

} // namespace weft::test

#endif // WEFT_TEST_UNIT_REUSECASES_H
