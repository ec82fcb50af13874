// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of rows that their importance selects: ranks, ages, drift, kernels over several steps, and what is refused.

#include "lib/Compiler/Compiler.h"
#include "runtime/Drift.h"
#include "test/unit/Differential.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

using namespace weft;
using namespace weft::test;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename T> constexpr rt::DType dtypeOf = std::is_same_v<T, float> ? rt::DType::F32 : rt::DType::I32;

template <typename T> rt::Tensor viewOf(std::vector<T> &values, std::vector<int64_t> shape) {
  return rt::Tensor::contiguous(values.data(), dtypeOf<T>, std::move(shape));
}

/// What one batch element keeps.
struct Tokens {
  /// By head, then token.
  std::vector<std::vector<float>> lse;
  std::vector<float> drift;
  std::vector<int32_t> age;

  std::vector<int32_t> select(double keep, double weight = 0.5, int64_t min = 0, std::vector<int32_t> always = {}) {
    std::vector<float> heads;
    for (const auto &head : lse)
      heads.insert(heads.end(), head.begin(), head.end());
    auto tokens = static_cast<int64_t>(drift.size());
    rt::RowSelection selection{min, {}, {}, std::move(always)};
    rt::OwnedRowLists rows = rt::selectRows(selection, keep, weight,
                                            viewOf(heads, {1, static_cast<int64_t>(lse.size()), tokens}),
                                            viewOf(drift, {1, tokens}), viewOf(age, {1, tokens}), 2);
    EXPECT_EQ(rows.view().validate(1, 1, tokens).message(), "");
    return rows.view().tokensOf(0);
  }
};

using Rows = std::vector<int32_t>;

TEST(RowSelection, GreatestProductOfLogSumExpAndDrift) {
  // Means over heads: 2, 4, 1, 3; times drift: 2, 2, 5, 0.
  Tokens tokens{{{1, 4, 0, 3}, {3, 4, 2, 3}}, {1, 0.5, 5, 0}, {0, 0, 0, 0}};
  EXPECT_EQ(tokens.select(0.25), Rows{2});
  EXPECT_EQ(tokens.select(0.5), (Rows{0, 2})) << "of 0 and 1, which are equal, the lower index";
  EXPECT_EQ(tokens.select(0.75), (Rows{0, 1, 2}));
}

TEST(RowSelection, AgesCountByTheirExponential) {
  Tokens tokens{{{10, 10, 10, 10}}, {1, 0, 0, 0.5}, {0, 3, 2, 1}};
  // 0.5 e^3 + 0 = 10.04, 10 + 0.5 = 10.5, 5 + 0.5 e = 6.36, 0.5 e^2 = 3.69
  EXPECT_EQ(tokens.select(0.25), Rows{0});
  EXPECT_EQ(tokens.select(0.5), (Rows{0, 1}));
  EXPECT_EQ(tokens.select(0.75), (Rows{0, 1, 3}));
  EXPECT_EQ(tokens.select(0.25, 0.6), Rows{1});
  EXPECT_EQ(tokens.select(0.5, 0), (Rows{0, 3})) << "without ages";
  EXPECT_EQ((Tokens{{{1, 1}}, {1, 1}, {79, 80}}.select(0.5, 1e30)), Rows{1});
}

TEST(RowSelection, HeadsWithoutKeysAreLeftOut) {
  // Means 6, 4, and 0 for a token that no head has keys for.
  Tokens tokens{{{6, 4, -kInfinity}, {-kInfinity, 4, -kInfinity}}, {1, 1, 100}, {0, 0, 0}};
  EXPECT_EQ(tokens.select(1.0 / 3), Rows{0});
  EXPECT_EQ(tokens.select(2.0 / 3), (Rows{0, 1}));
  tokens.age[2] = 3;
  EXPECT_EQ(tokens.select(1.0 / 3), Rows{2}) << "by its age";
  tokens.drift[2] = 0;
  EXPECT_EQ(tokens.select(1.0 / 3), Rows{2}) << "-inf is not multiplied with 0";
}

