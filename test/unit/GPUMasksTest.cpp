// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bits of partial blocks: which tiles there are, and that kernels compute the same with and without them. On a GPU, or on
// the executor that WEFT_CUDA_DRIVER names.

#include "test/unit/CompiledProblem.h"
#include "test/unit/OnDevice.h"

#include <gtest/gtest.h>

#include <cstdlib>

using namespace weft;
using namespace weft::test;
using rt::BlockLists;
using rt::cuda::MaskPlan;

namespace {

/// Two query and three key blocks: (0, 0) and (1, 2) are partial, and (0, 2) is full.
BlockLists someLists(bool given = false) {
  return BlockLists::fromClassified(1, 2, 3, {0, 2, 3}, {0 * 2 + 1, 2 * 2, 2 * 2 + 1}, given);
}

TEST(MaskPlanTest, PartialPairsGetTiles) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 1, 64, 1 << 20}, {&lists});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2}));
  EXPECT_EQ(plan.pairs, (std::vector<int32_t>{0, 0, 0, 0, 1, 2, 0, 0}));
}

TEST(MaskPlanTest, EachHeadHasItsTilesIfThePredicateReadsIt) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 2, 64, 1 << 20}, {&lists});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4}));
  EXPECT_EQ(plan.pairs[4 * 2 + 2], 1);
}

TEST(MaskPlanTest, PairsInsideAndOutsideOfASelectionDiffer) {
  BlockLists outside = someLists(), inside = someLists(/*given=*/true);
  MaskPlan plan({2, 1, 64, 1 << 20}, {&outside, &inside});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4}));
  EXPECT_EQ(plan.pairs[4 * 2 + 3], 1);
  MaskPlan alike({1, 1, 64, 1 << 20}, {&outside, &inside});
  EXPECT_EQ(alike.tiles(), 2);
}

TEST(MaskPlanTest, WhatDoesNotFitHasNoTile) {
  BlockLists lists = someLists();
  MaskPlan plan({1, 1, 64, 64 * 16}, {&lists});
  EXPECT_EQ(plan.index, (std::vector<int32_t>{1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(MaskPlan({1, 1, 64, 0}, {&lists}).tiles(), 0);
}

/// WEFT_MASK_MEMORY while it lives.
struct MaskMemory {
  explicit MaskMemory(const char *mebibytes) { setenv("WEFT_MASK_MEMORY", mebibytes, 1); }
  ~MaskMemory() { unsetenv("WEFT_MASK_MEMORY"); }
};

class GPUMasksTest : public testing::Test {
protected:
  void SetUp() override {
    if (!device())
      GTEST_SKIP() << device().message();
  }

  /// What differs between the kernel's results and the interpreter's.
  static std::string run(CompiledProblem &problem, const rt::cuda::GPUKernel &kernel) {
    DeviceOperands call;
    rt::Status status = call.upload(problem.test.operands);
    call.args.parameters = problem.test.program.parameters;
    if (status)
      status = kernel.launch(call.args, nullptr);
    if (status)
      status = call.download(problem.test.operands);
    return status ? compareWithInterpreter(problem.test) : status.message();
  }

  static std::shared_ptr<const rt::cuda::GPUKernel> compile(CompiledProblem &problem) {
    GPUKernelResult compiled = compileGPUKernel(problem.test.program.request, *device());
    EXPECT_TRUE(compiled) << compiled.message();
    return *compiled;
  }
};

TEST_F(GPUMasksTest, WithBitsAndWithout) {
  for (const char *attention :
       {"{ mask abs(q.w - k.w) <= 5 or q.text }", "{ order tiles(t: 2, h: 4, w: 8) mask abs(q.h - k.h) + abs(q.w - k.w) <= 6 }",
        "{ mask abs(q.index - k.index) <= 20 * (head + 1) }", "{ mask k.w != q.w }"})
    for (const char *memory : {"256", "0"}) {
      MaskMemory limit(memory);
      SCOPED_TRACE(std::string(attention) + " with " + memory + " MiB");
      CompiledProblem problem(attention, {{2, 5, 14, 10, false}, 2, 32, 64, 1, ElementType::BF16}, {});
      problem.fillNormal(11);
      EXPECT_EQ(run(problem, *compile(problem)), "");
    }
}

TEST_F(GPUMasksTest, ParametersHaveTheirOwnBits) {
  CompiledProblem problem("(dynamic reach: int = 3, dynamic all: bool = false) { mask abs(q.w - k.w) <= reach or (all and q.h == k.h) }",
                          {{1, 9, 16, 0, false}, 1, 32, 128, 1, ElementType::BF16}, {3, 0});
  problem.fillNormal(5);
  auto kernel = compile(problem);
  for (std::vector<int64_t> parameters : {std::vector<int64_t>{3, 0}, {5, 0}, {3, 1}, {3, 0}}) {
    problem.test.program.parameters = parameters;
    EXPECT_EQ(run(problem, *kernel), "");
  }
}

TEST_F(GPUMasksTest, SelectionsReadTheirBits) {
  for (const char *memory : {"256", "0"}) {
    MaskMemory limit(memory);
    CompiledProblem problem("{ mask topk(block_mean, keep: 0.4) and abs(q.w - k.w) <= 9 or abs(q.h - k.h) <= 1 }",
                            {{3, 8, 11, 0, false}, 1, 32, 64, 1, ElementType::BF16}, {});
    problem.fillIntegers(3);
    rt::RunArgs args = problem.args();
    auto selected = problem.kernel->predict(args);
    ASSERT_TRUE(selected) << selected.message();
    DeviceOperands call;
    ASSERT_TRUE(call.upload(problem.test.operands));
    ASSERT_EQ(compile(problem)->launch(call.args, nullptr).message(), "");
    ASSERT_TRUE(call.download(problem.test.operands));
    EXPECT_EQ(compareWithInterpreter(problem.test, &*selected), "");
  }
}

} // namespace
