// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the partition into blocks: properties that hold for every grid, on awkward grids.

#include "dialect/BlockPartition.h"

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace weft;

namespace {

struct Size {
  int64_t t, h, w;
};

class BlockPartitionTest : public ::testing::Test {
protected:
  BlockPartitionTest() { context.loadDialect<WeftDialect>(); }

  GridAttr grid(Size size, int64_t text = 0, bool textFirst = false) {
    return GridAttr::get(&context, size.t, size.h, size.w, text, textFirst);
  }
  OrderAttr raster() { return OrderAttr::getRaster(&context); }
  OrderAttr tiles(Size size, int64_t first = 0) {
    return OrderAttr::get(&context, true, size.t, size.h, size.w, first);
  }

  OrderAttr sortedBy(llvm::ArrayRef<mlir::AffineExpr> keys, int64_t first = 0) {
    return OrderAttr::getSorted(mlir::AffineMap::get(3, 0, keys, &context), first);
  }
  mlir::AffineExpr t() { return mlir::getAffineDimExpr(0, &context); }
  mlir::AffineExpr h() { return mlir::getAffineDimExpr(1, &context); }
  mlir::AffineExpr w() { return mlir::getAffineDimExpr(2, &context); }

  /// Calls `check` for every grid, order and block size, all of them awkward.
  void forEachCase(llvm::function_ref<void(GridAttr, OrderAttr, int64_t, const BlockPartition &)> check) {
    for (Size size : {Size{1, 1, 1}, {1, 1, 37}, {1, 41, 1}, {7, 1, 1}, {3, 5, 7}, {13, 11, 2}, {2, 30, 45}})
      for (int64_t text : {0, 1, 32, 33, 226})
        for (bool textFirst : {false, true})
          for (OrderAttr order : {raster(), tiles({1, 1, 1}), tiles({2, 8, 8}), tiles({3, 5, 7}), tiles({4, 2, 3}),
                                  tiles({0, 8, 4}), tiles({0, 7, 3}), tiles({2, 3, 4}, 1), tiles({0, 7, 3}, 2),
                                  sortedBy({(h() - w()) % 2}), sortedBy({h() * 2 - w() * 3, -t()}, 1),
                                  sortedBy({t().floorDiv(2), h().ceilDiv(4), w()}, 2)})
            for (int64_t block : {32, 96, 256}) {
              SCOPED_TRACE(describe(size, text, textFirst, order, block));
              GridAttr cut = grid(size, text, textFirst);
              check(cut, order, block, partitionTokens(cut, order, block));
            }
  }

private:
  static std::string describe(Size size, int64_t text, bool textFirst, OrderAttr order, int64_t block) {
    std::string result;
    llvm::raw_string_ostream stream(result);
    stream << size.t << "x" << size.h << "x" << size.w << ", text " << text << (textFirst ? " before" : " after")
           << ", " << order << ", block " << block;
    return result;
  }

  mlir::MLIRContext context;
};

TEST_F(BlockPartitionTest, EveryTokenIsInExactlyOneBlock) {
  forEachCase([](GridAttr grid, OrderAttr, int64_t, const BlockPartition &partition) {
    std::vector<int32_t> tokens = partition.tokens;
    std::sort(tokens.begin(), tokens.end());
    ASSERT_EQ(static_cast<int64_t>(tokens.size()), grid.getTokens());
    for (int32_t i = 0; i < grid.getTokens(); ++i)
      ASSERT_EQ(tokens[i], i);
  });
}

TEST_F(BlockPartitionTest, BlocksAreNotEmptyAndNotTooLarge) {
  forEachCase([](GridAttr, OrderAttr order, int64_t block, const BlockPartition &partition) {
    ASSERT_EQ(partition.offsets.size(), partition.boxes.size() + 1);
    ASSERT_EQ(partition.offsets.front(), 0);
    ASSERT_EQ(partition.offsets.back(), static_cast<int32_t>(partition.tokens.size()));
    int64_t largest = 0;
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      int64_t count = partition.offsets[i + 1] - partition.offsets[i];
      int64_t limit = order.getTiled() && !partition.boxes[i].text ? order.getVolume() : block;
      ASSERT_GE(count, 1);
      ASSERT_LE(count, limit);
      largest = std::max(largest, count);
    }
    EXPECT_EQ(partition.maxTokens(), largest);
  });
}

