// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages of reuse.

#include "runtime/CUDA/DeviceReuse.h"

#include "runtime/CUDA/StageShapes.h"

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<DeviceReuse> DeviceReuse::load(std::shared_ptr<const Device> device, Module module, const KernelImage &image) {
  DeviceReuse result;
  auto found = Stage::find(*device, module, "weft_" + image.name + "_snap");
  if (!found)
    return found.status();
  result.snap = *found, result.device = std::move(device);
  return result;
}

static RowGroupShape shapeOf(const KernelImage &image) {
  return {image.headDim, static_cast<int64_t>(sizeOf(image.dtype))};
}

/// A tensor's size in numbers of 32 bits.
static size_t wordsOf(const KernelImage &image, int64_t rows) {
  return rows * image.headDim * static_cast<int64_t>(sizeOf(image.dtype)) / 4;
}

DeviceReuse::Memory DeviceReuse::layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs) const {
  const Reuse &reuse = *image.reuse;
  Memory memory{};
  memory.query = layout.add(reuse.query.snaps() ? wordsOf(image, pairs * image.query.tokens) : 0);
  memory.key = layout.add(reuse.key.snaps() ? wordsOf(image, pairs * image.key.tokens) : 0);
  memory.replaced = layout.add(2 * pairs);
  return memory;
}

/// Contiguous rows in place of a tensor's.
static Tensor rowsIn(DevicePointer memory, const Tensor &tensor, int64_t rows) {
  return Tensor::contiguous(reinterpret_cast<void *>(memory), tensor.dtype,
                            {tensor.shape[0], tensor.shape[1], rows, tensor.shape[3]});
}

Status DeviceReuse::enqueueSnap(const Call &call, const SnapGrid &grid, const Tensor &source, int64_t tokens,
                                DevicePointer target, DevicePointer replaced) const {
  int64_t window = call.image.reuse->window, cells = tokens - grid.videoTokens(), videoCells = 1;
  std::array<int32_t, 3> extents, windows;
  for (int axis = 0; axis < 3; ++axis) {
    extents[axis] = static_cast<int32_t>(grid.extents[axis]);
    windows[axis] = static_cast<int32_t>(grid.axes[axis] ? window : 1);
    videoCells *= (extents[axis] + windows[axis] - 1) / windows[axis];
  }
  cells += videoCells;
  RowGroupShape shape = shapeOf(call.image);
  // Of two values the deviation is half the distance.
  double bound = window == 2 ? 2 * call.threshold : call.threshold;
  return snap.launch({(cells + shape.groups() - 1) / shape.groups(), source.shape[0] * source.shape[1], 1},
                     RowGroupShape::kThreads, 0, call.stream, source.data, source.strides[0], source.strides[1],
                     source.strides[2], target, replaced, bound, extents[0], extents[1], extents[2], windows[0],
                     windows[1], windows[2], static_cast<int32_t>(grid.begin), static_cast<int32_t>(tokens));
}

Status DeviceReuse::snapChannels(const Call &call, Tensor &query, Tensor &key) const {
  int64_t pairs = query.shape[0] * query.shape[1];
  DevicePointer replaced = call.scratch + call.memory.replaced;
  if (int code = device->driver.fill32(replaced, 0, 2 * pairs, call.stream))
    return device->driver.check(code, "cuMemsetD32Async");
  struct Side {
    const SnapGrid &grid;
    Tensor &tensor;
    size_t target;
  };
  const Reuse &reuse = *call.image.reuse;
  for (auto [grid, tensor, target] : {Side{reuse.query, query, call.memory.query}, {reuse.key, key, call.memory.key}}) {
    if (grid.snaps()) {
      Tensor snapped = rowsIn(call.scratch + target, tensor, tensor.shape[2]);
      if (Status status = enqueueSnap(call, grid, tensor, tensor.shape[2], call.scratch + target, replaced); !status)
        return status;
      tensor = snapped;
    }
    replaced += 4 * pairs;
  }
  return Status::ok();
}
