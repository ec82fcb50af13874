// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What tests on a GPU share, or on the executor that WEFT_CUDA_DRIVER names.

#ifndef WEFT_TEST_UNIT_GPUPROBLEM_H
#define WEFT_TEST_UNIT_GPUPROBLEM_H

#include "test/unit/CompiledProblem.h"
#include "test/unit/OnDevice.h"

#include <optional>

namespace weft::test {

/// The fixture: skips where there is no device.
class GPUTest : public testing::Test {
protected:
  void SetUp() override {
    if (!device())
      GTEST_SKIP() << device().message();
  }
};

/// The block lists that a kernel predicts for a call on the device.
inline rt::Result<rt::GivenLists> predictLists(const rt::cuda::GPUKernel &kernel, const rt::RunArgs &args) {
  auto kept = kernel.predict(args, nullptr);
  return kept ? kernel.download(**kept, nullptr) : rt::Result<rt::GivenLists>(kept.status());
}

/// The rows that a kernel selects for a call on the device.
inline rt::Result<rt::OwnedRowLists> selectRows(const rt::cuda::GPUKernel &kernel, const rt::RunArgs &args) {
  auto kept = kernel.selectRows(args, nullptr);
  return kept ? kernel.download(**kept, nullptr) : rt::Result<rt::OwnedRowLists>(kept.status());
}

/// Compiled for the device too.
struct GPUProblem : CompiledProblem {
  std::shared_ptr<const rt::cuda::GPUKernel> onDevice;
  /// Launches of a run, one into the memory of another.
  int launches = 1;

  explicit GPUProblem(const std::string &attention, const Shape &shape, std::vector<int64_t> parameters = {},
                      const std::string &target = "native")
      : CompiledProblem(attention, shape, std::move(parameters)) {
    CompileRequest request = test.program.request;
    request.target = target;
    GPUKernelResult compiled = compileGPUKernel(request, *device());
    EXPECT_TRUE(compiled) << compiled.message();
    onDevice = *compiled;
  }

  /// Makes the operands and parameters arguments of a call on the device.
  rt::Status upload(DeviceOperands &call) {
    rt::Status status = call.upload(operands());
    call.args.parameters = test.program.parameters;
    return status;
  }

  /// What `function` returns for a call on the device.
  template <typename Function> auto onCall(const Function &function) {
    DeviceOperands call;
    EXPECT_TRUE(upload(call));
    auto result = function(call.args);
    EXPECT_TRUE(result) << result.status().message();
    return *result;
  }
  rt::GivenLists predict() {
    return onCall([&](const rt::RunArgs &args) { return predictLists(*onDevice, args); });
  }
  rt::OwnedRowLists selectRows() {
    return onCall([&](const rt::RunArgs &args) { return test::selectRows(*onDevice, args); });
  }
  rt::Choices recognize() {
    return onCall([&](const rt::RunArgs &args) { return onDevice->recognize(args, nullptr); });
  }
  rt::ReuseSaving saving() {
    return onCall([&](const rt::RunArgs &args) { return onDevice->measureReuse(args, nullptr); });
  }

  /// Launches, and copies the results back. Returns what went wrong.
  std::string run(const rt::Choices *choices = nullptr, const rt::cuda::PredictedLists *kept = nullptr) {
    DeviceOperands call;
    rt::Status status = upload(call);
    call.args.choices = choices;
    for (int i = 0; i < launches && status; ++i)
      status = onDevice->launch(call.args, nullptr, kept);
    return (status ? call.download(operands()) : status).message();
  }

  /// Runs, and compares with the interpreter, which takes what the device recognizes and predicts unless it is given.
  std::string compare(const rt::Choices *choices = nullptr, const rt::GivenLists *selected = nullptr) {
    if (std::string error = run(choices); !error.empty())
      return error;
    std::optional<rt::Choices> recognized;
    if (!choices && onDevice->image().recognition)
      choices = &recognized.emplace(recognize());
    std::optional<rt::GivenLists> predicted;
    if (!selected && onDevice->image().prediction)
      selected = &predicted.emplace(predict());
    return compareWithInterpreter(test, selected, choices);
  }
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_GPUPROBLEM_H
