// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of recognized heads: kernels against the interpreter, choices kept for several calls, and what is refused.

#include "test/unit/RecognitionCases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

const Shape kShape = {{3, 6, 7, 0, false}, 4};

struct Problem : CompiledProblem {
  Problem(const std::string &attention, const Shape &shape, std::vector<int64_t> parameters = {})
      : CompiledProblem(attention, shape, std::move(parameters)) {}

  rt::Choices recognize() const {
    auto choices = kernel->recognize(args());
    EXPECT_TRUE(choices) << choices.status().message();
    return *choices;
  }

  /// Runs the kernel; compares with the interpreter, which takes the kernel's choices.
  std::string compare() const {
    rt::Choices choices = recognize();
    if (rt::Status status = kernel->run(args()); !status)
      return status.message();
    std::vector<int64_t> rows = chooseRows(test);
    auto expected = test.interpret(rows, nullptr, &choices);
    if (!expected)
      return expected.status().message();
    return compareRows(test.operands, *expected, rows, toleranceOf(shape.type));
  }

  std::string runAndRead(rt::RunArgs args) const {
    rt::Status status = kernel->run(args);
    EXPECT_TRUE(status) << status.message();
    const std::vector<std::byte> &bytes = test.operands.out.storage;
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
  }
};

TEST(Recognition, KernelsAgreeWithTheInterpreter) {
  const GridShape grids[] = {{2, 3, 5, 0, false}, {3, 8, 9, 0, false},  {1, 7, 11, 7, false}, {4, 6, 10, 7, true},
                             {5, 1, 1, 0, false}, {1, 1, 1, 30, false}, {7, 13, 12, 20, false}};
  uint64_t seed = testSeed();
  for (const GridShape &grid : grids)
    for (const char *mask : kRecognizingMasks) {
      ElementType type = std::array{ElementType::F32, ElementType::BF16, ElementType::F16}[++seed % 3];
      int64_t headDim = std::array<int64_t, 3>{32, 72, 40}[seed % 3];
      Problem problem(mask, Shape{grid, 2, headDim, type == ElementType::F32 ? 128 : 64, 2, type});
      problem.fillNormal(seed);
      SCOPED_TRACE(fmt::format("{} on {}x{}x{}, {} of text, seed {}", mask, grid.t, grid.h, grid.w, grid.text, seed));
      EXPECT_EQ(problem.recognize().candidates.size(), 4u);
      expectAgreement(problem.recognize(), interpretChoices(problem.test));
      EXPECT_EQ(problem.compare(), "");
    }
}

/// What the choices must be, by construction.
TEST(Recognition, HeadsOfKnownTypesAreRecognized) {
  std::string mask = "{ mask recognize(q.h == k.h and q.w == k.w on local, q.t == k.t on global, "
                     "k.h mod 2 == k.w mod 2, recall: 0.9) or k.t == 0 }";
  for (bool textFirst : {false, true}) {
    Problem problem(mask, Shape{{3, 3, 4, 5, textFirst}, 4, 32, 64});
    // Head 0 looks at the same place of every frame, head 1 at its own frame, heads 2 and 3 at rows of all frames.
    fillPlaces(problem, 20, [](int64_t head, int64_t t, int64_t h, int64_t w) {
      return head == 0 ? h * 4 + w : head == 1 ? t : h;
    });
    EXPECT_EQ(problem.recognize().candidates, (std::vector<int32_t>{0, 1, 2, 2}));
    EXPECT_EQ(interpretChoices(problem.test).candidates, (std::vector<int32_t>{0, 1, 2, 2}));
    expectAgreement(problem.recognize(), interpretChoices(problem.test));
    EXPECT_NEAR(problem.recognize().recalls[0], 1, 1e-4);
    // In a row of four equal keys of the same frame each has a quarter.
    EXPECT_NEAR(problem.recognize().recalls[4], 0.25, 1e-4);
    EXPECT_EQ(problem.compare(), "");
  }
}

