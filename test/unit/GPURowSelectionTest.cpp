// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that are selected on the device, against those that the CPU selects, and ages. On a GPU, or on the executor that
// WEFT_CUDA_DRIVER names.

#include "runtime/Drift.h"
#include "test/unit/GPUProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

const Shape kShape = {{3, 5, 11, 7, false}, 3, 32, 64, 2, ElementType::BF16};

/// With what rows are selected by.
struct Problem : GPUProblem {
  explicit Problem(const std::string &attention, const std::vector<double> &floats = {},
                   const std::string &target = "native", const Shape &shape = kShape)
      : GPUProblem(attention, shape, bitsOf(floats), target) {
    test.program.selectsRows = kernel->image().rowSelection.has_value();
    test.program.usesRows = kernel->image().hasRows && !test.program.selectsRows;
    Random random(3);
    if (test.program.selectsRows)
      test.makeRowState(random);
    test.allocateResults([] { return TensorLayout::BHSD; });
    fillNormal(5);
  }

  int64_t tokens() const { return shape.grid.tokens(); }
  void setAmounts(const std::vector<double> &floats) { test.program.parameters = bitsOf(floats); }

  /// What every head, token and batch element has.
  void setState(double lse, double drift, double age) {
    operands().lse.fill([&](auto...) { return lse; });
    operands().drift->fill([&](auto...) { return drift; });
    operands().age->fill([&](auto...) { return age; });
  }

  rt::OwnedRowLists selectOnHost() {
    auto rows = kernel->selectRows(args());
    EXPECT_TRUE(rows) << rows.message();
    return *rows;
  }
};

void expectEqual(const rt::OwnedRowLists &actual, const rt::OwnedRowLists &expected) {
  EXPECT_EQ(actual.counts, expected.counts);
  EXPECT_EQ(actual.indices, expected.indices);
}

constexpr const char *kSelecting = "(dynamic budget: float = 0.5, dynamic w: float = 0.5) "
                                   "{ rows topk(importance, keep: budget, age: w) }";

using GPURowSelectionTest = GPUTest;

TEST_F(GPURowSelectionTest, SelectsWhatTheCPUSelects) {
  Problem problem(kSelecting);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Random random(seed);
    problem.test.makeRowState(random); // with equal numbers, heads without keys and NaN
    problem.operands().lse.fill(
        [&](int64_t b, int64_t h, int64_t s, int64_t) { return problem.test.heldLse.at(b, h, s); });
    for (auto amounts : {std::vector{0.0, 0.5}, {0.001, 0.5}, {0.3, 0.0}, {0.5, 1e30}, {0.99, 0.1}, {1.0, 0.5}}) {
      problem.setAmounts(amounts);
      SCOPED_TRACE(fmt::format("seed {}, keep {}, weight {}", seed, amounts[0], amounts[1]));
      expectEqual(problem.selectRows(), problem.selectOnHost());
    }
  }
}

TEST_F(GPURowSelectionTest, RanksOfSpecialNumbers) {
  Problem problem(kSelecting);
  problem.setState(1, 0, 0);
  double drifts[] = {kInfinity, kNaN, -kInfinity, 1e-30, -0.0, 0.0, 3, -2};
  for (int64_t i = 0; i < 8; ++i)
    problem.operands().drift->set(0, 0, 20 * i, 0, drifts[i]);
  problem.operands().lse.set(1, 2, 170, 0, kNaN);
  problem.operands().age->set(1, 0, 3, 0, 80);
  for (double count : {1, 2, 3, 4, 5, 60, 100, 170, 171}) {
    problem.setAmounts({count / problem.tokens(), 0.0});
    SCOPED_TRACE(count);
    expectEqual(problem.selectRows(), problem.selectOnHost());
    problem.setAmounts({count / problem.tokens(), 0.5});
    expectEqual(problem.selectRows(), problem.selectOnHost());
  }
}

TEST_F(GPURowSelectionTest, EqualTokensAreTakenInTheirOrder) {
  Problem problem(kSelecting, {0.4});
  problem.setState(2, 1, 3);
  rt::OwnedRowLists rows = problem.selectRows();
  ASSERT_EQ(rows.counts, (std::vector<int32_t>{69, 69}));
  for (int32_t i = 0; i < 69; ++i)
    ASSERT_EQ(rows.indices[i], i);
}

