// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A GPU kernel as a program uses it: what is checked, what is kept, and special values. On a GPU, or on the executor that
// WEFT_CUDA_DRIVER names.

#include "lib/Compiler/Compiler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

using namespace weft;
using namespace weft::rt;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

CompileRequest makeRequest(const std::string &mask = "true", int64_t tokens = 96) {
  CompileRequest request;
  request.source = "attention a(dynamic reach: int = 8) { mask " + mask + " }";
  request.options.queryGrid = request.options.keyGrid = {1, 1, tokens, 0, false};
  request.options.heads = 2, request.options.headDim = 64, request.options.block = 32;
  request.options.elementType = ElementType::BF16;
  return request;
}

/// A tensor of [batch, heads, tokens, channels] on host and device.
struct Operand {
  std::vector<uint16_t> host;
  cuda::DeviceMemory memory;
  Tensor view;

  void fill(double value) { std::fill(host.begin(), host.end(), doubleToBf16(value)); }
};

class GPUKernelTest : public testing::Test {
protected:
  void SetUp() override {
    auto opened = cuda::Device::open();
    if (!opened)
      GTEST_SKIP() << opened.message();
    device = *opened;
  }

  void compile(const CompileRequest &request) {
    GPUKernelResult result = compileGPUKernel(request, device);
    ASSERT_TRUE(result) << result.message();
    kernel = *result;
    const KernelImage &image = kernel->image();
    for (Operand *operand : {&query, &key, &value, &out})
      prepare(*operand, {1, image.heads, image.query.tokens, image.headDim});
    lseHost.assign(image.heads * image.query.tokens, 0);
  }

  void prepare(Operand &operand, std::vector<int64_t> shape) {
    operand.view = Tensor::contiguous(nullptr, DType::BF16, std::move(shape));
    operand.host.assign(operand.view.numElements(), 0);
    upload(operand);
  }

  void upload(Operand &operand) {
    auto made = cuda::DeviceMemory::upload(device, operand.host.data(), operand.host.size() * 2, nullptr);
    ASSERT_TRUE(made) << made.message();
    operand.memory = std::move(*made);
    operand.view.data = reinterpret_cast<void *>(operand.memory.get());
  }

  RunArgs args() {
    RunArgs result;
    result.query = query.view, result.key = key.view, result.value = value.view, result.out = out.view;
    return result;
  }

  std::string errorOf(const RunArgs &args) {
    Status status = kernel->launch(args, nullptr);
    return status ? "" : status.message();
  }

  /// Runs on what the operands' host memory holds, and reads the results back.
  void run(std::vector<int64_t> parameters = {}) {
    for (Operand *operand : {&query, &key, &value})
      upload(*operand);
    auto lseMemory = cuda::DeviceMemory::upload(device, lseHost.data(), lseHost.size() * 4, nullptr);
    ASSERT_TRUE(lseMemory);
    RunArgs call = args();
    call.parameters = std::move(parameters);
    call.lse = Tensor::contiguous(reinterpret_cast<void *>(lseMemory->get()), DType::F32,
                                  {1, kernel->image().heads, kernel->image().query.tokens});
    Status status = kernel->launch(call, nullptr);
    ASSERT_TRUE(status) << status.message();
    cuda::Device::Scope scope(*device);
    device->driver.copyToHost(out.host.data(), out.memory.get(), out.host.size() * 2, nullptr);
    device->driver.copyToHost(lseHost.data(), lseMemory->get(), lseHost.size() * 4, nullptr);
    ASSERT_EQ(device->driver.streamSynchronize(nullptr), 0);
  }

  double outAt(int64_t token, int64_t channel = 0) { return bf16ToDouble(out.host[token * 64 + channel]); }

  std::shared_ptr<const cuda::Device> device;
  std::shared_ptr<const cuda::GPUKernel> kernel;
  Operand query, key, value, out;
  std::vector<float> lseHost;
};

TEST_F(GPUKernelTest, EqualScoresGiveTheMean) {
  compile(makeRequest("abs(q.index - k.index) <= reach"));
  value.fill(2);
  run({0});
  EXPECT_EQ(outAt(50), 2);
  EXPECT_EQ(lseHost[50], 0); // one key of score 0
  run({1});
  EXPECT_NEAR(lseHost[50], std::log(3.0), 1e-5);
  EXPECT_NEAR(lseHost[0], std::log(2.0), 1e-5);
}

TEST_F(GPUKernelTest, RowsWithoutKeysAreZero) {
  compile(makeRequest("k.index < q.index and q.index < 40"));
  value.fill(1);
  run();
  for (int64_t token : {0, 40, 64, 95}) { // in a partial block, in it again, and in blocks without entries
    EXPECT_EQ(outAt(token), 0) << token;
    EXPECT_EQ(lseHost[token], -kInfinity) << token;
  }
  EXPECT_EQ(outAt(1), 1);
}

