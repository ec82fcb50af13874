// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pools, and verifiers and folds of the ops that predict block lists.

#include "dialect/Prediction.h"

#include "dialect/WeftProgramOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace weft;

PoolPartition weft::partitionPools(const BlockPartition &blocks, std::optional<int64_t> pool) {
  PoolPartition result{{0}, {0}};
  for (int64_t i = 0; i < blocks.numBlocks(); ++i) {
    int64_t end = blocks.offsets[i + 1], length = pool.value_or(end - blocks.offsets[i]);
    for (int64_t begin = blocks.offsets[i]; begin < end; begin += length)
      result.offsets.push_back(std::min(begin + length, end));
    result.firstPool.push_back(result.numPools());
  }
  return result;
}

std::optional<Selection> Selection::from(Value blocks) {
  auto make = [](auto op, StringRef rule) {
    return std::optional(Selection{rule, op.getScores(), op.getAmount(), static_cast<int64_t>(op.getMin())});
  };
  Operation *op = blocks ? blocks.getDefiningOp() : nullptr;
  if (!op)
    return std::nullopt;
  return llvm::TypeSwitch<Operation *, std::optional<Selection>>(op)
      .Case([&](SelectTopKOp select) { return make(select, "topk"); })
      .Case([&](SelectTopPOp select) { return make(select, "topp"); })
      .Case([&](SelectThresholdOp select) { return make(select, "threshold"); })
      .Default([](Operation *) { return std::nullopt; });
}

std::string weft::checkAmount(StringRef rule, double amount) {
  if (rule == "threshold")
    return std::isfinite(amount) ? "" : "a finite score";
  return amount >= 0 && amount <= 1 ? "" : "a number from 0 to 1";
}

static LogicalResult verifyBlock(Operation *op, int64_t block) {
  if (block < 32 || block > 256 || block % 32 != 0)
    return op->emitOpError("expected a block that is a multiple of 32 from 32 to 256, but got ") << block;
  return success();
}

static LogicalResult verifyPool(Operation *op, std::optional<int64_t> pool) {
  if (pool && *pool < 1)
    return op->emitOpError("expected a pool of at least 1 token, but got ") << *pool;
  return success();
}

/// Checks one size: a count of `what`, or unknown; nothing is known of an open order.
static LogicalResult verifyCount(Operation *op, int64_t size, std::optional<int64_t> expected, StringRef what) {
  if (ShapedType::isDynamic(size) || (expected && size == *expected))
    return success();
  InFlightDiagnostic error = op->emitOpError("expected ");
  if (expected)
    return error << *expected << " " << what << " or ?, but got " << size;
  return error << "? " << what << ", since the order is open, but got " << size;
}

static std::optional<BlockPartition> partition(GridAttr grid, OrderAttr order, int64_t block) {
  return order.isOpen() ? std::nullopt : std::optional(partitionTokens(grid, order, block));
}

LogicalResult BlockMeansOp::verify() {
  RankedTensorType operand = getOperand().getType(), means = getMeans().getType();
  if (operand.getRank() != 4 || operand.getDimSize(2) != getGrid().getTokens()) // block_means_c1
    return emitOpError("expected [batch, heads, ")
           << getGrid().getTokens() << " tokens, channels], but got " << operand;
  if (failed(verifyBlock(*this, getBlock())) || failed(verifyPool(*this, getPool()))) // block_means_c2, c3
    return failure();
  if (means.getRank() != 4 || means.getDimSize(0) != operand.getDimSize(0) ||
      means.getDimSize(1) != operand.getDimSize(1) || means.getDimSize(3) != operand.getDimSize(3)) // block_means_c4
    return emitOpError("expected means with the batch, heads and channels of ") << operand << ", but got " << means;
  std::optional<int64_t> pools;
  if (auto blocks = partition(getGrid(), getOrder(), getBlock()))
    pools = partitionPools(*blocks, getPool()).numPools();
  return verifyCount(*this, means.getDimSize(2), pools, "pools");
}

