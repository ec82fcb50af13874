// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sizes of grids of cells.

#include "runtime/CUDA/CellLaunch.h"

using namespace weft::rt;
using namespace weft::rt::cuda;

static int64_t windowAlong(const Reuse &reuse, const SnapGrid &grid, int axis) {
  return grid.axes[axis] ? reuse.window : 1;
}

Tensor weft::rt::cuda::rowsIn(DevicePointer memory, const Tensor &tensor, int64_t rows) {
  return Tensor::contiguous(reinterpret_cast<void *>(memory), tensor.dtype,
                            {tensor.shape[0], tensor.shape[1], rows, tensor.shape[3]});
}

RowGroupShape weft::rt::cuda::rowGroupsOf(const KernelImage &image) {
  return {image.headDim, static_cast<int64_t>(sizeOf(image.dtype))};
}

int64_t weft::rt::cuda::ctasForCells(const KernelImage &image, const SnapGrid &grid, int64_t tokens) {
  int64_t cells = 1;
  for (int axis = 0; axis < 3; ++axis)
    cells *= ctasFor(grid.extents[axis], windowAlong(*image.reuse, grid, axis));
  return ctasFor(cells + tokens - grid.videoTokens(), rowGroupsOf(image).groups());
}

double weft::rt::cuda::boundOf(const Reuse &reuse, double threshold) {
  return reuse.window == 2 ? 2 * threshold : threshold;
}

CellArguments weft::rt::cuda::cellArguments(const Reuse &reuse, const SnapGrid &grid, int64_t tokens) {
  CellArguments arguments;
  for (int axis = 0; axis < 3; ++axis) {
    arguments[axis] = static_cast<int32_t>(grid.extents[axis]);
    arguments[3 + axis] = static_cast<int32_t>(windowAlong(reuse, grid, axis));
  }
  arguments[6] = static_cast<int32_t>(grid.begin), arguments[7] = static_cast<int32_t>(tokens);
  return arguments;
}
