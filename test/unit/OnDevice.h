// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Test tensors in the memory of a GPU, or of the executor that WEFT_CUDA_DRIVER names.

#ifndef WEFT_TEST_UNIT_ONDEVICE_H
#define WEFT_TEST_UNIT_ONDEVICE_H

#include "runtime/CUDA/Device.h"
#include "test/unit/Operands.h"

#include <utility>
#include <vector>

namespace weft::test {

/// The device, or why there is none.
inline const rt::Result<std::shared_ptr<const rt::cuda::Device>> &device() {
  static const auto result = rt::cuda::Device::open();
  return result;
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

/// The operands of a call, copied to the device.
class DeviceOperands {
public:
  /// Arguments of a call on the device, which refer to this.
  rt::RunArgs args;

  rt::Status upload(Operands &operands) {
    args = operands.args(0);
    std::vector<std::pair<TestTensor *, rt::Tensor *>> all = {{&operands.query, &args.query},
                                                              {&operands.key, &args.key},
                                                              {&operands.value, &args.value},
                                                              {&operands.out, &args.out},
                                                              {&operands.lse, &*args.lse}};
    if (operands.bias)
      all.emplace_back(&*operands.bias, &*args.bias);
    if (operands.drift)
      all.emplace_back(&*operands.drift, &*args.drift);
    if (operands.age)
      all.emplace_back(&*operands.age, &*args.age);
    for (auto [host, view] : all) {
      auto copy = OnDevice::upload(*host);
      if (!copy)
        return copy.status();
      view->data = copy->view.data;
      tensors.push_back(std::move(*copy));
    }
    return operands.rows ? uploadRows(*operands.rows) : rt::Status::ok();
  }

  /// Copies out and lse back, and ages if there are any.
  rt::Status download(Operands &operands) const {
    rt::Status status = tensors[3].download(operands.out);
    if (status)
      status = tensors[4].download(operands.lse);
    return status && operands.age ? tensors.back().download(*operands.age) : status;
  }

private:
  rt::Status uploadRows(const TestRows &source) {
    rows = source.view(), args.rows = &rows;
    for (rt::Tensor *tensor : {&rows.indices, &rows.counts}) {
      auto copy = rt::cuda::DeviceMemory::upload(*device(), tensor->data, tensor->numElements() * 4, nullptr);
      if (!copy)
        return copy.status();
      tensor->data = reinterpret_cast<void *>(copy->get());
      rowMemory.push_back(std::move(*copy));
    }
    return rt::Status::ok();
  }

  std::vector<OnDevice> tensors;
  std::vector<rt::cuda::DeviceMemory> rowMemory;
  rt::RowLists rows;
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_ONDEVICE_H
