// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Simplifies the mask algebra, then merges each mask into one predicate.

#include "passes/PassCounts.h"
#include "passes/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace weft {
#define GEN_PASS_DEF_SIMPLIFYMASKSPASS
#include "passes/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

/// Whether one mask is the complement of the other.
bool areComplements(Value a, Value b) {
  auto isNotOf = [](Value x, Value y) {
    auto negation = x.getDefiningOp<MaskNotOp>();
    return negation && negation.getOperand() == y;
  };
  return isNotOf(a, b) || isNotOf(b, a);
}

/// Outer(x, Outer(x, y)) is Outer(x, y), and Outer(x, Inner(x, y)) is x.
template <typename Outer, typename Inner> Value absorb(Value x, Value other) {
  if (auto inner = other.getDefiningOp<Inner>())
    if (inner.getLhs() == x || inner.getRhs() == x)
      return x;
  if (auto same = other.getDefiningOp<Outer>())
    if (same.getLhs() == x || same.getRhs() == x)
      return other;
  return {};
}

/// Absorption and complements of `Outer`, whose dual is `Inner`.
template <typename Outer, typename Inner> struct SimplifyAlgebra : OpRewritePattern<Outer> {
  SimplifyAlgebra(MLIRContext *context, int64_t &count) : OpRewritePattern<Outer>(context), count(count) {}

  LogicalResult matchAndRewrite(Outer op, PatternRewriter &rewriter) const override {
    Value replacement = absorb<Outer, Inner>(op.getLhs(), op.getRhs());
    if (!replacement)
      replacement = absorb<Outer, Inner>(op.getRhs(), op.getLhs());
    if (!replacement && areComplements(op.getLhs(), op.getRhs()))
      replacement = ConstantMaskOp::create(rewriter, op.getLoc(), op.getType(), std::is_same_v<Outer, MaskOrOp>);
    if (!replacement)
      return failure();
    rewriter.replaceOp(op, replacement);
    ++count;
    return success();
  }

  int64_t &count;
};

/// A mask_not, mask_and or mask_or as a combination of two (or one) Booleans.
Value combine(OpBuilder &builder, Operation *op, ArrayRef<Value> values) {
  Location loc = op->getLoc();
  if (isa<MaskAndOp>(op))
    return arith::AndIOp::create(builder, loc, values[0], values[1]);
  if (isa<MaskOrOp>(op))
    return arith::OrIOp::create(builder, loc, values[0], values[1]);
  Value yes = arith::ConstantIntOp::create(builder, loc, 1, 1);
  return arith::XOrIOp::create(builder, loc, values[0], yes);
}

/// Writes the formula of a mask tree into a predicate region.
class FormulaBuilder {
public:
  FormulaBuilder(OpBuilder &builder, Block &block) : builder(builder), block(block) {}

  Value build(Value mask) {
    auto [known, isNew] = values.try_emplace(mask);
    if (!isNew)
      return known->second;
    Value value = buildOp(mask.getDefiningOp());
    return values[mask] = value;
  }

private:
  Value buildOp(Operation *op) {
    if (isa<GivenOp>(op))
      return block.getArgument(kGiven);
    if (auto constant = dyn_cast<ConstantMaskOp>(op))
      return arith::ConstantIntOp::create(builder, op->getLoc(), constant.getValue(), 1);
    if (auto predicate = dyn_cast<PredicateOp>(op))
      return inlineBody(predicate);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(build(operand));
    return combine(builder, op, operands);
  }

  Value inlineBody(PredicateOp predicate) {
    IRMapping mapping;
    Block &body = predicate.getBody().front();
    mapping.map(body.getArguments(), block.getArguments().take_front(body.getNumArguments()));
    for (Operation &op : body.without_terminator())
      builder.clone(op, mapping);
    return mapping.lookupOrDefault(predicate.getYielded());
  }

  OpBuilder &builder;
  Block &block;
  llvm::DenseMap<Value, Value> values;
};

/// The given lists that a mask tree uses, in order of first use, and its masks, operands before their users.
LogicalResult collect(AttentionOp user, Value mask, llvm::SetVector<Value> &given,
                      llvm::SetVector<Operation *> &masks) {
  Operation *op = mask.getDefiningOp();
  if (masks.contains(op))
    return success();
  if (!op)
    return user.emitOpError("expected a mask that ops define, but got an argument");
  if (!isa<ConstantMaskOp, GivenOp, MaskAndOp, MaskNotOp, MaskOrOp, PredicateOp>(op))
    return user.emitOpError("expected a mask of mask ops, but got ") << op->getName();
  for (Value operand : op->getOperands()) {
    if (isa<BlocksType>(operand.getType()))
      given.insert(operand);
    if (isa<MaskType>(operand.getType()) && failed(collect(user, operand, given, masks)))
      return failure();
  }
  masks.insert(op);
  return success();
}

struct SimplifyMasks final : weft::impl::SimplifyMasksPassBase<SimplifyMasks> {
  using Base::Base;

  void runOnOperation() override {
    numSimplified = numMerged = 0;
    RewritePatternSet patterns(&getContext());
    patterns.add<SimplifyAlgebra<MaskAndOp, MaskOrOp>, SimplifyAlgebra<MaskOrOp, MaskAndOp>>(&getContext(),
                                                                                             numSimplified);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    SmallVector<AttentionOp> ops;
    getOperation().walk([&](AttentionOp op) { ops.push_back(op); });
    for (AttentionOp op : ops)
      if (failed(merge(op)))
        return signalPassFailure();
    recordCounts(getOperation(), getArgument(), {{"masks_simplified", numSimplified}, {"masks_merged", numMerged}});
  }

  LogicalResult merge(AttentionOp op) {
    Value mask = op.getMask();
    if (!mask)
      return success();
    if (auto constant = mask.getDefiningOp<ConstantMaskOp>(); constant && constant.getValue()) {
      op.getMaskMutable().clear();
      if (constant->use_empty())
        constant.erase();
      return success();
    }
    if (!mask.getDefiningOp<MaskAndOp>() && !mask.getDefiningOp<MaskOrOp>() && !mask.getDefiningOp<MaskNotOp>())
      return success();
    llvm::SetVector<Value> given;
    llvm::SetVector<Operation *> masks;
    if (failed(collect(op, mask, given, masks)))
      return failure();
    if (given.size() > 1)
      return op.emitOpError("expected at most one given list in a mask, but got ") << given.size();
    numMerged += masks.size();
    OpBuilder builder(op);
    auto predicate = PredicateOp::create(builder, mask.getLoc(), mask.getType(), given.empty() ? Value() : given[0]);
    Block &block = addCoordinateBlock(predicate.getBody(), !given.empty(), mask.getLoc());
    builder.setInsertionPointToStart(&block);
    Value value = FormulaBuilder(builder, block).build(mask);
    YieldOp::create(builder, mask.getLoc(), value);
    op.getMaskMutable().assign(predicate);
    eraseDead(masks);
    return success();
  }

  /// Erases the masks that nobody uses, users before their operands: masks may be shared.
  static void eraseDead(llvm::SetVector<Operation *> &masks) {
    for (Operation *op : llvm::reverse(masks))
      if (op->use_empty())
        op->erase();
  }

  int64_t numSimplified = 0;
  int64_t numMerged = 0;
};

} // namespace