TEST(Recognition, ProbesAreSamplesOfTheVideo) {
  // All scores are 0: a recall is the share of the probe's pairs.
  auto recallsOf = [](const GridShape &grid, const std::string &first, const std::string &second) {
    Problem problem(fmt::format("{{ mask recognize({}, {}) }}", first, second), Shape{grid, 1});
    fillPlaces(problem, 0, [](auto...) { return 0; });
    std::vector<double> recalls = problem.recognize().recalls;
    expectAgreement(problem.recognize(), interpretChoices(problem.test), 1e-6);
    for (double &recall : recalls)
      recall = std::round(recall * 208) / 208; // multiples of 1/13 and of 1/16
    return recalls;
  };
  // The second frame, or the only one.
  EXPECT_EQ(recallsOf({3, 4, 4, 9, false}, "q.t == 1 and k.t == 1 on local", "q.text on local"),
            (std::vector<double>{1, 0}));
  EXPECT_EQ(recallsOf({1, 4, 4, 9, true}, "q.t == 0 and k.t == 0 on local", "k.text on global"),
            (std::vector<double>{1, 0}));
  // 4 x 4 places and 3 frames have no common factor: tokens 0, 3, 6, .., 45.
  EXPECT_EQ(recallsOf({3, 4, 4, 0, false}, "q.index mod 3 == 0 and k.index mod 3 == 0 on global", "k.t == 2 on global"),
            (std::vector<double>{1, 5. / 16}));
  // With 4 frames the stride is 5: tokens 0, 5, .., 60, thirteen of them, no two of which have one place.
  EXPECT_EQ(recallsOf({4, 4, 4, 0, false}, "q.index mod 5 == 0 and k.index mod 5 == 0 on global",
                      "q.h == k.h and q.w == k.w on global"),
            (std::vector<double>{1, 1. / 13}));
}

TEST(Recognition, TheFirstCandidateThatReachesTheBound) {
  // The recall of each candidate is the share of the keys that it keeps: 1/4, 1/2, 1/2.
  std::string candidates = "k.w < 1 on local, k.w < 2 on local, k.h < 2 on local";
  auto choose = [&](const std::string &rest) {
    Problem problem(fmt::format("(dynamic recall: float = 0.0) {{ mask recognize({}{}) }}", candidates, rest),
                    Shape{{2, 4, 4, 0, false}, 1});
    fillPlaces(problem, 0, [](auto...) { return 0; });
    expectAgreement(problem.recognize(), interpretChoices(problem.test));
    EXPECT_EQ(problem.compare(), "");
    return problem.recognize().candidates.front();
  };
  EXPECT_EQ(choose(""), 1);
  EXPECT_EQ(choose(", recall: 0.2"), 0);
  EXPECT_EQ(choose(", recall: 0.25"), 0);
  EXPECT_EQ(choose(", recall: 0.3"), 1);
  EXPECT_EQ(choose(", recall: 0.6"), 1);
  EXPECT_EQ(choose(", k.w == q.w, recall: 0.6"), 3);
  EXPECT_EQ(choose(", k.w == q.w, recall: 0.4"), 1);
  EXPECT_EQ(choose(", k.w == q.w, recall: recall"), 0);
  // All pairs have exactly all of the mass.
  EXPECT_EQ(choose(", true on global, false, recall: 1.0"), 3);
  EXPECT_EQ(choose(", false on global, q.w == k.w on global, recall: 1.0"), 1);
}

TEST(Recognition, ParametersChangeWithoutCompiling) {
  std::string source = "(dynamic radius: int = 1, dynamic recall: float = 0.5) { order tiles mask recognize("
                       "abs(q.w - k.w) <= radius on local, abs(q.t - k.t) <= radius on global, k.w mod 2 == 0, "
                       "recall: recall) }";
  Compiler compiler;
  Shape shape{{3, 6, 10, 0, false}, 4};
  ASSERT_TRUE(compiler.compile(requestOf(source, shape)));
  int64_t different = 0;
  std::vector<int32_t> last;
  for (int64_t radius : {0, 1, 3, 20})
    for (double recall : {0.0, 0.3, 0.5, 1.0}) {
      Problem problem(source, shape, {radius, std::bit_cast<int64_t>(recall)});
      problem.fillNormal(11);
      expectAgreement(problem.recognize(), interpretChoices(problem.test));
      EXPECT_EQ(problem.compare(), "");
      different += problem.recognize().candidates != last;
      last = problem.recognize().candidates;
      EXPECT_TRUE(compiler.compile(requestOf(source, shape)));
    }
  EXPECT_EQ(compiler.numCompilations(), 1);
  EXPECT_GE(different, 4);
}

TEST(Recognition, ListsAreThoseOfTheChoice) {
  std::string mask = "{ mask recognize(q.t == k.t on local, true on local, false, recall: RECALL) }";
  auto densityOf = [&](const std::string &recall, const rt::Choices *choices) {
    std::string source = mask;
    source.replace(source.find("RECALL"), 6, recall);
    Problem problem(source, Shape{{4, 8, 8, 0, false}, 2});
    problem.fillNormal(3);
    rt::RunArgs args = problem.args();
    args.choices = choices;
    auto lists = problem.kernel->resolveLists(args);
    EXPECT_TRUE(lists) << lists.status().message();
    for (int32_t entry : (*lists)->entries)
      EXPECT_EQ(entry & rt::BlockLists::kPartial, 0);
    return (*lists)->blockDensity();
  };
  // Blocks of 64 tokens are frames: every candidate has whole blocks once it is known.
  EXPECT_EQ(densityOf("0.5", nullptr), 0.25); // the local frame is one frame
  rt::Choices mixed{{1, 0}, {}}, nothing{{2}, {}}, all{{1}, {}};
  EXPECT_EQ(densityOf("0.5", &mixed), 0.625);
  EXPECT_EQ(densityOf("0.5", &nothing), 0);
  EXPECT_EQ(densityOf("0.5", &all), 1);
}

