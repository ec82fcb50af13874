// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of boxes in sorted tokens: what they say is read as a copy engine reads it.

#include "dialect/SortedBoxes.h"

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

using namespace weft;

namespace {

struct Size {
  int64_t t, h, w;
};

class SortedBoxesTest : public ::testing::Test {
protected:
  SortedBoxesTest() { context.loadDialect<WeftDialect>(); }

  GridAttr grid(Size size, int64_t text = 0, bool textFirst = false) {
    return GridAttr::get(&context, size.t, size.h, size.w, text, textFirst);
  }
  OrderAttr sortedBy(llvm::ArrayRef<mlir::AffineExpr> keys, int64_t first = 0) {
    return OrderAttr::getSorted(mlir::AffineMap::get(3, 0, keys, &context), first);
  }
  /// Strips of columns, walked through all frames.
  OrderAttr strips(int64_t columns, int64_t first = 0) { return sortedBy({w().floorDiv(columns), t(), h()}, first); }
  mlir::AffineExpr t() { return mlir::getAffineDimExpr(0, &context); }
  mlir::AffineExpr h() { return mlir::getAffineDimExpr(1, &context); }
  mlir::AffineExpr w() { return mlir::getAffineDimExpr(2, &context); }

  /// Rows and columns of the boxes, or two zeros; checks where they begin.
  std::array<int64_t, 2> boxesOf(GridAttr grid, OrderAttr order, int64_t block) {
    std::optional<SortedBoxes> boxes = findSortedBoxes(grid, order, block);
    if (!boxes)
      return {0, 0};
    checkBegins(grid, order, block, *boxes);
    return {boxes->rows, boxes->columns};
  }

  /// The tokens of all boxes, as they come into a tile, must be the partition's.
  static void checkBegins(GridAttr grid, OrderAttr order, int64_t block, const SortedBoxes &boxes) {
    BlockPartition partition = partitionTokens(grid, order, block);
    std::vector<int32_t> begins = boxes.findBegins(partition, order, block);
    ASSERT_EQ(begins.size(), partition.numBlocks() * SortedBoxes::kMostPerBlock);
    ASSERT_LE(boxes.perBlock(block), SortedBoxes::kMostPerBlock);
    ASSERT_EQ(boxes.perBlock(block) * boxes.rows * boxes.columns, block);
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      if (partition.boxes[i].text || isApart(partition.boxes[i], grid, order))
        continue;
      llvm::ArrayRef<int32_t> expected(&partition.tokens[partition.offsets[i]],
                                       partition.offsets[i + 1] - partition.offsets[i]);
      std::vector<int32_t> rows;
      for (int64_t box = 0; box < boxes.perBlock(block); ++box)
        readBox(grid, boxes, begins[i * SortedBoxes::kMostPerBlock + box], rows);
      for (int64_t row = 0; row < block; ++row)
        ASSERT_EQ(rows[row], row < static_cast<int64_t>(expected.size()) ? expected[row] : -1) << "block " << i;
    }
  }

  static void readBox(GridAttr grid, const SortedBoxes &boxes, int32_t begin, std::vector<int32_t> &rows) {
    for (int64_t i = 0; i < boxes.rows; ++i)
      for (int64_t j = 0; j < boxes.columns; ++j) {
        int64_t row = (begin >> 16) + i, column = (begin & 0xFFFF) + j;
        bool isInside = row < grid.getT() * grid.getH() && column < grid.getW();
        rows.push_back(isInside ? grid.getVideoBegin() + row * grid.getW() + column : -1);
      }
  }

  mlir::MLIRContext context;
};

using Extents = std::array<int64_t, 2>;
constexpr Extents kNone{0, 0};

TEST_F(SortedBoxesTest, StripsOfColumns) {
  // 600 rows of four: blocks of 32 rows end in eight, and the next strip begins there.
  EXPECT_EQ(boxesOf(grid({21, 30, 52}), strips(4, 1), 128), (Extents{8, 4}));
  // 900 rows of sixteen.
  EXPECT_EQ(boxesOf(grid({21, 45, 80}), strips(16, 1), 128), (Extents{4, 16}));
  EXPECT_EQ(boxesOf(grid({33, 45, 80}, 256), strips(16, 1), 128), (Extents{8, 16}));
  EXPECT_EQ(boxesOf(grid({5, 8, 12}, 19, true), strips(4), 64), (Extents{8, 4}));
}

TEST_F(SortedBoxesTest, RowsOfDifferentFrames) {
  EXPECT_EQ(boxesOf(grid({5, 8, 16}), sortedBy({h(), t()}), 64), (Extents{1, 16}));
  EXPECT_EQ(boxesOf(grid({5, 8, 16}), sortedBy({h(), t()}), 128), kNone);
}

TEST_F(SortedBoxesTest, TheLastBoxIsCut) {
  EXPECT_EQ(boxesOf(grid({5, 9, 16}, 5), sortedBy({t(), h()}), 64), (Extents{4, 16}));
  EXPECT_EQ(boxesOf(grid({5, 13, 4}), strips(4), 64), (Extents{16, 4}));
  // Its block lacks three of four boxes.
  EXPECT_EQ(boxesOf(grid({5, 8, 8}), strips(4), 128), (Extents{8, 4}));
}

TEST_F(SortedBoxesTest, TokensThatAreNoBoxes) {
  for (OrderAttr order : {sortedBy({(h() - w()) % 2}), sortedBy({-w()}), sortedBy({t() + w()}), strips(5), strips(3),
                          OrderAttr::getRaster(&context), OrderAttr::get(&context, true, 1, 8, 8, 0)})
    EXPECT_EQ(boxesOf(grid({5, 8, 16}), order, 64), kNone);
  // Strips end within a fourth of a block; the last one is narrower; there are fewer tokens than a block has.
  EXPECT_EQ(boxesOf(grid({5, 9, 12}), strips(4), 64), kNone);
  EXPECT_EQ(boxesOf(grid({5, 8, 10}), strips(4), 64), kNone);
  EXPECT_EQ(boxesOf(grid({1, 3, 8}, 40), strips(4), 64), kNone);
  // Only frames apart, or no sizes that boxes divide.
  EXPECT_EQ(boxesOf(grid({1, 8, 16}), strips(4, 1), 64), (Extents{8, 4}));
  EXPECT_EQ(boxesOf(grid({5, 8, 16}), strips(4), 48), kNone);
}

TEST_F(SortedBoxesTest, WhateverIsFoundIsThere) {
  int64_t found = 0;
  for (Size size : {Size{1, 16, 16}, {3, 8, 8}, {4, 6, 12}, {5, 7, 16}, {2, 30, 45}, {7, 4, 20}, {9, 5, 32}})
    for (int64_t text : {0, 33})
      for (int64_t first : {0, 1, 2})
        for (int64_t columns : {1, 2, 3, 4, 5, 8, 15, 16, 45})
          for (OrderAttr order : {strips(columns, first), sortedBy({t(), w().floorDiv(columns), h()}, first),
                                  sortedBy({t(), h().floorDiv(columns), w().floorDiv(columns)}, first)})
            for (int64_t block : {32, 64, 96, 128})
              found += boxesOf(grid(size, text), order, block) != kNone;
  EXPECT_GT(found, 100);
}

} // namespace
