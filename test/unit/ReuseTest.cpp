// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of reuse: donors by hand, kernels against the interpreter, what merging saves, and what is refused.

#include "lib/Schedule/ScheduleFile.h"
#include "runtime/Merge.h"
#include "test/unit/ReuseCases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

using namespace weft;
using namespace weft::test;

namespace {

//===-- Snapping ----------------------------------------------------------===//

/// One head of `channels` equal channels, or of those that `values` gives.
struct Tokens {
  rt::SnapGrid grid;
  int64_t tokens, channels;
  std::vector<float> values, result;
  std::vector<int32_t> donors, replacedByToken;
  int64_t replaced = 0;

  Tokens(std::array<int64_t, 3> extents, std::vector<float> values, int64_t text = 0, bool textFirst = false)
      : tokens(extents[0] * extents[1] * extents[2] + text),
        channels(static_cast<int64_t>(values.size()) / tokens), values(std::move(values)), result(this->values.size()),
        donors(tokens, -1), replacedByToken(tokens) {
    grid.extents = extents, grid.begin = textFirst ? text : 0;
    for (int axis = 0; axis < 3; ++axis)
      grid.axes[axis] = extents[axis] > 1;
  }

  const std::vector<float> &snap(double threshold, bool whole = false, int64_t window = 2) {
    rt::SnapTask task{grid,
                      window,
                      whole,
                      threshold,
                      rt::DType::F32,
                      tokens,
                      channels,
                      {reinterpret_cast<const std::byte *>(values.data()), channels},
                      reinterpret_cast<std::byte *>(result.data()),
                      donors.data(),
                      replacedByToken.data()};
    replaced = 0;
    for (int64_t item = task.countItems() - 1; item >= 0; --item) // in any order
      replaced += task.run(item);
    return result;
  }
};

using Floats = std::vector<float>;

TEST(Snap, PairsTakeTheFirstValue) {
  Tokens row({1, 1, 5}, {0, 1, 5, 5.5, 5.5});
  EXPECT_EQ(row.snap(0.5), (Floats{0, 1, 5, 5, 5.5})) << "0 and 1 deviate by 0.5; the last token has no partner";
  EXPECT_EQ(row.snap(0.50001), (Floats{0, 0, 5, 5, 5.5}));
  EXPECT_EQ(row.replaced, 2);
  EXPECT_EQ(row.snap(0.25), (Floats{0, 1, 5, 5.5, 5.5}));
  EXPECT_EQ(row.snap(0), row.values) << "no deviation is less than 0, not even that of equal values";
}

/// As floats both distances are the bound.
TEST(Snap, DistancesAreComparedExactly) {
  constexpr float kLittle = 0x1p-30f;
  for (bool whole : {false, true}) {
    Tokens below({1, 1, 2}, {1, kLittle}), above({1, 1, 2}, {1, -kLittle});
    below.snap(0.5, whole), above.snap(0.5, whole);
    EXPECT_EQ(below.replaced, 1);
    EXPECT_EQ(above.replaced, 0);
    // The bound is between two floats, and so is one distance.
    Tokens at({1, 1, 4}, {1, -kLittle, 1, -2 * kLittle});
    at.snap(0.5 + 0.75 * kLittle, whole);
    EXPECT_EQ(at.replaced, 1);
  }
}

TEST(Snap, WindowsHaveTheirPopulationsDeviation) {
  // 0, 0, 3 has the mean 1 and the deviation sqrt(2).
  Tokens row({1, 1, 7}, {0, 0, 3, 1, 1, 1, 9});
  EXPECT_EQ(row.snap(1.41421, false, 3), (Floats{0, 0, 3, 1, 1, 1, 9}));
  EXPECT_EQ(row.replaced, 2) << "of the second window";
  EXPECT_EQ(row.snap(1.41422, false, 3), (Floats{0, 0, 0, 1, 1, 1, 9}));
}

TEST(Snap, AxesAreFollowedInOrder) {
  // t, h and w are 2 each. In the last corner all axes fire: t leads to (0, 1, 1), h from there to (0, 0, 1).
  Tokens all({2, 2, 2}, {0, 0.25, 1, 0.25, 2, 3, 4, 0.25});
  EXPECT_EQ(all.snap(0.126), (Floats{0, 0, 1, 0, 2, 3, 4, 0})) << "and w to the first token";
  EXPECT_EQ(all.snap(0.125), (Floats{0, 0.25, 1, 0.25, 2, 3, 4, 0.25})) << "of token 1";
  Tokens cell({2, 2, 2}, {0, 1, 10, 1.5, 20, 30, 40, 1.75});
  // (1, 1, 1) = 1.75 -> t: (0, 1, 1) = 1.5 -> h: (0, 0, 1) = 1 -> w: 0 and 1 deviate by 0.5.
  EXPECT_EQ(cell.snap(0.3), (Floats{0, 1, 10, 1, 20, 30, 40, 1}));
  EXPECT_EQ(cell.snap(0.6), (Floats{0, 0, 10, 0, 20, 30, 40, 0}));
  // Both t and w fire at the last token; t counts.
  Tokens two({2, 1, 2}, {7, 5, 5.25, 5.125});
  EXPECT_EQ(two.snap(0.1), (Floats{7, 5, 5.25, 5}));
}

TEST(Snap, ChannelsAreJudgedEachOrTogether) {
  // Two channels; the first fires, the second does not.
  Tokens row({1, 1, 4}, {0, 0, 0.1f, 9, 3, 3, 3.1f, 3.1f});
  EXPECT_EQ(row.snap(0.2), (Floats{0, 0, 0, 9, 3, 3, 3, 3}));
  EXPECT_EQ(row.replaced, 3);
  EXPECT_EQ(row.snap(0.2, true), (Floats{0, 0, 0.1f, 9, 3, 3, 3, 3}));
  EXPECT_EQ(row.donors, (std::vector<int32_t>{0, 1, 2, 2}));
  EXPECT_EQ(row.replaced, 2);
}

TEST(Snap, TextIsKept) {
  for (bool textFirst : {false, true}) {
    Tokens row({1, 1, 2}, {1, 1, 1, 1, 1}, 3, textFirst);
    for (bool whole : {false, true}) {
      row.snap(0.5, whole);
      EXPECT_EQ(row.replaced, 1);
    }
    EXPECT_EQ(row.donors, textFirst ? (std::vector<int32_t>{0, 1, 2, 3, 3}) : (std::vector<int32_t>{0, 0, 2, 3, 4}));
  }
}

TEST(Snap, NaNAndInfinityFireNoWindow) {
  for (float special : {float(kNaN), float(kInfinity), -float(kInfinity)})
    for (int64_t window : {2, 3}) {
      Tokens row({1, 1, 6}, {special, special, special, 1, 1, 1});
      row.snap(1e30, true, window);
      EXPECT_EQ(row.donors[1], 1);
      EXPECT_EQ(row.donors[5], window == 2 ? 4 : 3);
      row.snap(1e30, false, window);
      EXPECT_EQ(row.replaced, window == 2 ? 1 : 2);
    }
}

//===-- Kernels -----------------------------------------------------------===//

const Shape kShape = {{4, 6, 10, 0, false}};

/// With operands in which neighbours are alike.
struct Problem : CompiledProblem {
  Problem(const std::string &attention, const Shape &shape = kShape, const std::vector<double> &floats = {})
      : CompiledProblem(attention, shape, bitsOf(floats), TensorLayout::BSHD) {
    fillNeighbours(testSeed());
  }

