// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows on the device: tiles of the query tokens that a call names, without the host.

#ifndef WEFT_RUNTIME_CUDA_DEVICEROWS_H
#define WEFT_RUNTIME_CUDA_DEVICEROWS_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// The stages that count, plan and scatter rows of one kernel.
class DeviceRows {
public:
  /// `tileRows` are the query rows of a tile, `numAxes` the coordinates of a query that the predicate reads.
  static Result<DeviceRows> load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image,
                                 int64_t tileRows, int64_t numAxes);

  struct Memory {
    size_t numbers, tiles, items, numItems, rowTokens, coordinates;
    int64_t mostTiles;
  };
  /// For row lists of some capacity and lists of at most `pools` pools.
  Memory layOut(ScratchLayout &layout, int64_t pairs, int64_t pools, int64_t capacity) const;

  struct Call {
    /// On the device; batch elements from `firstBatch` on, of which there are pairs / heads.
    const RowLists &rows;
    int64_t firstBatch, pairs;
    ListRanges lists;
    DevicePointer scratch;
    Memory memory;
    Stream stream;
  };
  /// Enqueues the stages and puts their tiles in the place of `work`'s query blocks. Indices outside of the sequence are
  /// passed over, and counts beyond the capacity cut.
  Status enqueue(const Call &call, WorkList &work) const;

private:
  std::shared_ptr<const Device> device;
  Stage count, plan, scatter;
  int64_t tileRows = 0, numAxes = 0;
  /// The query block and the coordinates t, h, w, index of each token.
  DeviceMemory blockOf, coordinates;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEROWS_H
