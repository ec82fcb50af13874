// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse on the device: kernels of both generators against the interpreter. On a GPU, or on the executor that
// WEFT_CUDA_DRIVER names.

#include "test/unit/GPUProblem.h"
#include "test/unit/ReuseCases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <iterator>

using namespace weft;
using namespace weft::test;

namespace {

const Shape kShape = {{4, 6, 10, 7, false}, 2, 64, 64, 1, ElementType::BF16};

/// With operands in which neighbours are alike.
struct Problem : GPUProblem {
  Problem(const std::string &attention, const Shape &shape = kShape, const std::string &target = "native",
          const std::vector<double> &floats = {})
      : GPUProblem(attention, shape, bitsOf(floats), target) {
    fillNeighbours(testSeed());
  }

  /// Whether the device saves what the CPU saves, which has the same blocks.
  void expectSavingOfCPU() {
    rt::ReuseSaving actual = saving();
    auto expected = kernel->measureReuse(args());
    ASSERT_TRUE(expected) << expected.status().message();
    EXPECT_EQ(actual.whole, expected->whole);
    EXPECT_DOUBLE_EQ(actual.queries, expected->queries);
    EXPECT_DOUBLE_EQ(actual.keys, expected->keys);
    EXPECT_DOUBLE_EQ(actual.work, expected->work);
  }
};

using GPUReuseTest = GPUTest;

const char *const kTargets[] = {"native", "sm_80"};
const GridShape kGrids[] = {{4, 6, 10, 0, false}, {5, 3, 7, 7, false}, {3, 7, 9, 7, true}, {1, 12, 13, 0, false}};

/// Each grid with both generators and some type: all pairs of them are the differential test's.
void forEachShape(const std::function<void(const Shape &shape, const std::string &target)> &body) {
  const ElementType types[] = {ElementType::BF16, ElementType::F16, ElementType::F32};
  int next = 0;
  for (GridShape grid : kGrids)
    for (const char *target : kTargets)
      body(Shape{grid, 2, 40, 64, 1, types[next++ % 3]}, target);
}

TEST_F(GPUReuseTest, ChannelsAreSnapped) {
  forEachShape([](const Shape &shape, const std::string &target) {
    Problem problem("{ reuse neighbours(channel, threshold: 0.15) }", shape, target);
    EXPECT_EQ(problem.compare(), "") << target;
    problem.expectSavingOfCPU();
  });
}

TEST_F(GPUReuseTest, ChannelsInWindowsOfThreeAndAlongSomeAxes) {
  for (const char *parts : {"window: 3", "window: 4, axes: t w", "axes: h", "window: 10, axes: w", "threshold: 0.0"}) {
    std::string clause =
        std::string_view(parts).starts_with("threshold") ? parts : fmt::format("threshold: 0.6, {}", parts);
    Problem problem(fmt::format("{{ reuse neighbours(channel, {}) }}", clause));
    EXPECT_EQ(problem.compare(), "") << parts;
  }
}

/// More chunks of 16 bytes than lanes of a warp, and a number of them that is no power of two.
TEST_F(GPUReuseTest, RowsOfManyWidths) {
  for (auto [type, headDim] : {std::pair(ElementType::F32, 256),
                               {ElementType::F32, 72},
                               {ElementType::BF16, 72},
                               {ElementType::F16, 256},
                               {ElementType::BF16, 32}}) {
    Shape shape{{3, 4, 5, 3, true}, 1, headDim, 64, 2, type};
    Problem problem("{ reuse neighbours(channel, threshold: 0.15) }", shape);
    EXPECT_EQ(problem.compare(), "") << headDim;
  }
}

TEST_F(GPUReuseTest, ChannelsUnderMasks) {
  for (const char *clause : {"order tiles(t: 2, h: 3, w: 5) mask abs(q.w - k.w) <= 3 or q.text or k.text bias given",
                             "mask topk(block_mean, keep: 0.5) or k.t == 0", "mask abs(q.t - k.t) <= 1 rows given"})
    for (const char *target : kTargets) {
      Shape shape = kShape;
      shape.batch = 2;
      Problem problem(fmt::format("{{ {} reuse neighbours(channel, threshold: 0.15) }}", clause), shape, target);
      EXPECT_EQ(problem.compare(), "") << clause;
    }
}

TEST_F(GPUReuseTest, NaNAndInfinityFireNoWindow) {
  for (double special : {kNaN, kInfinity}) {
    Problem problem("{ reuse neighbours(channel, threshold: 9.0) }",
                    Shape{{2, 4, 6, 0, false}, 1, 32, 64, 1, ElementType::BF16});
    problem.operands().query.set(0, 0, 13, 2, special);
    EXPECT_EQ(problem.compare(), "");
    EXPECT_TRUE(std::isnan(problem.operands().out.at(0, 0, 13, 0)));
  }
}

TEST_F(GPUReuseTest, ThresholdsAreParameters) {
  std::string source = "(dynamic theta: float) { reuse neighbours(channel, threshold: theta) }";
  for (double theta : {0.0, 0.3, 100.0}) {
    Problem problem(source, kShape, "native", {theta});
    EXPECT_EQ(problem.compare(), "");
  }
  Problem problem(source, kShape, "native", {-1.0});
  EXPECT_EQ(problem.run(), "parameters: expected 'theta' to be a finite number of at least 0, but got -1");
}

//===--- Whole tokens ---===//

TEST_F(GPUReuseTest, TokensAreMergedInADenseAttention) {
  forEachShape([](const Shape &shape, const std::string &target) {
    Problem problem(kMergeTokens, shape, target);
    EXPECT_EQ(problem.compare(), "") << target;
    EXPECT_GT(problem.saving().work, 0.02);
    problem.expectSavingOfCPU();
  });
}

/// Deviations of 1/2, which the f32 of other thresholds cannot tell from the bound.
TEST_F(GPUReuseTest, DeviationsNextToTheThreshold) {
  const std::string source = "(dynamic theta: float) { reuse neighbours(token, threshold: theta, axes: w) }";
  for (ElementType type : {ElementType::BF16, ElementType::F32})
    for (auto [theta, fires] : {std::pair(0.5, false),
                                {std::nextafter(0.5, 1), true},
                                {std::nextafter(0.5, 0), false},
                                {0.5 + 1e-9, true},
                                {0.0, false},
                                {1e300, true}}) {
      Problem problem(source, Shape{{2, 4, 6, 0, false}, 1, 72, 64, 1, type}, "native", {theta});
      auto parity = [](int64_t, int64_t, int64_t token, int64_t) { return static_cast<double>(token % 2); };
      problem.operands().query.fill(parity), problem.operands().key.fill(parity);
      SCOPED_TRACE(fmt::format("{:.17g}", theta));
      EXPECT_EQ(problem.compare(), "");
      EXPECT_EQ(problem.saving().queries, fires ? 0.5 : 0);
      problem.expectSavingOfCPU();
    }
}

/// Cells of 64 tokens are searched by groups of lanes.
TEST_F(GPUReuseTest, TokensInLargeCells) {
  for (const char *parts : {"window: 4", "window: 3", "window: 9, axes: w", "window: 2, axes: t w"})
    for (const char *extras : {"", "bias given "}) {
      std::string source = fmt::format("{{ {}reuse neighbours(token, threshold: 0.3, {}) }}", extras, parts);
      Problem problem(source, Shape{{4, 5, 10, 7, false}, 1, 32, 64, 1, ElementType::F16});
      EXPECT_EQ(problem.compare(), "") << source;
      problem.expectSavingOfCPU();
    }
}

TEST_F(GPUReuseTest, MasksSeeTheOriginalTokens) {
  for (size_t i = 0; i < std::size(kReuseMasks); ++i)
    for (bool hasExtras : {false, true}) {
      const char *target = kTargets[(i + hasExtras) % 2];
      std::string source = fmt::format("{{ {} {} reuse neighbours(token, threshold: 0.15) }}", kReuseMasks[i],
                                       hasExtras ? "bias given rows given" : "");
      SCOPED_TRACE(source + target);
      Problem problem(source, Shape{{4, 6, 10, 7, false}, 2, 32, 64, 2, ElementType::BF16}, target);
      EXPECT_EQ(problem.compare(), "");
      if (!problem.onDevice->image().prediction)
        problem.expectSavingOfCPU();
    }
}

TEST_F(GPUReuseTest, BiasesOfMergedKeysAdd) {
  Problem problem("{ bias given reuse neighbours(token, threshold: 0.15) }",
                  Shape{{4, 6, 10, 7, false}, 1, 64, 64, 1, ElementType::BF16});
  compareBiases(problem);
}

TEST_F(GPUReuseTest, RowsMergeAmongTheListed) {
  Problem problem("{ rows given reuse neighbours(token, threshold: 9.0) }",
                  Shape{{4, 6, 10, 0, false}, 1, 32, 64, 1, ElementType::BF16});
  compareListedRows(problem);
}

/// Queries and keys have grids of their own; where no window fits nothing is snapped, and one side may have windows along
/// an axis on which the other has none.
TEST_F(GPUReuseTest, RectangularAttention) {
  for (auto [queries, keys] : {std::pair(GridShape{1, 1, 1, 3, false}, GridShape{4, 5, 6, 0, false}),
                               {GridShape{4, 5, 6, 0, false}, GridShape{1, 1, 1, 9, true}},
                               {GridShape{2, 5, 6, 0, false}, GridShape{3, 4, 9, 7, true}},
                               {GridShape{1, 5, 6, 0, false}, GridShape{4, 4, 6, 0, false}},
                               {GridShape{4, 5, 6, 2, false}, GridShape{1, 4, 6, 0, false}}})
    for (const char *clauses : {"", "rows given"})
      for (const char *target : kTargets) {
        Shape shape = kShape;
        shape.grid = queries, shape.keyGrid = keys;
        Problem problem(fmt::format("{{ {} reuse neighbours(token, threshold: 0.15) }}", clauses), shape, target);
        EXPECT_EQ(problem.compare(), "") << clauses << target;
      }
}

TEST_F(GPUReuseTest, TokensInOtherWindows) {
  for (const char *parts : {"window: 3", "window: 4, axes: t w", "axes: h", "window: 10, axes: w"}) {
    Problem problem(fmt::format("{{ reuse neighbours(token, threshold: 0.6, {}) }}", parts));
    EXPECT_EQ(problem.compare(), "") << parts;
  }
}

/// Frames are blocks, which see each other as wholes; a mask that tells all tokens apart merges none.
TEST_F(GPUReuseTest, FullBlocksMergeUnderAMask) {
  std::string clause = "reuse neighbours(token, threshold: 0.15, axes: h w)";
  Shape shape{{4, 6, 10, 0, false}, 1, 32, 64, 1, ElementType::BF16};
  Problem masked("{ order tiles(t: 1, h: 6, w: 10) mask abs(q.t - k.t) <= 1 " + clause + " }", shape);
  EXPECT_GT(masked.saving().work, 0.02);
  masked.expectSavingOfCPU();
  EXPECT_EQ(masked.compare(), "");
  Problem predicted("{ order tiles(t: 1, h: 6, w: 10) mask topk(block_mean, keep: 0.5) " + clause + " }", shape);
  EXPECT_GT(predicted.saving().work, 0.02) << "each block merges by itself";
  EXPECT_EQ(predicted.compare(), "");
  Problem partial("{ mask q.w mod 2 == k.w mod 2 " + clause + " }", shape);
  EXPECT_EQ(partial.saving().work, 0);
  EXPECT_EQ(partial.compare(), "");
}

/// Pools of several blocks, the last of which is not full, and blocks that no query visits.
TEST_F(GPUReuseTest, PoolsOfSeveralBlocks) {
  for (const char *target : kTargets) {
    Shape shape{{5, 6, 10, 20, true}, 2, 32, 32, 1, ElementType::BF16};
    Problem problem("{ mask k.text or k.t < 4 and (q.text or head == 0) reuse neighbours(token, threshold: 0.15) }",
                    shape, target);
    EXPECT_EQ(problem.compare(), "");
    problem.expectSavingOfCPU();
    EXPECT_GT(problem.saving().keys, 0.02);
  }
}

TEST_F(GPUReuseTest, ACellIsComputedOnce) {
  Problem problem("{ reuse neighbours(token, threshold: 9.0) }",
                  Shape{{4, 6, 10, 16, false}, 1, 32, 64, 1, ElementType::BF16});
  double share = 210.0 / 256;
  rt::ReuseSaving saving = problem.saving();
  EXPECT_DOUBLE_EQ(saving.queries, share);
  EXPECT_DOUBLE_EQ(saving.keys, share);
  EXPECT_DOUBLE_EQ(saving.work, 1 - (1 - share) * (1 - share));
  EXPECT_EQ(problem.compare(), "");
}

/// Working memory is known after a launch: the next one allocates nothing and gives the same.
TEST_F(GPUReuseTest, LaunchesRepeat) {
  Problem problem("{ mask abs(q.t - k.t) <= 1 reuse neighbours(token, threshold: 0.15) }");
  EXPECT_EQ(problem.run(), "");
  std::vector<std::byte> out = problem.operands().out.storage, lse = problem.operands().lse.storage;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(problem.run(), "");
    EXPECT_TRUE(problem.operands().out.storage == out);
    EXPECT_TRUE(problem.operands().lse.storage == lse);
  }
}

