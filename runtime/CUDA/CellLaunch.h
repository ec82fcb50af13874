// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cells of tokens that are snapped: how many there are, and what stages that walk them are told.

#ifndef WEFT_RUNTIME_CUDA_CELLLAUNCH_H
#define WEFT_RUNTIME_CUDA_CELLLAUNCH_H

#include "runtime/CUDA/Driver.h"
#include "runtime/CUDA/StageShapes.h"
#include "runtime/Kernel.h"

#include <array>

namespace weft::rt::cuda {

inline int64_t ctasFor(int64_t items, int64_t each) { return (items + each - 1) / each; }

inline int64_t pairsOf(const Tensor &tensor) { return tensor.shape[0] * tensor.shape[1]; }

/// Contiguous rows in the place of a tensor's.
Tensor rowsIn(DevicePointer memory, const Tensor &tensor, int64_t rows);

RowGroupShape rowGroupsOf(const KernelImage &image);

/// CTAs that walk the cells of `tokens` tokens, a group of lanes each cell.
int64_t ctasForCells(const KernelImage &image, const SnapGrid &grid, int64_t tokens);

/// Of two values the deviation is half the distance: what stages compare with.
double boundOf(const Reuse &reuse, double threshold);

/// CellGrid's arguments: tokens and window along t, h and w, the first video token, and all tokens.
using CellArguments = std::array<int32_t, 8>;
CellArguments cellArguments(const Reuse &reuse, const SnapGrid &grid, int64_t tokens);

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_CELLLAUNCH_H
