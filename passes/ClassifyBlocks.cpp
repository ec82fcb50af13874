// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Resolves masks into block lists.

#include "passes/BlockClassifier.h"
#include "passes/PassCounts.h"
#include "passes/Passes.h"
#include "passes/SinkCaptured.h"

#include "mlir/IR/IRMapping.h"

namespace weft {
#define GEN_PASS_DEF_CLASSIFYBLOCKSPASS
#include "passes/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

static BlockListsAttr toAttribute(MLIRContext *context, const ClassifiedLists &lists) {
  Type i32 = IntegerType::get(context, 32);
  int64_t columns = lists.offsets.size() / lists.lists;
  auto offsets = DenseIntElementsAttr::get(RankedTensorType::get({lists.lists, columns}, i32),
                                           ArrayRef<int32_t>(lists.offsets));
  auto entries = DenseIntElementsAttr::get(
      RankedTensorType::get({static_cast<int64_t>(lists.entries.size())}, i32), ArrayRef<int32_t>(lists.entries));
  return BlockListsAttr::get(context, offsets, entries);
}

namespace {

struct ClassifyBlocks final : weft::impl::ClassifyBlocksPassBase<ClassifyBlocks> {
  using Base::Base;

  void runOnOperation() override {
    numEmpty = numFull = numPartial = 0;
    SmallVector<AttentionOp> ops;
    getOperation().walk([&](AttentionOp op) { ops.push_back(op); });
    for (AttentionOp op : ops)
      if (failed(lower(op)))
        return signalPassFailure();
    recordCounts(getOperation(), getArgument(),
                 {{"blocks_empty", numEmpty}, {"blocks_full", numFull}, {"blocks_partial", numPartial}});
  }

  /// The lists of one attention, and whether its region must stay.
  struct Plan {
    Value given;
    Region *body = nullptr;
    SmallVector<Attribute> lists;
    bool isDynamic = false, hasPartial = false;
  };

  LogicalResult addLists(AttentionOp op, Plan &plan, const FailureOr<ClassifiedLists> &lists) {
    if (failed(lists))
      return op.emitOpError("expected at most ")
             << ClassifiedLists::kMaxEntries << " visited pairs of blocks, but got more";
    numEmpty += lists->numEmpty, numFull += lists->numFull, numPartial += lists->numPartial;
    plan.hasPartial |= lists->numPartial != 0;
    plan.lists.push_back(toAttribute(&getContext(), *lists));
    return success();
  }

  LogicalResult classify(AttentionOp op, Plan &plan, const BlockPartition &query, const BlockPartition &key) {
    BlockClassifier classifier(*plan.body, query, key);
    int64_t heads = op.getQuery().getType().getDimSize(1);
    for (int given = 0; given <= (plan.given ? 1 : 0); ++given)
      if (failed(addLists(op, plan, classifier.buildLists(heads, given))))
        return failure();
    return success();
  }

  LogicalResult makePlan(AttentionOp op, Plan &plan) {
    BlockPartition query = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
    BlockPartition key = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
    auto addUniform = [&](BlockClass blockClass) {
      return addLists(op, plan, buildUniformLists(query.numBlocks(), key.numBlocks(), blockClass));
    };
    if (isa_and_nonnull<BlockArgument>(op.getMask()))
      return op.emitOpError("expected a mask that ops define, but got an argument");
    Operation *mask = op.getMask() ? op.getMask().getDefiningOp() : nullptr;
    if (!mask)
      return addUniform(BlockClass::Full);
    if (auto constant = dyn_cast<ConstantMaskOp>(mask))
      return addUniform(constant.getValue() ? BlockClass::Full : BlockClass::Empty);
    if (auto givenMask = dyn_cast<GivenOp>(mask)) {
      plan.given = givenMask.getBlocks();
      return failure(failed(addUniform(BlockClass::Empty)) || failed(addUniform(BlockClass::Full)));
    }
    if (auto predicate = dyn_cast<PredicateOp>(mask)) {
      plan.given = predicate.getGiven();
      plan.body = &predicate.getBody();
      sinkCaptured(*plan.body);
      plan.isDynamic = capturesParameters(*plan.body);
      if (plan.isDynamic)
        return success();
      return classify(op, plan, query, key);
    }
    return op.emitOpError("expected a mask of one predicate, as weft-simplify-masks leaves it, but got ")
           << mask->getName();
  }

  LogicalResult lower(AttentionOp op) {
    if (op.getQueryOrder().isOpen() || op.getKeyOrder().isOpen())
      return op.emitOpError("expected orders with their tile sizes chosen, as weft-choose-tiles leaves them");
    Plan plan;
    if (failed(makePlan(op, plan)))
      return failure();
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto reorder = [&](Value value, GridAttr grid, OrderAttr order, int64_t block) -> Value {
      return value && order.permutes() ? ReorderOp::create(builder, loc, value, grid, order, block) : value;
    };
    auto reorderQueries = [&](Value value) {
      return reorder(value, op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
    };
    auto reorderKeys = [&](Value value) { return reorder(value, op.getKeyGrid(), op.getKeyOrder(), op.getBlock()); };
    auto restore = [&](Value value) -> Value {
      OrderAttr order = op.getQueryOrder();
      return order.permutes() ? RestoreOp::create(builder, loc, value, op.getQueryGrid(), order, op.getQueryBlockSize())
                              : value;
    };
    ArrayAttr lists = plan.isDynamic ? ArrayAttr() : builder.getArrayAttr(plan.lists);
    auto blockAttention = BlockAttentionOp::create(
        builder, loc, op.getOut().getType(), op.getLse().getType(), reorderQueries(op.getQuery()),
        reorderKeys(op.getKey()), reorderKeys(op.getValue()), reorderKeys(op.getBias()), plan.given, op.getRows(),
        reorderQueries(op.getIntoOut()), reorderQueries(op.getIntoLse()), op.getQueryGrid(), op.getKeyGrid(),
        op.getQueryOrder(), op.getKeyOrder(), op.getBlockAttr(), op.getQueryBlockAttr(), op.getScaleAttr(), lists,
        /*folded=*/UnitAttr());
    if (plan.body && (plan.isDynamic || plan.hasPartial)) {
      IRMapping mapping; // another attention may use the mask
      plan.body->cloneInto(&blockAttention.getBody(), mapping);
    }
    Value out = restore(blockAttention.getOut()), lse = restore(blockAttention.getLse());
    Operation *mask = op.getMask() ? op.getMask().getDefiningOp() : nullptr;
    op.replaceAllUsesWith(ValueRange{out, lse});
    op.erase();
    if (mask && mask->use_empty())
      mask->erase();
    return success();
  }

  int64_t numEmpty = 0;
  int64_t numFull = 0;
  int64_t numPartial = 0;
};

} // namespace