TEST_F(GPUReuseTest, SavingsAreOfAttentionsWithReuse) {
  Problem dense("{}"), problem(kMergeTokens);
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  EXPECT_EQ(dense.onDevice->measureReuse(call.args, nullptr).status().message(),
            "kernel 'a': expected an attention with reuse");
  call.args.key.shape[2] = 7;
  EXPECT_EQ(problem.onDevice->measureReuse(call.args, nullptr).status().message(),
            "key: expected shape [1, 2, 247, 64], but got [1, 2, 7, 64]");
}

/// Stages alone write no result where nothing is merged.
TEST_F(GPUReuseTest, StagesRunAlone) {
  Problem problem("(dynamic theta: float) { reuse neighbours(token, threshold: theta) }", kShape, "native", {0.0});
  problem.operands().out.fill([](auto...) { return Case::kHeld; });
  DeviceOperands call;
  ASSERT_TRUE(problem.upload(call));
  EXPECT_TRUE(problem.onDevice->launchStages(call.args, nullptr));
  ASSERT_TRUE(call.download(problem.operands()));
  EXPECT_EQ(problem.operands().out.at(0, 1, 3, 5), Case::kHeld);
  EXPECT_EQ(problem.compare(), "");
}

/// Merging leaves the lists of a prediction as they are.
TEST_F(GPUReuseTest, PredictedListsServeSeveralLaunches) {
  Problem problem("{ mask topk(block_mean, keep: 0.5) reuse neighbours(token, threshold: 0.15) }");
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  auto kept = problem.onDevice->predict(call.args, nullptr);
  ASSERT_TRUE(kept) << kept.message();
  ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr));
  ASSERT_TRUE(call.download(problem.operands()));
  std::vector<std::byte> predicted = problem.operands().out.storage;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr, kept->get()));
    ASSERT_TRUE(call.download(problem.operands()));
    EXPECT_TRUE(problem.operands().out.storage == predicted);
  }
}

} // namespace
