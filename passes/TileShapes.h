// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shapes of a kernel's tiles and packed operands, shared by the pass that forms them and the runtime image.

#ifndef WEFT_PASSES_TILESHAPES_H
#define WEFT_PASSES_TILESHAPES_H

#include "dialect/BlockPartition.h"
#include "dialect/WeftDialect.h"

namespace weft {

/// Blocks are rounded up to this many tokens, head dims of values to half of it.
constexpr int64_t kTileGranule = 32;

/// Columns of a panel of keys or values: all register tiles' widths divide it, and its rows are whole cache lines.
constexpr int64_t kPanel = 32;

/// Extents of the buffers of one kernel, in elements.
struct TileShapes {
  /// The depth of the scores' product is rounded up to `depthGranule` channels; a group has `rowGroup` rows at most.
  TileShapes(BlockAttentionOp op, bool pairs, int64_t depthGranule, int64_t rowGroup, int64_t groupsInFlight);

  bool pairs;
  int64_t headDim;
  /// The head dim of queries and keys, rounded up.
  int64_t depth;
  /// The head dim of values and of the accumulator, rounded up.
  int64_t valueDim;
  /// The largest query and key block, rounded up.
  int64_t rows, columns;
  /// Rows that take a key block's steps together, a divisor of `rows`: their scores stay in the first-level cache.
  int64_t group;
  /// Groups whose scores and weights have a place at a time: a power of 2.
  int64_t groupsInFlight;
  int64_t queryBlocks, keyBlocks;

  mlir::Type elementType;
  mlir::MemRefType query, key, value, bias, scores, weights, accumulator, rowVector;

  /// Byte offsets of the scratch buffers, and their sum.
  int64_t queryOffset, scoresOffset, weightsOffset, accumulatorOffset, maximumOffset, sumOffset, correctionOffset,
      scratchBytes;
};

} // namespace weft

#endif // WEFT_PASSES_TILESHAPES_H
