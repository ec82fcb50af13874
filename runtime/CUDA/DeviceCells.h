// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens of one pool that are merged by cells: see codegen/CUDA/CellStages.cpp.

#ifndef WEFT_RUNTIME_CUDA_DEVICECELLS_H
#define WEFT_RUNTIME_CUDA_DEVICECELLS_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// The stages of one kernel whose reuse is `isByCells`.
class DeviceCells {
public:
  /// Rows and columns of the attention's tiles.
  struct Tile {
    int64_t rows, columns;
  };
  static Result<DeviceCells> load(const Device &device, const Code &code, const KernelImage &image, Tile tile);

  /// Where the parts of a call's working memory lie.
  struct Memory {
    /// By side: donors by pair and token; who stays by pair and warp that snaps; and those before, and all.
    struct Side {
      size_t donors, counts, starts;
      int64_t warps;
    } query, key;
    /// Merged keys by pair, block and column, and what goes with them; the attention's table of key blocks.
    size_t newKey, newValue, bias, keyTokens, keyBlocks;
    /// Lists by pair; items of the attention, how many they are, and the tokens of their rows.
    size_t ranges, entries, items, numItems, rowTokens;
    /// Tiles that a pair may have.
    int64_t pairTiles;
  };
  Memory layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs) const;

  /// One call.
  struct Call {
    const KernelImage &image;
    double threshold;
    DevicePointer scratch;
    Memory memory;
    Stream stream;

    DevicePointer at(size_t offset) const { return scratch + offset; }
  };
  /// Enqueues the merging, and puts what is left in the place of the call's tensors and lists.
  Status merge(const Call &call, AttentionOperands &operands, WorkList &work) const;
  /// Enqueues the copies of results to the queries that were merged.
  Status spread(const Call &call, const Tensor &out, const Tensor *lse) const;

  /// Enqueues what finds out what a call saves, and waits for it.
  Status measure(const Call &call, const Tensor &query, const Tensor &key, ReuseCounts &counts) const;

private:
  Status findDonors(const Call &call, const Tensor &query, const Tensor &key) const;
  Status planPlaces(const Call &call, int64_t pairs) const;
  Status fill(const Call &call, const Tensor &key, const Tensor &value) const;
  Result<std::vector<int32_t>> download(const Call &call, const Memory::Side &side, int64_t pairs) const;

  const Driver *driver = nullptr;
  Stage snapCells, planCells, fillCells, copy;
  Tile tile{};
};

/// Enqueues the stage `spread`, which both ways of merging have: `leaders` is whose result each token takes.
Status enqueueSpread(const Stage &stage, const KernelImage &image, Stream stream, const Tensor &out, const Tensor *lse,
                     DevicePointer leaders);

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICECELLS_H