TEST_F(GPUKernelTest, NaNAndInfinityShow) {
  compile(makeRequest("abs(q.index - k.index) <= reach"));
  key.fill(1), value.fill(1);
  for (int64_t c = 0; c < 64; ++c) {
    query.host[5 * 64 + c] = doubleToBf16(NAN);
    query.host[70 * 64 + c] = doubleToBf16(kInfinity);
  }
  value.host[30 * 64 + 7] = doubleToBf16(kInfinity);
  run({2});
  EXPECT_TRUE(std::isnan(outAt(5)) && std::isnan(lseHost[5]));
  EXPECT_TRUE(std::isnan(outAt(70)) && std::isnan(lseHost[70]));
  EXPECT_EQ(outAt(31, 7), kInfinity);
  EXPECT_EQ(outAt(31, 8), 1);
  EXPECT_EQ(outAt(4), 1);
}

TEST_F(GPUKernelTest, ResolvedListsAreUsedAgain) {
  compile(makeRequest("given"));
  GivenLists given;
  given.queryBlocks = 3;
  given.offsets = {0, 1, 1, 2};
  given.keyBlocks = {2, 0};
  value.fill(1);
  upload(value);
  RunArgs call = args();
  EXPECT_EQ(errorOf(call), "given: expected block lists, since the mask uses them, but got none");
  call.given = &given;
  auto lists = kernel->resolveLists(call);
  ASSERT_TRUE(lists);
  call.given = nullptr, call.lists = *lists;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(errorOf(call), "");
  cuda::Device::Scope scope(*device);
  device->driver.copyToHost(out.host.data(), out.memory.get(), out.host.size() * 2, nullptr);
  ASSERT_EQ(device->driver.streamSynchronize(nullptr), 0);
  EXPECT_EQ(outAt(0), 1);
  EXPECT_EQ(outAt(40), 0);
  EXPECT_EQ(outAt(95), 1);

  auto others = std::make_shared<BlockLists>(**lists);
  others->keyBlocks = 4;
  call.lists = others;
  EXPECT_EQ(errorOf(call), "lists: expected lists of 3 x 3 blocks for 1 or 2 heads, but got 1 of 3 x 4");
}

/// More sets of lists than are kept on the device.
TEST_F(GPUKernelTest, ManyListsComeAndGo) {
  compile(makeRequest("abs(q.index - k.index) <= reach"));
  value.fill(1);
  for (int64_t reach = 0; reach < 80; ++reach)
    run({reach});
  run({0});
  EXPECT_EQ(outAt(50), 1);
}

TEST_F(GPUKernelTest, ArgumentsAreChecked) {
  compile(makeRequest());
  EXPECT_EQ(errorOf(args()), "");

  RunArgs call = args();
  call.key.dtype = DType::F16;
  EXPECT_EQ(errorOf(call), "key: expected dtype bf16, but got f16");
  call = args();
  call.value.data = nullptr;
  EXPECT_EQ(errorOf(call), "value: expected memory, but got a null pointer");
  call = args();
  call.query.data = static_cast<std::byte *>(call.query.data) + 2;
  EXPECT_NE(errorOf(call).find("query: expected an address that is a multiple of 16, but got 0x"), std::string::npos);
  call = args();
  call.query.strides[2] = 68;
  EXPECT_EQ(errorOf(call), "query: expected strides that are multiples of 8 elements and not below 0, since copies "
                           "take no others, but got [12288, 6144, 68, 1]");
  call = args();
  call.out.strides[2] = -64;
  EXPECT_NE(errorOf(call), "");
  call = args();
  call.out = call.query;
  EXPECT_EQ(errorOf(call), "out: expected memory apart from query");
  call = args();
  call.query.shape[2] = 95;
  EXPECT_EQ(errorOf(call), "query: expected shape [1, 2, 96, 64], but got [1, 2, 95, 64]");
  call = args();
  call.parameters = {1, 2};
  EXPECT_EQ(errorOf(call), "parameters: expected at most 1 values, but got 2");
}

TEST_F(GPUKernelTest, TargetsAndTypesAreChecked) {
  CompileRequest request = makeRequest();
  request.target = "znver4";
  GPUKernelResult result = compileGPUKernel(request, device);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.message(), "target: expected native or one of sm_80, sm_86, sm_87, sm_89, sm_90, sm_90a, sm_100, sm_120 "
                              "for a GPU, but got 'znver4'");
  request = makeRequest();
  request.options.elementType = ElementType::F32;
  EXPECT_TRUE(compileGPUKernel(request, device)) << "f32 is for every GPU";
}

TEST_F(GPUKernelTest, DevicesAreCounted) {
  auto none = cuda::Device::open(99);
  ASSERT_FALSE(none);
  EXPECT_NE(none.message().find("cuda: expected a GPU with number 99, but there "), std::string::npos);
}

TEST_F(GPUKernelTest, ManyThreadsCompileOnceAndLaunch) {
  Compiler compiler;
  std::vector<std::shared_ptr<const cuda::GPUKernel>> kernels(4);
  std::vector<std::thread> threads;
  for (auto &slot : kernels)
    threads.emplace_back([&] {
      if (GPUKernelResult result = compiler.compileForGPU(makeRequest(), device))
        slot = *result;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(compiler.numCompilations(), 1);
  ASSERT_TRUE(kernels[0]);
  EXPECT_EQ(kernels, std::vector(4, kernels[0]));
}

} // namespace
