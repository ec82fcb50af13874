// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and folds of masks and attention.

#include "dialect/WeftProgramOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace weft;

static std::optional<bool> getConstant(Attribute attribute) {
  if (auto value = dyn_cast_or_null<BoolAttr>(attribute))
    return value.getValue();
  return std::nullopt;
}

OpFoldResult ConstantMaskOp::fold(FoldAdaptor) { return getValueAttr(); }

OpFoldResult MaskAndOp::fold(FoldAdaptor adaptor) {
  if (getLhs() == getRhs())
    return getLhs();
  for (auto [attribute, other] : {std::pair(adaptor.getLhs(), getRhs()), {adaptor.getRhs(), getLhs()}})
    if (std::optional<bool> value = getConstant(attribute))
      return *value ? OpFoldResult(other) : OpFoldResult(attribute);
  return {};
}

OpFoldResult MaskOrOp::fold(FoldAdaptor adaptor) {
  if (getLhs() == getRhs())
    return getLhs();
  for (auto [attribute, other] : {std::pair(adaptor.getLhs(), getRhs()), {adaptor.getRhs(), getLhs()}})
    if (std::optional<bool> value = getConstant(attribute))
      return *value ? OpFoldResult(attribute) : OpFoldResult(other);
  return {};
}

OpFoldResult MaskNotOp::fold(FoldAdaptor adaptor) {
  if (auto inner = getOperand().getDefiningOp<MaskNotOp>())
    return inner.getOperand();
  if (std::optional<bool> value = getConstant(adaptor.getOperand()))
    return BoolAttr::get(getContext(), !*value);
  return {};
}

Value PredicateOp::getYielded() {
  return cast<YieldOp>(getBody().front().getTerminator()).getValue();
}

/// What the interpreter evaluates, block classification infers and code generation vectorises.
static bool isPredicateOp(Operation &op) {
  return isa<arith::AddIOp, arith::AndIOp, arith::CeilDivSIOp, arith::CmpIOp, arith::ConstantOp, arith::DivSIOp,
             arith::ExtSIOp, arith::ExtUIOp, arith::FloorDivSIOp, arith::MaxSIOp, arith::MinSIOp, arith::MulIOp,
             arith::OrIOp, arith::RemSIOp, arith::SelectOp, arith::SubIOp, arith::TruncIOp, arith::XOrIOp>(op);
}

/// Division by 0 has no value, and neither has the least integer by -1.
static bool hasSafeDivisor(Operation &op) {
  if (!isa<arith::CeilDivSIOp, arith::DivSIOp, arith::FloorDivSIOp, arith::RemSIOp>(op))
    return true;
  APInt divisor;
  return matchPattern(op.getOperand(1), m_ConstantInt(&divisor)) && !divisor.isZero() && !divisor.isAllOnes();
}

static LogicalResult verifyPredicateOp(Operation *op, Operation &inner) {
  auto isScalar = [](Type type) { return type.isInteger(32) || type.isInteger(1); };
  if (!isMemoryEffectFree(&inner) || !llvm::all_of(inner.getResultTypes(), isScalar) ||
      !llvm::all_of(inner.getOperandTypes(), isScalar) || inner.getNumRegions() != 0) // predicate_c3
    return op->emitOpError("expected ops without effects on i1 and i32 scalars, but got ") << inner.getName();
  if (!isPredicateOp(inner)) // predicate_c4
    return op->emitOpError("expected an op that predicates may use, but got ") << inner.getName();
  if (!hasSafeDivisor(inner)) // predicate_c5
    return op->emitOpError("expected a constant divisor other than 0 and -1, but got ") << inner.getName() << " by "
           << inner.getOperand(1);
  return success();
}

LogicalResult weft::verifyScale(Operation *op, double scale) {
  auto isUsable = [](float value) { return std::isfinite(value) && value > 0; };
  if (!isUsable(scale) || !isUsable(scale * llvm::numbers::log2e))
    return op->emitOpError("expected a scale that is positive and finite in f32, but got ") << scale;
  return success();
}

LogicalResult weft::verifyPredicateBody(Operation *op, Region &body, bool given) {
  Block &block = body.front();
  auto expected = getCoordinateTypes(op->getContext(), given);
  if (block.getArgumentTypes() != TypeRange(expected)) // predicate_c1
    return op->emitOpError("expected a region with arguments (") << expected << "), but got ("
           << llvm::to_vector(block.getArgumentTypes()) << ")";
  if (!block.mightHaveTerminator() || !isa<YieldOp>(block.getTerminator())) // predicate_c2
    return op->emitOpError("expected a region that ends with weft.yield");
  for (Operation &inner : block.without_terminator())
    if (failed(verifyPredicateOp(op, inner)))
      return failure();
  return success();
}

LogicalResult PredicateOp::verify() {
  return verifyPredicateBody(*this, getBody(), getGiven() != nullptr);
}