  rt::ReuseSaving saving() const {
    auto saving = kernel->measureReuse(args());
    EXPECT_TRUE(saving) << saving.status().message();
    return *saving;
  }
  std::string compare() const {
    if (rt::Status status = kernel->run(args()); !status)
      return status.message();
    return compareWithInterpreter(test);
  }
};

TEST(Reuse, TokensAreMergedInADenseAttention) {
  for (ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16})
    for (GridShape grid : {GridShape{4, 6, 10, 0, false}, {21, 3, 5, 7, false}, {3, 7, 9, 7, true}, {1, 12, 13, 0, false}}) {
      Problem problem(kMergeTokens, Shape{grid, 2, 48, 64, 2, type});
      EXPECT_EQ(problem.compare(), "");
      rt::ReuseSaving saving = problem.saving();
      EXPECT_GT(saving.queries, 0.02);
      EXPECT_GT(saving.keys, 0.02);
      if (problem.shape.heads * problem.shape.batch == 1) {
        EXPECT_NEAR(saving.work, 1 - (1 - saving.queries) * (1 - saving.keys), 1e-12);
      }
      EXPECT_GT(saving.work, saving.queries);
    }
}

/// All video tokens of a 2 x 2 x 2 cell are alike: seven of eight merge on both sides.
TEST(Reuse, ACellIsComputedOnce) {
  Problem problem(kMergeTokens, Shape{{4, 6, 10, 16, false}, 1, 32, 64});
  for (TestTensor *tensor : {&problem.test.operands.query, &problem.test.operands.key}) {
    Random random(3);
    std::vector<double> numbers(300 * 32);
    for (double &number : numbers)
      number = random.normal();
    tensor->fill([&](int64_t, int64_t, int64_t token, int64_t c) {
      int64_t cell = token / 60 / 2 * 15 + token / 10 % 6 / 2 * 5 + token % 10 / 2;
      return numbers[(token < 240 ? cell : 30 + token - 240) * 32 + c];
    });
  }
  rt::ReuseSaving saving = problem.saving();
  double share = 210.0 / 256;
  EXPECT_DOUBLE_EQ(saving.queries, share);
  EXPECT_DOUBLE_EQ(saving.keys, share);
  EXPECT_DOUBLE_EQ(saving.work, 1 - (1 - share) * (1 - share));
  EXPECT_EQ(problem.compare(), "");
}

