// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Heads that are recognized on the device: recalls and choices against the interpreter's, and attentions with them. On a
// GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "runtime/CUDA/DeviceRecognition.h"
#include "test/unit/GPUProblem.h"
#include "test/unit/RecognitionCases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

struct Problem : GPUProblem {
  Problem(const std::string &attention, const Shape &shape, std::vector<int64_t> parameters = {},
          const std::string &target = "native")
      : GPUProblem(attention, shape, std::move(parameters), target) {
    launches = 2;
    fillNormal(7);
  }
};

using GPURecognitionTest = GPUTest;

TEST_F(GPURecognitionTest, AgreesWithTheInterpreter) {
  const GridShape grids[] = {{1, 5, 9, 7, false}, {3, 6, 10, 7, true}, {5, 1, 1, 0, false}};
  int64_t number = 0;
  for (const GridShape &grid : grids)
    for (const char *mask : kRecognizingMasks) {
      ElementType type = std::array{ElementType::BF16, ElementType::F32, ElementType::F16}[++number % 3];
      int64_t headDim = std::array<int64_t, 3>{32, 72, 64}[number % 3];
      Problem problem(mask, Shape{grid, 2, headDim, 64, 2, type}, {}, number % 2 ? "native" : "sm_80");
      problem.fillNormal(number);
      SCOPED_TRACE(fmt::format("{} on {}x{}x{}, {} of text", mask, grid.t, grid.h, grid.w, grid.text));
      EXPECT_EQ(problem.recognize().candidates.size(), 4u);
      expectAgreement(problem.recognize(), interpretChoices(problem.test));
      EXPECT_EQ(problem.compare(), "");
    }
}

/// 156 tokens are two tiles of queries and three of keys; two measurements are the same to the last bit.
TEST_F(GPURecognitionTest, ProbesOfSeveralTiles) {
  for (ElementType type : {ElementType::BF16, ElementType::F32}) {
    Problem problem("{ mask recognize(abs(q.w - k.w) <= 2 and abs(q.h - k.h) <= 3 on local, abs(q.t - k.t) <= 0 on "
                    "global, q.h < k.h on local) }",
                    Shape{{2, 13, 12, 0, false}, 2, 64, 128, 1, type});
    rt::Choices choices = problem.recognize();
    expectAgreement(choices, interpretChoices(problem.test));
    rt::Choices again = problem.recognize();
    EXPECT_EQ(choices.recalls, again.recalls);
    EXPECT_EQ(choices.candidates, again.candidates);
  }
}

TEST_F(GPURecognitionTest, HeadsOfKnownTypes) {
  Problem problem("{ mask recognize(q.h == k.h and q.w == k.w on local, q.t == k.t on global, k.h mod 2 == k.w mod 2, "
                  "recall: 0.9) or k.t == 0 }",
                  Shape{{3, 3, 4, 5, false}, 4, 32, 64, 1, ElementType::BF16});
  fillPlaces(problem, 20, [](int64_t head, int64_t t, int64_t h, int64_t w) {
    return head == 0 ? h * 4 + w : head == 1 ? t : h;
  });
  EXPECT_EQ(problem.recognize().candidates, (std::vector<int32_t>{0, 1, 2, 2}));
  expectAgreement(problem.recognize(), interpretChoices(problem.test));
  EXPECT_EQ(problem.compare(), "");
}

