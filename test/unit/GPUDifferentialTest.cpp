// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// GPU kernels against the interpreter on random programs: on a GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/Pipeline.h"
#include "test/unit/GPUProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <optional>

using namespace weft;
using namespace weft::test;

namespace {

/// WEFT_TEST_PROGRAMS if it is set: a GPU takes more programs than the executor.
int64_t numPrograms(int64_t standard) {
  const char *text = std::getenv("WEFT_TEST_PROGRAMS");
  return text ? std::atoll(text) : standard;
}

struct GPUCase : Case {
  std::shared_ptr<const rt::cuda::GPUKernel> kernel;
  /// What the device predicted.
  std::optional<rt::GivenLists> selected;
  std::optional<rt::OwnedRowLists> selectedRows;
  std::optional<rt::Choices> choices;

  rt::Status compile() {
    GPUKernelResult result = compileGPUKernel(program.request, *device());
    if (!result)
      return result.status();
    kernel = *result;
    return rt::Status::ok();
  }

  /// Runs `times` times and copies the results back.
  rt::Status run(int times = 1) {
    DeviceOperands call;
    if (rt::Status status = call.upload(operands); !status)
      return status;
    call.args.parameters = program.parameters;
    if (kernel->image().recognition) {
      auto recognized = kernel->recognize(call.args, nullptr);
      if (!recognized)
        return recognized.status();
      choices = std::move(*recognized);
    }
    if (kernel->image().prediction) {
      auto predicted = predictLists(*kernel, call.args);
      if (!predicted)
        return predicted.status();
      selected = std::move(*predicted);
    }
    if (kernel->image().rowSelection) {
      auto rows = selectRows(*kernel, call.args);
      if (!rows)
        return rows.status();
      selectedRows = std::move(*rows);
    }
    for (int i = 0; i < times; ++i)
      if (rt::Status status = kernel->launch(call.args, nullptr); !status)
        return status;
    return call.download(operands);
  }
};

/// Two runs must give the same, and write nothing else.
std::string runTwice(GPUCase &test) {
  TestTensor out = test.operands.out, lse = test.operands.lse;
  std::optional<TestTensor> age = test.operands.age;
  // A second call in a row would select by what the first left.
  if (rt::Status status = test.run(age ? 1 : 2); !status)
    return "run: " + status.message();
  std::swap(out, test.operands.out), std::swap(lse, test.operands.lse), std::swap(age, test.operands.age);
  if (rt::Status status = test.run(); !status)
    return "second run: " + status.message();
  if (out.storage != test.operands.out.storage || lse.storage != test.operands.lse.storage ||
      (age && age->storage != test.operands.age->storage))
    return "two runs give different results";
  if (!out.isUntouchedAround() || !lse.isUntouchedAround() || (age && !age->isUntouchedAround()))
    return "memory around the results was written";
  return "";
}

std::string compareRecalls(const rt::Choices &actual, const rt::Choices &expected) {
  for (size_t i = 0; i < actual.recalls.size(); ++i) {
    double recall = actual.recalls[i], wanted = expected.recalls[i];
    bool isNear = std::isnan(wanted) ? std::isnan(recall) : std::abs(recall - wanted) <= 1e-4;
    if (!isNear)
      return fmt::format("recall {}: expected {}, but got {}", i, wanted, recall);
  }
  return "";
}

/// Rows that were selected and recalls, then the results over what the device selected and chose.
std::string compareAll(const GPUCase &test) {
  if (test.selectedRows || test.choices) {
    auto expected = test.interpret({0});
    if (!expected)
      return "interpretation: " + expected.message();
    std::string error;
    if (test.selectedRows)
      error = compareSelection(test, *test.selectedRows, *expected);
    if (test.choices && error.empty())
      error = compareRecalls(*test.choices, expected->recognized.front());
    if (!error.empty())
      return error;
  }
  return compareWithInterpreter(test, test.selected ? &*test.selected : nullptr,
                                test.choices ? &*test.choices : nullptr);
}

/// Most tokens of a box that the compiler takes for the device.
int64_t mostBoxTokens(const std::string &target, ElementType type, int64_t headDim) {
  auto found = target == "native" ? CUDATarget::forCapability((*device())->capability) : CUDATarget::parse(target);
  bool isHopper = found && found->isSpecific;
  return cuda::mostBoxTokens(cuda::generatorFor(isHopper, type != ElementType::F32), headDim);
}

std::string checkProgram(Random &random, GPUCase &test) {
  // Half of the programs by the generator that every GPU has; f32 is always its.
  auto elementType = random.pick({ElementType::BF16, ElementType::F16, ElementType::F32});
  auto target = random.pick<std::string>({"native", "sm_80"});
  ProgramLimits limits{.bias = 30, .predicted = 30, .reuse = 30, .recognized = 25, .sorted = 25};
  (random.chance(50) ? limits.rows : limits.selectedRows) = 60;
  auto headDim = random.pick<int64_t>({32, 64, 64, 72, 80, 128, 128, 192, 256});
  limits.maxBox = mostBoxTokens(target, elementType, headDim);
  test.program = makeProgram(random, limits);
  test.program.request.target = target;
  GenerateOptions &options = test.program.request.options;
  options.elementType = elementType;
  options.headDim = headDim;
  options.block = random.pick<int64_t>({32, 64, 96, 128, 128});
  // Blocks that the compiler must not choose.
  if (test.program.usesGiven || test.program.isPredicted)
    options.block = std::min(options.block, limits.maxBox);
  options.scale.reset();
  test.batch = random.pick<int64_t>({1, 1, 2, 3});
  if (rt::Status status = test.compile(); !status)
    return "compilation: " + status.message();
  test.makeAlignedOperands(random, test.kernel->image());
  std::string error = runTwice(test);
  return error.empty() ? compareAll(test) : error;
}

using GPUDifferentialTest = GPUTest;

TEST_F(GPUDifferentialTest, RandomPrograms) {
  uint64_t base = testSeed();
  int64_t count = numPrograms(10);
  std::cout << "on " << (*device())->name << ", WEFT_TEST_SEED=" << base << ", " << count << " programs" << std::endl;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t seed = seedOf(base, i);
    Random random(seed);
    GPUCase test;
    std::string error = checkProgram(random, test);
    EXPECT_TRUE(error.empty()) << "WEFT_TEST_SEED=" << seed << ": " << error << "\n" << test.describe();
  }
}

} // namespace
