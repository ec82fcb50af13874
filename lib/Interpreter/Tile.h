// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tiles as matrices: whole reads and writes, in every layout.

#ifndef WEFT_LIB_INTERPRETER_TILE_H
#define WEFT_LIB_INTERPRETER_TILE_H

#include "lib/Interpreter/Value.h"

#include "dialect/WeftDialect.h"

namespace weft::interp {

/// One row per token of a tile, or per row of scores.
using Matrix = std::vector<Row>;

/// The part of a tile that an op reads or writes.
struct TileExtent {
  Layout layout;
  int64_t tokens, channels;
};

/// The functions below fail with an error at `op` where it reaches beyond a buffer.
mlir::FailureOr<Matrix> readTile(mlir::Operation *op, const Buffer &tile, TileExtent extent);

/// Writes `matrix`, and zeros for the rest of the extent.
mlir::LogicalResult writeTile(mlir::Operation *op, const Buffer &tile, TileExtent extent, const Matrix &matrix);

/// The first `count` elements of a vector.
mlir::FailureOr<Row> readVector(mlir::Operation *op, const Buffer &vector, int64_t count);

mlir::LogicalResult writeVector(mlir::Operation *op, const Buffer &vector, const Row &row);

/// Numbers `first` to `first + count - 1` of one row of a token table.
mlir::FailureOr<std::vector<int32_t>> readTable(mlir::Operation *op, const Buffer &table, int64_t row, int64_t first,
                                                int64_t count);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_TILE_H
