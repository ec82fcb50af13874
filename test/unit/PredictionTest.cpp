// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of predicted masks: kernels against the interpreter, selections kept for several calls, and what is refused.

#include "test/unit/CompiledProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

struct Problem : CompiledProblem {
  Problem(const std::string &attention, const Shape &shape, const std::vector<double> &floats = {})
      : CompiledProblem(attention, shape, bitsOf(floats)) {}

  rt::GivenLists predict() const {
    auto lists = kernel->predict(args());
    EXPECT_TRUE(lists) << lists.status().message();
    return *lists;
  }
  rt::GivenLists interpret() const {
    auto result = test.interpret({0});
    EXPECT_TRUE(result) << result.status().message();
    EXPECT_EQ(result->predicted.size(), 1u);
    return result->predicted.front();
  }

  std::string compare() const {
    if (rt::Status status = kernel->run(args()); !status)
      return status.message();
    std::vector<int64_t> rows = chooseRows(test);
    auto expected = test.interpret(rows);
    if (!expected)
      return expected.status().message();
    return compareRows(test.operands, *expected, rows, toleranceOf(shape.type));
  }
};

std::vector<int32_t> rowOf(const rt::GivenLists &lists, int64_t set, int64_t row) {
  const int64_t *offsets = &lists.offsets[set * (lists.queryBlocks + 1) + row];
  return {lists.keyBlocks.begin() + offsets[0], lists.keyBlocks.begin() + offsets[1]};
}

void expectEqual(const rt::GivenLists &actual, const rt::GivenLists &expected) {
  ASSERT_EQ(actual.lists, expected.lists);
  ASSERT_EQ(actual.queryBlocks, expected.queryBlocks);
  EXPECT_EQ(actual.offsets, expected.offsets);
  EXPECT_EQ(actual.keyBlocks, expected.keyBlocks);
}

/// The score of two blocks without pools, from the formula.
double scoreOf(const Problem &problem, int64_t set, int64_t queryBlock, int64_t keyBlock) {
  const rt::KernelImage &image = problem.kernel->image();
  int64_t batch = set / image.heads, head = set % image.heads;
  auto mean = [&](const TestTensor &tensor, const rt::TokenBlocks &blocks, int64_t block, int64_t c) {
    double sum = 0;
    for (int32_t i = blocks.offsets[block]; i < blocks.offsets[block + 1]; ++i)
      sum += tensor.at(batch, head, blocks.table[i], c);
    return sum / (blocks.offsets[block + 1] - blocks.offsets[block]);
  };
  double sum = 0;
  for (int64_t c = 0; c < image.headDim; ++c)
    sum += mean(problem.test.operands.query, image.query, queryBlock, c) *
           mean(problem.test.operands.key, image.key, keyBlock, c);
  return sum / std::sqrt(static_cast<double>(image.headDim));
}

/// Rows differ in blocks alone whose scores are as good as that of the last selected one.
void expectNearlyEqual(const Problem &problem, const rt::GivenLists &actual, const rt::GivenLists &expected) {
  ASSERT_EQ(actual.lists, expected.lists);
  int64_t numDifferent = 0;
  for (int64_t set = 0; set < expected.lists; ++set)
    for (int64_t row = 0; row < expected.queryBlocks; ++row) {
      std::vector<int32_t> mine = rowOf(actual, set, row), theirs = rowOf(expected, set, row), difference;
      std::ranges::set_symmetric_difference(mine, theirs, std::back_inserter(difference));
      numDifferent += !difference.empty();
      double least = kInfinity;
      for (int32_t block : theirs)
        least = std::min(least, scoreOf(problem, set, row, block));
      for (int32_t block : difference)
        EXPECT_NEAR(scoreOf(problem, set, row, block), least, 1e-5) << "set " << set << ", row " << row;
    }
  EXPECT_LE(numDifferent * 20, expected.lists * expected.queryBlocks);
}

const char *const kMasks[] = {
    "{ mask topk(block_mean, keep: 0.3) }",
    "{ order tiles mask topk(block_mean, keep: 0.25, min: 2) or k.t == 0 or q.text or k.text }",
    "{ order tiles(t: 1, h: 4, w: 8) mask topp(block_mean, mass: 0.6) }",
    "{ order tiles(t: 2, h: 4, w: 4) mask threshold(block_mean, score: 0.01, min: 1) and not q.h == k.h }",
    "{ mask not topk(block_mean, keep: 0.5) }",
};

