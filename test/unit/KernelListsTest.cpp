// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the lists that a call visits.

#include "test/unit/KernelFixture.h"

#include <atomic>
#include <cmath>
#include <future>

using namespace weft;
using namespace weft::test;

namespace {

/// Lists that were resolved before have their pools.
TEST(KernelListsTest, RowsWithResolvedLists) {
  auto kernel = compile("(dynamic radius: int = 1) { mask given and abs(q.t - k.t) <= radius rows given }");
  rt::GivenLists given = makeLists();
  TestRows rows({{0, 33, 60}});
  Operands first, second;
  first.args.given = &given, first.args.rows = &rows.lists;
  run(*kernel, first);
  auto lists = kernel->resolveLists(first.args);
  ASSERT_TRUE(lists);
  second.args.rows = &rows.lists, second.args.lists = *lists;
  run(*kernel, second);
  EXPECT_EQ(first.out, second.out);
  EXPECT_EQ(first.lse, second.lse);
}

TEST(KernelListsTest, ListsFollowTheParameters) {
  for (bool on : {true, false}) {
    Operands operands;
    operands.args.parameters = {0, on};
    run(withParameters(), operands);
    auto lists = withParameters().resolveLists(operands.args);
    ASSERT_TRUE(lists);
    EXPECT_EQ((*lists)->entries.empty(), !on);
    EXPECT_EQ(operands.lse[0] == -kInfinity, !on);
    auto again = withParameters().resolveLists(operands.args);
    EXPECT_EQ(*lists, *again) << "kept for the next call";
  }
}

/// A kernel without code whose planner refuses 0, waits for `ready` with 1, and counts.
rt::Kernel makePlanned(std::atomic<int> &calls, std::shared_future<void> ready) {
  rt::KernelImage image;
  image.parameters = {{"p", false, {}}};
  image.planner = [&calls, ready](const std::vector<int64_t> &values) -> rt::Result<std::vector<rt::BlockLists>> {
    ++calls;
    if (values[0] == 0)
      return rt::Status::error("no lists");
    if (values[0] == 1)
      ready.wait();
    return std::vector{rt::BlockLists::fromClassified(1, 1, 1, {0, 1}, {0})};
  };
  return rt::Kernel(std::move(image));
}

TEST(KernelListsTest, PlanningHoldsUpNobodyElse) {
  std::atomic<int> calls = 0;
  std::promise<void> ready;
  rt::Kernel kernel = makePlanned(calls, ready.get_future().share());
  auto resolve = [&](int64_t value) {
    rt::RunArgs args;
    args.parameters = {value};
    return kernel.resolveLists(args);
  };
  auto first = std::async(std::launch::async, resolve, 1), second = std::async(std::launch::async, resolve, 1);
  EXPECT_TRUE(resolve(2));
  ready.set_value();
  auto lists = first.get();
  ASSERT_TRUE(lists);
  EXPECT_EQ(*lists, *second.get());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(resolve(0).message(), "no lists");
  EXPECT_EQ(resolve(0).message(), "no lists");
  EXPECT_EQ(calls, 4) << "an error is not kept";
}

TEST(KernelListsTest, GivenListsDecide) {
  rt::GivenLists lists = makeLists();
  Operands operands, poisoned;
  operands.args.given = poisoned.args.given = &lists;
  for (int64_t c = 0; c < kDim; ++c)
    poisoned.at(poisoned.value, 0, 60, c) = kNaN; // text: visited by query block 1 alone
  run(withGiven(), operands);
  run(withGiven(), poisoned);
  for (int64_t token = 0; token < kTokens; ++token) {
    EXPECT_EQ(operands.lse[token] == -kInfinity, token >= 60) << token;
    EXPECT_EQ(std::isnan(poisoned.at(poisoned.out, 0, token, 0)), token >= 32 && token < 60) << token;
  }
}

} // namespace