TEST_F(GPURowSelectionTest, MinimumAndTokensInAnyCase) {
  for (const char *attention :
       {"(dynamic budget: float = 0.5) { rows topk(importance, keep: budget, min: 9) }",
        "(dynamic budget: float = 0.5) { rows topk(importance, keep: budget) or q.text or q.t == 1 and q.w == 10 }"}) {
    Problem problem(attention);
    for (double budget : {0.0, 0.04, 0.6, 1.0}) {
      problem.setAmounts({budget});
      SCOPED_TRACE(fmt::format("{}, {}", attention, budget));
      expectEqual(problem.selectRows(), problem.selectOnHost());
    }
  }
}

/// More than a warp's tokens in one turn.
TEST_F(GPURowSelectionTest, ManyTokens) {
  const char *attention = "(dynamic budget: float = 0.5) { rows topk(importance, keep: budget) or q.t == 2 }";
  Problem problem(attention, {0.37}, "native", {{3, 40, 53, 0, false}, 1, 32, 128, 1, ElementType::BF16});
  expectEqual(problem.selectRows(), problem.selectOnHost());
}

TEST_F(GPURowSelectionTest, SeveralStepsAreThoseOfTheCPU) {
  for (const char *target : {"native", "sm_80"}) {
    Problem problem(kSelecting, {}, target);
    Operands onHost = problem.operands();
    for (double budget : {0.3, 0.0, 0.6, 1.0, 0.2}) {
      problem.setAmounts({budget});
      EXPECT_EQ(problem.run(), "");
      std::swap(onHost, problem.operands());
      EXPECT_EQ(problem.kernel->run(problem.args()).message(), "");
      std::swap(onHost, problem.operands());
      EXPECT_TRUE(problem.operands().age->storage == onHost.age->storage) << budget;
      for (auto [mine, other, tolerance] : {std::tuple(&problem.operands().lse, &onHost.lse, 2e-3),
                                            std::tuple(&problem.operands().out, &onHost.out, 4e-2)}) {
        mine->forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
          double value = mine->at(b, h, s, c), wanted = other->at(b, h, s, c);
          if (!(value == wanted) && !(std::isnan(value) && std::isnan(wanted)))
            ASSERT_NEAR(value, wanted, tolerance) << budget << ": " << b << " " << h << " " << s << " " << c;
        });
        *mine = *other; // so that rounding does not change what is selected next
      }
    }
    EXPECT_TRUE(problem.operands().age->isUntouchedAround());
  }
}

TEST_F(GPURowSelectionTest, BudgetsAtTheirEnds) {
  Problem problem(kSelecting, {0.0}), whole("{ }");
  Operands before = problem.operands();
  EXPECT_EQ(problem.run(), "");
  EXPECT_EQ(problem.operands().out.storage, before.out.storage);
  EXPECT_EQ(problem.operands().lse.storage, before.lse.storage);
  before.age->forEach([&](int64_t b, int64_t h, int64_t s, int64_t) {
    ASSERT_EQ(problem.operands().age->at(b, h, s), std::min(before.age->at(b, h, s) + 1, 80.0));
  });
  problem.setAmounts({1.0});
  EXPECT_EQ(problem.run(), "");
  EXPECT_EQ(whole.run(), "");
  EXPECT_EQ(problem.operands().out.storage, whole.operands().out.storage);
  EXPECT_EQ(problem.operands().lse.storage, whole.operands().lse.storage);
  before.age->forEach([&](int64_t b, int64_t h, int64_t s, int64_t) {
    ASSERT_EQ(problem.operands().age->at(b, h, s), 0);
  });
}

TEST_F(GPURowSelectionTest, SelectedRowsServeSeveralLaunches) {
  Problem problem(kSelecting, {0.3});
  DeviceOperands call, other;
  ASSERT_TRUE(call.upload(problem.operands()) && other.upload(problem.operands()));
  call.args.parameters = other.args.parameters = problem.test.program.parameters;
  auto selected = problem.onDevice->selectRows(call.args, nullptr);
  ASSERT_TRUE(selected) << selected.message();
  ASSERT_TRUE(problem.onDevice->launch(other.args, nullptr));
  Operands expected = problem.operands(), again = problem.operands();
  ASSERT_TRUE(other.download(expected));
  call.args.rows = &(*selected)->rows, call.args.drift.reset();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr));
    ASSERT_TRUE(call.download(again));
    EXPECT_EQ(again.out.storage, expected.out.storage);
    if (i == 0)
      EXPECT_EQ(again.age->storage, expected.age->storage);
  }
}

