// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads GPU kernels: their code, their stages and their tables.

#include "runtime/CUDA/GPUKernel.h"

#include <fmt/format.h>

using namespace weft::rt;
using namespace weft::rt::cuda;

GPUKernel::GPUKernel(std::shared_ptr<const Device> device, GPUKernelImage image)
    : gpu(std::move(device)), parts(std::move(image)), host(std::move(parts.host)),
      maskBytes(parts.maskHeads ? mostMaskBytes() : 0), lists(gpu, host.image().heads, kMostMaskSets * maskBytes),
      predictionScratch(gpu), rowScratch(gpu), reuseScratch(gpu), selectionScratch(gpu), recognitionScratch(gpu),
      choiceListScratch(gpu), pieceScratch(gpu, ScratchPool::kZeros) {}

Result<std::shared_ptr<const GPUKernel>> GPUKernel::load(std::shared_ptr<const Device> device, GPUKernelImage image) {
  if (image.isSpecific ? device->capability != image.capability : device->capability < image.capability)
    return Status::error(fmt::format("cuda: expected a GPU of compute capability {}.{}{} for kernel '{}', but {} has "
                                     "{}.{}", image.capability / 10, image.capability % 10,
                                     image.isSpecific ? "" : " or later", image.host.name, device->name,
                                     device->capability / 10, device->capability % 10));
  if (device->sharedLimit < image.sharedBytes)
    return Status::error(fmt::format("cuda: expected {} bytes of shared memory per CTA for kernel '{}', but {} has {}",
                                     image.sharedBytes, image.host.name, device->name, device->sharedLimit));
  std::shared_ptr<GPUKernel> kernel(new GPUKernel(std::move(device), std::move(image)));
  if (Status status = kernel->initialize(); !status)
    return status;
  return std::shared_ptr<const GPUKernel>(std::move(kernel));
}

GPUKernel::~GPUKernel() {
  if (!code.module)
    return;
  Device::Scope scope(*gpu);
  gpu->driver.moduleUnload(code.module);
}

Status GPUKernel::initialize() {
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  if (Status status = loadModule(); !status)
    return status;
  if (Status status = loadStages(); !status)
    return status;
  if (Status status = uploadTables(); !status)
    return status;
  return parts.maskHeads ? loadMasker() : Status::ok();
}

Status GPUKernel::loadMasker() {
  auto loaded = PairMasker::load(
      gpu, code, host.image().name, {parts.maskGivens, parts.maskChoices, parts.maskHeads, parts.rows, maskBytes},
      {queryCoordinates.get(), keyCoordinates.get(), keyBlocks.get(), columnMasks.get()});
  if (!loaded)
    return loaded.status();
  masker = std::move(*loaded);
  return Status::ok();
}

Status GPUKernel::loadStages() {
  if (host.image().prediction) {
    auto loaded = DevicePrediction::load(gpu, code, host.image());
    if (!loaded)
      return loaded.status();
    prediction = std::move(*loaded);
  }
  bool byCells = host.image().reuse && host.image().reuse->isByCells;
  if (byCells) {
    auto loaded = DeviceCells::load(*gpu, code, host.image(), {parts.rows, parts.columns});
    if (!loaded)
      return loaded.status();
    cells = std::move(*loaded);
  }
  if (host.image().gathersRows() && !byCells) {
    auto loaded = DeviceRows::load(gpu, code, host.image(), parts.rows, parts.queryAxes);
    if (!loaded)
      return loaded.status();
    rows = std::move(*loaded);
  }
  if (host.image().reuse && !byCells) {
    auto loaded = DeviceReuse::load(gpu, code, host.image(), {parts.columns, parts.keyAxes});
    if (!loaded)
      return loaded.status();
    reuse = std::move(*loaded);
  }
  if (host.image().rowSelection) {
    auto loaded = DeviceRowSelection::load(gpu, code, host.image());
    if (!loaded)
      return loaded.status();
    rowSelection = std::move(*loaded);
  }
  if (host.image().recognition) {
    auto loaded = DeviceRecognition::load(gpu, code, host.image(), parts.recall);
    if (!loaded)
      return loaded.status();
    recognition = std::move(*loaded);
  }
  return Status::ok();
}

Status GPUKernel::loadCode() {
  const Driver &driver = gpu->driver;
  code.waits = parts.waits;
  std::string log(8192, '\0');
  int options[] = {kErrorLogBuffer, kErrorLogBufferBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  if (!parts.cubin.empty() && driver.moduleLoad(&code.module, parts.cubin.data(), 2, options, values) == 0)
    return Status::ok();
  // The call above may have changed how much it wrote.
  values[1] = reinterpret_cast<void *>(log.size());
  if (int error = driver.moduleLoad(&code.module, parts.ptx.c_str(), 2, options, values)) {
    code.module = nullptr;
    log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
    return Status::error(driver.check(error, "cuModuleLoadDataEx").message() + (log.empty() ? "" : ": " + log));
  }
  return Status::ok();
}

Status GPUKernel::loadModule() {
  if (Status status = loadCode(); !status)
    return status;
  auto found = Stage::find(*gpu, code, "weft_" + host.image().name);
  if (!found)
    return found.status();
  attention = *found;
  return attention.reserveShared(parts.sharedBytes);
}

Status GPUKernel::uploadTables() {
  struct Upload {
    DeviceMemory &memory;
    const std::vector<int32_t> &table;
  };
  const std::vector<int32_t> zeros(kNumTickets, 0);
  for (auto [memory, table] : {Upload{queryBlocks, parts.queryBlocks}, Upload{keyBlocks, parts.keyBlocks},
                               Upload{columnMasks, parts.columnMasks}, Upload{rowTokens, parts.rowTokens},
                               Upload{keyTokens, parts.keyTokens}, Upload{queryCoordinates, parts.queryCoordinates},
                               Upload{keyCoordinates, parts.keyCoordinates}, Upload{tickets, zeros}}) {
    auto made = DeviceMemory::upload(gpu, table.data(), table.size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    memory = std::move(*made);
  }
  return gpu->driver.check(gpu->driver.streamSynchronize(nullptr), "cuStreamSynchronize");
}
