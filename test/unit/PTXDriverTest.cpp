// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stand-in for the CUDA driver as a program sees it: contexts, modules, limits, memory, streams and tensor maps.

#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

#include <dlfcn.h>

using namespace weft::test;

namespace {

class PTXDriverTest : public PTXTest {
protected:
  /// Loads a module and returns its error log.
  static std::string load(const std::string &text, CUmodule &module, CUresult expected) {
    char log[2048] = "untouched";
    int options[] = {5, 6};
    void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
    EXPECT_EQ(cuModuleLoadDataEx(&module, text.c_str(), 2, options, values), expected) << log;
    EXPECT_EQ(reinterpret_cast<size_t>(values[1]), std::strlen(log));
    return log;
  }
  CUfunction function(const PTXKernel &kernel) {
    CUmodule module;
    CUfunction result = nullptr;
    load(kernel.text(), module, CUDA_SUCCESS);
    EXPECT_EQ(cuModuleGetFunction(&result, module, "k"), CUDA_SUCCESS);
    return result;
  }
  static PTXKernel kernel(const std::string &body) {
    PTXKernel result;
    result.body = body;
    return result;
  }
};

/// What a tensor map is made of; by default valid.
struct MapArguments {
  int dataType = 9;
  unsigned rank = 3;
  uint64_t address = 0x1000;
  uint64_t extents[5] = {128, 64, 32, 4, 2}, strides[4] = {256, 16384, 524288, 2097152};
  uint32_t box[5] = {64, 8, 2, 1, 1}, elementStrides[5] = {1, 1, 1, 1, 1};
  int interleave = 0, swizzle = 3, promotion = 2, fill = 0;

  CUresult encode() const {
    CUtensorMap map;
    testing::internal::CaptureStderr();
    CUresult result = cuTensorMapEncodeTiled(&map, dataType, rank, reinterpret_cast<void *>(address), extents, strides,
                                             box, elementStrides, interleave, swizzle, promotion, fill);
    std::string report = testing::internal::GetCapturedStderr();
    EXPECT_EQ(report.empty(), result != CUDA_ERROR_INVALID_VALUE) << report;
    return result;
  }
};

} // namespace

TEST(PTXAssemblerTest, IsThere) {
  if (!PTXTest::hasAssembler())
    GTEST_SKIP()
        << "no ptxas on the PATH: nothing has checked that the PTX of these tests is what an assembler accepts";
  EXPECT_NE(PTXTest::assemble(".version 8.6\n.target sm_90a\n.address_size 64\nnonsense\n", "sm_90a"), "");
}

