// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A GPU and memory on it.

#ifndef WEFT_RUNTIME_CUDA_DEVICE_H
#define WEFT_RUNTIME_CUDA_DEVICE_H

#include "runtime/CUDA/Driver.h"

#include <memory>
#include <string>
#include <utility>

namespace weft::rt::cuda {

/// A GPU with its primary context, which CUDA's runtime library and PyTorch use too.
class Device {
public:
  static Result<std::shared_ptr<const Device>> open(int ordinal = 0);
  ~Device();
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  const Driver &driver;
  /// Its number among the process's devices.
  int ordinal = 0;
  std::string name;
  /// 90 for compute capability 9.0.
  int capability = 0;
  int multiprocessors = 0;
  /// Shared memory of a CTA at most, in bytes.
  int sharedLimit = 0;
  /// Whether a kernel may be launched so that it starts while the one before it ends.
  bool chains = false;

  /// Makes the context current while it lives, and then the caller's again.
  class Scope {
  public:
    explicit Scope(const Device &device) : device(device), status(device.push()) {}
    ~Scope() {
      if (status)
        device.pop();
    }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

  private:
    const Device &device;

  public:
    const Status status;
  };

private:
  explicit Device(const Driver &driver) : driver(driver) {}
  Status initialize();
  Status push() const;
  void pop() const;

  int handle = 0;
  Context context = nullptr;
};

/// Memory on a device, owned.
class DeviceMemory {
public:
  DeviceMemory() = default;
  static Result<DeviceMemory> allocate(std::shared_ptr<const Device> device, size_t bytes);
  /// Memory with a copy of `bytes` bytes, which are read before this returns. The copy is there for what is on `stream`
  /// afterwards; if that is the default stream, which others need not wait for, for all of them.
  static Result<DeviceMemory> upload(std::shared_ptr<const Device> device, const void *data, size_t bytes,
                                     Stream stream);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory &&other) noexcept { *this = std::move(other); }
  DeviceMemory &operator=(DeviceMemory &&other) noexcept {
    std::swap(device, other.device), std::swap(address, other.address);
    return *this;
  }

  DevicePointer get() const { return address; }

private:
  std::shared_ptr<const Device> device;
  DevicePointer address = 0;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICE_H
