// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// GPU kernels against the interpreter on random programs: on a GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "test/unit/Differential.h"

#include "lib/Compiler/Compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iostream>
#include <optional>

using namespace weft;
using namespace weft::test;

namespace {

/// The device, or why there is none.
const rt::Result<std::shared_ptr<const rt::cuda::Device>> &device() {
  static const auto result = rt::cuda::Device::open();
  return result;
}

/// WEFT_TEST_PROGRAMS if it is set: a GPU takes more programs than the executor.
int64_t numPrograms(int64_t standard) {
  const char *text = std::getenv("WEFT_TEST_PROGRAMS");
  return text ? std::atoll(text) : standard;
}

/// A test tensor's memory on the device.
struct OnDevice {
  rt::cuda::DeviceMemory memory;
  rt::Tensor view;

  static rt::Result<OnDevice> upload(const TestTensor &tensor) {
    auto memory = rt::cuda::DeviceMemory::upload(*device(), tensor.storage.data(), tensor.storage.size(), nullptr);
    if (!memory)
      return memory.status();
    OnDevice result{std::move(*memory), tensor.view};
    result.view.data = reinterpret_cast<std::byte *>(result.memory.get()) + tensor.start();
    return result;
  }

  rt::Status download(TestTensor &tensor) const {
    const rt::cuda::Driver &driver = (*device())->driver;
    rt::cuda::Device::Scope scope(**device());
    if (int code = driver.copyToHost(tensor.storage.data(), memory.get(), tensor.storage.size(), nullptr))
      return driver.check(code, "cuMemcpyDtoHAsync");
    return driver.check(driver.streamSynchronize(nullptr), "cuStreamSynchronize");
  }
};

struct GPUCase : Case {
  std::shared_ptr<const rt::cuda::GPUKernel> kernel;
  /// What the device predicted.
  std::optional<rt::GivenLists> selected;

  rt::Status compile() {
    GPUKernelResult result = compileGPUKernel(program.request, *device());
    if (!result)
      return result.status();
    kernel = *result;
    return rt::Status::ok();
  }

  void makeAlignedOperands(Random &random) {
    makeGivenLists(random, kernel->image());
    makeExtras(random);
    auto layout = [&] {
      return random.pick({TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded, TensorLayout::Packed});
    };
    rt::DType dtype = toDType(options().elementType);
    operands.query = TestTensor(dtype, queryShape(), layout(), 8);
    operands.key = TestTensor(dtype, keyShape(), layout(), 8);
    operands.value = TestTensor(dtype, keyShape(), layout(), 8);
    for (TestTensor *tensor : {&operands.query, &operands.key, &operands.value})
      tensor->fill([&](auto...) { return random.normal(); });
    operands.out = TestTensor(dtype, queryShape(), layout(), 8);
    std::vector<int64_t> shape = queryShape();
    shape.pop_back();
    operands.lse = TestTensor(rt::DType::F32, shape, layout(), 8);
    operands.out.fill([](auto...) { return kHeld; });
    operands.lse.fill([](auto...) { return kHeld; });
  }

  /// Row lists on the device.
  rt::Status uploadRows(std::vector<rt::cuda::DeviceMemory> &memory, rt::RowLists &rows) {
    rows = operands.rows->view();
    for (rt::Tensor *tensor : {&rows.indices, &rows.counts}) {
      auto copy = rt::cuda::DeviceMemory::upload(*device(), tensor->data, tensor->numElements() * 4, nullptr);
      if (!copy)
        return copy.status();
      tensor->data = reinterpret_cast<void *>(copy->get());
      memory.push_back(std::move(*copy));
    }
    return rt::Status::ok();
  }