TEST(Recognition, ChoicesServeSeveralCalls) {
  Problem problem(kRecognizingMasks[0], Shape{{3, 6, 7, 0, false}, 3, 32, 64, 2});
  problem.fillNormal(1);
  rt::Choices first = problem.recognize();
  ASSERT_EQ(first.candidates.size(), 6u);
  std::string out = problem.runAndRead(problem.args());
  rt::RunArgs kept = problem.args();
  kept.choices = &first;
  EXPECT_EQ(problem.runAndRead(kept), out);
  auto lists = problem.kernel->resolveLists(kept);
  ASSERT_TRUE(lists);
  kept.lists = *lists;
  EXPECT_EQ(problem.runAndRead(kept), out);

  // Other choices are other results, and those of the interpreter with the same choices.
  rt::Choices other{{1, 0, 0, 0, 1, 1}, {}};
  kept.lists = nullptr, kept.choices = &other;
  std::string changed = problem.runAndRead(kept);
  EXPECT_NE(changed, out);
  std::vector<int64_t> rows = chooseRows(problem.test);
  auto expected = problem.test.interpret(rows, nullptr, &other);
  ASSERT_TRUE(expected);
  EXPECT_EQ(compareRows(problem.test.operands, *expected, rows, toleranceOf(ElementType::F32)), "");
  EXPECT_EQ(expected->recognized.front().candidates, other.candidates);
  // One choice per head serves every batch element, and one all heads.
  for (rt::Choices shared : {rt::Choices{{1, 0, 0}, {}}, rt::Choices{{1}, {}}}) {
    kept.choices = &shared;
    problem.runAndRead(kept);
    expected = problem.test.interpret(rows, nullptr, &shared);
    ASSERT_TRUE(expected);
    EXPECT_EQ(compareRows(problem.test.operands, *expected, rows, toleranceOf(ElementType::F32)), "");
  }
}

TEST(Recognition, CombinesWithGivenPredictedListsAndRows) {
  std::string recognized = "recognize(abs(q.w - k.w) <= 1 on local, q.t == k.t on global, head == 0, recall: 0.55)";
  for (const std::string &mask : {"{ mask " + recognized + " or topk(block_mean, keep: 0.3) }",
                                  "{ order tiles mask " + recognized + " and not topp(block_mean, mass: 0.4) }"}) {
    Problem problem(mask, Shape{{3, 6, 10, 9, false}, 3, 32, 32, 2});
    problem.fillNormal(5);
    SCOPED_TRACE(mask);
    rt::Choices choices = problem.recognize();
    expectAgreement(choices, interpretChoices(problem.test));
    auto lists = problem.kernel->predict(problem.args());
    ASSERT_TRUE(lists);
    ASSERT_TRUE(problem.kernel->run(problem.args()));
    std::vector<int64_t> rows = chooseRows(problem.test);
    auto expected = problem.test.interpret(rows, &*lists, &choices);
    ASSERT_TRUE(expected);
    EXPECT_EQ(compareRows(problem.test.operands, *expected, rows, toleranceOf(ElementType::F32)), "");
  }
}

TEST(Recognition, NaNAndInfinityCountAsNothing) {
  for (double special : {kNaN, kInfinity}) {
    // A special key in the second frame makes the local recall NaN; in the first frame and at a place that the global
    // probe has not, no recall.
    Problem problem("{ mask recognize(q.w == k.w on local, q.t == k.t on global, k.h == 0, recall: 0.0) }",
                    Shape{{2, 3, 5, 0, false}, 2});
    problem.fillNormal(2);
    problem.test.operands.key.set(0, 1, 15 + 4, 3, special); // an odd token
    rt::Choices choices = problem.recognize();
    EXPECT_TRUE(std::isnan(choices.recalls[2]));
    EXPECT_FALSE(std::isnan(choices.recalls[0]));
    EXPECT_FALSE(std::isnan(choices.recalls[3]));
    expectAgreement(choices, interpretChoices(problem.test));
    EXPECT_EQ(choices.candidates, (std::vector<int32_t>{0, 0})); // 0 reaches a bound of 0
    EXPECT_EQ(problem.compare(), "");
    // A NaN shows where the mask keeps its key; an infinite key may have the score -inf.
    if (std::isnan(special))
      EXPECT_TRUE(std::isnan(problem.test.operands.out.at(0, 1, 4, 0)));
    EXPECT_FALSE(std::isnan(problem.test.operands.out.at(0, 1, 3, 0)));
  }
  Problem greatest("{ mask recognize(q.w == k.w on local, q.t == k.t on global) }", Shape{{2, 3, 5, 0, false}, 1});
  greatest.fillNormal(2);
  greatest.test.operands.query.set(0, 0, 19, 0, kNaN);
  EXPECT_EQ(greatest.recognize().candidates, std::vector<int32_t>{1});
  greatest.test.operands.query.set(0, 0, 18, 0, kNaN); // a token of both probes
  EXPECT_EQ(greatest.recognize().candidates, std::vector<int32_t>{0});
  expectAgreement(greatest.recognize(), interpretChoices(greatest.test));
}

