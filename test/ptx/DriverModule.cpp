// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Driver functions about modules, kernels, launches and tensor maps.

#include "test/ptx/DriverState.h"
#include "test/ptx/Parser.h"
#include "test/ptx/TensorMap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace weft::ptx;

//===-- Modules -------------------------------------------------------------===//

namespace {

/// Where cuModuleLoadDataEx writes what it has to say.
struct JitLogs {
  char *error = nullptr, *info = nullptr;
  size_t errorBytes = 0, infoBytes = 0;
  void **errorBytesOut = nullptr, **infoBytesOut = nullptr;
};

} // namespace

static bool readOptions(unsigned count, int *options, void **values, JitLogs &logs) {
  constexpr int kInfoBuffer = 3, kInfoBytes = 4, kErrorBuffer = 5, kErrorBytes = 6, kLastOption = 40;
  for (unsigned at = 0; at < count; ++at) {
    if (options[at] < 0 || options[at] > kLastOption)
      return false;
    switch (options[at]) {
    case kInfoBuffer:
      logs.info = static_cast<char *>(values[at]);
      break;
    case kInfoBytes:
      logs.infoBytes = reinterpret_cast<uintptr_t>(values[at]);
      logs.infoBytesOut = &values[at];
      break;
    case kErrorBuffer:
      logs.error = static_cast<char *>(values[at]);
      break;
    case kErrorBytes:
      logs.errorBytes = reinterpret_cast<uintptr_t>(values[at]);
      logs.errorBytesOut = &values[at];
      break;
    }
  }
  return true;
}

/// Writes as much as fits, and how much that is into the option's value.
static void writeLog(const std::string &text, char *buffer, size_t bytes, void **bytesOut) {
  size_t written = buffer && bytes ? std::min(text.size(), bytes - 1) : 0;
  if (buffer && bytes) {
    std::memcpy(buffer, text.data(), written);
    buffer[written] = 0;
  }
  if (bytesOut)
    *bytesOut = reinterpret_cast<void *>(written);
}

static CUresult load(Driver &driver, CUmodule *module, const char *image, std::string &log) {
  if (std::memcmp(image,
                  "\x7f"
                  "ELF",
                  4) == 0) {
    log = "expected PTX, but got a binary\n";
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  auto loaded = std::make_unique<CUmod_st>();
  loaded->module = parseModule(image, driver.memory, log);
  if (!loaded->module)
    return CUDA_ERROR_INVALID_PTX;
  const Module &parsed = *loaded->module;
  if (parsed.target > driver.capability || (parsed.architectureSpecific && parsed.target != driver.capability)) {
    log = fmt::format("the module is for sm_{}{}, but the device is sm_{}\n", parsed.target,
                      parsed.architectureSpecific ? "a" : "", driver.capability);
    for (auto &[name, variable] : parsed.variables)
      driver.memory.release(variable.first);
    return CUDA_ERROR_INVALID_PTX;
  }
  *module = loaded.get();
  driver.modules.insert(std::move(loaded));
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  JitLogs logs;
  if (!module || !image || (count && (!options || !values)) || !readOptions(count, options, values, logs))
    return CUDA_ERROR_INVALID_VALUE;
  std::string log;
  CUresult result = load(driver, module, static_cast<const char *>(image), log);
  writeLog(log, logs.error, logs.errorBytes, logs.errorBytesOut);
  writeLog("", logs.info, logs.infoBytes, logs.infoBytesOut);
  if (result != CUDA_SUCCESS && !logs.error)
    std::fprintf(stderr, "weft-cuda-emulator: the module cannot be loaded\n%s", log.c_str());
  return result;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

static auto findModule(Driver &driver, CUmodule module) {
  return std::find_if(driver.modules.begin(), driver.modules.end(),
                      [&](const auto &known) { return known.get() == module; });
}

CUresult cuModuleUnload(CUmodule module) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  auto found = findModule(driver, module);
  if (found == driver.modules.end())
    return CUDA_ERROR_INVALID_HANDLE;
  for (auto &[name, function] : module->functions)
    driver.functions.erase(function.get());
  for (auto &[name, variable] : module->module->variables)
    driver.memory.release(variable.first);
  driver.modules.erase(found);
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  if (findModule(driver, module) == driver.modules.end())
    return CUDA_ERROR_INVALID_HANDLE;
  if (!function || !name)
    return CUDA_ERROR_INVALID_VALUE;
  auto kernel = module->module->kernels.find(name);
  if (kernel == module->module->kernels.end())
    return CUDA_ERROR_NOT_FOUND;
  std::unique_ptr<CUfunc_st> &entry = module->functions[name];
  if (!entry) {
    entry = std::make_unique<CUfunc_st>();
    entry->kernel = kernel->second.get();
    entry->mostDynamicShared = kSharedLimit - static_cast<int>(entry->kernel->staticShared);
    driver.functions.insert(entry.get());
  }
  *function = entry.get();
  return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  if (findModule(driver, module) == driver.modules.end())
    return CUDA_ERROR_INVALID_HANDLE;
  auto found = name ? module->module->variables.find(name) : module->module->variables.end();
  if (found == module->module->variables.end())
    return CUDA_ERROR_NOT_FOUND;
  if (address)
    *address = found->second.first;
  if (bytes)
    *bytes = found->second.second;
  return CUDA_SUCCESS;
}

//===-- Functions -----------------------------------------------------------===//

static CUresult checkFunction(Driver &driver, CUfunction function) {
  if (CUresult problem = driver.ready())
    return problem;
  return driver.functions.count(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static uint32_t threadLimit(const Kernel &kernel) {
  const auto &bound = kernel.requiredThreads[0] ? kernel.requiredThreads : kernel.maxThreads;
  return bound[0] ? bound[0] * bound[1] * bound[2] : 1024;
}

constexpr int kMostThreads = 0, kStaticShared = 1, kConstBytes = 2, kLocalBytes = 3, kRegisters = 4, kPtxVersion = 5,
              kBinaryVersion = 6, kMostDynamicShared = 8, kCarveOut = 9;

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkFunction(driver, function))
    return problem;
  if (attribute == kCarveOut)
    return CUDA_SUCCESS;
  if (attribute != kMostDynamicShared || value < 0 ||
      value > sharedOptIn(driver.capability) - static_cast<int>(function->kernel->staticShared))
    return CUDA_ERROR_INVALID_VALUE;
  function->mostDynamicShared = value;
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkFunction(driver, function))
    return problem;
  if (!value)
    return CUDA_ERROR_INVALID_VALUE;
  const Kernel &kernel = *function->kernel;
  const std::map<int, int> kValues = {{kMostThreads, static_cast<int>(threadLimit(kernel))},
                                      {kStaticShared, static_cast<int>(kernel.staticShared)},
                                      {kConstBytes, 0},
                                      {kLocalBytes, static_cast<int>(kernel.localBytes)},
                                      // Registers are not allocated.
                                      {kRegisters, 0},
                                      {kPtxVersion, kernel.module->target},
                                      {kBinaryVersion, driver.capability},
                                      {kMostDynamicShared, function->mostDynamicShared},
                                      {kCarveOut, -1}};
  auto found = kValues.find(attribute);
  if (found == kValues.end())
    return CUDA_ERROR_INVALID_VALUE;
  *value = found->second;
  return CUDA_SUCCESS;
}

