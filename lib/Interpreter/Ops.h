// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The evaluation functions of ops, one per op and overloaded by its class.

#ifndef WEFT_LIB_INTERPRETER_OPS_H
#define WEFT_LIB_INTERPRETER_OPS_H

#include "lib/Interpreter/Predicate.h"
#include "lib/Interpreter/Value.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace weft::interp {

mlir::LogicalResult evaluate(AccumulateOp op, Scope &scope);
mlir::LogicalResult evaluate(AttentionOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockAttentionOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockMeansOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(ConstantMaskOp op, Scope &scope);
mlir::LogicalResult evaluate(GivenOp op, Scope &scope);
mlir::LogicalResult evaluate(InitTileOp op, Scope &scope);
mlir::LogicalResult evaluate(LoadTileOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskAndOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskNotOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskOrOp op, Scope &scope);
mlir::LogicalResult evaluate(MaxScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(MeanRowOp op, Scope &scope);
mlir::LogicalResult evaluate(PredicateOp op, Scope &scope);
mlir::LogicalResult evaluate(ReorderOp op, Scope &scope);
mlir::LogicalResult evaluate(RestoreOp op, Scope &scope);
mlir::LogicalResult evaluate(ScoreRowOp op, Scope &scope);
mlir::LogicalResult evaluate(ScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(SoftmaxOp op, Scope &scope);
mlir::LogicalResult evaluate(StoreTileOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::memref::CollapseShapeOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::memref::LoadOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::memref::SubViewOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::memref::ViewOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::scf::ForOp op, Scope &scope);
mlir::LogicalResult evaluate(mlir::scf::IfOp op, Scope &scope);

/// Evaluates an op that selects block lists.
mlir::LogicalResult evaluateSelection(mlir::Operation *op, Scope &scope);

/// Evaluates an arith op on integers, or a constant of f64.
mlir::LogicalResult evaluateScalar(mlir::Operation *op, Scope &scope);

/// Evaluates a function of the tile level that returns nothing. Buffers among the arguments are vectors of bytes, which
/// get the types of the function's arguments; integers wrap to theirs.
mlir::LogicalResult callTileFunction(mlir::func::FuncOp func, llvm::ArrayRef<RuntimeValue> arguments);

/// The rows of a result for the caller, all if `rows` is empty; an error at `op` if there is no such row.
mlir::FailureOr<DoubleTensor> collectResult(mlir::Operation *op, const Tensor &tensor, std::vector<int64_t> rows);

/// The mask of a predicate region over two grids, with the integers that the region uses from above it. `given` may be
/// null.
mlir::FailureOr<Mask> makePredicateMask(mlir::Region &body, GridAttr queryGrid, GridAttr keyGrid,
                                        const rt::GivenLists *given, const Scope &scope);

/// The positions in the key tensor of the keys that count for a position in the query tensor.
using VisibleKeys = std::function<std::vector<int32_t>(int64_t batch, int64_t head, int64_t query)>;

struct AttentionResult {
  Tensor out, lse;
};

/// Attention of every query over its visible keys.
AttentionResult attend(const Tensor &query, const Tensor &key, const Tensor &value, double scale, VisibleKeys visible);

/// A partition with the inverse of its table: where each token is.
struct TokenBlocks {
  TokenBlocks(GridAttr grid, OrderAttr order, int64_t block);

  BlockPartition partition;
  /// By sequence position: the token's block, and its position in block order.
  std::vector<int32_t> blockOf, positionOf;
};

/// Checks that `lists` are lists for the batch and heads of `query` over these blocks.
mlir::LogicalResult verifyGiven(mlir::Operation *op, const rt::GivenLists &lists, const Tensor &query,
                                int64_t queryBlocks, int64_t keyBlocks);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_OPS_H
