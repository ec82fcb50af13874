// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and folds of reordering and block attention.

#include "dialect/BlockPartition.h"
#include "dialect/WeftDialect.h"
#include "dialect/WeftProgramOps.h"

using namespace mlir;
using namespace weft;

template <typename Op> static LogicalResult verifyOrderOp(Op op) {
  auto type = cast<RankedTensorType>(op.getOperand().getType());
  if (type.getRank() < 3 || type.getDimSize(2) != op.getGrid().getTokens()) // reorder_c1
    return op.emitOpError("expected ") << op.getGrid().getTokens() << " tokens on axis 2, but got " << type;
  if (op.getOrder().isOpen()) // reorder_c2
    return op.emitOpError("expected an order with its tile sizes chosen");
  int64_t block = op.getBlock();
  if (block < 32 || block > 256 || block % 16 != 0) // reorder_c3
    return op.emitOpError("expected a block that is a multiple of 16 from 32 to 256, but got ") << block;
  return success();
}

/// op(inverse(x)) is x, and so is op(x) in the raster order, which moves nothing.
template <typename Inverse, typename Op> static OpFoldResult foldOrderOp(Op op) {
  if (!op.getOrder().permutes())
    return op.getOperand();
  auto inverse = op.getOperand().template getDefiningOp<Inverse>();
  if (inverse && inverse.getGrid() == op.getGrid() && inverse.getOrder() == op.getOrder() &&
      inverse.getBlock() == op.getBlock())
    return inverse.getOperand();
  return {};
}

LogicalResult ReorderOp::verify() { return verifyOrderOp(*this); }
OpFoldResult ReorderOp::fold(FoldAdaptor) { return foldOrderOp<RestoreOp>(*this); }
LogicalResult RestoreOp::verify() { return verifyOrderOp(*this); }
OpFoldResult RestoreOp::fold(FoldAdaptor) { return foldOrderOp<ReorderOp>(*this); }

/// block_attention_c3 for one list set.
static LogicalResult verifyLists(BlockAttentionOp op, BlockListsAttr lists, int64_t queryBlocks,
                                 int64_t keyBlocks, bool &partial) {
  auto type = lists.getOffsets().getType();
  int64_t heads = op.getQuery().getType().getDimSize(1);
  if (type.getDimSize(1) != queryBlocks + 1 || (type.getDimSize(0) != 1 && type.getDimSize(0) != heads))
    return op.emitOpError("expected offsets for ") << queryBlocks << " query blocks and 1 or " << heads
           << " list sets, but got " << type;
  for (int32_t entry : lists.getEntries().getValues<int32_t>()) {
    if (entry >> 1 >= keyBlocks)
      return op.emitOpError("expected key blocks below ") << keyBlocks << ", but got " << (entry >> 1);
    partial |= entry & 1;
  }
  return success();
}

LogicalResult BlockAttentionOp::verify() {
  if (failed(verifyAttentionShapes(*this, getQuery().getType(), getKey().getType(), getLse().getType(),
                                   getQueryGrid(), getKeyGrid(), getBlock(), getQueryBlockSize(),
                                   getScale().convertToDouble())) ||
      failed(verifyAttentionExtras(*this, AttentionExtras(*this), getQuery().getType(), getKey().getType(),
                                   getLse().getType()))) // block_attention_c1
    return failure();
  if (getQueryOrder().isOpen() || getKeyOrder().isOpen()) // block_attention_c2
    return emitOpError("expected orders with their tile sizes chosen");
  bool partial = false;
  if (getLists()) {
    size_t expected = getGiven() ? 2 : 1;
    if (getLists()->size() != expected)
      return emitOpError("expected ") << expected << " list sets, but got " << getLists()->size();
    int64_t queryBlocks = countBlocks(getQueryGrid(), getQueryOrder(), getQueryBlockSize());
    int64_t keyBlocks = countBlocks(getKeyGrid(), getKeyOrder(), getBlock());
    for (Attribute lists : getListsAttr())
      if (failed(verifyLists(*this, cast<BlockListsAttr>(lists), queryBlocks, keyBlocks, partial)))
        return failure();
  }
  if (getBody().empty()) {
    if (partial || !getLists()) // block_attention_c4
      return emitOpError("expected a predicate region, since a block may be partial");
    return success();
  }
  return verifyPredicateBody(*this, getBody(), getGiven() != nullptr);
}
