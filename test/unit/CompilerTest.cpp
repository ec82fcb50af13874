// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the just-in-time compiler and its cache in memory.

#include "lib/Compiler/Compiler.h"

#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <thread>

using namespace weft;

namespace {

CompileRequest makeRequest() {
  CompileRequest request;
  request.source = "attention near(frames: int = 1, dynamic radius: int = 1) {\n"
                   "  mask abs(q.t - k.t) <= frames and abs(q.h - k.h) <= radius\n}\n"
                   "attention other(frames: int = 1) {}\n";
  request.options.attention = "near";
  request.options.queryGrid = request.options.keyGrid = {3, 4, 5, 0, false};
  request.options.headDim = 32, request.options.block = 32;
  return request;
}

std::string errorOf(const CompileRequest &request) {
  KernelResult kernel = compileKernel(request);
  return kernel ? "" : kernel.message();
}

TEST(CompilerTest, ManyThreadsCompileOnce) {
  Compiler compiler;
  constexpr int kThreads = 8;
  std::vector<std::shared_ptr<const rt::Kernel>> kernels(kThreads);
  std::vector<std::thread> threads;
  for (auto &kernel : kernels)
    threads.emplace_back([&] {
      if (KernelResult result = compiler.compile(makeRequest()))
        kernel = *result;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(compiler.numCompilations(), 1);
  ASSERT_TRUE(kernels[0]);
  EXPECT_EQ(kernels, std::vector(kThreads, kernels[0]));
  EXPECT_EQ(*compiler.compile(makeRequest()), kernels[0]);
  compiler.clear();
  EXPECT_NE(*compiler.compile(makeRequest()), kernels[0]);
  EXPECT_EQ(compiler.numCompilations(), 2);
}

TEST(CompilerTest, EveryFieldDistinguishesRequests) {
  using Change = std::function<void(CompileRequest &)>;
  const Change changes[] = {
      [](CompileRequest &) {},
      [](CompileRequest &request) { request.source += "\n"; },
      [](CompileRequest &request) { request.isModule = true; },
      [](CompileRequest &request) { request.target = "x86-64-v3"; },
      [](CompileRequest &request) { request.options.attention = "other"; },
      [](CompileRequest &request) { request.options.values["frames"] = {Kind::Int, 1}; },
      [](CompileRequest &request) { request.options.values["frames"] = {Kind::Int, 2}; },
      [](CompileRequest &request) { request.options.values["frames"] = {Kind::Bool, 1}; },
      [](CompileRequest &request) { request.options.values["radius"] = {Kind::Int, 1}; },
      [](CompileRequest &request) {
        request.options.values["frames"] = request.options.values["radius"] = {Kind::Int, 1};
      },
      [](CompileRequest &request) { request.options.queryGrid.t = 4; },
      [](CompileRequest &request) { request.options.queryGrid.h = 3; },
      [](CompileRequest &request) { request.options.queryGrid.w = 4; },
      [](CompileRequest &request) { request.options.queryGrid.text = 4; },
      [](CompileRequest &request) { request.options.queryGrid.textFirst = true; },
      [](CompileRequest &request) { request.options.keyGrid.t = 4; },
      [](CompileRequest &request) { request.options.keyGrid.h = 3; },
      [](CompileRequest &request) { request.options.keyGrid.w = 4; },
      [](CompileRequest &request) { request.options.keyGrid.text = 4; },
      [](CompileRequest &request) { request.options.keyGrid.textFirst = true; },
      [](CompileRequest &request) { request.options.heads = 2; },
      [](CompileRequest &request) { request.options.headDim = 64; },
      [](CompileRequest &request) { request.options.elementType = ElementType::BF16; },
      [](CompileRequest &request) { request.options.elementType = ElementType::F16; },
      [](CompileRequest &request) { request.options.block = 64; },
      [](CompileRequest &request) { request.options.scale = 0; },
      [](CompileRequest &request) { request.options.scale = 0.5; },
  };
  std::set<std::string> keys;
  for (const Change &change : changes) {
    CompileRequest request = makeRequest();
    change(request);
    EXPECT_TRUE(keys.insert(cacheKey(request)).second) << keys.size();
  }
  CompileRequest renamed = makeRequest();
  renamed.sourceName = "elsewhere.weft";
  EXPECT_EQ(cacheKey(renamed), cacheKey(makeRequest())) << "the name is for messages alone";
}

TEST(CompilerTest, DifferentRequestsGiveDifferentKernels) {
  Compiler compiler;
  CompileRequest one = makeRequest(), two = makeRequest();
  two.options.values["frames"] = {Kind::Int, 2};
  KernelResult first = compiler.compile(one), second = compiler.compile(two);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(compiler.numCompilations(), 2);
  EXPECT_EQ(*compiler.compile(one), *first);
  EXPECT_EQ(*compiler.compile(two), *second);
  EXPECT_EQ(compiler.numCompilations(), 2);
}

TEST(CompilerTest, ErrorsAreNotKept) {
  Compiler compiler;
  CompileRequest request = makeRequest();
  request.source = "attention near { mask q.x }";
  for (int i = 1; i <= 2; ++i) {
    KernelResult kernel = compiler.compile(request);
    ASSERT_FALSE(kernel);
    EXPECT_NE(kernel.message().find("<text>:1:"), std::string::npos) << kernel.message();
    EXPECT_EQ(compiler.numCompilations(), i);
  }
}

TEST(CompilerTest, UnknownTarget) {
  CompileRequest request = makeRequest();
  request.target = "z80";
  EXPECT_EQ(errorOf(request), "expected target native, aarch64, aarch64-bf16, x86-64-v3, x86-64-v4, znver4 or "
                              "sapphirerapids, but got 'z80'");
}

TEST(CompilerTest, RequestsAreChecked) {
  auto expectError = [](std::function<void(GenerateOptions &)> change, const std::string &part) {
    CompileRequest request = makeRequest();
    change(request.options);
    std::string error = errorOf(request);
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  expectError([](GenerateOptions &options) { options.queryGrid.t = 0; },
              "expected a query grid with extents of at least 1");
  expectError([](GenerateOptions &options) { options.keyGrid.w = 0; },
              "expected a key grid with extents of at least 1");
  expectError([](GenerateOptions &options) { options.keyGrid.text = -1; }, "expected a key grid");
  expectError([](GenerateOptions &options) { options.heads = 0; }, "heads, but got 0");
  expectError([](GenerateOptions &options) { options.headDim = 40 + 1; }, "but got 41");
  expectError([](GenerateOptions &options) { options.block = 48; }, "but got 48");
  expectError([](GenerateOptions &options) { options.scale = -1; }, "but got -1");
  expectError([](GenerateOptions &options) { options.attention = "neer"; }, "unknown attention 'neer'");
  expectError([](GenerateOptions &options) { options.values["frame"] = {Kind::Int, 1}; }, "'frame'");
}

/// Operands and results of one call; all f32.
struct Call {
  std::vector<float> query, key, value, out;
  rt::RunArgs args;

  explicit Call(const rt::Kernel &kernel) {
    const rt::KernelImage &image = kernel.image();
    std::vector<int64_t> shape = {1, image.heads, image.query.tokens, image.headDim};
    int64_t count = image.heads * image.query.tokens * image.headDim;
    query.resize(count), key.resize(count), value.resize(count), out.resize(count);
    for (int64_t i = 0; i < count; ++i)
      query[i] = i % 7 - 3, key[i] = i % 5 - 2, value[i] = i % 11 - 5;
    auto view = [&](std::vector<float> &data) {
      return rt::Tensor::contiguous(data.data(), rt::DType::F32, shape);
    };
    args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
  }
};

std::vector<float> run(const rt::Kernel &kernel, std::vector<int64_t> parameters = {}) {
  Call call(kernel);
  call.args.parameters = std::move(parameters);
  rt::Status status = kernel.run(call.args);
  EXPECT_TRUE(status) << status.message();
  return call.out;
}

TEST(CompilerTest, DynamicParametersNeverRecompile) {
  Compiler compiler;
  std::set<std::vector<float>> results;
  for (int64_t radius = 0; radius < 4; ++radius) {
    KernelResult kernel = compiler.compile(makeRequest());
    ASSERT_TRUE(kernel) << kernel.message();
    results.insert(run(**kernel, {radius}));
  }
  EXPECT_EQ(compiler.numCompilations(), 1);
  EXPECT_EQ(results.size(), 4u) << "one result per radius";
}

TEST(CompilerTest, KernelsOutliveTheCompiler) {
  std::shared_ptr<const rt::Kernel> kernel;
  {
    Compiler compiler;
    KernelResult result = compiler.compile(makeRequest());
    ASSERT_TRUE(result);
    kernel = *result;
  }
  EXPECT_EQ(run(*kernel, {2}), run(*kernel, {2}));
}

std::string printModule(const CompileRequest &request) {
  auto context = createContext();
  auto module = buildProgram(*context, request);
  EXPECT_TRUE(module);
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << **module;
  return text;
}

TEST(CompilerTest, Modules) {
  CompileRequest request = makeRequest(), module;
  module.source = printModule(request);
  module.sourceName = "near.mlir";
  module.isModule = true;
  KernelResult fromText = compileKernel(request), fromModule = compileKernel(module);
  ASSERT_TRUE(fromText && fromModule);
  EXPECT_EQ((*fromModule)->image().name, "near");
  EXPECT_EQ(run(**fromModule, {2}), run(**fromText, {2}));
  EXPECT_EQ(run(**fromModule), run(**fromText)) << "defaults";
}

TEST(CompilerTest, PredicatesUseComputedParameters) {
  CompileRequest request = makeRequest(), module;
  std::string source = printModule(request);
  size_t body = source.find("{\n", source.find("weft.kernel")) + 2;
  size_t use = source.find("%arg3", body);
  ASSERT_NE(use, std::string::npos) << source;
  source.replace(use, 5, "%twice");
  source.insert(body, "%twice = arith.addi %arg3, %arg3 : i32\n");
  module.source = source, module.sourceName = "near.mlir", module.isModule = true;
  KernelResult computed = compileKernel(module), plain = compileKernel(request);
  ASSERT_TRUE(computed) << computed.message();
  EXPECT_EQ(run(**computed, {1}), run(**plain, {2}));
}

TEST(CompilerTest, BadModules) {
  CompileRequest module;
  module.sourceName = "bad.mlir";
  module.isModule = true;
  module.source = "func.func @f() { return }";
  EXPECT_EQ(errorOf(module), "bad.mlir: expected one weft.attention in the module, but got 0");
  module.source = "func.func @f( { return }";
  EXPECT_EQ(errorOf(module).find("bad.mlir:1:"), 0u) << errorOf(module);
  module.source = "";
  EXPECT_NE(errorOf(module), "");
}

} // namespace