  /// Runs `times` times and copies the results back.
  rt::Status run(int times = 1) {
    std::vector<OnDevice> tensors;
    std::vector<TestTensor *> hosts = {&operands.query, &operands.key, &operands.value, &operands.out, &operands.lse};
    if (operands.bias)
      hosts.push_back(&*operands.bias);
    for (TestTensor *tensor : hosts) {
      auto copy = OnDevice::upload(*tensor);
      if (!copy)
        return copy.status();
      tensors.push_back(std::move(*copy));
    }
    rt::RunArgs args = operands.args(0);
    args.query = tensors[0].view, args.key = tensors[1].view, args.value = tensors[2].view;
    args.out = tensors[3].view, args.lse = tensors[4].view;
    if (operands.bias)
      args.bias = tensors[5].view;
    args.parameters = program.parameters;
    std::vector<rt::cuda::DeviceMemory> rowMemory;
    rt::RowLists rows;
    if (operands.rows) {
      if (rt::Status status = uploadRows(rowMemory, rows); !status)
        return status;
      args.rows = &rows;
    }
    if (kernel->image().prediction) {
      auto kept = kernel->predict(args, nullptr);
      if (!kept)
        return kept.status();
      auto downloaded = kernel->download(**kept, nullptr);
      if (!downloaded)
        return downloaded.status();
      selected = std::move(*downloaded);
    }
    for (int i = 0; i < times; ++i)
      if (rt::Status status = kernel->launch(args, nullptr); !status)
        return status;
    if (rt::Status status = tensors[3].download(operands.out); !status)
      return status;
    return tensors[4].download(operands.lse);
  }
};

/// Two runs must give the same, and write nothing else.
std::string runTwice(GPUCase &test) {
  TestTensor out = test.operands.out, lse = test.operands.lse;
  if (rt::Status status = test.run(2); !status)
    return "run: " + status.message();
  std::swap(out, test.operands.out), std::swap(lse, test.operands.lse);
  if (rt::Status status = test.run(); !status)
    return "second run: " + status.message();
  if (out.storage != test.operands.out.storage || lse.storage != test.operands.lse.storage)
    return "two runs give different results";
  if (!out.isUntouchedAround() || !lse.isUntouchedAround())
    return "memory around the results was written";
  return "";
}

std::string checkProgram(Random &random, GPUCase &test) {
  // Half of the programs by the generator that every GPU has; f32 is always its.
  auto elementType = random.pick({ElementType::BF16, ElementType::F16, ElementType::F32});
  auto target = random.pick<std::string>({"native", "sm_80"});
  bool isHopper = target == "native" && (*device())->capability == 90 && elementType != ElementType::F32;
  test.program = makeProgram(random, {.bias = isHopper ? 40 : 0, .rows = 30, .predicted = 30});
  test.program.request.target = target;
  GenerateOptions &options = test.program.request.options;
  options.elementType = elementType;
  options.headDim = random.pick<int64_t>({32, 64, 64, 72, 80, 128, 128, 192, 256});
  options.block = random.pick<int64_t>({32, 64, 96, 128, 128});
  if (options.headDim > 128 && (test.program.usesGiven || test.program.isPredicted))
    options.block = std::min<int64_t>(options.block, 64);
  options.scale.reset();
  test.batch = random.pick<int64_t>({1, 1, 2, 3});
  if (rt::Status status = test.compile(); !status)
    return "compilation: " + status.message();
  test.makeAlignedOperands(random);
  std::string error = runTwice(test);
  return error.empty() ? compareWithInterpreter(test, test.selected ? &*test.selected : nullptr) : error;
}

class GPUDifferentialTest : public testing::Test {
protected:
  void SetUp() override {
    if (!device())
      GTEST_SKIP() << device().message();
    std::cout << "on " << (*device())->name << std::endl;
  }
};

TEST_F(GPUDifferentialTest, RandomPrograms) {
  uint64_t base = testSeed();
  int64_t count = numPrograms(10);
  std::cout << "WEFT_TEST_SEED=" << base << ", " << count << " programs" << std::endl;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t seed = seedOf(base, i);
    Random random(seed);
    GPUCase test;
    std::string error = checkProgram(random, test);
    EXPECT_TRUE(error.empty()) << "WEFT_TEST_SEED=" << seed << ": " << error << "\n" << test.describe();
  }
}

} // namespace
