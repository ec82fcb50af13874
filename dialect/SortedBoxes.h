// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sorted tokens that lie in boxes.

#ifndef WEFT_DIALECT_SORTEDBOXES_H
#define WEFT_DIALECT_SORTEDBOXES_H

#include "dialect/BlockPartition.h"

#include <optional>

namespace weft {

/// Equal boxes of which the video blocks of a sorted order consist, in the picture of all frames' rows.
///
/// A box holds `rows` x `columns` tokens, row by row. The boxes of a block follow one another, as many as fill `block` rows of
/// a tile: of the sorted tokens' last box some rows, and of boxes behind it all, may lie beyond the picture's last row.
struct SortedBoxes {
  static constexpr int64_t kMostPerBlock = 4;

  int64_t rows = 0, columns = 0;

  int64_t perBlock(int64_t block) const { return block / (rows * columns); }
  /// Where the boxes of each block of a partition begin: kMostPerBlock numbers each, column | row << 16; 0 where there is
  /// no box, or the block is none of sorted tokens.
  std::vector<int32_t> findBegins(const BlockPartition &partition, OrderAttr order, int64_t block) const;
};

/// The boxes of a sorted order, as large as there are; none if its blocks are not such boxes, or of more than kMostPerBlock.
std::optional<SortedBoxes> findSortedBoxes(GridAttr grid, OrderAttr order, int64_t block);

} // namespace weft

#endif // WEFT_DIALECT_SORTEDBOXES_H