LogicalResult BlockScoresOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), scores = getScores().getType();
  if (query.getRank() != 4 || key.getRank() != 4 || query.getShape().take_front(2) != key.getShape().take_front(2) ||
      query.getDimSize(3) != key.getDimSize(3)) // block_scores_c1
    return emitOpError("expected means with equal batch, heads and channels, but got ") << query << " and " << key;
  SmallVector<int64_t> shape = {query.getDimSize(0), query.getDimSize(1), query.getDimSize(2), key.getDimSize(2)};
  if (scores.getShape() != ArrayRef(shape)) // block_scores_c2
    return emitOpError("expected scores of shape [") << shape << "], but got " << scores;
  return verifyScale(*this, getScale().convertToDouble()); // block_scores_c3
}

LogicalResult MaxScoresOp::verify() {
  RankedTensorType pools = getOperand().getType(), scores = getScores().getType();
  if (pools.getRank() != 4 || scores.getRank() != 4 ||
      pools.getShape().take_front(2) != scores.getShape().take_front(2)) // max_scores_c1
    return emitOpError("expected scores with equal batch and heads, but got ") << pools << " and " << scores;
  if (failed(verifyBlock(*this, getQueryBlock())) || failed(verifyBlock(*this, getKeyBlock())) ||
      failed(verifyPool(*this, getPool()))) // max_scores_c3
    return failure();
  auto verifyAxis = [&](int64_t axis, std::optional<BlockPartition> blocks) { // max_scores_c2
    std::optional<int64_t> numPools, numBlocks;
    if (blocks)
      numPools = partitionPools(*blocks, getPool()).numPools(), numBlocks = blocks->numBlocks();
    return success(succeeded(verifyCount(*this, pools.getDimSize(axis), numPools, "pools")) &&
                   succeeded(verifyCount(*this, scores.getDimSize(axis), numBlocks, "blocks")));
  };
  if (failed(verifyAxis(2, partition(getQueryGrid(), getQueryOrder(), getQueryBlock()))))
    return failure();
  return verifyAxis(3, partition(getKeyGrid(), getKeyOrder(), getKeyBlock()));
}

OpFoldResult MaxScoresOp::fold(FoldAdaptor) {
  auto isWhole = [&](GridAttr grid, OrderAttr order, int64_t block) {
    auto blocks = partition(grid, order, block);
    return blocks && blocks->maxTokens() <= static_cast<int64_t>(getPool());
  };
  bool isIdentity = getOperand().getType() == getScores().getType() &&
                    isWhole(getQueryGrid(), getQueryOrder(), getQueryBlock()) &&
                    isWhole(getKeyGrid(), getKeyOrder(), getKeyBlock());
  return isIdentity ? OpFoldResult(getOperand()) : OpFoldResult();
}

static LogicalResult verifySelect(Operation *op) {
  Selection selection = *Selection::from(op->getResult(0));
  auto scores = cast<RankedTensorType>(selection.scores.getType());
  if (scores.getRank() != 4) // select_c1
    return op->emitOpError("expected scores of rank 4, but got ") << scores;
  if (selection.min < 0)
    return op->emitOpError("expected a min of at least 0, but got ") << selection.min;
  APFloat amount(0.0);
  if (!matchPattern(selection.amount, m_ConstantFloat(&amount)))
    return success();
  if (std::string expected = checkAmount(selection.rule, amount.convertToDouble()); !expected.empty()) // select_c2
    return op->emitOpError("expected ") << expected << ", but got " << amount.convertToDouble();
  return success();
}

LogicalResult SelectTopKOp::verify() { return verifySelect(*this); }
LogicalResult SelectTopPOp::verify() { return verifySelect(*this); }
LogicalResult SelectThresholdOp::verify() { return verifySelect(*this); }

/// A constant share of 1 selects all, and of 0 without a minimum nothing.
LogicalResult GivenOp::canonicalize(GivenOp op, PatternRewriter &rewriter) {
  std::optional<Selection> selection = Selection::from(op.getBlocks());
  APFloat amount(0.0);
  if (!selection || selection->rule == "threshold" || !matchPattern(selection->amount, m_ConstantFloat(&amount)))
    return failure();
  double share = amount.convertToDouble();
  if (share != 1 && (share != 0 || selection->min != 0))
    return failure();
  rewriter.replaceOpWithNewOp<ConstantMaskOp>(op, op.getType(), rewriter.getBoolAttr(share == 1));
  return success();
}