TEST_F(GPURowSelectionTest, AgesOutOfRangeAreReadAsTheNearest) {
  Problem problem(kSelecting, {0.1});
  problem.setState(0, 0, 5);
  problem.operands().age->set(0, 0, 100, 0, 2000000000);
  problem.operands().age->set(0, 0, 101, 0, 80);
  problem.operands().age->set(0, 0, 102, 0, -7);
  problem.operands().age->set(0, 0, 160, 0, 81);
  problem.setAmounts({3.0 / 172, 0.5});
  rt::OwnedRowLists rows = problem.selectRows();
  EXPECT_EQ(std::vector(rows.indices.begin(), rows.indices.begin() + 3), (std::vector<int32_t>{100, 101, 160}));
  problem.setAmounts({0.0, 0.5});
  EXPECT_EQ(problem.run(), "");
  for (auto [token, age] : {std::pair(100, 80), {101, 80}, {102, 1}, {160, 80}, {103, 6}})
    EXPECT_EQ(problem.operands().age->at(0, 0, token), age) << token;
}

TEST_F(GPURowSelectionTest, RowsOfTheCallerResetTheirAges) {
  Problem problem(kSelecting);
  problem.setState(1, 1, 4);
  problem.operands().rows = TestRows{{1, 1}, 5, {9, -1, 400, 170, 3}, {4}};
  EXPECT_EQ(problem.run(), "");
  for (int64_t batch : {0, 1})
    for (int64_t token = 0; token < problem.tokens(); ++token)
      ASSERT_EQ(problem.operands().age->at(batch, 0, token), token == 9 || token == 170 ? 0 : 5) << token;
}

/// The view [batch, tokens, width] of a tensor [batch, 1, tokens, width].
rt::Tensor withoutHeads(rt::Tensor view) {
  view.shape.erase(view.shape.begin() + 1), view.strides.erase(view.strides.begin() + 1);
  return view;
}

TEST_F(GPURowSelectionTest, DriftAndKeptInputsAreThoseOfTheCPU) {
  const GridShape grid{1, 3, 7, 0, false};
  for (ElementType type : {ElementType::BF16, ElementType::F16, ElementType::F32}) {
    CompileRequest request = requestOf(kSelecting, {grid, 1, 32, 64, 1, type});
    GPUKernelResult kernel = compileGPUKernel(request, *device());
    ASSERT_TRUE(kernel) << kernel.message();
    for (int64_t width : {8, 264, 1040}) {
      TestTensor x(toDType(type), {2, 1, 21, width}, TensorLayout::Padded, 8);
      TestTensor last(toDType(type), {2, 1, 21, width}, TensorLayout::BHSD, 8);
      Random random(width);
      for (TestTensor *tensor : {&x, &last})
        tensor->fill([&](auto...) { return random.normal(); });
      x.set(1, 0, 5, 3, kNaN);
      TestTensor drift(rt::DType::F32, {2, 1, 21}, TensorLayout::Reversed), expected = drift;
      TestRows rows{{2, 1}, 4, {20, 0, -1, 33, 3, 5, 7, 9}, {4, 3}};
      auto deviceX = OnDevice::upload(x), deviceLast = OnDevice::upload(last), deviceDrift = OnDevice::upload(drift);
      ASSERT_TRUE(deviceX && deviceLast && deviceDrift);
      rt::Tensor views[] = {withoutHeads(deviceX->view), withoutHeads(deviceLast->view),
                            withoutHeads(deviceDrift->view)};
      ASSERT_EQ((*kernel)->measureDrift(views[0], views[1], views[2], nullptr).message(), "");
      ASSERT_TRUE(deviceDrift->download(drift));
      ASSERT_TRUE(rt::measureDrift(withoutHeads(x.view), withoutHeads(last.view), withoutHeads(expected.view)));
      for (int64_t b = 0; b < 2; ++b)
        for (int64_t i = 0; i < 21; ++i) {
          if (b == 1 && i == 5)
            EXPECT_TRUE(std::isnan(drift.at(b, 0, i)));
          else
            EXPECT_FLOAT_EQ(drift.at(b, 0, i), expected.at(b, 0, i));
        }
      rt::RowLists onDevice = rows.view();
      std::vector<rt::cuda::DeviceMemory> memory;
      for (rt::Tensor *tensor : {&onDevice.indices, &onDevice.counts}) {
        auto copy = rt::cuda::DeviceMemory::upload(*device(), tensor->data, tensor->numElements() * 4, nullptr);
        ASSERT_TRUE(copy);
        tensor->data = reinterpret_cast<void *>(copy->get());
        memory.push_back(std::move(*copy));
      }
      ASSERT_EQ((*kernel)->keepInputs(views[0], onDevice, views[1], nullptr).message(), "");
      TestTensor kept = last;
      ASSERT_TRUE(deviceLast->download(kept));
      for (auto [b, token] : {std::pair(0, 20), {0, 0}, {1, 3}, {1, 5}, {1, 7}})
        for (int64_t c = 0; c < width; ++c)
          last.set(b, 0, token, c, x.at(b, 0, token, c));
      EXPECT_TRUE(kept.storage == last.storage);
    }
  }
}