TEST(RowSelection, NaNComesFirstAndInfinityNext) {
  Tokens tokens{{{1, 1, 1, kNaN, 1}}, {0, kInfinity, kNaN, 1, -kInfinity}, {80, 0, 0, 0, 0}};
  EXPECT_EQ(tokens.select(0.2), Rows{2});
  EXPECT_EQ(tokens.select(0.4), (Rows{2, 3}));
  EXPECT_EQ(tokens.select(0.6), (Rows{1, 2, 3}));
  EXPECT_EQ(tokens.select(0.8), (Rows{0, 1, 2, 3}));
}

TEST(RowSelection, Counts) {
  Tokens tokens;
  tokens.lse = {std::vector<float>(90, 1.0f)}, tokens.drift.assign(90, 1.0f), tokens.age.assign(90, 0);
  for (auto [keep, count] : {std::pair(0.0, 0), {1e-6, 1}, {0.3, 27}, {0.31, 28}, {0.7, 63}, {1.0, 90}}) {
    Rows expected(count);
    for (int32_t i = 0; i < count; ++i)
      expected[i] = i;
    EXPECT_EQ(tokens.select(keep), expected) << keep;
  }
  EXPECT_EQ(tokens.select(0, 0.5, 2), (Rows{0, 1}));
  EXPECT_EQ(tokens.select(0, 0.5, 91).size(), 90u);
  EXPECT_EQ(tokens.select(0, 0.5, 2, {1, 40, 89}), (Rows{0, 1, 40, 89})) << "beside the share";
  EXPECT_EQ(tokens.select(1, 0.5, 0, {3}).size(), 90u);
}

TEST(RowSelection, AgesGrowUntilTokensAreComputed) {
  std::vector<int32_t> age = {0, 5, 79, 80, 80, 7}, indices = {2, 0}, counts = {2};
  rt::RowLists rows{viewOf(indices, {1, 1, 2}), viewOf(counts, {1, 1})};
  rt::advanceAges(rows, viewOf(age, {2, 3}));
  EXPECT_EQ(age, (std::vector<int32_t>{0, 6, 0, 0, 80, 0}));
}

//===-- Drift -------------------------------------------------------------===//

TEST(Drift, IsTheEuclideanNormOfTheDifference) {
  Random random(testSeed());
  for (rt::DType dtype : {rt::DType::F32, rt::DType::BF16, rt::DType::F16})
    for (int64_t width : {1, 7, 64, 83}) {
      // Tokens padded, and walked backwards in the other tensor.
      TestTensor x(dtype, {2, 1, 37, width}, TensorLayout::Padded), last(dtype, {2, 1, 37, width}, TensorLayout::Reversed);
      for (TestTensor *tensor : {&x, &last})
        tensor->fill([&](auto...) { return random.chance(10) ? 1e-7 * random.normal() : random.normal(); });
      auto perElement = [](const TestTensor &tensor) {
        rt::Tensor view = tensor.view;
        view.shape.erase(view.shape.begin() + 1), view.strides.erase(view.strides.begin() + 1);
        return view;
      };
      TestTensor drift(rt::DType::F32, {2, 1, 37}, TensorLayout::Reversed);
      ASSERT_EQ(rt::measureDrift(perElement(x), perElement(last), perToken(drift)).message(), "");
      for (int64_t b = 0; b < 2; ++b)
        for (int64_t i = 0; i < 37; ++i) {
          double sum = 0;
          for (int64_t c = 0; c < width; ++c)
            sum += std::pow(x.at(b, 0, i, c) - last.at(b, 0, i, c), 2);
          EXPECT_NEAR(drift.at(b, 0, i), std::sqrt(sum), 1e-6 * std::sqrt(sum)) << "width " << width;
        }
      EXPECT_TRUE(drift.isUntouchedAround());
    }
}