TEST(Reuse, ChannelsSaveNoWork) {
  Problem problem("{ reuse neighbours(channel, threshold: 0.15) }", Shape{{4, 6, 10, 7, false}, 2, 64, 64, 2});
  EXPECT_EQ(problem.compare(), "");
  rt::ReuseSaving saving = problem.saving();
  EXPECT_GT(saving.queries, 0.1);
  EXPECT_GT(saving.keys, 0.1);
  EXPECT_EQ(saving.work, 0);
}

TEST(Reuse, MasksSeeTheOriginalTokens) {
  for (const char *clause : kReuseMasks)
    for (const char *extra : {"", "bias given rows given"})
      for (const char *granularity : {"token", "channel"}) {
        std::string source = fmt::format("{{ {} {} reuse neighbours({}, threshold: 0.15) }}", clause, extra, granularity);
        SCOPED_TRACE(source);
        Problem problem(source, Shape{{4, 6, 10, 7, false}, 2, 32, 64, 2});
        ASSERT_TRUE(problem.kernel->run(problem.args()));
        auto lists = problem.kernel->image().prediction
                         ? problem.kernel->predict(problem.args())
                         : rt::Result<rt::GivenLists>(rt::GivenLists());
        ASSERT_TRUE(lists);
        EXPECT_EQ(compareWithInterpreter(problem.test, problem.kernel->image().prediction ? &*lists : nullptr), "");
      }
}

