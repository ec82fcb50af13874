// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads, launches, and compares with ptxas.

#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

using namespace weft::test;

std::string PTXKernel::text() const {
  std::string list;
  for (unsigned at = 0; at < parameters; ++at)
    list += fmt::format("{}  .param .u64 p{}", list.empty() ? "" : ",\n", at);
  for (unsigned at = 0; at < tensorMaps; ++at)
    list += fmt::format("{}  .param .align 64 .b8 t{}[128]", list.empty() ? "" : ",\n", at);
  return fmt::format(
      ".version {}\n.target {}\n.address_size 64\n{}\n.visible .entry k(\n{}\n)\n.maxntid {}\n{{\n{}\n}}\n",
      target == "sm_80" ? "7.8" : "8.6", target, declarations, list, threads, body);
}

void PTXTest::SetUp() {
  CUcontext context;
  ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
}

void PTXTest::TearDown() {
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
}

CUdeviceptr PTXTest::allocate(size_t bytes) {
  CUdeviceptr address = 0;
  EXPECT_EQ(cuMemAlloc_v2(&address, bytes), CUDA_SUCCESS);
  return address;
}

bool PTXTest::hasAssembler() {
  static const bool kFound = std::system("ptxas --version > /dev/null 2>&1") == 0;
  return kFound;
}

std::string PTXTest::assemble(const std::string &text, const std::string &target) {
  std::string stem = fmt::format("{}/kernel-{}", testing::TempDir(), static_cast<const void *>(&text));
  std::ofstream(stem + ".ptx") << text;
  bool good =
      std::system(fmt::format("ptxas -arch={} {}.ptx -o /dev/null > {}.log 2>&1", target, stem, stem).c_str()) == 0;
  std::ifstream log(stem + ".log");
  std::string messages((std::istreambuf_iterator<char>(log)), {});
  std::remove((stem + ".ptx").c_str());
  std::remove((stem + ".log").c_str());
  return good ? "" : messages;
}

PTXOutcome PTXTest::launch(const PTXKernel &kernel, std::vector<uint64_t> parameters, unsigned shared, unsigned ctas,
                           std::vector<CUtensorMap> maps) {
  return launch(PTXModule{kernel.text(), "k", kernel.target, kernel.threads}, std::move(parameters), shared, ctas,
                std::move(maps));
}

PTXOutcome PTXTest::launch(const PTXModule &kernel, std::vector<uint64_t> parameters, unsigned shared, unsigned ctas,
                           std::vector<CUtensorMap> maps) {
  const std::string &text = kernel.text;
  static std::set<std::string> assembled;
  if (hasAssembler() && assembled.insert(text).second)
    EXPECT_EQ(assemble(text, kernel.target), "") << text;
  CUmodule module;
  CUfunction function;
  PTXOutcome outcome;
  char log[4096] = {};
  int options[] = {5, 6};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
  outcome.result = cuModuleLoadDataEx(&module, text.c_str(), 2, options, values);
  EXPECT_EQ(outcome.result, CUDA_SUCCESS) << log << text;
  if (outcome.result != CUDA_SUCCESS)
    return outcome;
  EXPECT_EQ(cuModuleGetFunction(&function, module, kernel.name.c_str()), CUDA_SUCCESS);
  EXPECT_EQ(cuFuncSetAttribute(function, 8, static_cast<int>(shared)), CUDA_SUCCESS);
  std::vector<void *> pointers;
  for (uint64_t &parameter : parameters)
    pointers.push_back(&parameter);
  for (CUtensorMap &map : maps)
    pointers.push_back(&map);
  testing::internal::CaptureStderr();
  outcome.result =
      cuLaunchKernel(function, ctas, 1, 1, kernel.threads, 1, 1, shared, nullptr, pointers.data(), nullptr);
  outcome.report = testing::internal::GetCapturedStderr();
  return outcome;
}

void PTXTest::run(const PTXKernel &kernel, std::vector<uint64_t> parameters, unsigned shared, unsigned ctas,
                  std::vector<CUtensorMap> maps) {
  PTXOutcome outcome = launch(kernel, std::move(parameters), shared, ctas, std::move(maps));
  EXPECT_EQ(outcome.result, CUDA_SUCCESS) << outcome.report;
}

void PTXTest::expectReport(const PTXKernel &kernel, std::vector<uint64_t> parameters, const std::string &expected,
                           unsigned shared, unsigned ctas, std::vector<CUtensorMap> maps) {
  PTXOutcome outcome = launch(kernel, std::move(parameters), shared, ctas, std::move(maps));
  EXPECT_NE(outcome.result, CUDA_SUCCESS);
  EXPECT_NE(outcome.report.find(expected), std::string::npos)
      << "expected: " << expected << "\ngot: " << outcome.report;
  EXPECT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
}

void PTXTest::expectAll(const std::vector<PTXCase> &cases, const std::string &target) {
  PTXKernel kernel;
  kernel.parameters = 2;
  kernel.target = target;
  kernel.body = ".reg .b64 %from, %to;\nld.param.u64 %from, [p0];\nld.param.u64 %to, [p1];\n";
  std::vector<uint64_t> inputs;
  for (size_t at = 0; at < cases.size(); ++at) {
    kernel.body +=
        fmt::format("{{ .reg .b64 %in, %out; .reg .b64 %d<8>; .reg .b32 %r<8>; .reg .f32 %f<8>; .reg .b16 %h<8>;\n"
                    ".reg .f64 %g<8>; .reg .pred %p<8>;\nld.global.b64 %in, [%from+{0}];\ncvt.u32.u64 %r0, %in;\n"
                    "mov.b32 %f0, %r0;\nmov.b64 %g0, %in;\ncvt.u16.u32 %h0, %r0;\nmov.b64 %out, 0;\n{1}\n"
                    "st.global.b64 [%to+{0}], %out; }}\n",
                    8 * at, cases[at].body);
    inputs.push_back(cases[at].input);
  }
  kernel.body += "ret;";
  CUdeviceptr to = allocate(8 * cases.size());
  run(kernel, {upload(inputs), to});
  std::vector<uint64_t> outputs = download<uint64_t>(to, cases.size());
  for (size_t at = 0; at < cases.size(); ++at)
    EXPECT_EQ(fmt::format("{:#x}", outputs[at]), fmt::format("{:#x}", cases[at].expected))
        << cases[at].body << fmt::format(" for {:#x}", cases[at].input);
}

CUtensorMap PTXTest::tensorMap(CUdeviceptr address, uint64_t columns, uint64_t rows, uint32_t boxColumns,
                               uint32_t boxRows, int swizzle) {
  CUtensorMap map = {};
  uint64_t extents[] = {columns, rows}, strides[] = {columns * 2};
  uint32_t box[] = {boxColumns, boxRows}, ones[] = {1, 1};
  EXPECT_EQ(cuTensorMapEncodeTiled(&map, 9, 2, reinterpret_cast<void *>(address), extents, strides, box, ones, 0,
                                   swizzle, 0, 0),
            CUDA_SUCCESS);
  return map;
}