TEST_F(BlockPartitionTest, BoxesAreHulls) {
  forEachCase([](GridAttr grid, OrderAttr, int64_t, const BlockPartition &partition) {
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      std::vector<int32_t> values[4];
      for (int32_t p = partition.offsets[i]; p < partition.offsets[i + 1]; ++p) {
        TokenCoordinates at = getCoordinates(grid, partition.tokens[p]);
        ASSERT_EQ(at.text, partition.boxes[i].text) << "text and video tokens share block " << i;
        values[0].push_back(at.t), values[1].push_back(at.h), values[2].push_back(at.w), values[3].push_back(at.index);
      }
      auto hull = [](const std::vector<int32_t> &of) {
        auto [low, high] = std::minmax_element(of.begin(), of.end());
        return Interval{*low, *high};
      };
      const BlockBox &box = partition.boxes[i];
      ASSERT_EQ(box.t, hull(values[0]));
      ASSERT_EQ(box.h, hull(values[1]));
      ASSERT_EQ(box.w, hull(values[2]));
      ASSERT_EQ(box.index, hull(values[3]));
    }
  });
}

TEST_F(BlockPartitionTest, TilesAreWholeBoxes) {
  forEachCase([](GridAttr, OrderAttr order, int64_t, const BlockPartition &partition) {
    if (!order.getTiled() || order.joinsFrames() || order.getFirst())
      return;
    auto length = [](Interval interval) { return interval.high - interval.low + 1; };
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      const BlockBox &box = partition.boxes[i];
      if (box.text)
        continue;
      EXPECT_EQ(length(box.t) * length(box.h) * length(box.w), partition.offsets[i + 1] - partition.offsets[i]);
      EXPECT_EQ(box.t.low % order.getT(), 0);
      EXPECT_EQ(box.h.low % order.getH(), 0);
      EXPECT_EQ(box.w.low % order.getW(), 0);
    }
  });
}

TEST_F(BlockPartitionTest, CountBlocksAgrees) {
  forEachCase([](GridAttr grid, OrderAttr order, int64_t block, const BlockPartition &partition) {
    EXPECT_EQ(countBlocks(grid, order, block), partition.numBlocks());
  });
}

TEST_F(BlockPartitionTest, TextStaysOnItsSide) {
  forEachCase([](GridAttr grid, OrderAttr, int64_t, const BlockPartition &partition) {
    for (int64_t i = 1; i < partition.numBlocks(); ++i)
      if (partition.boxes[i].text != partition.boxes[i - 1].text) {
        EXPECT_EQ(partition.boxes[i - 1].text, grid.getTextFirst());
      }
  });
}

TEST_F(BlockPartitionTest, CoordinateTableFollowsTokens) {
  forEachCase([](GridAttr grid, OrderAttr, int64_t, const BlockPartition &partition) {
    std::vector<int32_t> table = partition.coordinateTable(grid);
    size_t count = partition.tokens.size();
    ASSERT_EQ(table.size(), 4 * count);
    for (size_t i = 0; i < count; ++i) {
      TokenCoordinates at = getCoordinates(grid, partition.tokens[i]);
      ASSERT_EQ(table[i], at.index);
      ASSERT_EQ(table[count + i], at.t);
      ASSERT_EQ(table[2 * count + i], at.h);
      ASSERT_EQ(table[3 * count + i], at.w);
    }
  });
}

TEST_F(BlockPartitionTest, RasterKeepsTheSequence) {
  BlockPartition partition = partitionTokens(grid({3, 5, 7}, 40, /*textFirst=*/true), raster(), 32);
  EXPECT_TRUE(std::is_sorted(partition.tokens.begin(), partition.tokens.end()));
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 32, 40, 72, 104, 136, 145}));
}

TEST_F(BlockPartitionTest, TilesAreClippedAtTheGridsEnd) {
  BlockPartition partition = partitionTokens(grid({1, 3, 3}, 1), tiles({1, 2, 2}), 32);
  EXPECT_EQ(partition.tokens, (std::vector<int32_t>{0, 1, 3, 4, 2, 5, 6, 7, 8, 9}));
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 4, 6, 8, 9, 10}));
}

/// The frames below each other are one frame of as many rows.
TEST_F(BlockPartitionTest, RowsRunOnIntoTheNextFrame) {
  forEachCase([&](GridAttr cut, OrderAttr order, int64_t block, const BlockPartition &partition) {
    if (!order.joinsFrames() || order.getFirst())
      return;
    BlockPartition picture = partitionTokens(grid({1, cut.getT() * cut.getH(), cut.getW()}, cut.getText(), cut.getTextFirst()),
                                             tiles({1, order.getH(), order.getW()}), block);
    EXPECT_EQ(partition.tokens, picture.tokens);
    EXPECT_EQ(partition.offsets, picture.offsets);
  });
  BlockPartition partition = partitionTokens(grid({2, 3, 2}), tiles({0, 2, 2}), 32);
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 4, 8, 12}));
  EXPECT_EQ(partition.boxes[1].t, (Interval{0, 1}));
  EXPECT_EQ(partition.boxes[1].h, (Interval{0, 2}));
}