TEST(Drift, HalfNumbersAreReadExactly) {
  // Against 0, the drift of one channel is the number's magnitude: normal, subnormal, infinite and NaN.
  std::vector<uint16_t> x(1 << 16), last(1 << 16);
  std::vector<float> drift(1 << 16);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<uint16_t>(i);
  auto view = [](std::vector<uint16_t> &bits) {
    return rt::Tensor::contiguous(bits.data(), rt::DType::F16, {1, 1 << 16, 1});
  };
  ASSERT_EQ(rt::measureDrift(view(x), view(last), viewOf(drift, {1, 1 << 16})).message(), "");
  for (size_t i = 0; i < x.size(); ++i) {
    double expected = std::abs(rt::halfToDouble(x[i]));
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(drift[i])) << i;
    else
      EXPECT_EQ(drift[i], expected) << i;
  }
}

TEST(Drift, InputsOfRowsAreKept) {
  std::vector<float> x(2 * 4 * 3), last(2 * 4 * 3, -1);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i);
  std::vector<int32_t> indices = {3, 1, 0, 0}, counts = {2, 1};
  rt::RowLists rows{viewOf(indices, {2, 1, 2}), viewOf(counts, {2, 1})};
  ASSERT_EQ(rt::keepInputs(viewOf(x, {2, 4, 3}), rows, viewOf(last, {2, 4, 3})).message(), "");
  for (int64_t i = 0; i < 24; ++i) {
    bool isRow = i / 3 == 1 || i / 3 == 3 || i / 3 == 4;
    EXPECT_EQ(last[i], isRow ? x[i] : -1.0f) << i;
  }
}

TEST(Drift, BadInputs) {
  std::vector<float> x(24), last(24), drift(8);
  std::vector<int32_t> indices = {5}, counts = {1};
  rt::RowLists rows{viewOf(indices, {1, 1, 1}), viewOf(counts, {1, 1})};
  rt::Tensor xs = viewOf(x, {2, 4, 3}), lasts = viewOf(last, {2, 4, 3}), drifts = viewOf(drift, {2, 4});
  auto error = [&](auto change) {
    rt::Tensor a = xs, b = lasts, c = drifts;
    change(a, b, c);
    return rt::measureDrift(a, b, c).message();
  };
  using T = rt::Tensor &;
  EXPECT_EQ(error([](T x, T, T) { x.dtype = rt::DType::F64; }), "x: expected dtype f32, bf16 or f16, but got f64");
  EXPECT_EQ(error([](T x, T, T) { x.shape = {2, 4}; }), "x: expected [batch, tokens, width], but got [2, 4]");
  EXPECT_EQ(error([](T, T last, T) { last.dtype = rt::DType::BF16; }), "last: expected dtype f32, but got bf16");
  EXPECT_EQ(error([](T, T last, T) { last.shape = {2, 3, 4}; }), "last: expected shape [2, 4, 3], but got [2, 3, 4]");
  EXPECT_EQ(error([](T, T last, T) { last.strides = {12, 1, 4}; }),
            "last: expected a contiguous last axis (stride 1), but got strides [12, 1, 4]");
  EXPECT_EQ(error([](T, T, T drift) { drift.shape = {2, 3}; }), "drift: expected shape [2, 4], but got [2, 3]");
  EXPECT_EQ(error([](T, T, T drift) { drift.strides = {0, 1}; }),
            "drift: expected strides that keep elements apart, but got [0, 1] for shape [2, 4]");
  EXPECT_EQ(error([](T x, T, T drift) { drift.data = x.data; }), "drift: expected memory apart from x");
  EXPECT_EQ(error([](T, T last, T drift) { drift.data = last.data; }), "drift: expected memory apart from last");
  EXPECT_EQ(rt::measureDrift(xs, lasts, drifts, -1).message(), "threads: expected 0 or more, but got -1");
  EXPECT_EQ(rt::keepInputs(xs, rows, lasts).message(), "rows: expected indices from 0 to 3, but got 5");
  indices[0] = 2;
  EXPECT_EQ(rt::keepInputs(xs, rows, xs).message(), "last: expected memory apart from x");
  lasts.strides = {12, 0, 1};
  EXPECT_EQ(rt::keepInputs(xs, rows, lasts).message(),
            "last: expected strides that keep elements apart, but got [12, 0, 1] for shape [2, 4, 3]");
}

