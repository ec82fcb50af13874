// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tiles, row vectors and token tables to plain vectors and back. Bounds are checked once for each.

#include "lib/Interpreter/Tile.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

/// Where channel `c` of token `i` is.
static SmallVector<int64_t, 3> getPlace(ArrayRef<int64_t> shape, Layout layout, int64_t i, int64_t c) {
  int64_t panel = shape.back();
  switch (layout) {
  case Layout::Rows:
    return {i, c};
  case Layout::KeyPanels:
    return {i / panel, c, i % panel};
  case Layout::KeyPairs:
    return {2 * i / panel, c / 2, 2 * i % panel + c % 2};
  case Layout::ValuePanels:
    return {c / panel, i, c % panel};
  case Layout::ValuePairs:
    return {2 * c / panel, i / 2, 2 * c % panel + i % 2};
  }
  llvm_unreachable("all layouts are above");
}

/// The last two tokens and channels are on the tile's far edges, whatever the layout.
static LogicalResult checkExtent(Operation *op, const Buffer &tile, TileExtent extent) {
  if (extent.tokens < 0)
    return op->emitOpError("expected a count of at least 0, but got ") << extent.tokens;
  for (int64_t i = std::max<int64_t>(0, extent.tokens - 2); i < extent.tokens; ++i)
    for (int64_t c = std::max<int64_t>(0, extent.channels - 2); c < extent.channels; ++c)
      if (failed(checkIndices(op, tile, getPlace(tile.shape, extent.layout, i, c))))
        return failure();
  return success();
}

FailureOr<Matrix> interp::readTile(Operation *op, const Buffer &tile, TileExtent extent) {
  if (failed(checkExtent(op, tile, extent)))
    return failure();
  Matrix matrix(extent.tokens, Row(extent.channels));
  for (int64_t i = 0; i < extent.tokens; ++i)
    for (int64_t c = 0; c < extent.channels; ++c)
      matrix[i][c] = tile.at(getPlace(tile.shape, extent.layout, i, c));
  return matrix;
}

LogicalResult interp::writeTile(Operation *op, const Buffer &tile, TileExtent extent, const Matrix &matrix) {
  if (failed(checkExtent(op, tile, extent)))
    return failure();
  for (int64_t i = 0; i < extent.tokens; ++i)
    for (int64_t c = 0; c < extent.channels; ++c) {
      bool isPadding = i >= std::ssize(matrix) || c >= std::ssize(matrix[i]);
      tile.at(getPlace(tile.shape, extent.layout, i, c)) = isPadding ? 0 : matrix[i][c];
    }
  return success();
}

static LogicalResult checkCount(Operation *op, const Buffer &vector, int64_t count) {
  if (count < 0)
    return op->emitOpError("expected a count of at least 0, but got ") << count;
  return count == 0 ? success() : checkIndices(op, vector, {count - 1});
}

FailureOr<Row> interp::readVector(Operation *op, const Buffer &vector, int64_t count) {
  if (failed(checkCount(op, vector, count)))
    return failure();
  Row row(count);
  for (int64_t i = 0; i < count; ++i)
    row[i] = vector.at({i});
  return row;
}

LogicalResult interp::writeVector(Operation *op, const Buffer &vector, const Row &row) {
  if (failed(checkCount(op, vector, row.size())))
    return failure();
  for (int64_t i = 0; i < std::ssize(row); ++i)
    vector.at({i}) = row[i];
  return success();
}

FailureOr<std::vector<int32_t>> interp::readTable(Operation *op, const Buffer &table, int64_t row, int64_t first,
                                                         int64_t count) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < count; ++i) {
    FailureOr<int64_t> number = loadInteger(op, table, {row, first + i});
    if (failed(number))
      return failure();
    numbers.push_back(*number);
  }
  return numbers;
}
