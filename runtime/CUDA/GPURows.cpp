// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that the device selects, and the drift of inputs by which it does.

#include "runtime/CUDA/GPUKernel.h"
#include "runtime/CUDA/DeviceArguments.h"
#include "runtime/Drift.h"

#include <fmt/format.h>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<RowLists> GPUKernel::selectRows(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                                       bool isCaptured) const {
  ScratchLayout layout;
  auto places = rowSelection->layOut(layout, args.lse->shape[0]);
  auto memory = selectionScratch.get(stream, layout.bytes(), isCaptured);
  if (!memory)
    return memory.status();
  return rowSelection->select(args, parameters, *memory, places, stream);
}

Result<std::shared_ptr<const SelectedRows>> GPUKernel::selectRows(const RunArgs &args, Stream stream) const {
  if (Status status = host.checkImportance(args, MemoryKind::Device); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  ScratchLayout layout;
  auto places = rowSelection->layOut(layout, args.lse->shape[0]);
  auto memory = DeviceMemory::allocate(gpu, layout.bytes());
  if (!memory)
    return memory.status();
  auto rows = rowSelection->select(args, *parameters, memory->get(), places, stream);
  if (!rows)
    return rows.status();
  return std::shared_ptr<const SelectedRows>(std::make_shared<SelectedRows>(std::move(*memory), std::move(*rows)));
}

Status GPUKernel::checkInputs(const Tensor &x, const Tensor &last) const {
  const KernelImage &image = host.image();
  if (!rowSelection)
    return Status::error(fmt::format("kernel '{}': expected an attention with rows topk(importance, ..)", image.name));
  if (x.dtype != image.dtype)
    return Status::error(fmt::format("x: expected dtype {}, which the kernel has, but got {}", name(image.dtype),
                                     name(x.dtype)));
  if (x.shape[2] * sizeOf(x.dtype) % 16)
    return Status::error(fmt::format("x: expected a width of whole 16 bytes, but got {}", x.shape[2]));
  return checkAlignment({{"x", &x}, {"last", &last}});
}

Status GPUKernel::measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, Stream stream) const {
  Status status = checkDrift(x, last, drift);
  if (status)
    status = checkInputs(x, last);
  if (!status)
    return status;
  Device::Scope scope(*gpu);
  return scope.status ? rowSelection->measureDrift(x, last, drift, stream) : scope.status;
}

Status GPUKernel::keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last, Stream stream) const {
  Status status = checkKeptInputs(x, last);
  if (status)
    status = checkInputs(x, last);
  if (status)
    status = rows.validateShapes(x.shape[0], /*heads=*/1);
  if (!status)
    return status;
  Device::Scope scope(*gpu);
  return scope.status ? rowSelection->keepInputs(x, rows, last, stream) : scope.status;
}

Result<OwnedRowLists> GPUKernel::download(const SelectedRows &selected, Stream stream) const {
  const Tensor &indices = selected.rows.indices, &counts = selected.rows.counts;
  OwnedRowLists result{indices.shape[0], indices.shape[2], std::vector<int32_t>(indices.numElements()),
                       std::vector<int32_t>(counts.numElements())};
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  auto fetch = [&](int32_t *to, DevicePointer from, int64_t count) {
    int code = count ? gpu->driver.copyToHost(to, from, count * sizeof(int32_t), stream) : 0;
    return gpu->driver.check(code, "cuMemcpyDtoHAsync");
  };
  auto wait = [&] { return gpu->driver.check(gpu->driver.streamSynchronize(stream), "cuStreamSynchronize"); };
  Status status = fetch(result.counts.data(), reinterpret_cast<DevicePointer>(counts.data), result.batch);
  if (status)
    status = wait();
  // What is behind a batch element's rows was never written.
  for (int64_t b = 0; status && b < result.batch; ++b) {
    int64_t first = b * result.capacity;
    status = fetch(result.indices.data() + first, reinterpret_cast<DevicePointer>(indices.data) + first * sizeof(int32_t),
                   result.counts[b]);
  }
  if (status)
    status = wait();
  if (!status)
    return status;
  return result;
}