TEST_F(BlockPartitionTest, FirstFramesAreCutApart) {
  forEachCase([&](GridAttr cut, OrderAttr order, int64_t, const BlockPartition &partition) {
    for (const BlockBox &box : partition.boxes)
      if (order.getFirst() && !box.text && box.t.low < order.getFirst()) {
        EXPECT_LT(box.t.high, order.getFirst());
      }
  });
  BlockPartition partition = partitionTokens(grid({3, 3, 2}), tiles({0, 2, 2}, 1), 32);
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 4, 6, 10, 14, 18}));
  partition = partitionTokens(grid({4, 1, 2}), tiles({2, 1, 2}, 1), 32);
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 2, 6, 8}));
}

/// They are dense wherever they are a sink, so that no window needs to be a region of them.
TEST_F(BlockPartitionTest, FirstFramesAreRunsOfATilesLength) {
  forEachCase([&](GridAttr cut, OrderAttr order, int64_t, const BlockPartition &partition) {
    if (!order.getTiled())
      return;
    int64_t apart = countTokensApart(cut, order), length = llvm::product_of(tileExtents(cut, order)), begin = 0;
    EXPECT_EQ(apart, order.getFirst() < cut.getT() ? order.getFirst() * cut.getH() * cut.getW() : 0);
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      const BlockBox &box = partition.boxes[i];
      if (!isApart(box, cut, order))
        continue;
      EXPECT_EQ(box.index.low, cut.getVideoBegin() + begin);
      EXPECT_EQ(box.index.high - box.index.low + 1, partition.offsets[i + 1] - partition.offsets[i]);
      EXPECT_EQ(box.index.high - box.index.low + 1, std::min(length, apart - begin));
      begin += length;
    }
    EXPECT_EQ(llvm::divideCeil(apart, length) * length, begin);
  });
  // Columns of all other frames, and the first frame in runs of six.
  BlockPartition partition = partitionTokens(grid({4, 2, 5}), tiles({3, 1, 2}, 1), 32);
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 6, 10, 16, 22, 25, 31, 37, 40}));
}

/// By one number after the other, and equal ones in the order of the sequence.
TEST_F(BlockPartitionTest, SortedTokensAreCutIntoRuns) {
  BlockPartition partition = partitionTokens(grid({1, 2, 3}, 1), sortedBy({(h() - w()) % 2}), 32);
  EXPECT_EQ(partition.tokens, (std::vector<int32_t>{0, 2, 4, 1, 3, 5, 6}));
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 6, 7}));
  EXPECT_EQ(partitionTokens(grid({1, 3, 3}), sortedBy({-w(), h().floorDiv(2)}), 32).tokens,
            (std::vector<int32_t>{2, 5, 8, 1, 4, 7, 0, 3, 6}));
  partition = partitionTokens(grid({2, 2, 2}, 2, /*textFirst=*/true), sortedBy({-h()}, /*first=*/1), 32);
  EXPECT_EQ(partition.tokens, (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 8, 9, 6, 7}));
  EXPECT_EQ(partition.offsets, (std::vector<int32_t>{0, 2, 6, 10}));
  forEachCase([&](GridAttr cut, OrderAttr order, int64_t block, const BlockPartition &partition) {
    for (int64_t i = 1; i < partition.numBlocks() && order.isSorted(); ++i)
      if (!isApart(partition.boxes[i - 1], cut, order) && !partition.boxes[i - 1].text && !partition.boxes[i].text) {
        EXPECT_EQ(partition.offsets[i] - partition.offsets[i - 1], block) << "only the last of a segment is shorter";
      }
  });
}

TEST_F(BlockPartitionTest, OnlyFramesAreNotApart) {
  EXPECT_EQ(partitionTokens(grid({2, 3, 2}), tiles({0, 2, 2}, 5), 32).offsets, (std::vector<int32_t>{0, 4, 8, 12}));
}

TEST_F(BlockPartitionTest, CoordinatesCountInRasterOrder) {
  GridAttr cut = grid({2, 3, 4}, 5, /*textFirst=*/true);
  TokenCoordinates text = getCoordinates(cut, 4), first = getCoordinates(cut, 5), last = getCoordinates(cut, 28);
  EXPECT_TRUE(text.text);
  EXPECT_EQ(text.t, 1 << 20);
  EXPECT_EQ(text.h, 1 << 20);
  EXPECT_EQ(text.w, 1 << 20);
  EXPECT_EQ(text.index, 4);
  EXPECT_FALSE(first.text);
  EXPECT_EQ(std::tuple(first.t, first.h, first.w, first.index), std::tuple(0, 0, 0, 5));
  EXPECT_EQ(std::tuple(last.t, last.h, last.w, last.index), std::tuple(1, 2, 3, 28));
}

} // namespace