CUresult cuFuncSetCacheConfig(CUfunction function, int) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  return checkFunction(driver, function);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads, size_t shared) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkFunction(driver, function))
    return problem;
  if (!blocks || threads < 1)
    return CUDA_ERROR_INVALID_VALUE;
  *blocks = threads > static_cast<int>(threadLimit(*function->kernel)) ||
                    shared > static_cast<size_t>(function->mostDynamicShared)
                ? 0
                : static_cast<int>(
                      residentCtas(*function->kernel, static_cast<uint32_t>(threads), static_cast<uint32_t>(shared)));
  return CUDA_SUCCESS;
}

//===-- Launches ------------------------------------------------------------===//

/// Copies the parameters to where the kernel reads them. False if there are none though the kernel has some.
static bool collectParameters(const Kernel &kernel, void **parameters, void **extra, std::vector<uint8_t> &result) {
  result.assign(kernel.parameterBytes, 0);
  if (extra) {
    constexpr uintptr_t kEnd = 0, kPointer = 1, kBytes = 2;
    const void *buffer = nullptr;
    size_t bytes = 0;
    for (; reinterpret_cast<uintptr_t>(*extra) != kEnd; extra += 2) {
      if (reinterpret_cast<uintptr_t>(*extra) == kPointer)
        buffer = extra[1];
      else if (reinterpret_cast<uintptr_t>(*extra) == kBytes)
        bytes = *static_cast<size_t *>(extra[1]);
      else
        return false;
    }
    if (!buffer || bytes < result.size())
      return false;
    std::memcpy(result.data(), buffer, result.size());
    return true;
  }
  if (!parameters && !kernel.parameters.empty())
    return false;
  for (size_t at = 0; at < kernel.parameters.size(); ++at)
    std::memcpy(&result[kernel.parameters[at].offset], parameters[at], kernel.parameters[at].size);
  return true;
}