/// Frames are blocks, which see each other as wholes: all that is equal within a frame merges.
TEST(Reuse, FullBlocksMergeUnderAMask) {
  const char *axes = "axes: h w";
  std::string clause = fmt::format("reuse neighbours(token, threshold: 0.15, {})", axes);
  Shape shape{{4, 6, 10, 0, false}, 1, 32, 64};
  Problem masked("{ order tiles(t: 1, h: 6, w: 10) mask abs(q.t - k.t) <= 1 " + clause + " }", shape);
  Problem dense("{ " + clause + " }", shape);
  rt::ReuseSaving saving = masked.saving(), all = dense.saving();
  EXPECT_GT(saving.queries, 0.02);
  EXPECT_DOUBLE_EQ(saving.queries, all.queries);
  EXPECT_DOUBLE_EQ(saving.keys, all.keys);
  EXPECT_EQ(masked.compare(), "");
  // Every pair of blocks is partial here: nothing merges, and the values are snapped all the same.
  Problem partial("{ mask q.w mod 2 == k.w mod 2 " + clause + " }", shape);
  saving = partial.saving();
  EXPECT_EQ(saving.queries, 0);
  EXPECT_EQ(saving.keys, 0);
  EXPECT_EQ(saving.work, 0);
  EXPECT_EQ(partial.compare(), "");
}

TEST(Reuse, BiasesOfMergedKeysAdd) {
  Problem problem("{ bias given reuse neighbours(token, threshold: 0.15) }", Shape{{4, 6, 10, 7, false}, 1, 32, 64});
  compareBiases(problem);
}

TEST(Reuse, RowsMergeAmongTheListed) {
  Problem problem("{ rows given reuse neighbours(token, threshold: 9.0) }", Shape{{4, 6, 10, 0, false}, 1, 32, 64});
  compareListedRows(problem);
}

TEST(Reuse, NaNShowsInTheOutput) {
  for (const char *granularity : {"token", "channel"}) {
    Problem problem(fmt::format("{{ reuse neighbours({}, threshold: 9.0) }}", granularity), Shape{{2, 4, 6, 0, false}, 1});
    problem.test.operands.query.set(0, 0, 13, 2, kNaN);
    ASSERT_TRUE(problem.kernel->run(problem.args()));
    EXPECT_TRUE(std::isnan(problem.test.operands.out.at(0, 0, 13, 0)));
    EXPECT_EQ(problem.compare(), "");
    problem.test.operands.key.set(0, 0, 5, 1, kNaN);
    EXPECT_EQ(problem.compare(), "");
    EXPECT_TRUE(std::isnan(problem.test.operands.out.at(0, 0, 0, 0)));
  }
}

TEST(Reuse, ThresholdZeroIsDense) {
  for (const char *granularity : {"token", "channel"})
    for (const char *threshold : {"(dynamic x: float = 0.0) {", "{"}) {
      Problem problem(fmt::format("{} reuse neighbours({}, threshold: {}) }}", threshold, granularity,
                                  threshold[0] == '(' ? "x" : "0.0"));
      ASSERT_TRUE(problem.kernel->run(problem.args()));
      // A constant 0 is folded.
      EXPECT_EQ(problem.kernel->image().reuse.has_value(), threshold[0] == '(');
      rt::ReuseSaving saving = problem.kernel->image().reuse ? problem.saving() : rt::ReuseSaving();
      EXPECT_EQ(saving.queries, 0);
      EXPECT_EQ(saving.keys, 0);
      EXPECT_EQ(saving.work, 0);
      Problem dense("{}");
      dense.test.operands.query = problem.test.operands.query;
      dense.test.operands.key = problem.test.operands.key;
      dense.test.operands.value = problem.test.operands.value;
      ASSERT_TRUE(dense.kernel->run(dense.args()));
      std::vector<int64_t> rows(240);
      std::iota(rows.begin(), rows.end(), 0);
      auto expected = dense.test.interpret(rows);
      ASSERT_TRUE(expected);
      EXPECT_EQ(compareRows(problem.test.operands, *expected, rows, toleranceOf(ElementType::F32)), "");
      if (std::string_view(granularity) == "channel")
        EXPECT_EQ(problem.test.operands.out.storage, dense.test.operands.out.storage) << "not even rounding differs";
    }
}

TEST(Reuse, ThreadsDoNotChangeResults) {
  Problem problem(kMergeTokens, Shape{{4, 6, 10, 20, false}, 3, 48, 64, 2});
  ASSERT_TRUE(problem.kernel->run(problem.args(1)));
  std::vector<std::byte> one = problem.test.operands.out.storage;
  ASSERT_TRUE(problem.kernel->run(problem.args(7)));
  EXPECT_EQ(problem.test.operands.out.storage, one);
}

