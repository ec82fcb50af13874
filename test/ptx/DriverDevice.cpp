// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Driver functions about the library, the device and its context.

#include "test/ptx/DriverState.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

using namespace weft::ptx;

static uint64_t numberFrom(const char *variable, uint64_t otherwise) {
  const char *text = std::getenv(variable);
  return text && *text ? std::strtoull(text, nullptr, 0) : otherwise;
}

Driver &Driver::get() {
  static Driver *driver = new Driver;
  return *driver;
}

void Driver::readDevice() {
  machine.processors = static_cast<uint32_t>(std::clamp<uint64_t>(numberFrom("WEFT_EMULATOR_SMS", 4), 1, 64));
  capability = 90;
  if (const char *text = std::getenv("WEFT_EMULATOR_CAPABILITY")) {
    int major = 0, minor = 0;
    if (std::sscanf(text, "%d.%d", &major, &minor) == 2)
      capability = 10 * major + minor;
    else
      std::fprintf(stderr, "WEFT_EMULATOR_CAPABILITY: expected a number like 9.0, but got '%s'\n", text);
  }
}

void Driver::readLaunch() {
  machine.seed = numberFrom("WEFT_EMULATOR_SEED", 1);
  machine.findRaces = numberFrom("WEFT_EMULATOR_RACES", 1);
  machine.instructionLimit = numberFrom("WEFT_EMULATOR_LIMIT", 20'000'000'000);
}

CUresult Driver::ready() const {
  if (!initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (currentContexts().empty() || !currentContexts().back() || !retained)
    return CUDA_ERROR_INVALID_CONTEXT;
  return failure;
}

bool Driver::knows(CUstream stream) const {
  // The legacy stream and each thread's own have numbers.
  return reinterpret_cast<uintptr_t>(stream) <= 2 || streams.count(stream);
}

void Driver::destroyContext() {
  functions.clear();
  modules.clear();
  for (CUstream stream : streams)
    delete stream;
  streams.clear();
  for (CUevent event : events)
    delete event;
  events.clear();
  memory.clear();
  failure = CUDA_SUCCESS;
}

std::vector<CUcontext> &weft::ptx::currentContexts() {
  static thread_local std::vector<CUcontext> contexts;
  return contexts;
}

int weft::ptx::sharedOptIn(int capability) {
  switch (capability) {
  case 80:
  case 87:
    return 166912;
  case 86:
  case 89:
  case 120:
    return 101376;
  default:
    return capability < 80 ? 98304 : kSharedOptIn;
  }
}

static bool isDevice(CUdevice device) { return device == 0; }

CUresult cuInit(unsigned flags) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (flags)
    return CUDA_ERROR_INVALID_VALUE;
  driver.initialised = true;
  driver.readDevice();
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  if (!Driver::get().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!count)
    return CUDA_ERROR_INVALID_VALUE;
  *count = 1;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  if (!Driver::get().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!device)
    return CUDA_ERROR_INVALID_VALUE;
  if (ordinal)
    return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  if (!isDevice(device))
    return CUDA_ERROR_INVALID_DEVICE;
  if (!name || length < 1)
    return CUDA_ERROR_INVALID_VALUE;
  std::snprintf(name, static_cast<size_t>(length), "Weft PTX emulator");
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
  if (!uuid || !isDevice(device))
    return uuid ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE;
  std::memcpy(uuid->bytes, "weft-ptx-emulate", 16);
  return CUDA_SUCCESS;
}

constexpr size_t kMemory = size_t(64) << 30;

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  if (!bytes || !isDevice(device))
    return bytes ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE;
  *bytes = kMemory;
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  if (CUresult problem = Driver::get().ready())
    return problem;
  if (!available || !total)
    return CUDA_ERROR_INVALID_VALUE;
  *available = *total = kMemory;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  if (!Driver::get().initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!isDevice(device))
    return CUDA_ERROR_INVALID_DEVICE;
  if (!value)
    return CUDA_ERROR_INVALID_VALUE;
  const Driver &driver = Driver::get();
  int shared = sharedOptIn(driver.capability);
  const std::map<int, int> kValues = {
      {1, 1024},       // threads per block
      {2, 1024},       // block x
      {3, 1024},       // block y
      {4, 64},         // block z
      {5, 0x7fffffff}, // grid x
      {6, 65535},      // grid y
      {7, 65535},      // grid z
      {8, kSharedLimit},
      {9, 65536},    // constant memory
      {10, 32},      // warp size
      {12, 65536},   // registers per block
      {13, 1000000}, // clock in kHz
      {16, static_cast<int>(driver.machine.processors)},
      {18, 0},       // integrated
      {31, 1},       // concurrent kernels
      {38, 1 << 25}, // L2 cache
      {39, 2048},    // threads per multiprocessor
      {41, 1},       // unified addressing
      {75, driver.capability / 10},
      {76, driver.capability % 10},
      {81, shared + 1024},                    // shared memory per multiprocessor
      {82, 65536},                            // registers per multiprocessor
      {95, 1},                                // cooperative launch
      {97, shared},                           // shared memory per block, opt-in
      {106, 32},                              // blocks per multiprocessor
      {111, 1024},                            // reserved shared memory per block
      {115, 1},                               // memory pools
      {120, 0},                               // cluster launch
      {127, driver.capability >= 90 ? 1 : 0}, // tensor maps
  };
  auto found = kValues.find(attribute);
  if (found == kValues.end())
    return CUDA_ERROR_INVALID_VALUE;
  *value = found->second;
  return CUDA_SUCCESS;
}