TEST_F(GPURowSelectionTest, InputsAreChecked) {
  Problem problem(kSelecting), given("{ rows given }");
  std::vector<std::byte> memory(4096);
  auto viewOf = [&](int64_t offset, int64_t width, rt::DType dtype = rt::DType::BF16) {
    return rt::Tensor::contiguous(memory.data() + offset, dtype, {1, 4, width});
  };
  rt::Tensor drift = rt::Tensor::contiguous(memory.data() + 2048, rt::DType::F32, {1, 4});
  auto error = [&](const rt::Tensor &x, const rt::Tensor &last) {
    return problem.onDevice->measureDrift(x, last, drift, nullptr).message();
  };
  EXPECT_EQ(error(viewOf(0, 8, rt::DType::F32), viewOf(512, 8, rt::DType::F32)),
            "x: expected dtype bf16, which the kernel has, but got f32");
  EXPECT_EQ(error(viewOf(0, 12), viewOf(512, 12)), "x: expected a width of whole 16 bytes, but got 12");
  EXPECT_EQ(error(viewOf(0, 8), viewOf(512, 16)), "last: expected shape [1, 4, 8], but got [1, 4, 16]");
  EXPECT_NE(error(viewOf(0, 8), viewOf(514, 8)).find("last: expected an address that is a multiple of 16"),
            std::string::npos);
  EXPECT_EQ(given.onDevice->measureDrift(viewOf(0, 8), viewOf(512, 8), drift, nullptr).message(),
            "kernel 'a': expected an attention with rows topk(importance, ..)");
  TestRows perHead{{1, 3}, 1, {0, 1, 2}, {1, 1, 1}};
  EXPECT_NE(problem.onDevice->keepInputs(viewOf(0, 8), perHead.view(), viewOf(512, 8), nullptr).message(), "");
}

TEST_F(GPURowSelectionTest, CallsAreChecked) {
  Problem problem(kSelecting), given("{ rows given }");
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  auto error = [&](auto change) {
    rt::RunArgs args = call.args;
    change(args);
    return problem.onDevice->launch(args, nullptr).message();
  };
  EXPECT_EQ(error([](rt::RunArgs &args) { args.age.reset(); }),
            "age: expected a tensor, since the attention selects rows by it, but got none");
  EXPECT_EQ(error([](rt::RunArgs &args) { args.drift.reset(); }),
            "drift: expected a tensor, since the attention selects rows by it, but got none");
  EXPECT_EQ(error([](rt::RunArgs &args) { args.age->dtype = rt::DType::F32; }), "age: expected dtype i32, but got f32");
  EXPECT_EQ(error([](rt::RunArgs &args) { args.age->shape = {2, 36}; }), "age: expected shape [2, 172], but got [2, 36]");
  EXPECT_EQ(error([](rt::RunArgs &args) { args.parameters = bitsOf({1.5}); }),
            "parameters: expected 'budget' to be a number from 0 to 1, but got 1.5");
  EXPECT_EQ(given.onDevice->selectRows(call.args, nullptr).message(),
            "kernel 'a': expected an attention with rows topk(importance, ..)");
}

} // namespace