/// What single tokens save adds up to what the call saves.
TEST(Reuse, SavingsByToken) {
  const GridShape grid{3, 6, 10, 7, false};
  for (const char *attention : {kMergeTokens, "{ reuse neighbours(channel, threshold: 0.15) }",
                                "{ mask abs(q.t - k.t) <= 1 or k.text reuse neighbours(token, threshold: 0.15) }",
                                "{ mask abs(q.t - k.t) <= 1 or k.text reuse neighbours(channel, threshold: 0.15) }"}) {
    Problem problem(attention, Shape{grid, 2, 32, 32, 2, ElementType::F32});
    rt::ReuseSaving saving = problem.saving();
    auto tokens = problem.kernel->measureTokenReuse(problem.args());
    ASSERT_TRUE(tokens) << tokens.status().message();
    ASSERT_EQ(tokens->size(), 4u);
    auto lists = *problem.kernel->resolveLists(problem.args());
    const rt::KernelImage &image = problem.kernel->image();
    double queries = 0, keys = 0, computed = 0, visited = 0;
    for (const rt::TokenReuse &head : *tokens) {
      queries += std::accumulate(head.queryValues.begin(), head.queryValues.end(), 0.0);
      keys += std::accumulate(head.keyValues.begin(), head.keyValues.end(), 0.0);
      computed += std::accumulate(head.computedKeys.begin(), head.computedKeys.end(), 0.0);
      EXPECT_EQ(head.queryValues.back(), 0) << "text";
    }
    for (int64_t block = 0; block < image.query.count(); ++block)
      visited += 4.0 * (image.query.offsets[block + 1] - image.query.offsets[block]) *
                 rt::countColumns(rt::ListView(*lists, 0, image.key), block);
    double values = 4.0 * grid.tokens() * image.headDim;
    EXPECT_NEAR(1 - computed / visited, saving.work, 1e-12) << attention;
    // Tokens that the mask tells apart take a neighbour's values, but are not merged.
    if (!saving.whole || lists->blockDensity() == 1) {
      EXPECT_NEAR(queries / values, saving.queries, 1e-12) << attention;
      EXPECT_NEAR(keys / values, saving.keys, 1e-12) << attention;
    }
  }
}

TEST(Reuse, ThresholdsNeverRecompile) {
  Compiler compiler;
  std::string source = "(dynamic theta: float = 0.5) { reuse neighbours(token, threshold: theta) }";
  auto kernel = compiler.compile(requestOf(source, kShape));
  ASSERT_TRUE(kernel) << kernel.message();
  double last = 0;
  for (double theta : {0.0, 0.1, 1.5, 100.0}) {
    Problem problem(source, kShape, {theta});
    rt::ReuseSaving saving = *(*kernel)->measureReuse(problem.args());
    EXPECT_GE(saving.work, last);
    last = saving.work;
    EXPECT_EQ(compiler.compile(requestOf(source, kShape))->get(), kernel->get());
    EXPECT_EQ(problem.compare(), "");
  }
  EXPECT_DOUBLE_EQ(last, 1 - 1.0 / 64);
  EXPECT_EQ(compiler.numCompilations(), 1);
}

/// TimeRipple's ramp, step by step: a schedule's values are the call's parameters.
TEST(Reuse, ASchedulesRampNeverRecompiles) {
  auto schedule = schedule::parse(R"({
    "version": 1, "steps": 50, "layers": 1, "otherwise": "dense",
    "rules": [{"steps": [10, 48], "attention": "timeripple_token",
               "values": {"threshold": {"steps": [10, 20], "min": 0.0, "max": 0.5}}}]})");
  ASSERT_TRUE(schedule) << schedule.status().message();
  Compiler compiler;
  Problem problem("(dynamic threshold: float) { reuse neighbours(token, threshold: threshold) }");
  double last = 0;
  for (int64_t step = 0; step < 50; ++step) {
    schedule::Action action = schedule->at(step, 0);
    if (action.attention == "dense")
      continue;
    auto kernel = compiler.compile(problem.test.program.request);
    ASSERT_TRUE(kernel);
    problem.test.program.parameters = {std::bit_cast<int64_t>(action.values.at("threshold"))};
    ASSERT_TRUE((*kernel)->run(problem.args()));
    double work = (*kernel)->measureReuse(problem.args())->work;
    EXPECT_GE(work, last) << "step " << step;
    if (step >= 21) {
      EXPECT_EQ(work, last) << "the ramp has ended";
    }
    last = work;
  }
  EXPECT_GT(last, 0);
  EXPECT_EQ(compiler.numCompilations(), 1);
}

