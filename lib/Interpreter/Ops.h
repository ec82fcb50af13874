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
mlir::LogicalResult evaluate(AdvanceAgeOp op, Scope &scope);
mlir::LogicalResult evaluate(AttentionOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockAttentionOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockMeansOp op, Scope &scope);
mlir::LogicalResult evaluate(BlockScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(ChooseOp op, Scope &scope);
mlir::LogicalResult evaluate(ConstantMaskOp op, Scope &scope);
mlir::LogicalResult evaluate(GivenOp op, Scope &scope);
mlir::LogicalResult evaluate(ImportanceOp op, Scope &scope);
mlir::LogicalResult evaluate(InitTileOp op, Scope &scope);
mlir::LogicalResult evaluate(LoadTileOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskAndOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskNotOp op, Scope &scope);
mlir::LogicalResult evaluate(MaskOrOp op, Scope &scope);
mlir::LogicalResult evaluate(MaxScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(MeanRowOp op, Scope &scope);
mlir::LogicalResult evaluate(PredicateOp op, Scope &scope);
mlir::LogicalResult evaluate(RecallOp op, Scope &scope);
mlir::LogicalResult evaluate(ReorderOp op, Scope &scope);
mlir::LogicalResult evaluate(RestoreOp op, Scope &scope);
mlir::LogicalResult evaluate(ScoreRowOp op, Scope &scope);
mlir::LogicalResult evaluate(ScoresOp op, Scope &scope);
mlir::LogicalResult evaluate(SelectRowsOp op, Scope &scope);
mlir::LogicalResult evaluate(SnapOp op, Scope &scope);
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

/// The windows of weft.snap.
struct SnapWindows {
  GridAttr grid;
  int64_t window;
  /// Whether they lie along t, h and w.
  std::array<bool, 3> axes;
  bool whole;
  double threshold;
};

/// The tensor with neighbours' values: see weft.snap.
Tensor snap(const Tensor &operand, const SnapWindows &windows);

/// The rows of a result for the caller, all if `rows` is empty; an error at `op` if there is no such row.
mlir::FailureOr<DoubleTensor> collectResult(mlir::Operation *op, const Tensor &tensor, std::vector<int64_t> rows);

/// The mask of a predicate region over two grids, with the integers that the region uses from above it, and each head's
/// choice if it uses one. `given` may be null.
mlir::FailureOr<Mask> makePredicateMask(mlir::Region &body, GridAttr queryGrid, GridAttr keyGrid,
                                        const rt::GivenLists *given, const Scope &scope);

/// The positions in the key tensor of the keys that count for a position in the query tensor.
using VisibleKeys = std::function<std::vector<int32_t>(int64_t batch, int64_t head, int64_t query)>;

struct AttentionResult {
  Tensor out, lse;
};

/// The tensors of an attention; the bias may be missing.
struct AttentionTensors {
  Tensor query, key, value;
  std::optional<Tensor> bias;
};

/// Attention of every query over its visible keys.
AttentionResult attend(const AttentionTensors &tensors, double scale, VisibleKeys visible);

/// The rows that an attention selects, by batch, head and sequence position.
using SelectedRows = std::function<bool(int64_t batch, int64_t head, int64_t token)>;

/// Checks `rows` for queries of shape `shape`, an error at `op` if they do not fit.
mlir::FailureOr<SelectedRows> selectRows(mlir::Operation *op, const rt::RowLists &rows,
                                         const std::vector<int64_t> &shape);

/// The selected rows of `result`, and those of `into` elsewhere. `tokenOf` tells which token a row of the tensors is.
AttentionResult writeRows(const AttentionResult &result, const AttentionResult &into, SelectedRows selected,
                          std::function<int64_t(int64_t)> tokenOf);

/// What an attention computes, with its bias and rows, from the visible keys of its queries.
template <typename Op>
mlir::LogicalResult bindAttention(Op op, Scope &scope, VisibleKeys visible, std::function<int64_t(int64_t)> tokenOf) {
  AttentionTensors tensors{scope.getTensor(op.getQuery()), scope.getTensor(op.getKey()), scope.getTensor(op.getValue()),
                           std::nullopt};
  if (op.getBias())
    tensors.bias = scope.getTensor(op.getBias());
  AttentionResult result = attend(tensors, op.getScale().convertToDouble(), std::move(visible));
  if (op.getRows()) {
    auto selected = selectRows(op, *scope.template get<const rt::RowLists *>(op.getRows()), tensors.query.getShape());
    if (mlir::failed(selected))
      return mlir::failure();
    result = writeRows(result, {scope.getTensor(op.getIntoOut()), scope.getTensor(op.getIntoLse())}, *selected,
                       std::move(tokenOf));
  }
  scope.bind(op.getOut(), result.out);
  scope.bind(op.getLse(), result.lse);
  return mlir::success();
}

/// The tensor whose rows `compute` gives for batch, head and token, each computed once.
template <typename Compute> Tensor computeRows(std::vector<int64_t> shape, Compute compute) {
  auto rows = std::make_shared<std::vector<Row>>();
  for (int64_t batch = 0; batch < shape[0]; ++batch)
    for (int64_t head = 0; head < shape[1]; ++head)
      for (int64_t i = 0; i < shape[2]; ++i)
        rows->push_back(compute(batch, head, i));
  return Tensor(shape, [rows, heads = shape[1], count = shape[2]](int64_t batch, int64_t head, int64_t i) {
    return (*rows)[(batch * heads + head) * count + i];
  });
}

/// ceil(share * count), with products that are almost whole numbers taken for these.
int64_t takeShare(double share, int64_t count);

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