static bool validShape(const Kernel &kernel, const LaunchShape &shape) {
  uint64_t threads = uint64_t(shape.block[0]) * shape.block[1] * shape.block[2];
  uint64_t ctas = uint64_t(shape.grid[0]) * shape.grid[1] * shape.grid[2];
  if (!threads || !ctas || threads > threadLimit(kernel) || threads > 1024 || shape.block[2] > 64)
    return false;
  if (shape.grid[0] > 0x7fffffff || shape.grid[1] > 65535 || shape.grid[2] > 65535 || ctas > 0xffffffff)
    return false;
  return !kernel.requiredThreads[0] || std::equal(shape.block, shape.block + 3, kernel.requiredThreads.begin());
}

static CUresult run(Driver &driver, const Kernel &kernel, const LaunchShape &shape) {
  driver.readLaunch();
  Launch launch(kernel, shape, driver.memory, driver.machine);
  driver.failure = static_cast<CUresult>(launch.run());
  if (driver.failure != CUDA_SUCCESS)
    std::fprintf(stderr, "weft-cuda-emulator: %s  WEFT_EMULATOR_SEED=%llu\n", launch.report().c_str(),
                 static_cast<unsigned long long>(driver.machine.seed));
  return driver.failure;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                        unsigned blockY, unsigned blockZ, unsigned shared, CUstream stream, void **parameters,
                        void **extra) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkFunction(driver, function))
    return problem;
  if (!driver.knows(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  const Kernel &kernel = *function->kernel;
  LaunchShape shape{{gridX, gridY, gridZ}, {blockX, blockY, blockZ}, shared, {}};
  if (!validShape(kernel, shape) || shared > static_cast<unsigned>(function->mostDynamicShared) ||
      !collectParameters(kernel, parameters, extra, shape.parameters))
    return CUDA_ERROR_INVALID_VALUE;
  return driver.issue(stream, [&driver, &kernel, shape] { return run(driver, kernel, shape); });
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra) {
  if (!config || (config->numAttrs && !config->attrs))
    return CUDA_ERROR_INVALID_VALUE;
  constexpr int kClusterDimension = 4, kProgrammaticSerialization = 6;
  for (unsigned at = 0; at < config->numAttrs; ++at) {
    unsigned cluster[3];
    std::memcpy(cluster, config->attrs[at].value, sizeof cluster);
    if (config->attrs[at].id == kClusterDimension && (cluster[0] > 1 || cluster[1] > 1 || cluster[2] > 1))
      return CUDA_ERROR_NOT_SUPPORTED;
    int overlaps = 0;
    std::memcpy(&overlaps, config->attrs[at].value, sizeof overlaps);
    if (config->attrs[at].id == kProgrammaticSerialization && overlaps && function &&
        !function->kernel->waitsForLaunches) {
      std::fprintf(stderr, "weft-cuda-emulator: a kernel that may start early does not wait for what was launched before\n");
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return cuLaunchKernel(function, config->gridDimX, config->gridDimY, config->gridDimZ, config->blockDimX,
                        config->blockDimY, config->blockDimZ, config->sharedMemBytes, config->hStream, parameters,
                        extra);
}

//===-- Tensor maps ---------------------------------------------------------===//

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, int dataType, unsigned rank, void *address, const uint64_t *extents,
                                const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides,
                                int interleave, int swizzle, int promotion, int fill) {
  if (!map || reinterpret_cast<uintptr_t>(map) % 64 || !extents || (rank > 1 && !strides) || !box || !elementStrides)
    return CUDA_ERROR_INVALID_VALUE;
  TensorMap result;
  result.dataType = static_cast<uint32_t>(dataType);
  result.rank = rank;
  result.base = reinterpret_cast<uintptr_t>(address);
  for (unsigned at = 0; at < std::min(rank, 5u); ++at) {
    result.extents[at] = extents[at];
    result.strides[at] = at ? strides[at - 1] : 0;
    result.box[at] = box[at];
    result.elementStrides[at] = elementStrides[at];
  }
  result.interleave = static_cast<uint32_t>(interleave);
  result.swizzle = static_cast<Swizzle>(swizzle);
  result.promotion = static_cast<uint32_t>(promotion);
  result.fill = static_cast<uint32_t>(fill);
  if (std::string problem = result.invalid(); !problem.empty()) {
    std::fprintf(stderr, "weft-cuda-emulator: invalid tensor map: %s\n", problem.c_str());
    return CUDA_ERROR_INVALID_VALUE;
  }
  // The first stride is ignored.
  bool strided = std::any_of(elementStrides + 1, elementStrides + rank, [](uint32_t stride) { return stride != 1; });
  if (strided || interleave)
    return CUDA_ERROR_NOT_SUPPORTED;
  result.encode(reinterpret_cast<uint8_t *>(map));
  return CUDA_SUCCESS;
}