TEST_F(PTXDriverTest, DescribesItsDevice) {
  int count = 0, version = 0, value = 0;
  CUdevice device = -1;
  EXPECT_EQ(cuDeviceGetCount(&count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cuDeviceGet(&device, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGet(&device, 1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDriverGetVersion(&version), CUDA_SUCCESS);
  EXPECT_GE(version, 12000);
  char name[6];
  EXPECT_EQ(cuDeviceGetName(name, sizeof name, 0), CUDA_SUCCESS);
  EXPECT_STREQ(name, "Weft ");
  EXPECT_EQ(cuDeviceGetAttribute(&value, 75, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 9);
  EXPECT_EQ(cuDeviceGetAttribute(&value, 97, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 232448);
  EXPECT_EQ(cuDeviceGetAttribute(&value, 16, 0), CUDA_SUCCESS);
  EXPECT_GT(value, 0);
  EXPECT_EQ(cuDeviceGetAttribute(&value, -1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetAttribute(nullptr, 16, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PTXDriverTest, TakesItsDeviceFromTheEnvironment) {
  setenv("WEFT_EMULATOR_CAPABILITY", "8.6", 1);
  setenv("WEFT_EMULATOR_SMS", "2", 1);
  EXPECT_EQ(cuInit(0), CUDA_SUCCESS);
  int value = 0;
  EXPECT_EQ(cuDeviceGetAttribute(&value, 75, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 8);
  EXPECT_EQ(cuDeviceGetAttribute(&value, 76, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 6);
  EXPECT_EQ(cuDeviceGetAttribute(&value, 97, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 101376);
  EXPECT_EQ(cuDeviceGetAttribute(&value, 16, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 2);
  CUmodule module;
  load(kernel("").text(), module, CUDA_ERROR_INVALID_PTX);
  PTXKernel older = kernel("");
  older.target = "sm_80";
  load(older.text(), module, CUDA_SUCCESS);
  unsetenv("WEFT_EMULATOR_CAPABILITY");
  unsetenv("WEFT_EMULATOR_SMS");
  EXPECT_EQ(cuInit(0), CUDA_SUCCESS);
}

TEST_F(PTXDriverTest, NeedsAContext) {
  CUcontext context = nullptr, other = nullptr;
  CUdeviceptr address;
  EXPECT_EQ(cuCtxPopCurrent_v2(&context), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc_v2(&address, 16), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxPushCurrent_v2(context), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetCurrent(&other), CUDA_SUCCESS);
  EXPECT_EQ(context, other);
  EXPECT_EQ(cuMemAlloc_v2(&address, 16), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(address + 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PTXDriverTest, CopiesAndFillsMemory) {
  CUdeviceptr memory = allocate(64), other = allocate(64);
  std::vector<uint32_t> words = {1, 2, 3, 4};
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyHtoDAsync_v2(memory, words.data(), 16, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD32Async(memory + 16, 7, 2, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD8_v2(memory + 24, 9, 4), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoDAsync_v2(other, memory, 64, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  // What nobody has written shows a pattern.
  EXPECT_EQ(download<uint32_t>(other, 8), (std::vector<uint32_t>{1, 2, 3, 4, 7, 7, 0x09090909, 0xcbcbcbcb}));
  EXPECT_EQ(cuMemcpyHtoD_v2(memory + 60, words.data(), 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD32_v2(memory + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  unsigned type = 0;
  EXPECT_EQ(cuPointerGetAttribute(&type, 2, memory + 4), CUDA_SUCCESS);
  EXPECT_EQ(type, 2u);
  EXPECT_EQ(cuPointerGetAttribute(&type, 2, reinterpret_cast<CUdeviceptr>(words.data())), CUDA_ERROR_INVALID_VALUE);
  int attributes[] = {2};
  void *results[] = {&type};
  EXPECT_EQ(cuPointerGetAttributes(1, attributes, results, reinterpret_cast<CUdeviceptr>(words.data())), CUDA_SUCCESS);
  EXPECT_EQ(type, 0u);
}

TEST_F(PTXDriverTest, TimesEvents) {
  CUevent first, second;
  float milliseconds = -1;
  ASSERT_EQ(cuEventCreate(&first, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&second, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(first, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, first, second), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventRecord(second, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuEventSynchronize(second), CUDA_SUCCESS);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, first, second), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cuEventDestroy_v2(first), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(first, nullptr), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(PTXDriverTest, SaysWhatIsWrongWithPtx) {
  CUmodule module;
  std::string log =
      load(kernel(".reg .b32 %r<4>;\nfrobnicate.b32 %r0, %r1;\nadd.u33 %r0, %r1, %r2;\nmov.b32 %r0, %r9;\nbra NOWHERE;")
               .text(),
           module, CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(log.find("line 11: unknown instruction 'frobnicate.b32'"), std::string::npos) << log;
  EXPECT_NE(log.find("line 12: unknown instruction 'add.u33'"), std::string::npos) << log;
  EXPECT_NE(log.find("line 13: 'mov.b32': '%r9' is not declared"), std::string::npos) << log;
  log = load(kernel("bra NOWHERE;").text(), module, CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(log.find("label NOWHERE is not defined"), std::string::npos) << log;
  log = load(kernel(".reg .b32 %r<4>;\nshfl.sync.sideways.b32 %r0, %r1, 1, 31, -1;").text(), module,
             CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(log.find("'.sideways' is not understood"), std::string::npos) << log;
  PTXKernel other = kernel("setmaxnreg.dec.sync.aligned.u32 24;");
  other.target = "sm_90";
  EXPECT_NE(load(other.text(), module, CUDA_ERROR_INVALID_PTX).find("expected .target sm_90a"), std::string::npos);
  other = kernel("");
  other.target = "sm_100a";
  EXPECT_NE(load(other.text(), module, CUDA_ERROR_INVALID_PTX).find("the device is sm_90"), std::string::npos);
  other = kernel("");
  for (const char *declaration : {".global .align 3 .b8 x[4];", ".global .b8 x[99999999999999];", ".global .b8 x[];"}) {
    other.declarations = declaration;
    EXPECT_NE(load(other.text(), module, CUDA_ERROR_INVALID_PTX).find("line 4: "), std::string::npos) << declaration;
  }
  EXPECT_EQ(load(kernel("").text(), module, CUDA_SUCCESS), "");
  // Without a buffer for it, the log goes to stderr.
  testing::internal::CaptureStderr();
  EXPECT_EQ(cuModuleLoadData(&module, "\x7f"
                                      "ELF"),
            CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("expected PTX, but got a binary"), std::string::npos);
}

TEST_F(PTXDriverTest, FindsFunctionsAndVariables) {
  PTXKernel named = kernel("");
  named.declarations = ".visible .global .align 8 .b32 table[3] = {4, 5, 6};";
  CUmodule module;
  CUfunction function;
  load(named.text(), module, CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "other"), CUDA_ERROR_NOT_FOUND);
  CUdeviceptr address = 0;
  size_t bytes = 0;
  EXPECT_EQ(cuModuleGetGlobal_v2(&address, &bytes, module, "table"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 12u);
  EXPECT_EQ(download<uint32_t>(address, 3), (std::vector<uint32_t>{4, 5, 6}));
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "k"), CUDA_ERROR_INVALID_HANDLE);
  uint32_t word;
  EXPECT_EQ(cuMemcpyDtoH_v2(&word, address, 4), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PTXDriverTest, KeepsTheLimitsOfLaunches) {
  CUfunction k = function(kernel(""));
  uint64_t zero = 0;
  void *parameters[] = {&zero};
  auto launch = [&](unsigned grid, unsigned block, unsigned shared) {
    return cuLaunchKernel(k, grid, 1, 1, block, 1, 1, shared, nullptr, parameters, nullptr);
  };
  EXPECT_EQ(launch(1, 32, 0), CUDA_SUCCESS);
  EXPECT_EQ(launch(3, 16, 1000), CUDA_SUCCESS);
  EXPECT_EQ(launch(1, 64, 0), CUDA_ERROR_INVALID_VALUE) << ".maxntid is 32";
  EXPECT_EQ(launch(0, 32, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch(1, 32, 49153), CUDA_ERROR_INVALID_VALUE) << "more needs an attribute";
  EXPECT_EQ(cuFuncSetAttribute(k, 8, 232449), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuFuncSetAttribute(k, 8, 232448), CUDA_SUCCESS);
  EXPECT_EQ(launch(1, 32, 232448), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchKernel(k, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  int value = 0;
  EXPECT_EQ(cuFuncGetAttribute(&value, 0, k), CUDA_SUCCESS);
  EXPECT_EQ(value, 32);
  EXPECT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, k, 32, 100000), CUDA_SUCCESS);
  EXPECT_EQ(value, 2);
}

TEST_F(PTXDriverTest, TakesParametersInEveryForm) {
  PTXKernel store =
      kernel(".reg .b64 %a; .reg .b32 %r<3>; ld.param.u64 %a, [p0]; mov.u32 %r0, %ctaid.y; mov.u32 %r1, %ntid.z;\n"
             "mad.lo.u32 %r0, %r1, 10, %r0; st.global.u32 [%a], %r0; ret;");
  CUfunction k = function(store);
  CUdeviceptr memory = allocate(4);
  size_t bytes = 8;
  void *extra[] = {reinterpret_cast<void *>(1), &memory, reinterpret_cast<void *>(2), &bytes, nullptr};
  EXPECT_EQ(cuLaunchKernel(k, 1, 1, 1, 2, 2, 4, 0, nullptr, nullptr, extra), CUDA_SUCCESS);
  EXPECT_EQ(download<uint32_t>(memory, 1)[0], 40u);
  void *parameters[] = {&memory};
  CUlaunchConfig config = {};
  config.gridDimX = config.gridDimY = config.gridDimZ = config.blockDimX = config.blockDimY = 1;
  config.blockDimZ = 3;
  EXPECT_EQ(cuLaunchKernelEx(&config, k, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(download<uint32_t>(memory, 1)[0], 30u);
  CUlaunchAttribute cluster = {4, {}, {}};
  unsigned size[3] = {2, 1, 1};
  std::memcpy(cluster.value, size, sizeof size);
  config.attrs = &cluster;
  config.numAttrs = 1;
  EXPECT_EQ(cuLaunchKernelEx(&config, k, parameters, nullptr), CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(PTXDriverTest, LetsOnlyKernelsThatWaitStartEarly) {
  CUlaunchConfig config = {};
  config.gridDimX = config.gridDimY = config.gridDimZ = config.blockDimX = config.blockDimY = config.blockDimZ = 1;
  CUlaunchAttribute overlap = {6, {}, {1}};
  config.attrs = &overlap, config.numAttrs = 1;
  uint64_t zero = 0;
  void *parameters[] = {&zero};
  auto launch = [&](const char *body) {
    return cuLaunchKernelEx(&config, function(kernel(body)), parameters, nullptr);
  };
  EXPECT_EQ(launch("griddepcontrol.wait; ret;"), CUDA_SUCCESS);
  testing::internal::CaptureStderr();
  EXPECT_EQ(launch("griddepcontrol.launch_dependents; ret;"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("does not wait"), std::string::npos);
  overlap.value[0] = 0;
  EXPECT_EQ(launch("griddepcontrol.launch_dependents; ret;"), CUDA_SUCCESS);
}

TEST_F(PTXDriverTest, FindsItsFunctionsByName) {
  void *function = nullptr;
  int status = -1;
  EXPECT_EQ(cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &status), CUDA_SUCCESS);
  EXPECT_EQ(function, reinterpret_cast<void *>(&cuMemAlloc_v2));
  EXPECT_EQ(status, 0);
  EXPECT_EQ(cuGetProcAddress_v2("cuLaunchKernel", &function, 12000, 0, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(function, reinterpret_cast<void *>(&cuLaunchKernel));
  EXPECT_EQ(cuGetProcAddress_v2("cuNothing", &function, 12000, 0, nullptr), CUDA_ERROR_NOT_FOUND);
  const char *name = nullptr;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name), CUDA_SUCCESS);
  EXPECT_STREQ(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
  EXPECT_EQ(cuGetErrorString(static_cast<CUresult>(123456), &name), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PTXDriverTest, ChecksTensorMaps) {
  EXPECT_EQ(MapArguments().encode(), CUDA_SUCCESS);
  auto with = [](auto change) {
    MapArguments arguments;
    change(arguments);
    return arguments.encode();
  };
  EXPECT_EQ(with([](MapArguments &map) { map.rank = 5; }), CUDA_SUCCESS);
  EXPECT_EQ(with([](MapArguments &map) { map.rank = 0; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.rank = 6; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.address = 0x1008; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.address = 0; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.strides[1] = 16392; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.strides[1] = uint64_t(1) << 40; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.extents[2] = 0; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.extents[2] = (uint64_t(1) << 32) + 1; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.box[1] = 256; }), CUDA_SUCCESS);
  EXPECT_EQ(with([](MapArguments &map) { map.box[1] = 257; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.box[1] = 0; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.box[0] = 128; }), CUDA_ERROR_INVALID_VALUE) << "256 bytes a row";
  EXPECT_EQ(with([](MapArguments &map) { map.box[0] = 36; }), CUDA_ERROR_INVALID_VALUE) << "72 bytes a row";
  EXPECT_EQ(with([](MapArguments &map) { map.box[0] = 64, map.swizzle = 2; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.box[0] = 32, map.swizzle = 2; }), CUDA_SUCCESS);
  EXPECT_EQ(with([](MapArguments &map) { map.elementStrides[0] = 9; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.elementStrides[1] = 2; }), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(with([](MapArguments &map) { map.interleave = 1; }), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(with([](MapArguments &map) { map.dataType = 13; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with([](MapArguments &map) { map.dataType = 1, map.fill = 1; }), CUDA_ERROR_INVALID_VALUE)
      << "integers have no NaN";
  EXPECT_EQ(with([](MapArguments &map) { map.swizzle = 7; }), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PTXDriverTest, CapturedWorkRunsWithItsGraph) {
  CUdeviceptr number = 0, other = 0;
  ASSERT_EQ(cuMemAlloc_v2(&number, 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(number, 1, 1, nullptr), CUDA_SUCCESS);
  CUstream stream;
  CUgraph graph;
  CUgraphExec executable;
  int status = -1;
  ASSERT_EQ(cuStreamCreate(&stream, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamBeginCapture_v2(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamBeginCapture_v2(stream, 0), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuStreamIsCapturing(stream, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(cuMemsetD32Async(number, 7, 1, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc_v2(&other, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  uint32_t value = 0;
  EXPECT_EQ(cuMemcpyDtoHAsync_v2(&value, number, 4, stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, number, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 1u) << "what is captured does not run";
  ASSERT_EQ(cuGraphLaunch(executable, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, number, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 7u);
  EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(executable, stream), CUDA_ERROR_INVALID_HANDLE);
}
