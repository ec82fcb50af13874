// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cuts grids into runs and clipped tiles.

#include "dialect/BlockPartition.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace weft;

TokenCoordinates weft::getCoordinates(GridAttr grid, int32_t token) {
  int64_t video = token - grid.getVideoBegin();
  constexpr int32_t far = WeftDialect::kTextCoordinate;
  if (video < 0 || video >= grid.getVideoTokens())
    return {far, far, far, token, true};
  int64_t row = video / grid.getW();
  return {static_cast<int32_t>(row / grid.getH()), static_cast<int32_t>(row % grid.getH()),
          static_cast<int32_t>(video % grid.getW()), token, false};
}

namespace {

/// Collects tokens and closes blocks.
class Partitioner {
public:
  explicit Partitioner(GridAttr grid) : grid(grid) {
    partition.offsets.push_back(0);
    partition.tokens.reserve(grid.getTokens());
  }

  void addRuns(int64_t begin, int64_t count, int64_t block) {
    for (int64_t first = 0; first < count; first += block) {
      for (int64_t i = first; i < std::min(first + block, count); ++i)
        partition.tokens.push_back(begin + i);
      closeBlock();
    }
  }

  void addTiles(OrderAttr order) {
    for (int64_t t = 0; t < grid.getT(); t += order.getT())
      for (int64_t h = 0; h < grid.getH(); h += order.getH())
        for (int64_t w = 0; w < grid.getW(); w += order.getW())
          addTile(t, h, w, order);
  }

  BlockPartition take() { return std::move(partition); }

private:
  void addTile(int64_t t0, int64_t h0, int64_t w0, OrderAttr order) {
    for (int64_t t = t0; t < std::min(t0 + order.getT(), grid.getT()); ++t)
      for (int64_t h = h0; h < std::min(h0 + order.getH(), grid.getH()); ++h)
        for (int64_t w = w0; w < std::min(w0 + order.getW(), grid.getW()); ++w)
          partition.tokens.push_back(grid.getVideoBegin() + (t * grid.getH() + h) * grid.getW() + w);
    closeBlock();
  }

  void closeBlock() {
    auto first = partition.tokens.begin() + partition.offsets.back();
    TokenCoordinates start = getCoordinates(grid, *first);
    BlockBox box{{start.t, start.t}, {start.h, start.h}, {start.w, start.w}, {start.index, start.index}, start.text};
    auto widen = [](Interval &interval, int32_t value) {
      interval = {std::min(interval.low, value), std::max(interval.high, value)};
    };
    for (auto token = first; token != partition.tokens.end(); ++token) {
      TokenCoordinates at = getCoordinates(grid, *token);
      widen(box.t, at.t), widen(box.h, at.h), widen(box.w, at.w), widen(box.index, at.index);
    }
    partition.boxes.push_back(box);
    partition.offsets.push_back(partition.tokens.size());
  }

  GridAttr grid;
  BlockPartition partition;
};

} // namespace

int64_t BlockPartition::maxTokens() const {
  int64_t largest = 0;
  for (size_t i = 1; i < offsets.size(); ++i)
    largest = std::max<int64_t>(largest, offsets[i] - offsets[i - 1]);
  return largest;
}

std::vector<int32_t> BlockPartition::coordinateTable(GridAttr grid) const {
  size_t count = tokens.size();
  std::vector<int32_t> table(4 * count);
  for (size_t i = 0; i < count; ++i) {
    TokenCoordinates at = getCoordinates(grid, tokens[i]);
    table[i] = at.index;
    table[count + i] = at.t;
    table[2 * count + i] = at.h;
    table[3 * count + i] = at.w;
  }
  return table;
}

std::array<int64_t, 3> weft::tileExtents(GridAttr grid, OrderAttr order) {
  return {std::min(order.getT(), grid.getT()), std::min(order.getH(), grid.getH()),
          std::min(order.getW(), grid.getW())};
}

BlockPartition weft::partitionTokens(GridAttr grid, OrderAttr order, int64_t block) {
  Partitioner partitioner(grid);
  auto addText = [&] { partitioner.addRuns(grid.getTextBegin(), grid.getText(), block); };
  if (grid.getTextFirst())
    addText();
  if (order.getTiled())
    partitioner.addTiles(order);
  else
    partitioner.addRuns(grid.getVideoBegin(), grid.getVideoTokens(), block);
  if (!grid.getTextFirst())
    addText();
  return partitioner.take();
}

int64_t weft::countBlocks(GridAttr grid, OrderAttr order, int64_t block) {
  int64_t text = llvm::divideCeil(grid.getText(), block);
  if (!order.getTiled())
    return text + llvm::divideCeil(grid.getVideoTokens(), block);
  return text + llvm::divideCeil(grid.getT(), order.getT()) * llvm::divideCeil(grid.getH(), order.getH()) *
                    llvm::divideCeil(grid.getW(), order.getW());
}