TEST(Prediction, IntegersSelectExactly) {
  // 64 tokens of integers have exact means, and their scores exact sums: ties are ties in f32 and f64.
  for (const char *mask : kMasks)
    for (int64_t block : {64, 128}) {
      Shape shape{{4, 8, 16, 64, false}, 2, 64, block};
      Problem problem(mask, shape);
      problem.fillIntegers(block);
      SCOPED_TRACE(mask);
      rt::GivenLists lists = problem.predict();
      EXPECT_EQ(problem.compare(), "");
      if (std::string_view(mask).find("topp") == std::string_view::npos)
        expectEqual(lists, problem.interpret());
    }
}

TEST(Prediction, RandomNumbersSelectAlmostExactly) {
  const GridShape grids[] = {{13, 15, 10, 77, false}, {3, 31, 53, 0, false}, {1, 64, 32, 512, false},
                             {2, 3, 5, 0, false},     {1, 8, 8, 226, true},  {5, 7, 11, 226, false},
                             {1, 1, 1, 0, false}};
  uint64_t seed = testSeed();
  for (const GridShape &grid : grids)
    for (const char *mask : kMasks) {
      ElementType type = std::array{ElementType::F32, ElementType::BF16, ElementType::F16}[++seed % 3];
      int64_t heads = grid.tokens() > 3000 ? 1 : 2, block = type == ElementType::F32 ? 128 : 64;
      Problem problem(mask, Shape{grid, heads, 40, block, 1, type});
      problem.fillNormal(seed);
      SCOPED_TRACE(fmt::format("{} on {}x{}x{}, {} of text, seed {}", mask, grid.t, grid.h, grid.w, grid.text, seed));
      expectNearlyEqual(problem, problem.predict(), problem.interpret());
    }
}

TEST(Prediction, OutputsAgree) {
  uint64_t seed = testSeed();
  for (const char *mask : kMasks)
    for (ElementType type : {ElementType::F32, ElementType::BF16}) {
      Problem problem(mask, Shape{{3, 9, 14, 20, false}, 2, 48, 64, 2, type});
      problem.fillNormal(++seed);
      SCOPED_TRACE(mask);
      // Each batch element selects for itself.
      EXPECT_EQ(problem.predict().lists, 4);
      EXPECT_EQ(problem.compare(), "");
    }
}

TEST(Prediction, PoolsOfABlockTakeTheirGreatestScore) {
  for (int64_t pool : {1, 5, 32, 1000}) {
    Problem problem(fmt::format("{{ order tiles mask topk(block_mean, keep: 0.4, pool: {}) }}", pool),
                    Shape{{3, 10, 14, 9, false}, 2, 32, 64});
    problem.fillIntegers(pool);
    // Pools of five tokens have means that f32 rounds, so integers are not exact there.
    if (pool != 5)
      expectEqual(problem.predict(), problem.interpret());
    EXPECT_EQ(problem.compare(), "");
  }
  // A key block of zeros with one great token: its mean is small, that of its pool is not.
  for (int64_t pool : {1, 64}) {
    Problem problem(fmt::format("{{ mask topk(block_mean, keep: 0.25, pool: {}) }}", pool),
                    Shape{{1, 16, 16, 0, false}, 1, 32, 64});
    problem.fill([] { return 1.0; });
    problem.test.operands.key.fill([](int64_t, int64_t, int64_t token, int64_t) {
      return token == 200 ? 10.0 : token >= 192 ? 0.0 : 1.0;
    });
    EXPECT_EQ(rowOf(problem.predict(), 0, 0), std::vector<int32_t>{pool == 1 ? 3 : 0});
  }
}

TEST(Prediction, EqualScoresSelectTheLowerBlock) {
  Problem problem("{ mask topk(block_mean, keep: 0.5) }", Shape{});
  problem.fill([] { return 1.0; });
  for (int64_t row = 0; row < 6; ++row)
    EXPECT_EQ(rowOf(problem.predict(), 1, row), (std::vector<int32_t>{0, 1, 2}));
  expectEqual(problem.predict(), problem.interpret());
}

