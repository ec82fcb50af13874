// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bits of partial blocks: kernels read them, and compute the same with and without. On a GPU, or on the executor that
// WEFT_CUDA_DRIVER names.

#include "test/unit/GPUProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

using namespace weft;
using namespace weft::test;

namespace {

/// WEFT_MASK_MEMORY while it lives.
struct MaskMemory {
  explicit MaskMemory(const char *mebibytes) { setenv("WEFT_MASK_MEMORY", mebibytes, 1); }
  ~MaskMemory() { unsetenv("WEFT_MASK_MEMORY"); }
};

using GPUMasksTest = GPUTest;

TEST_F(GPUMasksTest, WithBitsAndWithout) {
  for (const char *attention :
       {"{ mask abs(q.w - k.w) <= 5 or q.text }", "{ order tiles(t: 2, h: 4, w: 8) mask abs(q.h - k.h) + abs(q.w - k.w) <= 6 }",
        "{ mask abs(q.index - k.index) <= 20 * (head + 1) }", "{ mask k.w != q.w }"})
    for (const char *memory : {"256", "0"}) {
      MaskMemory limit(memory);
      SCOPED_TRACE(std::string(attention) + " with " + memory + " MiB");
      GPUProblem problem(attention, {{2, 5, 14, 10, false}, 2, 32, 64, 1, ElementType::BF16});
      problem.fillNormal(11);
      EXPECT_EQ(problem.compare(), "");
    }
}

/// Text and first frames are runs beside boxes, in this order, in the other, or alone; boxes may be smaller than runs.
TEST_F(GPUMasksTest, FirstFramesAreRuns) {
  for (const char *order : {"tiles(first: 1, h: 4, w: 4)", "tiles(first: 2, t: 3, h: 1, w: 2)",
                            "tiles(first: 1, t: 1, h: 3, w: 7)"})
    for (GridShape grid : {GridShape{5, 6, 7, 0, false}, {5, 6, 7, 9, false}, {5, 6, 7, 40, true}}) {
      SCOPED_TRACE(fmt::format("{}, {} of text", order, grid.text));
      GPUProblem problem(fmt::format("{{ order {} mask q.t < 1 or k.t < 1 or abs(q.w - k.w) <= 2 or q.text }}", order),
                         {grid, 2, 32, 64, 1, ElementType::BF16});
      problem.fillNormal(13);
      EXPECT_EQ(problem.compare(), "");
    }
}

/// Copies of the first frames' runs end where these do: a value behind them, even NaN, has no part in rows that see
/// nothing else.
TEST_F(GPUMasksTest, RunsOfFirstFramesEndWithThem) {
  GPUProblem problem("{ order tiles(first: 1, t: 1, h: 4, w: 8) mask k.t < 1 }",
                     {{3, 6, 7, 0, false}, 2, 32, 128, 1, ElementType::BF16});
  problem.fillNormal(13);
  for (int64_t head = 0; head < 2; ++head)
    for (int64_t token = 42; token < 126; ++token)
      problem.test.operands.value.set(0, head, token, token % 32, NAN);
  EXPECT_EQ(problem.compare(), "");
}

/// Bits are of the parameters that lists were first launched with, and the predicate's of the launch: results tell what
/// a kernel reads.
TEST_F(GPUMasksTest, KernelsReadBitsWhereThereAreSome) {
  struct {
    const char *target, *memory;
    int64_t reach;
  } cases[] = {{"native", "256", (*device())->capability == 90 ? 3 : 5}, {"native", "0", 5}, {"sm_80", "256", 5}};
  for (auto [target, memory, reach] : cases) {
    MaskMemory limit(memory);
    SCOPED_TRACE(fmt::format("{} with {} MiB", target, memory));
    GPUProblem problem("(dynamic reach: int) { mask abs(q.w - k.w) <= reach }",
                       {{1, 9, 16, 0, false}, 1, 32, 128, 1, ElementType::BF16}, {3}, target);
    problem.fillNormal(5);
    DeviceOperands call;
    ASSERT_TRUE(problem.upload(call));
    auto lists = problem.onDevice->resolveLists(call.args);
    ASSERT_TRUE(lists) << lists.message();
    call.args.lists = *lists;
    ASSERT_EQ(problem.onDevice->launch(call.args, nullptr).message(), "");
    call.args.parameters = {5};
    ASSERT_EQ(problem.onDevice->launch(call.args, nullptr).message(), "");
    ASSERT_TRUE(call.download(problem.operands()));
    problem.test.program.parameters = {reach};
    EXPECT_EQ(compareWithInterpreter(problem.test), "");
  }
}

TEST_F(GPUMasksTest, ParametersHaveTheirOwnBits) {
  GPUProblem problem("(dynamic reach: int = 3, dynamic all: bool = false) { mask abs(q.w - k.w) <= reach or (all and "
                     "q.h == k.h) }", {{1, 9, 16, 0, false}, 1, 32, 128, 1, ElementType::BF16}, {3, 0});
  problem.fillNormal(5);
  for (std::vector<int64_t> parameters : {std::vector<int64_t>{3, 0}, {5, 0}, {3, 1}, {3, 0}}) {
    problem.test.program.parameters = parameters;
    EXPECT_EQ(problem.compare(), "");
  }
}

TEST_F(GPUMasksTest, SelectionsReadTheirBits) {
  for (const char *memory : {"256", "0"}) {
    MaskMemory limit(memory);
    GPUProblem problem("{ mask topk(block_mean, keep: 0.4) and abs(q.w - k.w) <= 9 or abs(q.h - k.h) <= 1 }",
                       {{3, 8, 11, 0, false}, 1, 32, 64, 1, ElementType::BF16});
    problem.fillIntegers(3);
    auto selected = problem.kernel->predict(problem.args());
    ASSERT_TRUE(selected) << selected.message();
    EXPECT_EQ(problem.compare(nullptr, &*selected), "");
  }
}

} // namespace
