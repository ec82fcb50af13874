// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Opens the driver.

#include "runtime/CUDA/Driver.h"

#include <fmt/format.h>

#include <cstdlib>
#include <dlfcn.h>

using namespace weft::rt;
using namespace weft::rt::cuda;

namespace {

/// Fills the table; the status names the first function that the library lacks.
Status fillTable(void *library, const char *name, Driver &driver) {
  std::string missing;
  auto find = [&](auto &function, const char *symbol) {
    void *address = dlsym(library, symbol);
    if (!address && missing.empty())
      missing = symbol;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
  find(driver.init, "cuInit");
  find(driver.driverGetVersion, "cuDriverGetVersion");
  find(driver.getErrorString, "cuGetErrorString");
  find(driver.deviceGetCount, "cuDeviceGetCount");
  find(driver.deviceGet, "cuDeviceGet");
  find(driver.deviceGetName, "cuDeviceGetName");
  find(driver.deviceGetAttribute, "cuDeviceGetAttribute");
  find(driver.primaryContextRetain, "cuDevicePrimaryCtxRetain");
  find(driver.primaryContextRelease, "cuDevicePrimaryCtxRelease_v2");
  find(driver.contextPush, "cuCtxPushCurrent_v2");
  find(driver.contextPop, "cuCtxPopCurrent_v2");
  find(driver.moduleLoad, "cuModuleLoadDataEx");
  find(driver.moduleUnload, "cuModuleUnload");
  find(driver.moduleGetFunction, "cuModuleGetFunction");
  find(driver.functionSetAttribute, "cuFuncSetAttribute");
  find(driver.allocate, "cuMemAlloc_v2");
  find(driver.release, "cuMemFree_v2");
  find(driver.copyToDevice, "cuMemcpyHtoDAsync_v2");
  find(driver.copyToHost, "cuMemcpyDtoHAsync_v2");
  find(driver.fill32, "cuMemsetD32Async");
  find(driver.streamSynchronize, "cuStreamSynchronize");
  find(driver.streamIsCapturing, "cuStreamIsCapturing");
  find(driver.eventCreate, "cuEventCreate");
  find(driver.eventDestroy, "cuEventDestroy_v2");
  find(driver.eventRecord, "cuEventRecord");
  find(driver.eventSynchronize, "cuEventSynchronize");
  find(driver.eventElapsedTime, "cuEventElapsedTime");
  find(driver.launch, "cuLaunchKernelEx");
  find(driver.encodeTensorMap, "cuTensorMapEncodeTiled");
  if (missing.empty())
    return Status::ok();
  return Status::error(fmt::format("cuda: expected a driver of CUDA 12 or later, but {} lacks {}", name, missing));
}

Result<const Driver *> openDriver() {
  const char *name = std::getenv("WEFT_CUDA_DRIVER");
  if (!name || !*name)
    name = "libcuda.so.1";
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return Status::error(fmt::format("cuda: expected an NVIDIA driver, but got: {}", dlerror()));
  static Driver driver;
  if (Status status = fillTable(library, name, driver); !status)
    return status;
  if (int code = driver.init(0))
    return driver.check(code, "cuInit");
  return &driver;
}

} // namespace

Result<const Driver *> Driver::get() {
  static const Result<const Driver *> driver = openDriver();
  return driver;
}

Status Driver::check(int code, const char *what) const {
  if (code == 0)
    return Status::ok();
  const char *text = nullptr;
  if (getErrorString(code, &text) || !text)
    text = "unknown error";
  return Status::error(fmt::format("cuda: {}: {} ({})", what, text, code));
}
