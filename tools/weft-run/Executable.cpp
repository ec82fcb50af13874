// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels on the CPU and on a GPU.

#include "tools/weft-run/Executable.h"

#include "runtime/CUDA/StreamTimer.h"
#include "tools/weft-run/Cache.h"

#include <algorithm>
#include <chrono>

using namespace weft;
using Clock = std::chrono::steady_clock;

static double millisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

static double median(std::vector<double> values) {
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

static rt::Result<Results> prepareResults(const Inputs &inputs) {
  return inputs.cache ? copyCache(*inputs.cache) : allocateResults(inputs);
}

/// Memory for the outputs.
static rt::Result<Run> prepareRun(const Inputs &inputs) {
  auto results = prepareResults(inputs);
  if (!results)
    return results.status();
  Run run;
  run.results = *results;
  return run;
}

static void recordTime(Run &run, int call, double milliseconds) {
  if (call == 0)
    run.firstMilliseconds = milliseconds;
  else
    run.times.push_back(milliseconds);
}

namespace {

class CPUExecutable final : public Executable {
public:
  explicit CPUExecutable(std::shared_ptr<const rt::Kernel> kernel) : kernel(std::move(kernel)) {}

  const rt::KernelImage &image() const override { return kernel->image(); }
  std::string device() const override { return ""; }

  rt::Result<Run> run(const Inputs &inputs, const rt::GivenLists *given, int repeat) const override {
    auto run = prepareRun(inputs);
    if (!run)
      return run;
    rt::RowLists rows;
    if (inputs.rows)
      rows = inputs.rows->view();
    for (int i = 0; i <= repeat; ++i) {
      auto results = prepareResults(inputs);
      if (!results)
        return results.status();
      run->results = *results;
      rt::RunArgs args = makeArgs(inputs, *results);
      args.given = given;
      if (inputs.rows)
        args.rows = &rows;
      else if (i == 0 && image().rowSelection)
        if (rt::Status status = selectRows(args, *run); !status)
          return status;
      auto start = Clock::now();
      if (rt::Status status = kernel->run(args); !status)
        return status;
      recordTime(*run, i, millisecondsSince(start));
    }
    run->milliseconds = median(run->times);
    return run;
  }

  rt::Result<std::shared_ptr<const rt::BlockLists>> resolveLists(const Inputs &inputs,
                                                                 const rt::GivenLists *given,
                                                                 const rt::Choices *choices) const override {
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view, args.given = given, args.choices = choices;
    return kernel->resolveLists(args);
  }

  rt::Result<std::optional<rt::ReuseSaving>> measureReuse(const Inputs &inputs,
                                                          const rt::GivenLists *given) const override {
    if (!kernel->image().reuse)
      return std::optional<rt::ReuseSaving>();
    rt::RowLists rows;
    auto saving = kernel->measureReuse(reuseArgs(inputs, given, rows));
    return saving ? rt::Result<std::optional<rt::ReuseSaving>>(*saving) : saving.status();
  }

  rt::Result<std::optional<std::vector<rt::TokenReuse>>> measureTokenReuse(const Inputs &inputs,
                                                                           const rt::GivenLists *given) const override {
    if (!kernel->image().reuse)
      return std::optional<std::vector<rt::TokenReuse>>();
    rt::RowLists rows;
    auto tokens = kernel->measureTokenReuse(reuseArgs(inputs, given, rows));
    if (!tokens)
      return tokens.status();
    return std::optional(std::move(*tokens));
  }

  rt::Result<std::optional<rt::GivenLists>> predict(const Inputs &inputs) const override {
    if (!kernel->image().prediction)
      return std::optional<rt::GivenLists>();
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view;
    auto lists = kernel->predict(args);
    if (!lists)
      return lists.status();
    return std::optional<rt::GivenLists>(std::move(*lists));
  }

  rt::Result<std::optional<rt::Choices>> recognize(const Inputs &inputs) const override {
    if (!kernel->image().recognition)
      return std::optional<rt::Choices>();
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view;
    auto choices = kernel->recognize(args);
    if (!choices)
      return choices.status();
    return std::optional<rt::Choices>(std::move(*choices));
  }

private:
  /// What reuse depends on; `rows` is memory for the view of the inputs' rows.
  static rt::RunArgs reuseArgs(const Inputs &inputs, const rt::GivenLists *given, rt::RowLists &rows) {
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view, args.given = given;
    if (inputs.rows)
      rows = inputs.rows->view(), args.rows = &rows;
    return args;
  }

  static rt::RunArgs makeArgs(const Inputs &inputs, const Results &results) {
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view, args.value = inputs.value.view;
    args.out = results.out.view, args.lse = results.lse.view;
    if (inputs.bias)
      args.bias = inputs.bias->view;
    if (inputs.drift)
      args.drift = inputs.drift->view;
    if (results.age)
      args.age = results.age->view;
    return args;
  }

  rt::Status selectRows(const rt::RunArgs &args, Run &run) const {
    auto rows = kernel->selectRows(args);
    if (!rows)
      return rows.status();
    run.selectedRows = std::move(*rows);
    return rt::Status::ok();
  }

  std::shared_ptr<const rt::Kernel> kernel;
};

class GPUExecutable final : public Executable {
public:
  explicit GPUExecutable(std::shared_ptr<const rt::cuda::GPUKernel> kernel, std::shared_ptr<const rt::cuda::Device> gpu)
      : kernel(std::move(kernel)), gpu(std::move(gpu)) {}

  const rt::KernelImage &image() const override { return kernel->image(); }
  std::string device() const override { return gpu->name; }

  rt::Result<Run> run(const Inputs &inputs, const rt::GivenLists *given, int repeat) const override {
    auto run = prepareRun(inputs);
    if (!run)
      return run;
    rt::RunArgs args;
    args.given = given;
    std::vector<rt::cuda::DeviceMemory> memory;
    args.lse.emplace();
    std::vector<Operand> results = {{args.out, run->results.out.view}, {*args.lse, run->results.lse.view}};
    if (run->results.age)
      results.push_back({args.age.emplace(), run->results.age->view});
    std::vector<Operand> operands = results;
    for (Operand operand : {Operand{args.query, inputs.query.view}, Operand{args.key, inputs.key.view},
                            Operand{args.value, inputs.value.view}})
      operands.push_back(operand);
    if (inputs.drift)
      operands.push_back({args.drift.emplace(), inputs.drift->view});
    if (inputs.bias)
      operands.push_back({args.bias.emplace(), inputs.bias->view});
    rt::RowLists rows;
    if (inputs.rows) {
      args.rows = &rows;
      operands.push_back({rows.indices, inputs.rows->indices.view});
      operands.push_back({rows.counts, inputs.rows->counts.view});
    }
    if (rt::Status status = upload(operands, memory); !status)
      return status;
    rt::cuda::Device::Scope scope(*gpu);
    if (!scope.status)
      return scope.status;
    if (rt::Status status = findLists(args, *run); !status)
      return status;
    if (image().rowSelection && !inputs.rows)
      if (rt::Status status = selectRows(args, *run); !status)
        return status;
    rt::cuda::StreamTimer timer(gpu->driver);
    for (int i = 0; i <= repeat; ++i) {
      if (rt::Status status = i && inputs.cache ? restore(results) : rt::Status::ok(); !status)
        return status;
      timer.start();
      if (rt::Status status = kernel->launch(args, nullptr); !status)
        return status;
      auto milliseconds = timer.stop();
      if (!milliseconds)
        return milliseconds.status();
      recordTime(*run, i, *milliseconds);
    }
    run->milliseconds = median(run->times);
    for (auto [onDevice, onHost] : results)
      if (int code = gpu->driver.copyToHost(onHost.data, reinterpret_cast<rt::cuda::DevicePointer>(onDevice.data),
                                            bytesOf(onHost), nullptr))
        return gpu->driver.check(code, "cuMemcpyDtoHAsync");
    if (int code = gpu->driver.streamSynchronize(nullptr))
      return gpu->driver.check(code, "cuStreamSynchronize");
    return run;
  }

  rt::Result<std::shared_ptr<const rt::BlockLists>> resolveLists(const Inputs &inputs,
                                                                 const rt::GivenLists *given,
                                                                 const rt::Choices *choices) const override {
    rt::RunArgs args;
    args.query = inputs.query.view, args.key = inputs.key.view, args.given = given, args.choices = choices;
    return kernel->resolveLists(args);
  }

  rt::Result<std::optional<rt::ReuseSaving>> measureReuse(const Inputs &inputs,
                                                          const rt::GivenLists *given) const override {
    if (!kernel->image().reuse)
      return std::optional<rt::ReuseSaving>();
    rt::RunArgs args;
    args.given = given;
    std::vector<Operand> operands = {{args.query, inputs.query.view}, {args.key, inputs.key.view}};
    rt::RowLists rows;
    if (inputs.rows) {
      args.rows = &rows;
      operands.push_back({rows.indices, inputs.rows->indices.view});
      operands.push_back({rows.counts, inputs.rows->counts.view});
    }
    std::vector<rt::cuda::DeviceMemory> memory;
    if (rt::Status status = upload(operands, memory); !status)
      return status;
    auto saving = kernel->measureReuse(args, nullptr);
    return saving ? rt::Result<std::optional<rt::ReuseSaving>>(*saving) : saving.status();
  }

private:
  struct Operand {
    rt::Tensor &onDevice;
    const rt::Tensor &onHost;
  };

  /// Views of copies on the device, which `memory` owns.
  rt::Status upload(const std::vector<Operand> &operands, std::vector<rt::cuda::DeviceMemory> &memory) const {
    for (auto [onDevice, onHost] : operands) {
      onDevice = onHost;
      if (onHost.numElements() == 0)
        continue;
      auto copy = rt::cuda::DeviceMemory::upload(gpu, onHost.data, bytesOf(onHost), nullptr);
      if (!copy)
        return copy.status();
      onDevice.data = reinterpret_cast<void *>(copy->get());
      memory.push_back(std::move(*copy));
    }
    return rt::Status::ok();
  }

  /// What results held before the first call.
  rt::Status restore(const std::vector<Operand> &results) const {
    for (auto [onDevice, onHost] : results)
      if (int code = gpu->driver.copyToDevice(reinterpret_cast<rt::cuda::DevicePointer>(onDevice.data), onHost.data,
                                              bytesOf(onHost), nullptr))
        return gpu->driver.check(code, "cuMemcpyHtoDAsync");
    return rt::Status::ok();
  }

  rt::Status selectRows(const rt::RunArgs &args, Run &run) const {
    auto selected = kernel->selectRows(args, nullptr);
    if (!selected)
      return selected.status();
    auto rows = kernel->download(**selected, nullptr);
    if (rows)
      run.selectedRows = std::move(*rows);
    return rows ? rt::Status::ok() : rows.status();
  }

  /// Copies the call's lists to the device, or finds out what it will recognize and predict there.
  rt::Status findLists(rt::RunArgs &args, Run &run) const {
    if (image().recognition) {
      auto choices = kernel->recognize(args, nullptr);
      if (!choices)
        return choices.status();
      run.choices = std::move(*choices);
    }
    if (kernel->image().prediction && !args.given) {
      auto kept = kernel->predict(args, nullptr);
      if (!kept)
        return kept.status();
      auto selection = kernel->download(**kept, nullptr);
      if (selection)
        run.predicted = std::move(*selection);
      return selection ? rt::Status::ok() : selection.status();
    }
    if (image().recognition)
      return rt::Status::ok();
    auto lists = kernel->resolveLists(args);
    if (lists)
      args.lists = *lists;
    return lists ? rt::Status::ok() : lists.status();
  }

  /// From the first element to the last of a tensor whose strides are not negative.
  static size_t bytesOf(const rt::Tensor &tensor) {
    int64_t last = 0;
    for (int64_t i = 0; i < tensor.rank(); ++i)
      last += (tensor.shape[i] - 1) * tensor.strides[i];
    return (last + 1) * rt::sizeOf(tensor.dtype);
  }

  std::shared_ptr<const rt::cuda::GPUKernel> kernel;
  std::shared_ptr<const rt::cuda::Device> gpu;
};

rt::Result<std::unique_ptr<Executable>> compile(const CompileRequest &request, KernelBackend backend) {
  if (backend == KernelBackend::CPU) {
    KernelResult kernel = compileKernel(request);
    if (!kernel)
      return kernel.status();
    return std::unique_ptr<Executable>(std::make_unique<CPUExecutable>(*kernel));
  }
  auto device = rt::cuda::Device::open();
  if (!device)
    return device.status();
  GPUKernelResult kernel = compileGPUKernel(request, *device);
  if (!kernel)
    return kernel.status();
  return std::unique_ptr<Executable>(std::make_unique<GPUExecutable>(*kernel, *device));
}

} // namespace

rt::Result<TimedExecutable> weft::compileTimed(const CompileRequest &request, KernelBackend backend) {
  auto start = Clock::now();
  auto executable = compile(request, backend);
  if (!executable)
    return executable.status();
  return TimedExecutable{std::move(*executable), millisecondsSince(start)};
}