TEST_F(GPURecognitionTest, TheFirstCandidateThatReachesTheBound) {
  // The recall of each candidate is the share of the keys that it keeps: 1/4, 1/2, 1/2.
  std::string candidates = "k.w < 1 on local, k.w < 2 on local, k.h < 2 on local";
  auto choose = [&](const std::string &rest, double recall = 0) {
    Problem problem(fmt::format("(dynamic recall: float = 0.0) {{ mask recognize({}{}) }}", candidates, rest),
                    Shape{{2, 4, 4, 0, false}, 1, 32, 64, 1, ElementType::BF16}, bitsOf({recall}));
    fillPlaces(problem, 0, [](auto...) { return 0; });
    expectAgreement(problem.recognize(), interpretChoices(problem.test));
    return problem.recognize().candidates.front();
  };
  EXPECT_EQ(choose(""), 1);
  EXPECT_EQ(choose(", recall: 0.25"), 0);
  EXPECT_EQ(choose(", recall: 0.3"), 1);
  EXPECT_EQ(choose(", recall: 0.6"), 1);
  EXPECT_EQ(choose(", k.w == q.w, recall: 0.6"), 3);
  EXPECT_EQ(choose(", k.w == q.w, recall: recall", 0.5), 1);
  EXPECT_EQ(choose(", k.w == q.w, recall: recall", 0.75), 3);
  // All pairs have exactly all of the mass.
  EXPECT_EQ(choose(", true on global, false, recall: 1.0"), 3);
  EXPECT_EQ(choose(", false on global, q.w == k.w on global, recall: 1.0"), 1);
  Problem whole("{ mask recognize(false on global, true on global, q.t == k.t, recall: 1.0) }",
                Shape{{3, 5, 7, 0, false}, 3, 64, 64, 1, ElementType::BF16});
  EXPECT_EQ(whole.recognize().recalls, (std::vector<double>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(whole.recognize().candidates, (std::vector<int32_t>{1, 1, 1}));
}

TEST_F(GPURecognitionTest, ParametersChangeWithoutCompiling) {
  Problem problem("(dynamic radius: int = 1, dynamic recall: float = 0.5, dynamic on: bool = true) { mask recognize("
                  "abs(q.w - k.w) <= radius and on on local, abs(q.t - k.t) <= radius on global, k.w mod 2 == 0, "
                  "recall: recall) }",
                  Shape{{3, 4, 10, 0, false}, 3, 32, 64, 1, ElementType::BF16});
  for (int64_t radius : {0, 1, 20})
    for (double recall : {0.0, 0.4, 1.0})
      for (bool on : {false, true}) {
        problem.test.program.parameters = {radius, std::bit_cast<int64_t>(recall), on};
        SCOPED_TRACE(fmt::format("radius {}, recall {}, {}", radius, recall, on));
        expectAgreement(problem.recognize(), interpretChoices(problem.test));
        EXPECT_EQ(problem.compare(), "");
      }
}

/// More than have their bits kept, and then the first ones again.
TEST_F(GPURecognitionTest, ManyParameters) {
  Problem problem("(dynamic radius: int = 0) { mask recognize(abs(q.index - k.index) <= radius on local, "
                  "abs(q.t - k.t) <= 1 on global, recall: 0.3) }",
                  Shape{{3, 2, 10, 0, false}, 2, 32, 64, 1, ElementType::BF16});
  constexpr int64_t most = rt::cuda::ProbeBits::kMostParameters;
  for (int64_t turn = 0; turn < most + 4; ++turn) {
    problem.test.program.parameters = {turn % (most + 2)};
    SCOPED_TRACE(turn);
    expectAgreement(problem.recognize(), interpretChoices(problem.test));
  }
}

TEST_F(GPURecognitionTest, ChoicesOfTheCaller) {
  for (const char *target : {"native", "sm_80"}) {
    Problem problem(kRecognizingMasks[1], Shape{{3, 6, 7, 9, false}, 3, 64, 64, 2, ElementType::BF16}, {}, target);
    for (rt::Choices choices : {rt::Choices{{2}, {}}, {{1, 0, 2}, {}}, {{0, 0, 1, 2, 2, 0}, {}}})
      EXPECT_EQ(problem.compare(&choices), "") << choices.candidates.size();
    // What was recognized gives what a call recognizes.
    rt::Choices recognized = problem.recognize();
    EXPECT_EQ(problem.run(), "");
    std::vector<std::byte> out = problem.operands().out.storage;
    EXPECT_EQ(problem.run(&recognized), "");
    EXPECT_TRUE(problem.operands().out.storage == out);
    // Lists that were resolved for choices.
    DeviceOperands call;
    ASSERT_TRUE(call.upload(problem.operands()));
    call.args.choices = &recognized;
    auto lists = problem.onDevice->resolveLists(call.args);
    ASSERT_TRUE(lists) << lists.message();
    call.args.lists = *lists;
    ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr));
    ASSERT_TRUE(call.download(problem.operands()));
    EXPECT_TRUE(problem.operands().out.storage == out);
  }
}

