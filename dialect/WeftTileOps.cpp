// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers of the tile steps, and the generated code of all ops.

#include "dialect/WeftDialect.h"
#include "dialect/WeftProgramOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace weft;

#define GET_OP_CLASSES
#include "dialect/WeftOps.cpp.inc"

static MemRefType tileType(Value tile) { return cast<MemRefType>(tile.getType()); }

static LogicalResult verifyTable(Operation *op, Value table) {
  if (tileType(table).getDimSize(0) != 4)
    return op->emitOpError("expected a table of 4 rows, but got ") << table.getType();
  return success();
}

/// Operand shapes of C = A B, with B in panels, and in pairs if the elements are bf16.
static LogicalResult verifyProduct(Operation *op, Value a, Value b, Value c) {
  MemRefType left = tileType(a), right = tileType(b), result = tileType(c);
  if (left.getElementType() != right.getElementType() || !result.getElementType().isF32())
    return op->emitOpError("expected two operands of one element type and a result in f32, but got ")
           << left << ", " << right << " and " << result;
  int64_t pair = left.getElementType().isBF16() ? 2 : 1;
  bool matches = left.getRank() == 2 && right.getRank() == 3 && result.getRank() == 2 &&
                 right.getDimSize(2) >= pair && right.getDimSize(2) % pair == 0 &&
                 left.getDimSize(1) == pair * right.getDimSize(1) && left.getDimSize(0) == result.getDimSize(0) &&
                 right.getDimSize(0) == llvm::divideCeilSigned(result.getDimSize(1), right.getDimSize(2) / pair);
  if (!matches)
    return op->emitOpError("expected the shapes of a product, but got ") << left << ", " << right << " and " << result;
  return success();
}

/// An f32 tile with as many rows as its row vectors.
static LogicalResult verifyRows(Operation *op, Value tile, Value rowVector) {
  MemRefType type = tileType(tile);
  if (!type.getElementType().isF32() || type.getRank() != 2 || type.getDimSize(0) != tileType(rowVector).getDimSize(0))
    return op->emitOpError("expected an f32 tile with the rows of ")
           << rowVector.getType() << ", but got " << tile.getType();
  return success();
}

int64_t weft::channelsOf(ArrayRef<int64_t> shape, Layout layout) {
  switch (layout) {
  case Layout::Rows:
  case Layout::KeyPanels:
    return shape[1];
  case Layout::KeyPairs:
    return 2 * shape[1];
  case Layout::ValuePanels:
    return shape[0] * shape[2];
  case Layout::ValuePairs:
    return shape[0] * (shape[2] / 2);
  }
  llvm_unreachable("all layouts are above");
}

LogicalResult LoadTileOp::verify() {
  if (failed(verifyTable(*this, getTable()))) // load_tile_c1
    return failure();
  MemRefType tile = tileType(getTile());
  int64_t d = getD();
  bool isRows = getLayout() == Layout::Rows;
  bool holds = tile.getRank() == (isRows ? 2 : 3) && d % 8 == 0 && d > 0 &&
               channelsOf(tile.getShape(), getLayout()) >= d;
  if (!holds) // load_tile_c2
    return emitOpError("expected d to be a multiple of 8 that the tile holds, but got ") << d << " for " << tile;
  if (!tile.getElementType().isF32() && tile.getElementType() != tileType(getSource()).getElementType()) // load_tile_c3
    return emitOpError("expected an f32 tile, or bf16 from bf16, but got ")
           << tile << " from " << getSource().getType();
  return success();
}

LogicalResult InitTileOp::verify() { return verifyRows(*this, getAccumulator(), getMaximum()); } // init_tile_c1

LogicalResult ScoresOp::verify() {
  return verifyProduct(*this, getQuery(), getKey(), getScores()); // scores_c1, scores_c2
}

LogicalResult SoftmaxOp::verify() {
  if (failed(verifyRows(*this, getScores(), getMaximum()))) // softmax_c1
    return failure();
  if (tileType(getWeights()).getShape() != tileType(getScores()).getShape())
    return emitOpError("expected weights in the shape of the scores, but got ")
           << getWeights().getType() << " for " << getScores().getType();
  if (getBias() && tileType(getBias()).getDimSize(0) != tileType(getScores()).getDimSize(1)) // softmax_c4
    return emitOpError("expected a bias for the columns of ")
           << getScores().getType() << ", but got " << getBias().getType();
  if (getBody().empty() != !getQueryTable()) // softmax_c2
    return emitOpError("expected a predicate region if and only if coordinates are named");
  if (!getBody().empty() && failed(verifyPredicateBody(*this, getBody(), /*given=*/true)))
    return failure();
  return verifyScale(*this, getScale().convertToDouble()); // softmax_c3
}

LogicalResult AccumulateOp::verify() { // accumulate_c1, accumulate_c2
  return verifyProduct(*this, getWeights(), getValue(), getAccumulator());
}

LogicalResult StoreTileOp::verify() {
  if (failed(verifyTable(*this, getTable())) ||                    // store_tile_c1
      failed(verifyRows(*this, getAccumulator(), getMaximum())) || // store_tile_c2
      failed(verifyScale(*this, getScale().convertToDouble())))    // store_tile_c3
    return failure();
  if (tileType(getAccumulator()).getDimSize(1) < static_cast<int64_t>(getD()))
    return emitOpError("expected an accumulator at least d wide, but got ")
           << getAccumulator().getType() << " for d = " << getD();
  return success();
}

LogicalResult MeanRowOp::verify() {
  if (failed(verifyTable(*this, getTable()))) // mean_row_c1
    return failure();
  if (tileType(getMean()).getDimSize(0) % 8) // mean_row_c2
    return emitOpError("expected a multiple of 8 channels, but got ") << getMean().getType();
  return success();
}

LogicalResult ScoreRowOp::verify() {
  MemRefType query = tileType(getQuery()), keys = tileType(getKeys()), scores = tileType(getScores());
  if (query.getDimSize(0) != keys.getDimSize(1) || query.getDimSize(0) % 8) // score_row_c1
    return emitOpError("expected query and keys of the same multiple of 8 channels, but got ")
           << query << " and " << keys;
  int64_t expected = llvm::alignTo(keys.getDimSize(0), 4);
  if (scores.getDimSize(0) != expected) // score_row_c2
    return emitOpError("expected ") << expected << " scores for " << keys << ", but got " << scores;
  return verifyScale(*this, getScale().convertToDouble()); // score_row_c3
}
