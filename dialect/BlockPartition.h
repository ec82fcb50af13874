// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Partition of a token sequence into blocks, the common ground of masks, plans and kernels.

#ifndef WEFT_DIALECT_BLOCKPARTITION_H
#define WEFT_DIALECT_BLOCKPARTITION_H

#include "dialect/WeftDialect.h"

#include <array>
#include <vector>

namespace weft {

/// A closed range of integers.
struct Interval {
  int32_t low = 0, high = 0;
  bool operator==(const Interval &) const = default;
};

/// The coordinate hull of one block's tokens. Blocks never mix text and video tokens.
struct BlockBox {
  Interval t, h, w, index;
  bool text = false;
};

/// Coordinates of one token, as predicates see them.
struct TokenCoordinates {
  int32_t t, h, w, index;
  bool text;
};
TokenCoordinates getCoordinates(GridAttr grid, int32_t token);

/// The tokens of a sequence, block by block.
///
/// In the raster order a block is a run of at most `block` tokens. In a tiled order a block is one clipped tile, whose
/// rows may run on into the next frame (OrderAttr); first frames that stand apart are cut into runs of as many tokens as
/// a tile has, and the text tokens into runs of at most `block`. In a sorted order a block is a run of at most `block` of
/// the sorted video tokens, first frames for themselves. Blocks are in the order of the sequence's segments: the
/// text stays before or after the video tokens.
struct BlockPartition {
  GridAttr grid;
  /// Block i holds tokens[offsets[i]] .. tokens[offsets[i + 1] - 1].
  std::vector<int32_t> offsets;
  /// Sequence positions in block order: a permutation.
  std::vector<int32_t> tokens;
  std::vector<BlockBox> boxes;

  int64_t numBlocks() const { return static_cast<int64_t>(boxes.size()); }
  /// The largest block's tokens.
  int64_t maxTokens() const;
  /// Coordinates for the kernel: four rows `index, t, h, w`, each in block order.
  std::vector<int32_t> coordinateTable(GridAttr grid) const;
};

/// The extents t, h and w of what a tiled order's boxes cut: the grid's, or one picture of all frames' rows.
std::array<int64_t, 3> pictureExtents(GridAttr grid, OrderAttr order);

/// The tokens of the first frames that a tiled or sorted order cuts apart: none if there are no other frames.
int64_t countTokensApart(GridAttr grid, OrderAttr order);

/// Whether the tokens of a partition's block are among them.
bool isApart(const BlockBox &box, GridAttr grid, OrderAttr order);

/// A part of the picture: where it begins, and its extents.
struct PicturePart {
  std::array<int64_t, 3> begin, extents;
};

/// What boxes cut: the picture without the tokens apart.
PicturePart tiledPart(GridAttr grid, OrderAttr order);

/// The extents t, h and w of a tiled order's boxes, which end at the picture's.
std::array<int64_t, 3> tileExtents(GridAttr grid, OrderAttr order);

BlockPartition partitionTokens(GridAttr grid, OrderAttr order, int64_t block);

/// numBlocks() of the partition, without making it.
int64_t countBlocks(GridAttr grid, OrderAttr order, int64_t block);

} // namespace weft

#endif // WEFT_DIALECT_BLOCKPARTITION_H