TEST(Recognition, ThreadsDoNotChangeRecalls) {
  Problem problem(kRecognizingMasks[1], Shape{{4, 13, 17, 0, false}, 3, 48, 64, 2});
  problem.fillNormal(3);
  rt::RunArgs args = problem.args();
  args.threads = 1;
  auto one = problem.kernel->recognize(args);
  args.threads = 7;
  auto seven = problem.kernel->recognize(args);
  ASSERT_TRUE(one && seven);
  EXPECT_EQ(one->recalls, seven->recalls);
  EXPECT_EQ(one->candidates, seven->candidates);
}

TEST(Recognition, MasksThatNeedNone) {
  Problem problem("{ mask recognize(q.t == k.t on local, q.h == k.h on global) and false }", kShape);
  EXPECT_FALSE(problem.kernel->image().recognition);
  rt::Choices choices{{0}, {}};
  rt::RunArgs args = problem.args();
  args.choices = &choices;
  EXPECT_EQ(problem.kernel->run(args).message(), "choices: expected none, since the mask does not recognize heads");
  EXPECT_EQ(problem.kernel->recognize(args).status().message(), "kernel 'a': expected a mask with recognize");
}

TEST(Recognition, Errors) {
  std::string source = "(dynamic recall: float) { mask recognize(q.t == k.t on local, k.h == 0, recall: recall) }";
  for (auto [value, text] : {std::pair(1.5, "1.5"), {-0.1, "-0.1"}, {kNaN, "nan"}}) {
    Problem problem(source, kShape, {std::bit_cast<int64_t>(value)});
    problem.fillNormal(1);
    std::string expected = fmt::format("parameters: expected 'recall' to be a number from 0 to 1, but got {}", text);
    EXPECT_EQ(problem.kernel->run(problem.args()).message(), expected);
    EXPECT_EQ(problem.kernel->recognize(problem.args()).status().message(), expected);
    testing::internal::CaptureStderr();
    EXPECT_FALSE(problem.test.interpret({0}));
    EXPECT_NE(testing::internal::GetCapturedStderr().find("expected a number from 0 to 1, but got"), std::string::npos);
  }
  Problem problem(source, Shape{{3, 6, 7, 0, false}, 4, 32, 64, 2}, {std::bit_cast<int64_t>(0.5)});
  problem.fillNormal(1);
  rt::RunArgs args = problem.args();
  rt::Choices choices{{0, 1, 0}, {}};
  args.choices = &choices;
  EXPECT_EQ(problem.kernel->run(args).message(),
            "choices: expected 1, 4 or 8 choices for 4 heads and a batch of 2, but got 3");
  choices.candidates = {};
  EXPECT_EQ(problem.kernel->run(args).message(),
            "choices: expected 1, 4 or 8 choices for 4 heads and a batch of 2, but got 0");
  choices.candidates = {0, 1, 2, 0};
  EXPECT_EQ(problem.kernel->run(args).message(), "choices: expected candidates from 0 to 1, but got 2 as choice 2");
  choices.candidates = {-1};
  EXPECT_EQ(problem.kernel->resolveLists(args).status().message(),
            "choices: expected candidates from 0 to 1, but got -1 as choice 0");
  choices.candidates = {1};
  auto lists = problem.kernel->resolveLists(args);
  ASSERT_TRUE(lists);
  args.choices = nullptr, args.lists = *lists;
  EXPECT_EQ(problem.kernel->run(args).message(),
            "lists: expected the choices that the lists were made for, since the mask recognizes heads");
  EXPECT_TRUE(problem.test.operands.out.isUntouchedAround());
  args = problem.args();
  args.key.shape[2] = 7;
  EXPECT_EQ(problem.kernel->recognize(args).status().message(),
            "key: expected shape [2, 4, 126, 32], but got [2, 4, 7, 32]");
}

} // namespace