/// Queries and keys have grids of their own; where no window fits nothing is snapped.
TEST(Reuse, RectangularAttention) {
  for (auto [queries, keys] : {std::pair(GridShape{1, 1, 1, 3, false}, GridShape{4, 5, 6, 0, false}),
                               {GridShape{4, 5, 6, 0, false}, GridShape{1, 1, 1, 9, true}},
                               {GridShape{2, 5, 6, 0, false}, GridShape{3, 4, 9, 7, true}}}) {
    Problem problem(kMergeTokens);
    problem.test.program.request.options.queryGrid = queries;
    problem.test.program.request.options.keyGrid = keys;
    problem.kernel = *compileKernel(problem.test.program.request);
    auto layout = [] { return TensorLayout::Padded; };
    problem.test.allocateInputs(layout), problem.test.allocateResults(layout);
    Random random(1);
    for (TestTensor *tensor : {&problem.test.operands.query, &problem.test.operands.key, &problem.test.operands.value})
      tensor->fill([&](auto...) { return random.normal(); });
    problem.test.makeNeighbours(random);
    EXPECT_EQ(problem.compare(), "");
    rt::ReuseSaving saving = problem.saving();
    EXPECT_EQ(saving.queries > 0, queries.t > 1);
    EXPECT_EQ(saving.keys > 0, keys.t > 1);
  }
}

TEST(Reuse, Errors) {
  std::string source = "(dynamic theta: float) { reuse neighbours(token, threshold: theta) }";
  for (auto [value, text] : {std::pair(-0.1, "-0.1"), {kNaN, "nan"}, {kInfinity, "inf"}}) {
    Problem problem(source, kShape, {value});
    std::string expected =
        fmt::format("parameters: expected 'theta' to be a finite number of at least 0, but got {}", text);
    EXPECT_EQ(problem.kernel->run(problem.args()).message(), expected);
    EXPECT_EQ(problem.kernel->measureReuse(problem.args()).status().message(), expected);
    testing::internal::CaptureStderr();
    EXPECT_FALSE(problem.test.interpret({0}));
    EXPECT_NE(testing::internal::GetCapturedStderr().find(
                  "expected a threshold that is a finite number of at least 0, but got"),
              std::string::npos);
  }
  Problem missing(source);
  EXPECT_EQ(missing.kernel->run(missing.args()).message(),
            "parameters: expected a value for 'theta', which has no default");
  Problem dense("{}");
  EXPECT_EQ(dense.kernel->measureReuse(dense.args()).status().message(),
            "kernel 'a': expected an attention with reuse");
  Problem problem(kMergeTokens);
  rt::RunArgs args = problem.args();
  args.key.shape[2] = 7;
  EXPECT_EQ(problem.kernel->measureReuse(args).status().message(),
            "key: expected shape [1, 2, 240, 32], but got [1, 2, 7, 32]");
  // Lists of a kernel that does not merge have no pools.
  args = problem.args();
  args.lists = *dense.kernel->resolveLists(dense.args());
  EXPECT_EQ(problem.kernel->run(args).message(),
            "lists: expected lists that found their pools, as rows and reuse need them");
  args.lists = *problem.kernel->resolveLists(problem.args());
  EXPECT_EQ(problem.kernel->run(args).message(), "");
}

} // namespace
