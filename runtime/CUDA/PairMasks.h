// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bits of partial blocks, as codegen/CUDA/MaskStage.h describes them.

#ifndef WEFT_RUNTIME_CUDA_PAIRMASKS_H
#define WEFT_RUNTIME_CUDA_PAIRMASKS_H

#include "runtime/BlockLists.h"
#include "runtime/CUDA/Stage.h"

#include <span>
#include <vector>

namespace weft::rt::cuda {

/// Bytes that the bits of one set of lists may take: WEFT_MASK_MEMORY MiB, or 256. The attention kernel evaluates the
/// predicate of what does not fit.
int64_t mostMaskBytes();

/// The tiles of some lists.
struct PairMasks {
  DeviceMemory index, bits;
  /// What the stage that fills them reads.
  DeviceMemory pairs;
  /// Of the tiles.
  int64_t bytes = 0;
};

/// What tiles there may be.
struct MaskShape {
  /// Extents of the index.
  int64_t givens = 1, choices = 1, heads = 1;
  /// Of a tile.
  int64_t rows = 0;
  /// Of all tiles.
  int64_t mostBytes = 0;

  int64_t tileBytes() const { return 16 * rows; }
};

/// The partial pairs of some lists, with a tile for each.
/// Lists whose partial pairs need tiles, for one choice or for all.
struct MaskSource {
  static constexpr int64_t kAllChoices = -1;

  const BlockLists *lists;
  int64_t choice = kAllChoices;
};

struct MaskPlan {
  MaskPlan(const MaskShape &shape, const std::vector<MaskSource> &sources);

  /// Tile 0 stands for no tile.
  std::vector<int32_t> index;
  /// Of the tiles from 1 on: query block, key block, head, and twice the choice with 1 if the pair is given.
  std::vector<int32_t> pairs;

  int64_t tiles() const { return static_cast<int64_t>(pairs.size()) / 4; }
};

/// A kernel's tables that tell which pairs count.
struct MaskTables {
  DevicePointer queryCoordinates = 0, keyCoordinates = 0, keyBlocks = 0, columnMasks = 0;
};

/// Makes the tiles of a kernel.
class PairMasker {
public:
  static Result<PairMasker> load(std::shared_ptr<const Device> device, const Code &code, const std::string &kernel,
                                 const MaskShape &shape, const MaskTables &tables);

  /// Allocates, and enqueues what fills the tiles. `parameters` are those that are no floats.
  Result<PairMasks> make(const std::vector<MaskSource> &sources, std::span<const int32_t> parameters,
                         Stream stream) const;

private:
  Status fill(const PairMasks &masks, int64_t tiles, std::span<const int32_t> parameters, Stream stream) const;

  std::shared_ptr<const Device> device;
  Stage stage;
  MaskShape shape;
  MaskTables tables;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_PAIRMASKS_H