//===-- Kernels -----------------------------------------------------------===//

/// A kernel with operands, on 2 x 3 x 5 video tokens and 7 of text.
struct Problem {
  Case test;
  std::shared_ptr<const rt::Kernel> kernel;

  explicit Problem(const std::string &attention, std::vector<double> floats = {}, int64_t batch = 2) {
    test.batch = batch, test.program.selectsRows = attention.find("importance") != std::string::npos;
    CompileRequest &request = test.program.request;
    request.source = "attention a" + attention;
    request.options.queryGrid = request.options.keyGrid = {2, 3, 5, 7, false};
    request.options.heads = 3, request.options.headDim = 32, request.options.block = 32;
    KernelResult compiled = compileKernel(request);
    EXPECT_TRUE(compiled) << compiled.message();
    kernel = *compiled;
    for (double value : floats)
      test.program.parameters.push_back(std::bit_cast<int64_t>(value));
    Random random(testSeed());
    test.makeExtras(random);
    auto layout = [] { return TensorLayout::BHSD; };
    test.allocateInputs(layout), test.allocateResults(layout);
    for (TestTensor *tensor : {&test.operands.query, &test.operands.key, &test.operands.value})
      tensor->fill([&](auto...) { return random.normal(); });
  }

  rt::RunArgs args() const {
    rt::RunArgs args = test.operands.args(2);
    args.parameters = test.program.parameters;
    return args;
  }
  /// The message of a call whose arguments were changed.
  template <typename Change> std::string error(const Change &change) const {
    rt::RunArgs call = args();
    change(call);
    std::string message = kernel->run(call).message();
    EXPECT_EQ(kernel->check(call).message().empty(), message.empty() || message.find("parameters") == 0);
    return message;
  }
};

constexpr const char *kAstraea = "(dynamic budget: float = 0.5) { rows topk(importance, keep: budget) }";

TEST(RowSelection, BudgetOneIsTheWholeBitByBit) {
  for (const std::string clauses : {"", " mask abs(q.t - k.t) <= 0 or q.text or k.text", " order tiles(t: 1, h: 2, w: 4)"}) {
    Problem whole("{" + clauses + " }"), all("{" + clauses + " rows topk(importance, keep: 1.0) }");
    ASSERT_EQ(whole.kernel->run(whole.args()).message(), "");
    // The selecting program drew other random numbers.
    all.test.operands.query = whole.test.operands.query, all.test.operands.key = whole.test.operands.key;
    all.test.operands.value = whole.test.operands.value;
    ASSERT_EQ(all.kernel->run(all.args()).message(), "");
    EXPECT_EQ(all.test.operands.out.storage, whole.test.operands.out.storage) << clauses;
    EXPECT_EQ(all.test.operands.lse.storage, whole.test.operands.lse.storage) << clauses;
    all.test.operands.age->forEach([&](int64_t b, int64_t h, int64_t s, int64_t) {
      EXPECT_EQ(all.test.operands.age->at(b, h, s), 0);
    });
  }
}

TEST(RowSelection, BudgetZeroComputesNothing) {
  Problem problem(kAstraea, {0.0});
  Operands before = problem.test.operands;
  ASSERT_EQ(problem.kernel->run(problem.args()).message(), "");
  EXPECT_EQ(problem.test.operands.out.storage, before.out.storage);
  EXPECT_EQ(problem.test.operands.lse.storage, before.lse.storage);
  before.age->forEach([&](int64_t b, int64_t h, int64_t s, int64_t) {
    EXPECT_EQ(problem.test.operands.age->at(b, h, s), std::min(before.age->at(b, h, s) + 1, 80.0));
  });
}

