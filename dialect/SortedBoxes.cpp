// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds boxes in sorted tokens.

#include "dialect/SortedBoxes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace weft;

namespace {

/// The picture of all frames' rows, whose places are video tokens.
struct Picture {
  explicit Picture(GridAttr grid) : rows(grid.getT() * grid.getH()), columns(grid.getW()) {}

  int64_t rows, columns;

  /// Whether some tokens, less than a box only at the picture's end, are those of the box that begins with the first.
  bool isBox(ArrayRef<int32_t> tokens, const SortedBoxes &box) const {
    int64_t row = tokens.front() / columns, column = tokens.front() % columns;
    if (column + box.columns > columns)
      return false;
    int64_t inside = std::min(box.rows, rows - row) * box.columns;
    if (static_cast<int64_t>(tokens.size()) != inside)
      return false;
    for (int64_t i = 0; i < inside; ++i)
      if (tokens[i] != (row + i / box.columns) * columns + column + i % box.columns)
        return false;
    return true;
  }
};

/// The tokens of the blocks that are sorted, counted from the first video token.
class SortedBlocks {
public:
  SortedBlocks(const BlockPartition &partition, OrderAttr order) : partition(partition), order(order) {
    for (int32_t token : partition.tokens)
      video.push_back(token - partition.grid.getVideoBegin());
  }

  bool isSorted(int64_t block) const {
    const BlockBox &box = partition.boxes[block];
    return !box.text && !isApart(box, partition.grid, order);
  }

  ArrayRef<int32_t> tokensOf(int64_t block) const {
    int32_t begin = partition.offsets[block], end = partition.offsets[block + 1];
    return ArrayRef(video).slice(begin, end - begin);
  }

private:
  const BlockPartition &partition;
  OrderAttr order;
  std::vector<int32_t> video;
};

/// Of `size` tokens, the columns until the row changes.
int64_t countColumns(ArrayRef<int32_t> tokens, int64_t columns) {
  size_t i = 1;
  while (i < tokens.size() && tokens[i] == tokens[i - 1] + 1 && tokens[i] % columns != 0)
    ++i;
  return i;
}

} // namespace

std::vector<int32_t> SortedBoxes::findBegins(const BlockPartition &partition, OrderAttr order, int64_t block) const {
  Picture picture(partition.grid);
  SortedBlocks blocks(partition, order);
  std::vector<int32_t> begins(partition.numBlocks() * kMostPerBlock);
  for (int64_t i = 0; i < partition.numBlocks(); ++i) {
    if (!blocks.isSorted(i))
      continue;
    ArrayRef<int32_t> tokens = blocks.tokensOf(i);
    for (int64_t box = 0; box < perBlock(block); ++box) {
      size_t first = box * rows * columns;
      int64_t row = first < tokens.size() ? tokens[first] / picture.columns : picture.rows;
      int64_t column = first < tokens.size() ? tokens[first] % picture.columns : 0;
      begins[i * kMostPerBlock + box] = static_cast<int32_t>(column | row << 16);
    }
  }
  return begins;
}

std::optional<SortedBoxes> weft::findSortedBoxes(GridAttr grid, OrderAttr order, int64_t block) {
  Picture picture(grid);
  constexpr int64_t kMost = 1 << 15; // of a number of 16 bits
  if (!order.isSorted() || block % (8 * SortedBoxes::kMostPerBlock) || picture.rows >= kMost || picture.columns >= kMost)
    return std::nullopt;
  BlockPartition partition = partitionTokens(grid, order, block);
  if (partition.maxTokens() < block)
    return std::nullopt;
  SortedBlocks blocks(partition, order);
  auto consistsOf = [&](int64_t number, const SortedBoxes &box) {
    ArrayRef<int32_t> tokens = blocks.tokensOf(number);
    for (int64_t size = box.rows * box.columns; !tokens.empty(); tokens = tokens.drop_front(std::min<int64_t>(size, tokens.size())))
      if (!picture.isBox(tokens.take_front(size), box))
        return false;
    return true;
  };
  int64_t first = 0;
  while (first < partition.numBlocks() && !blocks.isSorted(first))
    ++first;
  if (first == partition.numBlocks())
    return std::nullopt;
  int64_t columns = countColumns(blocks.tokensOf(first), picture.columns);
  for (int64_t size = block; size >= block / SortedBoxes::kMostPerBlock; size /= 2) {
    SortedBoxes box{size / columns, columns};
    if (size % columns)
      continue;
    bool areAll = true;
    for (int64_t i = first; areAll && i < partition.numBlocks(); ++i)
      areAll = !blocks.isSorted(i) || consistsOf(i, box);
    if (areAll)
      return box;
  }
  return std::nullopt;
}
