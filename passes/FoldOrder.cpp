// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Folds weft.reorder and weft.restore into block attention.

#include "passes/PassCounts.h"
#include "passes/Passes.h"

namespace weft {
#define GEN_PASS_DEF_FOLDORDERPASS
#include "passes/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

struct FoldOrder final : weft::impl::FoldOrderPassBase<FoldOrder> {
  using Base::Base;

  void runOnOperation() override {
    numFolded = 0;
    SmallVector<BlockAttentionOp> ops;
    getOperation().walk([&](BlockAttentionOp op) { ops.push_back(op); });
    for (BlockAttentionOp op : ops)
      if (failed(fold(op)))
        return signalPassFailure();
    recordCounts(getOperation(), getArgument(), {{"orders_folded", numFolded}});
  }

  /// The operand in sequence order, or nothing if it is not a reordering that matches.
  static Value unordered(Value value, GridAttr grid, OrderAttr order, int64_t block) {
    if (!order.permutes())
      return value;
    auto reorder = value.getDefiningOp<ReorderOp>();
    bool matches = reorder && reorder.getGrid() == grid && reorder.getOrder() == order &&
                   static_cast<int64_t>(reorder.getBlock()) == block;
    return matches ? reorder.getOperand() : Value();
  }

  /// A tensor operand, and what it is in sequence order.
  struct Reordered {
    OpOperand *operand;
    Value source;
  };

  static SmallVector<Reordered> tensorsOf(BlockAttentionOp op) {
    SmallVector<Reordered> tensors;
    auto addQueries = [&](OpOperand &operand) {
      tensors.push_back({&operand, unordered(operand.get(), op.getQueryGrid(), op.getQueryOrder(),
                                             op.getQueryBlockSize())});
    };
    auto addKeys = [&](OpOperand &operand) {
      tensors.push_back({&operand, unordered(operand.get(), op.getKeyGrid(), op.getKeyOrder(), op.getBlock())});
    };
    addQueries(op.getQueryMutable());
    addKeys(op.getKeyMutable());
    addKeys(op.getValueMutable());
    llvm::for_each(op.getBiasMutable(), addKeys);
    llvm::for_each(op.getIntoOutMutable(), addQueries);
    llvm::for_each(op.getIntoLseMutable(), addQueries);
    return tensors;
  }

  LogicalResult fold(BlockAttentionOp op) {
    if (op.getFolded())
      return success();
    SmallVector<Reordered> tensors = tensorsOf(op);
    if (!llvm::all_of(tensors, [](const Reordered &tensor) { return tensor.source != nullptr; }))
      return op.emitOpError("expected operands from weft.reorder in the op's own order");
    SmallVector<Operation *> reorders;
    for (auto [operand, source] : tensors) {
      Value old = operand->get();
      operand->set(source);
      if (old != source && old.use_empty())
        reorders.push_back(old.getDefiningOp());
    }
    for (Value result : op->getResults())
      if (failed(foldRestores(op, result)))
        return failure();
    for (Operation *reorder : reorders) {
      reorder->erase();
      ++numFolded;
    }
    op.setFolded(true);
    return success();
  }

  LogicalResult foldRestores(BlockAttentionOp op, Value result) {
    if (!op.getQueryOrder().permutes())
      return success();
    for (Operation *user : llvm::make_early_inc_range(result.getUsers())) {
      auto restore = dyn_cast<RestoreOp>(user);
      if (!restore || restore.getGrid() != op.getQueryGrid() || restore.getOrder() != op.getQueryOrder() ||
          static_cast<int64_t>(restore.getBlock()) != op.getQueryBlockSize())
        return op.emitOpError("expected results that only weft.restore in the op's own order uses");
      restore.replaceAllUsesWith(result);
      restore.erase();
      ++numFolded;
    }
    return success();
  }

  int64_t numFolded = 0;
};

} // namespace