/// A call is what the rows that it would select are, passed to it; and several calls go on from one another.
TEST(RowSelection, SelectedRowsCanBePassedBack) {
  Problem selecting(kAstraea), passing(kAstraea);
  for (double budget : {0.3, 0.0, 0.6, 0.1, 1.0, 0.2}) {
    for (Problem *problem : {&selecting, &passing})
      problem->test.program.parameters = {std::bit_cast<int64_t>(budget)};
    auto rows = passing.kernel->selectRows(passing.args());
    ASSERT_TRUE(rows) << rows.message();
    EXPECT_EQ(rows->counts, std::vector<int32_t>(2, static_cast<int32_t>(std::ceil(37 * budget))));
    rt::RowLists view = rows->view();
    rt::RunArgs args = passing.args();
    args.rows = &view, args.drift.reset();
    ASSERT_EQ(passing.kernel->run(args).message(), "");
    ASSERT_EQ(selecting.kernel->run(selecting.args()).message(), "");
    EXPECT_EQ(selecting.test.operands.out.storage, passing.test.operands.out.storage);
    EXPECT_EQ(selecting.test.operands.lse.storage, passing.test.operands.lse.storage);
    EXPECT_EQ(selecting.test.operands.age->storage, passing.test.operands.age->storage);
  }
}

TEST(RowSelection, RowsOfTokensComeInAnyCase) {
  Problem problem("(last: int = 4) { rows topk(importance, keep: 0.1) or q.text or q.t == 0 and q.w == last }");
  auto rows = problem.kernel->selectRows(problem.args());
  ASSERT_TRUE(rows);
  for (int64_t batch : {0, 1}) {
    std::vector<int32_t> tokens = rows->view().tokensOf(batch);
    for (int32_t token : {4, 9, 14, 30, 31, 32, 33, 34, 35, 36})
      EXPECT_TRUE(std::binary_search(tokens.begin(), tokens.end(), token)) << token;
    EXPECT_LE(tokens.size(), 14u);
    EXPECT_GE(tokens.size(), 10u);
  }
}