/// With copies by boxes each batch element may need a launch of its own.
TEST_F(GPURecognitionTest, BatchesOfSeveralLaunches) {
  Shape shape{{2, 6, 8, 5, false}, 3, 64, 64, 3, ElementType::BF16};
  Problem problem(kRecognizingMasks[2], shape);
  Operands &operands = problem.operands();
  for (TestTensor *tensor : {&operands.query, &operands.key, &operands.value, &operands.out})
    *tensor = TestTensor(rt::DType::BF16, tensor->view.shape, TensorLayout::BSHD, 8);
  problem.fillNormal(9);
  EXPECT_EQ(problem.compare(), "");
  rt::Choices choices{{0, 1, 2, 2, 1, 0, 1, 1, 0}, {}};
  EXPECT_EQ(problem.compare(&choices), "");
}

TEST_F(GPURecognitionTest, WithRowsAndABias) {
  std::string recognized = "mask recognize(abs(q.w - k.w) <= 1 on local, q.t == k.t on global, head == 0, recall: 0.55)";
  for (const char *target : {"native", "sm_80"}) {
    Problem problem("{ " + recognized + " or k.text bias given rows given }",
                    Shape{{3, 5, 8, 9, false}, 3, 64, 32, 2, ElementType::BF16}, {}, target);
    Random random(3);
    problem.test.makeExtras(random);
    problem.test.allocateResults([] { return TensorLayout::BHSD; });
    for (rt::Choices choices : {rt::Choices{{0, 1, 2, 1, 1, 0}, {}}, {{1}, {}}})
      EXPECT_EQ(problem.compare(&choices), "");
    EXPECT_EQ(problem.compare(), "");
  }
}

TEST_F(GPURecognitionTest, WithReuse) {
  for (const char *granularity : {"channel", "token"})
    for (const char *target : {"native", "sm_80"}) {
      Problem problem(fmt::format("{{ mask recognize(abs(q.w - k.w) <= 1 on local, abs(q.t - k.t) <= 1 on global, "
                                  "recall: 0.5) or k.text reuse neighbours({}, threshold: 0.15) }}", granularity),
                      Shape{{3, 6, 10, 9, false}, 2, 32, 32, 1, ElementType::BF16}, {}, target);
      problem.fillNeighbours(6);
      SCOPED_TRACE(fmt::format("{}, {}", granularity, target));
      EXPECT_EQ(problem.compare(), "");
      rt::Choices mixed{{0, 1}, {}};
      EXPECT_EQ(problem.compare(&mixed), "");
    }
}

TEST_F(GPURecognitionTest, WithPredictedLists) {
  std::string recognized = "recognize(abs(q.w - k.w) <= 1 on local, q.t == k.t on global, head == 0, recall: 0.55)";
  for (const std::string &clauses : {"mask " + recognized + " or topk(block_mean, keep: 0.3)",
                                     "order tiles mask " + recognized + " and not topp(block_mean, mass: 0.4)",
                                     "mask " + recognized + " or topk(block_mean, keep: 0.3) rows given"}) {
    Problem problem("{ " + clauses + " }", Shape{{3, 6, 10, 9, false}, 3, 32, 32, 2, ElementType::BF16});
    Random random(5);
    problem.test.makeExtras(random);
    problem.test.allocateResults([] { return TensorLayout::BHSD; });
    SCOPED_TRACE(clauses);
    rt::Choices mixed{{0, 1, 2, 2, 1, 0}, {}};
    for (const rt::Choices *given : {static_cast<const rt::Choices *>(nullptr), static_cast<const rt::Choices *>(&mixed)}) {
      DeviceOperands call;
      ASSERT_TRUE(call.upload(problem.operands()));
      call.args.choices = given;
      auto kept = problem.onDevice->predict(call.args, nullptr);
      ASSERT_TRUE(kept) << kept.message();
      auto selected = problem.onDevice->download(**kept, nullptr);
      ASSERT_TRUE(selected) << selected.message();
      EXPECT_EQ(problem.compare(given, &*selected), "");
      std::vector<std::byte> out = problem.operands().out.storage;
      EXPECT_EQ(problem.run(nullptr, kept->get()), "");
      EXPECT_TRUE(problem.operands().out.storage == out) << "the lists keep their choices";
    }
  }
}