TEST(Prediction, AmountsAtTheirEnds) {
  const std::string masks[] = {"(dynamic x: float) { mask topk(block_mean, keep: x, min: MIN) }",
                               "(dynamic x: float) { mask topp(block_mean, mass: x, min: MIN) }"};
  for (std::string mask : masks)
    for (int64_t min : {0, 2, 100})
      for (double amount : {0.0, 1e-12, 1.0}) {
        std::string source = mask;
        source.replace(source.find("MIN"), 3, std::to_string(min));
        Problem problem(source, Shape{}, {amount});
        problem.fillNormal(7);
        rt::GivenLists lists = problem.predict();
        // The least amount that is not 0 is within 1e-9 of no block for topk, and a share of mass for topp.
        int64_t least = amount > 0 && source.find("topp") != source.npos;
        int64_t expected = amount == 1 ? 6 : std::min<int64_t>(6, std::max(min, least));
        for (int64_t row = 0; row < 6; ++row)
          EXPECT_EQ(rowOf(lists, 0, row).size(), static_cast<size_t>(expected)) << source << " with " << amount;
        expectEqual(lists, problem.interpret());
        EXPECT_EQ(problem.compare(), "");
      }
}

TEST(Prediction, NaNAndInfinityAreSelectedFirst) {
  for (double special : {kNaN, kInfinity})
    for (const char *mask : {"{ mask topk(block_mean, keep: 0.2) }", "{ mask topp(block_mean, mass: 0.2) }",
                             "{ mask threshold(block_mean, score: 1000.0) }"}) {
      Problem problem(mask, Shape{});
      problem.fill([] { return 1.0; });
      problem.test.operands.key.set(0, 0, 300, 3, special); // block 4 of head 0
      rt::GivenLists lists = problem.predict();
      expectEqual(lists, problem.interpret());
      std::vector<int32_t> row = rowOf(lists, 0, 2);
      EXPECT_NE(std::ranges::find(row, 4), row.end()) << mask;
      ASSERT_TRUE(problem.kernel->run(problem.args()));
      EXPECT_TRUE(std::isnan(problem.test.operands.out.at(0, 0, 0, 0))) << mask;
    }
  Problem query("{ mask topk(block_mean, keep: 0.5) }", Shape{});
  query.fill([] { return 1.0; });
  query.test.operands.query.set(0, 1, 70, 0, kNaN);
  EXPECT_EQ(rowOf(query.predict(), 1, 1), (std::vector<int32_t>{0, 1, 2}));
  expectEqual(query.predict(), query.interpret());
  ASSERT_TRUE(query.kernel->run(query.args()));
  EXPECT_TRUE(std::isnan(query.test.operands.out.at(0, 1, 70, 0)));
  EXPECT_FALSE(std::isnan(query.test.operands.out.at(0, 1, 71, 0)));
}

TEST(Prediction, ListsServeSeveralCalls) {
  Problem problem("{ mask topk(block_mean, keep: 0.3) or k.index < 10 }", Shape{{3, 8, 16, 0, false}, 2, 32, 64, 2});
  problem.fillNormal(1);
  rt::GivenLists first = problem.predict();
  auto resolved = problem.kernel->resolveLists(problem.args());
  ASSERT_TRUE(resolved);
  ASSERT_TRUE(problem.kernel->run(problem.args()));
  std::vector<std::byte> out = problem.test.operands.out.storage;
  rt::RunArgs reused = problem.args();
  reused.given = &first;
  ASSERT_TRUE(problem.kernel->run(reused));
  EXPECT_EQ(problem.test.operands.out.storage, out);

  // The next step has other queries; the mask of the first is kept, in either form.
  problem.fillNormal(2);
  ASSERT_TRUE(problem.kernel->run(problem.args()));
  std::vector<std::byte> fresh = problem.test.operands.out.storage;
  ASSERT_TRUE(problem.kernel->run(reused));
  std::vector<std::byte> kept = problem.test.operands.out.storage;
  EXPECT_NE(kept, fresh);
  rt::RunArgs withLists = problem.args();
  withLists.lists = *resolved;
  ASSERT_TRUE(problem.kernel->run(withLists));
  EXPECT_EQ(problem.test.operands.out.storage, kept);

  first.lists = 3;
  EXPECT_EQ(problem.kernel->run(reused).message(), "given lists: expected 1, 2 or 4 sets, but got 3");
}