TEST(RowSelection, BadCalls) {
  Problem problem(kAstraea), dense("{ }"), given("{ rows given }");
  using Args = rt::RunArgs &;
  EXPECT_EQ(problem.error([](Args args) { args.age.reset(); }),
            "age: expected a tensor, since the attention selects rows by it, but got none");
  EXPECT_EQ(problem.error([](Args args) { args.drift.reset(); }),
            "drift: expected a tensor, since the attention selects rows by it, but got none");
  EXPECT_EQ(problem.error([](Args args) { args.lse.reset(); }),
            "lse: expected a tensor, since the attention selects rows by it, but got none");
  EXPECT_EQ(problem.error([](Args args) { args.drift->shape = {1, 37}; }),
            "drift: expected shape [2, 37], but got [1, 37]");
  EXPECT_EQ(problem.error([](Args args) { args.drift->dtype = rt::DType::F64; }),
            "drift: expected dtype f32, but got f64");
  EXPECT_EQ(problem.error([](Args args) { args.drift->data = args.out.data; }), "out: expected memory apart from drift");
  EXPECT_EQ(problem.error([](Args args) { args.drift->data = args.lse->data; }), "lse: expected memory apart from drift");
  EXPECT_EQ(problem.error([](Args args) { args.age->shape = {2, 36}; }), "age: expected shape [2, 37], but got [2, 36]");
  EXPECT_EQ(problem.error([](Args args) { args.age->dtype = rt::DType::F32; }), "age: expected dtype i32, but got f32");
  EXPECT_EQ(problem.error([](Args args) { args.age->data = nullptr; }), "age: expected memory, but got a null pointer");
  std::vector<int32_t> ages(2 * 37);
  EXPECT_EQ(problem.error([&](Args args) { args.age = viewOf(ages, {2, 37}), args.age->strides = {0, 1}; }),
            "age: expected strides that keep elements apart, but got [0, 1] for shape [2, 37]");
  auto withAge = [&](int32_t age) {
    ages[40] = age;
    return problem.error([&](Args args) { args.age = viewOf(ages, {2, 37}); });
  };
  EXPECT_EQ(withAge(-1), "age: expected ages from 0 to 80, but got -1 of batch 1 token 3");
  EXPECT_EQ(withAge(81), "age: expected ages from 0 to 80, but got 81 of batch 1 token 3");
  // As ages, the bits of floats are out of range: zeros lie where a tensor is to be shared.
  std::fill(problem.test.operands.drift->storage.begin(), problem.test.operands.drift->storage.end(), std::byte{0});
  EXPECT_EQ(problem.error([](Args args) {
              args.age = args.drift;
              args.age->dtype = rt::DType::I32;
            }),
            "age: expected memory apart from drift");
  EXPECT_EQ(problem.error([](Args args) { args.parameters = {std::bit_cast<int64_t>(1.5)}; }),
            "parameters: expected 'budget' to be a number from 0 to 1, but got 1.5");
  Problem weighted("(dynamic w: float = 0.5) { rows topk(importance, keep: 0.5, age: w) }");
  for (double weight : {-0.5, double(kInfinity), double(kNaN)})
    EXPECT_EQ(weighted.error([&](Args args) { args.parameters = {std::bit_cast<int64_t>(weight)}; }),
              fmt::format("parameters: expected 'w' to be a finite number of at least 0, but got {}", weight));
  for (Problem *other : {&dense, &given}) {
    TestRows none{{1, 1}, 1, {0}, {0}};
    rt::RowLists rows = none.view();
    auto error = [&](auto change) {
      return other->error([&](Args args) {
        args.rows = other == &given ? &rows : nullptr;
        change(args);
      });
    };
    EXPECT_EQ(error([&](Args args) { args.drift = viewOf(ages, {2, 37}); }),
              "drift: expected none, since the attention does not select rows");
    EXPECT_EQ(error([&](Args args) { args.age = viewOf(ages, {2, 37}); }),
              "age: expected none, since the attention does not select rows");
  }
  TestRows perHead{{1, 3}, 1, {0, 1, 2}, {1, 1, 1}};
  rt::RowLists rows = perHead.view();
  EXPECT_EQ(problem.error([&](Args args) { args.rows = &rows; }),
            "rows: expected one set for all heads, as tokens have one age, but got 3");
  EXPECT_EQ(dense.kernel->selectRows(dense.args()).message(),
            "kernel 'a': expected an attention with rows topk(importance, ..)");
  EXPECT_EQ(problem.kernel->selectRows(rt::RunArgs()).message(),
            "lse: expected a tensor, since the attention selects rows by it, but got none");
}

/// A NaN in the inputs is computed again, and shows.
TEST(RowSelection, NaNShows) {
  Problem problem(kAstraea, {0.05}, 1);
  problem.test.operands.drift->fill([](auto...) { return 0; });
  problem.test.operands.age->fill([](auto...) { return 0; });
  problem.test.operands.drift->set(0, 0, 20, 0, kNaN);
  problem.test.operands.query.set(0, 1, 20, 3, kNaN);
  ASSERT_EQ(problem.kernel->run(problem.args()).message(), "");
  EXPECT_TRUE(std::isnan(problem.test.operands.out.at(0, 1, 20, 0)));
  EXPECT_TRUE(std::isnan(problem.test.operands.lse.at(0, 1, 20)));
  EXPECT_EQ(problem.test.operands.age->at(0, 0, 20), 0);
}

} // namespace
