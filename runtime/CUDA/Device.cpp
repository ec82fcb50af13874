// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Opens devices and manages their memory.

#include "runtime/CUDA/Device.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<std::shared_ptr<const Device>> Device::open(int ordinal) {
  auto driver = Driver::get();
  if (!driver)
    return driver.status();
  std::shared_ptr<Device> device(new Device(**driver));
  device->ordinal = ordinal;
  if (Status status = device->initialize(); !status)
    return status;
  return std::shared_ptr<const Device>(std::move(device));
}

Status Device::initialize() {
  int count = 0;
  if (int code = driver.deviceGetCount(&count))
    return driver.check(code, "cuDeviceGetCount");
  if (ordinal < 0 || ordinal >= count)
    return Status::error(fmt::format("cuda: expected a GPU with number {}, but there are {}", ordinal, count));
  if (int code = driver.deviceGet(&handle, ordinal))
    return driver.check(code, "cuDeviceGet");
  char text[256] = {};
  int major = 0, minor = 0;
  driver.deviceGetName(text, sizeof(text) - 1, handle);
  name = text;
  struct Query {
    int *value;
    int attribute;
  };
  for (auto [value, attribute] : {Query{&major, kCapabilityMajor}, Query{&minor, kCapabilityMinor},
                                  Query{&multiprocessors, kMultiprocessorCount},
                                  Query{&sharedLimit, kMaxSharedPerBlockOptIn}})
    if (int code = driver.deviceGetAttribute(value, attribute, handle))
      return driver.check(code, "cuDeviceGetAttribute");
  capability = 10 * major + minor;
  int version = 0;
  if (int code = driver.driverGetVersion(&version))
    return driver.check(code, "cuDriverGetVersion");
  chains = version >= kCapturesChains;
  return driver.check(driver.primaryContextRetain(&context, handle), "cuDevicePrimaryCtxRetain");
}

Device::~Device() {
  if (context)
    driver.primaryContextRelease(handle);
}

Status Device::push() const { return driver.check(driver.contextPush(context), "cuCtxPushCurrent"); }

void Device::pop() const {
  Context ignored;
  driver.contextPop(&ignored);
}

Result<DeviceMemory> DeviceMemory::allocate(std::shared_ptr<const Device> device, size_t bytes) {
  Device::Scope scope(*device);
  if (!scope.status)
    return scope.status;
  DeviceMemory memory;
  if (int code = device->driver.allocate(&memory.address, std::max<size_t>(bytes, 16)))
    return Status::error(fmt::format("cuda: expected {} bytes of memory on {}: {}", bytes, device->name,
                                     device->driver.check(code, "cuMemAlloc").message()));
  memory.device = std::move(device);
  return memory;
}

Result<DeviceMemory> DeviceMemory::upload(std::shared_ptr<const Device> device, const void *data, size_t bytes,
                                          Stream stream) {
  auto memory = allocate(device, bytes);
  if (!memory || bytes == 0)
    return memory;
  Device::Scope scope(*device);
  // The driver stages pageable memory before it returns, but the copy may still be under way.
  int code = device->driver.copyToDevice(memory->get(), data, bytes, stream);
  if (code)
    return device->driver.check(code, "cuMemcpyHtoDAsync");
  if (!stream)
    if (int failed = device->driver.streamSynchronize(nullptr))
      return device->driver.check(failed, "cuStreamSynchronize");
  return memory;
}

DeviceMemory::~DeviceMemory() {
  if (!address)
    return;
  Device::Scope scope(*device);
  device->driver.release(address);
}