TEST_F(GPURecognitionTest, WithGivenLists) {
  Problem problem("{ mask recognize(abs(q.w - k.w) <= 1 on local, q.t == k.t on global, head == 0, recall: 0.55) and "
                  "given or k.text }",
                  Shape{{3, 6, 10, 9, false}, 3, 64, 64, 2, ElementType::BF16});
  Random random(2);
  const rt::KernelImage &image = problem.onDevice->image();
  problem.operands().given = makeGiven(random, 3, image.query.count(), image.key.count());
  EXPECT_EQ(problem.compare(), "");
  rt::Choices mixed{{0, 1, 2, 2, 1, 0}, {}};
  EXPECT_EQ(problem.compare(&mixed), "");
}

TEST_F(GPURecognitionTest, NaNAndInfinityCountAsNothing) {
  for (double special : {kNaN, kInfinity}) {
    Problem problem("{ mask recognize(q.w == k.w on local, q.t == k.t on global, k.h == 0, recall: 0.0) }",
                    Shape{{2, 3, 5, 0, false}, 2, 32, 64, 1, ElementType::BF16});
    problem.operands().key.set(0, 1, 15 + 4, 3, special); // an odd token of the second frame
    rt::Choices choices = problem.recognize();
    EXPECT_TRUE(std::isnan(choices.recalls[2]));
    EXPECT_FALSE(std::isnan(choices.recalls[0]));
    EXPECT_FALSE(std::isnan(choices.recalls[3]));
    expectAgreement(choices, interpretChoices(problem.test));
    EXPECT_EQ(problem.compare(), "");
  }
  Problem greatest("{ mask recognize(q.w == k.w on local, q.t == k.t on global) }",
                   Shape{{2, 3, 5, 0, false}, 1, 32, 64, 1, ElementType::F32});
  greatest.operands().query.set(0, 0, 19, 0, kNaN);
  EXPECT_EQ(greatest.recognize().candidates, std::vector<int32_t>{1});
  greatest.operands().query.set(0, 0, 18, 0, kNaN); // a token of both probes
  EXPECT_EQ(greatest.recognize().candidates, std::vector<int32_t>{0});
}

TEST_F(GPURecognitionTest, CallsAreChecked) {
  Shape shape{{2, 3, 5, 0, false}, 2, 32, 64, 1, ElementType::BF16};
  Problem problem(kRecognizingMasks[0], shape), dense("{ }", shape);
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  EXPECT_EQ(problem.onDevice->resolveLists(call.args).message(),
            "lists: expected choices, since the device recognizes heads at every launch");
  EXPECT_EQ(dense.onDevice->recognize(call.args, nullptr).message(), "kernel 'a': expected a mask with recognize");
  rt::Choices wrong{{0, 2}, {}};
  call.args.choices = &wrong;
  EXPECT_EQ(problem.onDevice->launch(call.args, nullptr).message(),
            "choices: expected candidates from 0 to 1, but got 2 as choice 1");
  call.args.choices = nullptr;
  call.args.key.data = static_cast<std::byte *>(call.args.key.data) + 2;
  EXPECT_NE(problem.onDevice->recognize(call.args, nullptr).message().find("key: expected an address that is a multiple "
                                                                           "of 16"), std::string::npos);
}

} // namespace