/// A region that yields a constant is all or nothing; a region that yields the `given` argument is the given mask.
LogicalResult PredicateOp::canonicalize(PredicateOp op, PatternRewriter &rewriter) {
  IntegerAttr value;
  if (matchPattern(op.getYielded(), m_Constant(&value))) {
    rewriter.replaceOpWithNewOp<ConstantMaskOp>(op, op.getType(),
                                                rewriter.getBoolAttr(!value.getValue().isZero()));
    return success();
  }
  auto argument = dyn_cast<BlockArgument>(op.getYielded());
  if (op.getGiven() && argument && argument.getOwner() == &op.getBody().front() &&
      argument.getArgNumber() == kGiven) {
    rewriter.replaceOpWithNewOp<GivenOp>(op, op.getType(), op.getGiven());
    return success();
  }
  return failure();
}

LogicalResult weft::verifyAttentionShapes(Operation *op, RankedTensorType query,
                                          RankedTensorType key, RankedTensorType lse,
                                          GridAttr queryGrid, GridAttr keyGrid, int64_t block, int64_t queryBlock,
                                          double scale) {
  if (query.getRank() != 4 || key.getRank() != 4 ||
      query.getElementType() != key.getElementType() || query.getDimSize(0) != key.getDimSize(0) ||
      query.getDimSize(1) != key.getDimSize(1) || query.getDimSize(3) != key.getDimSize(3)) // attention_c1
    return op->emitOpError("expected q and k as [batch, heads, tokens, head dim] with equal element "
                           "type, batch, heads and head dim, but got ")
           << query << " and " << key;
  if (query.isDynamicDim(1) || query.isDynamicDim(2) || key.isDynamicDim(2) || query.isDynamicDim(3))
    return op->emitOpError("expected static heads, tokens and head dim, but got ") << query << " and " << key;
  if (query.getDimSize(0) == 0 || query.getDimSize(1) == 0)
    return op->emitOpError("expected at least 1 batch and head, but got ") << query;
  int64_t headDim = query.getDimSize(3);
  if (headDim < 32 || headDim > 256 || headDim % 8 != 0) // attention_c2
    return op->emitOpError("expected a head dim that is a multiple of 8 from 32 to 256, but got ") << headDim;
  if (query.getDimSize(2) != queryGrid.getTokens()) // attention_c3
    return op->emitOpError("expected ") << queryGrid.getTokens() << " query tokens as in " << queryGrid
           << ", but got " << query.getDimSize(2);
  if (key.getDimSize(2) != keyGrid.getTokens())
    return op->emitOpError("expected ") << keyGrid.getTokens() << " key tokens as in " << keyGrid
           << ", but got " << key.getDimSize(2);
  if (failed(verifyScale(op, scale))) // attention_c4
    return failure();
  for (int64_t size : {block, queryBlock})
    if (size < 32 || size > 256 || size % 16 != 0) // attention_c5
      return op->emitOpError("expected a block that is a multiple of 16 from 32 to 256, but got ") << size;
  if (lse.getShape() != query.getShape().drop_back()) // attention_c6
    return op->emitOpError("expected lse as [batch, heads, tokens] of q, but got ") << lse << " for " << query;
  return success();
}

static LogicalResult verifyBias(Operation *op, RankedTensorType bias, RankedTensorType query, RankedTensorType key) {
  auto isSizeOrOne = [&](int64_t axis) {
    int64_t size = bias.getDimSize(axis);
    return ShapedType::isDynamic(size) || size == 1 || size == query.getDimSize(axis);
  };
  if (bias.getRank() == 3 && isSizeOrOne(0) && isSizeOrOne(1) && bias.getDimSize(2) == key.getDimSize(2))
    return success();
  return op->emitOpError("expected a bias as [batch or 1, heads or 1, tokens] of k, but got ")
         << bias << " for " << key;
}

LogicalResult weft::verifyAttentionExtras(Operation *op, const AttentionExtras &extras, RankedTensorType query,
                                          RankedTensorType key, RankedTensorType lse) {
  if (extras.bias && failed(verifyBias(op, cast<RankedTensorType>(extras.bias.getType()), query, key))) // attention_c8
    return failure();
  bool hasRows = extras.rows != nullptr;
  if (hasRows != (extras.intoOut != nullptr) || hasRows != (extras.intoLse != nullptr)) // attention_c9
    return op->emitOpError("expected rows and both tensors that they are written into, or none of these");
  if (hasRows && (extras.intoOut.getType() != query || extras.intoLse.getType() != lse))
    return op->emitOpError("expected rows to be written into ")
           << query << " and " << lse << ", but got " << extras.intoOut.getType() << " and "
           << extras.intoLse.getType();
  return success();
}

LogicalResult AttentionOp::verify() {
  auto grids = MaskType::get(getContext(), getQueryGrid(), getKeyGrid());
  if (getMask() && getMask().getType() != grids) // attention_c7
    return emitOpError("expected a mask of type ") << grids << ", but got " << getMask().getType();
  if (failed(verifyAttentionShapes(*this, getQuery().getType(), getKey().getType(), getLse().getType(),
                                   getQueryGrid(), getKeyGrid(), getBlock(), getQueryBlockSize(),
                                   getScale().convertToDouble())))
    return failure();
  return verifyAttentionExtras(*this, AttentionExtras(*this), getQuery().getType(), getKey().getType(),
                               getLse().getType());
}