TEST(Prediction, ThreadsDoNotChangeResults) {
  Problem problem("{ order tiles mask topp(block_mean, mass: 0.5) }", Shape{{3, 9, 14, 20, false}, 3, 48, 64, 2});
  problem.fillNormal(3);
  rt::RunArgs args = problem.args();
  args.threads = 1;
  auto one = problem.kernel->predict(args);
  args.threads = 7;
  auto seven = problem.kernel->predict(args);
  ASSERT_TRUE(one && seven);
  expectEqual(*one, *seven);
}

TEST(Prediction, FloatsNeverRecompile) {
  Compiler compiler;
  Shape shape;
  std::string source = "(dynamic keep: float = 0.5, dynamic radius: int = 1) "
                       "{ mask topk(block_mean, keep: keep) and abs(q.t - k.t) <= radius }";
  auto kernel = compiler.compile(requestOf(source, shape));
  ASSERT_TRUE(kernel) << kernel.message();
  Problem problem(source, shape);
  problem.fillNormal(4);
  size_t last = 0;
  for (double keep : {0.0, 0.2, 0.5, 0.9, 1.0}) {
    rt::RunArgs args = problem.args();
    args.parameters = {std::bit_cast<int64_t>(keep), 2};
    auto lists = (*kernel)->resolveLists(args);
    ASSERT_TRUE(lists) << lists.status().message();
    EXPECT_GE((*lists)->entries.size(), last);
    last = (*lists)->entries.size();
    EXPECT_EQ(compiler.compile(requestOf(source, shape))->get(), kernel->get());
  }
  EXPECT_EQ(last, 2u * 36);
  EXPECT_EQ(compiler.numCompilations(), 1);
  // A static float is part of the request.
  CompileRequest request = requestOf("(keep: float) { mask topk(block_mean, keep: keep) }", shape);
  for (double keep : {0.2, 0.2, 0.3}) {
    request.options.values["keep"] = {Kind::Float, 0, keep};
    ASSERT_TRUE(compiler.compile(request));
  }
  EXPECT_EQ(compiler.numCompilations(), 3);
}

TEST(Prediction, ConstantSharesNeedNoPrediction) {
  for (const char *mask : {"{ mask topk(block_mean, keep: 1.0) }", "{ mask topp(block_mean, mass: 0.0) }"}) {
    Problem problem(mask, Shape{});
    EXPECT_FALSE(problem.kernel->image().prediction) << mask;
    EXPECT_FALSE(problem.kernel->image().hasGiven) << mask;
  }
}

TEST(Prediction, Errors) {
  std::string topk = "(dynamic keep: float) { mask topk(block_mean, keep: keep) }";
  for (auto [value, text] : {std::pair(1.5, "1.5"), {-0.1, "-0.1"}, {kNaN, "nan"}, {kInfinity, "inf"}}) {
    Problem problem(topk, Shape{}, {value});
    problem.fill([] { return 1.0; });
    std::string expected = fmt::format("parameters: expected 'keep' to be a number from 0 to 1, but got {}", text);
    EXPECT_EQ(problem.kernel->run(problem.args()).message(), expected);
    EXPECT_EQ(problem.kernel->predict(problem.args()).status().message(), expected);
    EXPECT_TRUE(problem.test.operands.out.isUntouchedAround());
    testing::internal::CaptureStderr();
    EXPECT_FALSE(problem.test.interpret({0}));
    EXPECT_NE(testing::internal::GetCapturedStderr().find("expected a number from 0 to 1, but got"), std::string::npos);
  }
  Problem bound("(dynamic bound: float) { mask threshold(block_mean, score: bound) }", Shape{}, {kInfinity});
  EXPECT_EQ(bound.kernel->run(bound.args()).message(),
            "parameters: expected 'bound' to be a finite score, but got inf");
  Problem missing(topk, Shape{});
  EXPECT_EQ(missing.kernel->run(missing.args()).message(),
            "parameters: expected a value for 'keep', which has no default");
  Problem problem(topk, Shape{}, {0.5});
  rt::RunArgs args = problem.args();
  args.key.shape[2] = 7;
  EXPECT_EQ(problem.kernel->predict(args).status().message(),
            "key: expected shape [1, 2, 384, 32], but got [1, 2, 7, 32]");
  Problem dense("{}", Shape{});
  EXPECT_EQ(dense.kernel->predict(dense.args()).status().message(),
            "kernel 'a': expected a mask with topk, topp or threshold");
}

} // namespace