//===-- Contexts ------------------------------------------------------------===//

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!context || !isDevice(device))
    return context ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE;
  ++driver.retained;
  *context = &driver.context;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!isDevice(device))
    return CUDA_ERROR_INVALID_DEVICE;
  if (!driver.retained)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (--driver.retained == 0)
    driver.destroyContext();
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) { return cuDevicePrimaryCtxRelease_v2(device); }

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!isDevice(device))
    return CUDA_ERROR_INVALID_DEVICE;
  driver.destroyContext();
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  if (!isDevice(device))
    return CUDA_ERROR_INVALID_DEVICE;
  if (!flags || !active)
    return CUDA_ERROR_INVALID_VALUE;
  *flags = 0;
  *active = Driver::get().retained > 0;
  return CUDA_SUCCESS;
}

static bool isContext(CUcontext context) { return !context || context == &Driver::get().context; }

CUresult cuCtxSetCurrent(CUcontext context) {
  if (!isContext(context))
    return CUDA_ERROR_INVALID_CONTEXT;
  std::vector<CUcontext> &contexts = currentContexts();
  if (!contexts.empty())
    contexts.pop_back();
  if (context)
    contexts.push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  if (!context)
    return CUDA_ERROR_INVALID_VALUE;
  *context = currentContexts().empty() ? nullptr : currentContexts().back();
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
  if (!context || !isContext(context))
    return CUDA_ERROR_INVALID_CONTEXT;
  currentContexts().push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context) {
  if (currentContexts().empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  if (context)
    *context = currentContexts().back();
  currentContexts().pop_back();
  return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
  if (!device)
    return CUDA_ERROR_INVALID_VALUE;
  if (currentContexts().empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() { return Driver::get().ready(); }

//===-- Errors and symbols --------------------------------------------------===//

static const char *nameOf(CUresult error) {
  switch (error) {
#define WEFT_NAME(name)                                                                                                \
  case name:                                                                                                           \
    return #name;
    WEFT_NAME(CUDA_SUCCESS)
    WEFT_NAME(CUDA_ERROR_INVALID_VALUE)
    WEFT_NAME(CUDA_ERROR_OUT_OF_MEMORY)
    WEFT_NAME(CUDA_ERROR_NOT_INITIALIZED)
    WEFT_NAME(CUDA_ERROR_INVALID_DEVICE)
    WEFT_NAME(CUDA_ERROR_INVALID_CONTEXT)
    WEFT_NAME(CUDA_ERROR_NO_BINARY_FOR_GPU)
    WEFT_NAME(CUDA_ERROR_INVALID_PTX)
    WEFT_NAME(CUDA_ERROR_INVALID_HANDLE)
    WEFT_NAME(CUDA_ERROR_ILLEGAL_STATE)
    WEFT_NAME(CUDA_ERROR_NOT_FOUND)
    WEFT_NAME(CUDA_ERROR_NOT_READY)
    WEFT_NAME(CUDA_ERROR_ILLEGAL_ADDRESS)
    WEFT_NAME(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
    WEFT_NAME(CUDA_ERROR_MISALIGNED_ADDRESS)
    WEFT_NAME(CUDA_ERROR_LAUNCH_FAILED)
    WEFT_NAME(CUDA_ERROR_NOT_SUPPORTED)
    WEFT_NAME(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
#undef WEFT_NAME
  }
  return nullptr;
}

CUresult cuGetErrorName(CUresult error, const char **text) {
  if (!text)
    return CUDA_ERROR_INVALID_VALUE;
  *text = nameOf(error);
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text) { return cuGetErrorName(error, text); }

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
  if (!symbol || !function)
    return CUDA_ERROR_INVALID_VALUE;
  Dl_info self;
  void *library =
      dladdr(reinterpret_cast<void *>(&cuInit), &self) ? dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD) : nullptr;
  // Names are asked for without their version.
  *function = nullptr;
  for (const char *suffix : {"_v2", ""})
    if (!*function)
      *function = dlsym(library ? library : RTLD_DEFAULT, (std::string(symbol) + suffix).c_str());
  if (library)
    dlclose(library);
  if (status)
    *status = *function ? 0 : 1;
  return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
