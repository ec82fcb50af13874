// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cuts grids into runs and clipped tiles.

#include "dialect/BlockPartition.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <numeric>

using namespace mlir;
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

/// An expression of a sorted order for a token's t, h and w; it wraps.
int64_t evaluate(AffineExpr expr, const std::array<int64_t, 3> &coordinates) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return coordinates[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t lhs = evaluate(binary.getLHS(), coordinates), rhs = evaluate(binary.getRHS(), coordinates);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return static_cast<int64_t>(static_cast<uint64_t>(lhs) + static_cast<uint64_t>(rhs));
  case AffineExprKind::Mul:
    return static_cast<int64_t>(static_cast<uint64_t>(lhs) * static_cast<uint64_t>(rhs));
  case AffineExprKind::FloorDiv:
    return llvm::divideFloorSigned(lhs, rhs);
  case AffineExprKind::CeilDiv:
    return llvm::divideCeilSigned(lhs, rhs);
  default:
    return lhs - rhs * llvm::divideFloorSigned(lhs, rhs);
  }
}

/// Collects tokens and closes blocks.
class Partitioner {
public:
  explicit Partitioner(GridAttr grid) : grid(grid) {
    partition.grid = grid;
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
    int64_t rowsOfFrame = pictureExtents(grid, order)[1];
    auto [depth, height, width] = order.getBox();
    PicturePart part = tiledPart(grid, order);
    auto rangeFrom = [&](int64_t from, int64_t size, int axis) {
      return Range{part.begin[axis] + from, part.begin[axis] + std::min(from + size, part.extents[axis])};
    };
    for (int64_t t = 0; t < part.extents[0]; t += depth)
      for (int64_t h = 0; h < part.extents[1]; h += height)
        for (int64_t w = 0; w < part.extents[2]; w += width)
          addTile(rangeFrom(t, depth, 0), rangeFrom(h, height, 1), rangeFrom(w, width, 2), rowsOfFrame);
  }

  /// The video tokens from `first` on, sorted.
  void addSorted(OrderAttr order, int64_t first, int64_t block) {
    int64_t count = grid.getVideoTokens() - first, begin = grid.getVideoBegin() + first;
    ArrayRef<AffineExpr> keys = order.getBy().getResults();
    std::vector<int64_t> values;
    values.reserve(count * keys.size());
    for (int64_t i = 0; i < count; ++i) {
      TokenCoordinates at = getCoordinates(grid, begin + i);
      for (AffineExpr key : keys)
        values.push_back(evaluate(key, {at.t, at.h, at.w}));
    }
    std::vector<int32_t> sorted(count);
    std::iota(sorted.begin(), sorted.end(), 0);
    auto keysOf = [&](int32_t i) { return ArrayRef(values).slice(i * keys.size(), keys.size()); };
    llvm::sort(sorted, [&](int32_t a, int32_t b) {
      ArrayRef<int64_t> left = keysOf(a), right = keysOf(b);
      return left == right ? a < b : std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
    });
    for (int64_t from = 0; from < count; from += block) {
      for (int32_t i : ArrayRef(sorted).slice(from, std::min(block, count - from)))
        partition.tokens.push_back(begin + i);
      closeBlock();
    }
  }

  BlockPartition take() { return std::move(partition); }

private:
  /// From begin to end, without it.
  using Range = std::array<int64_t, 2>;

  void addTile(Range ts, Range hs, Range ws, int64_t rowsOfFrame) {
    for (int64_t t = ts[0]; t < ts[1]; ++t)
      for (int64_t h = hs[0]; h < hs[1]; ++h)
        for (int64_t w = ws[0]; w < ws[1]; ++w)
          partition.tokens.push_back(grid.getVideoBegin() + (t * rowsOfFrame + h) * grid.getW() + w);
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

std::array<int64_t, 3> weft::pictureExtents(GridAttr grid, OrderAttr order) {
  if (order.joinsFrames())
    return {1, grid.getT() * grid.getH(), grid.getW()};
  return {grid.getT(), grid.getH(), grid.getW()};
}

int64_t weft::countTokensApart(GridAttr grid, OrderAttr order) {
  if (!order.permutes() || order.getFirst() >= grid.getT())
    return 0;
  return order.getFirst() * grid.getH() * grid.getW();
}

bool weft::isApart(const BlockBox &box, GridAttr grid, OrderAttr order) {
  return countTokensApart(grid, order) > 0 && box.t.high < order.getFirst();
}

PicturePart weft::tiledPart(GridAttr grid, OrderAttr order) {
  PicturePart part{{0, 0, 0}, pictureExtents(grid, order)};
  int64_t axis = order.joinsFrames() ? 1 : 0;
  part.begin[axis] = countTokensApart(grid, order) / (grid.getW() * (axis == 1 ? 1 : grid.getH()));
  part.extents[axis] -= part.begin[axis];
  return part;
}

std::array<int64_t, 3> weft::tileExtents(GridAttr grid, OrderAttr order) {
  std::array<int64_t, 3> box = order.getBox(), ends = pictureExtents(grid, order);
  return {std::min(box[0], ends[0]), std::min(box[1], ends[1]), std::min(box[2], ends[2])};
}

/// Of the blocks that hold the tokens apart.
static int64_t lengthOfRuns(GridAttr grid, OrderAttr order, int64_t block) {
  return order.getTiled() ? llvm::product_of(tileExtents(grid, order)) : block;
}

BlockPartition weft::partitionTokens(GridAttr grid, OrderAttr order, int64_t block) {
  Partitioner partitioner(grid);
  auto addText = [&] { partitioner.addRuns(grid.getTextBegin(), grid.getText(), block); };
  if (grid.getTextFirst())
    addText();
  int64_t apart = countTokensApart(grid, order);
  if (order.permutes())
    partitioner.addRuns(grid.getVideoBegin(), apart, lengthOfRuns(grid, order, block));
  if (order.getTiled())
    partitioner.addTiles(order);
  else if (order.isSorted())
    partitioner.addSorted(order, apart, block);
  else
    partitioner.addRuns(grid.getVideoBegin(), grid.getVideoTokens(), block);
  if (!grid.getTextFirst())
    addText();
  return partitioner.take();
}

int64_t weft::countBlocks(GridAttr grid, OrderAttr order, int64_t block) {
  int64_t text = llvm::divideCeil(grid.getText(), block), apart = countTokensApart(grid, order);
  int64_t runs = llvm::divideCeil(apart, lengthOfRuns(grid, order, block));
  if (!order.getTiled())
    return text + runs + llvm::divideCeil(grid.getVideoTokens() - apart, block);
  std::array<int64_t, 3> box = order.getBox(), extents = tiledPart(grid, order).extents;
  return text + runs + llvm::divideCeil(extents[0], box[0]) * llvm::divideCeil(extents[1], box[1]) *
                           llvm::divideCeil(extents[2], box[2]);
}
