// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A whole schedule on kernels: keep, threshold and budget change at every step, and no value of them compiles anything.

#include "lib/Compiler/Compiler.h"
#include "lib/Schedule/ScheduleFile.h"
#include "test/unit/Operands.h"
#include "test/unit/RandomPrograms.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>
#include <set>

using namespace weft;
using namespace weft::test;

namespace {

constexpr char kPrograms[] = R"(
attention dense(dynamic budget: float = 1.0) { rows topk(importance, keep: budget) }
attention kept(dynamic keep: float, dynamic budget: float = 1.0) {
  mask topk(block_mean, keep: keep) or q.t == 0
  rows topk(importance, keep: budget)
}
attention bounded(dynamic theta: float, dynamic budget: float = 1.0) {
  mask threshold(block_mean, score: theta, min: 1)
  rows topk(importance, keep: budget)
}
)";

/// 13 steps in 4 layers; `kept` in the inner steps of layers 1 and 2, `bounded` in those of layer 3.
constexpr char kSchedule[] = R"({
  "version": 1, "steps": 13, "layers": 4, "otherwise": "dense",
  "rules": [
    {"steps": [2, 6], "layers": [1, 2], "attention": "kept", "keep": 0.3, "refresh": 2},
    {"steps": [7, 11], "layers": [1, 2], "attention": "kept", "keep": 0.15},
    {"steps": [2, 11], "layers": [3, 3], "attention": "bounded",
     "values": {"theta": {"steps": [3, 9], "min": -0.2, "max": 0.1}}}
  ],
  "budgets": [1, 0.9, 0.8, 0.5, 0.31, 0.3, 0.7, 0.2, 0.1, 0, 0.4, 0.6, 1]
})";

constexpr int64_t kHeads = 2, kTokens = 3 * 5 * 9;

/// One layer's tensors, which stay from step to step.
struct Layer {
  Operands operands;
  /// The lists of the last step that made a mask.
  rt::GivenLists lists;

  explicit Layer(uint64_t seed) {
    Random random(seed);
    auto make = [](rt::DType dtype, std::vector<int64_t> shape) {
      return TestTensor(dtype, std::move(shape), TensorLayout::BHSD);
    };
    std::vector<int64_t> shape = {1, kHeads, kTokens, 32};
    for (TestTensor *tensor : {&operands.query, &operands.key, &operands.value}) {
      *tensor = make(rt::DType::F32, shape);
      tensor->fill([&](auto...) { return random.normal(); });
    }
    operands.out = make(rt::DType::F32, shape), operands.lse = make(rt::DType::F32, {1, kHeads, kTokens});
    operands.drift = make(rt::DType::F32, {1, 1, kTokens}), operands.age = make(rt::DType::I32, {1, 1, kTokens});
    operands.out.fill([](auto...) { return std::nan(""); }), operands.lse.fill([](auto...) { return 0; });
    operands.drift->fill([&](auto...) { return std::abs(random.normal()); });
    operands.age->fill([](auto...) { return 0; });
  }
};

/// The values of a kernel's parameters at one step, by their names.
std::vector<int64_t> parametersOf(const rt::KernelImage &image, const schedule::Action &action) {
  std::map<std::string, double> values = action.values;
  values["budget"] = action.budget;
  if (action.keep)
    values["keep"] = *action.keep;
  std::vector<int64_t> parameters;
  for (const rt::Parameter &parameter : image.parameters)
    parameters.push_back(std::bit_cast<int64_t>(values.at(parameter.name)));
  return parameters;
}

/// Runs one step of a layer, and expects as many rows as the budget says.
void runStep(Compiler &compiler, const schedule::Action &action, Layer &layer) {
  CompileRequest request;
  request.source = kPrograms;
  request.options.attention = action.attention;
  request.options.queryGrid = request.options.keyGrid = {3, 5, 9, 0, false};
  request.options.heads = kHeads, request.options.headDim = 32, request.options.block = 32;
  KernelResult kernel = compiler.compile(request);
  ASSERT_TRUE(kernel) << kernel.message();
  rt::RunArgs args = layer.operands.args(2);
  args.parameters = parametersOf((*kernel)->image(), action);
  if ((*kernel)->image().prediction && action.refreshMask) {
    auto lists = (*kernel)->predict(args);
    ASSERT_TRUE(lists) << lists.message();
    layer.lists = std::move(*lists);
  }
  if ((*kernel)->image().prediction)
    args.given = &layer.lists;
  ASSERT_EQ((*kernel)->run(args).message(), "");
  int64_t computed = 0;
  for (int64_t token = 0; token < kTokens; ++token)
    computed += layer.operands.age->at(0, 0, token) == 0;
  EXPECT_EQ(computed, std::ceil(action.budget * kTokens - 1e-9));
}

TEST(ScheduledKernels, EachProgramIsCompiledOnce) {
  auto parsed = schedule::parse(kSchedule);
  ASSERT_TRUE(parsed) << parsed.message();
  Compiler compiler;
  std::vector<Layer> layers;
  for (int64_t layer = 0; layer < parsed->layers; ++layer)
    layers.emplace_back(testSeed() + layer);
  std::set<std::string> attentions;
  std::set<std::tuple<double, double, double>> values;
  for (int64_t step = 0; step < parsed->steps; ++step)
    for (int64_t layer = 0; layer < parsed->layers; ++layer) {
      schedule::Action action = parsed->at(step, layer);
      SCOPED_TRACE(testing::Message() << "step " << step << ", layer " << layer << ": " << action.attention);
      runStep(compiler, action, layers[layer]);
      attentions.insert(action.attention);
      values.emplace(action.keep.value_or(-1), action.values.empty() ? -1 : action.values.at("theta"), action.budget);
    }
  EXPECT_EQ(attentions, (std::set<std::string>{"bounded", "dense", "kept"}));
  EXPECT_GE(values.size(), 30u) << "steps that differ";
  EXPECT_EQ(compiler.numCompilations(), 3);
  for (const Layer &layer : layers)
    layer.operands.out.forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
      EXPECT_TRUE(std::isfinite(layer.operands.out.at(b, h, s, c))) << "all rows were computed at some step";
    });
}

} // namespace
