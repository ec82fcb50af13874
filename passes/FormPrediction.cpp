// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matches the ops that predict block lists, and turns them into functions on buffers.

#include "passes/FormPrediction.h"

#include "dialect/Prediction.h"
#include "dialect/Reuse.h"
#include "passes/KernelFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;

namespace {

/// The ops behind a selection; null where another op stands.
struct Chain {
  explicit Chain(const Selection &selection) {
    Value pools = selection.scores;
    if ((reduce = pools.getDefiningOp<MaxScoresOp>()))
      pools = reduce.getOperand();
    if (!(scores = pools.getDefiningOp<BlockScoresOp>()))
      return;
    query = scores.getQuery().getDefiningOp<BlockMeansOp>();
    key = scores.getKey().getDefiningOp<BlockMeansOp>();
  }

  MaxScoresOp reduce;
  BlockScoresOp scores;
  BlockMeansOp query, key;
};

} // namespace

/// Whether `means` are those of the attention's blocks of `source`.
static bool isMeansOf(BlockMeansOp means, Value source, GridAttr grid, OrderAttr order, int64_t block) {
  return means && means.getOperand() == source && means.getGrid() == grid && means.getOrder() == order &&
         static_cast<int64_t>(means.getBlock()) == block;
}

static PoolPartition poolsOfMeans(BlockMeansOp means) {
  return weft::partitionPools(partitionTokens(means.getGrid(), means.getOrder(), means.getBlock()), means.getPool());
}

/// Whether every block is one pool.
static bool isWhole(BlockMeansOp means) {
  PoolPartition pools = poolsOfMeans(means);
  return pools.numPools() + 1 == static_cast<int64_t>(pools.firstPool.size());
}

static bool isReduced(Chain &chain, BlockAttentionOp op) {
  if (!chain.reduce)
    return isWhole(chain.query) && isWhole(chain.key);
  MaxScoresOp reduce = chain.reduce;
  return chain.query.getPool() == reduce.getPool() && chain.key.getPool() == reduce.getPool() &&
         reduce.getQueryGrid() == op.getQueryGrid() && reduce.getKeyGrid() == op.getKeyGrid() &&
         reduce.getQueryOrder() == op.getQueryOrder() && reduce.getKeyOrder() == op.getKeyOrder() &&
         static_cast<int64_t>(reduce.getQueryBlock()) == op.getQueryBlockSize() &&
         reduce.getKeyBlock() == op.getBlock();
}

LogicalResult weft::checkPrediction(func::FuncOp kernel, BlockAttentionOp op) {
  if (!op.getGiven() || isa<BlockArgument>(op.getGiven()))
    return success();
  std::optional<Selection> selection = Selection::from(op.getGiven());
  if (!selection)
    return op.emitOpError("expected lists that are an argument or selected from scores, but got the result of ")
           << op.getGiven().getDefiningOp()->getName();
  Chain chain(*selection);
  Value query = originalTokens(op.getQuery()), key = originalTokens(op.getKey());
  bool matches = isMeansOf(chain.query, query, op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()) &&
                 isMeansOf(chain.key, key, op.getKeyGrid(), op.getKeyOrder(), op.getBlock()) &&
                 isReduced(chain, op);
  if (!matches)
    return op.emitOpError("expected lists that are selected from the means of its own queries and keys, in its own "
                          "blocks or pools of these");
  if (!llvm::is_contained(parametersOf(kernel), selection->amount) && !matchPattern(selection->amount, m_Constant()))
    return op.emitOpError("expected a selection by a constant or a parameter");
  return success();
}

static func::FuncOp addFunction(ImplicitLocOpBuilder &b, func::FuncOp kernel, StringRef suffix, ArrayRef<Type> types) {
  b.setInsertionPoint(kernel);
  auto function = func::FuncOp::create(b, (kernel.getName() + suffix).str(), b.getFunctionType(types, {}));
  b.setInsertionPointToStart(function.addEntryBlock());
  return function;
}

/// The runtime's PoolArgs has the order of these arguments.
static void formPool(ImplicitLocOpBuilder &b, func::FuncOp kernel, StringRef suffix, BlockMeansOp means) {
  RankedTensorType operand = means.getOperand().getType();
  Type types[] = {MemRefType::get({}, operand.getElementType()),
                  b.getIndexType(),
                  MemRefType::get({4, operand.getDimSize(2)}, b.getI32Type()),
                  b.getIndexType(),
                  b.getIndexType(),
                  MemRefType::get({operand.getDimSize(3)}, b.getF32Type())};
  auto args = addFunction(b, kernel, suffix, types).getArguments();
  MeanRowOp::create(b, args[0], args[1], args[2], args[3], args[4], args[5]);
  func::ReturnOp::create(b);
}

/// The runtime's ScoreArgs has the order of these arguments.
static void formScore(ImplicitLocOpBuilder &b, func::FuncOp kernel, const Chain &chain) {
  BlockMeansOp keys = chain.key;
  int64_t d = keys.getOperand().getType().getDimSize(3), count = poolsOfMeans(keys).numPools();
  Type types[] = {MemRefType::get({d}, b.getF32Type()), MemRefType::get({count, d}, b.getF32Type()),
                  MemRefType::get({static_cast<int64_t>(llvm::alignTo(count, 4))}, b.getF32Type())};
  auto args = addFunction(b, kernel, ".score", types).getArguments();
  BlockScoresOp scores = chain.scores;
  ScoreRowOp::create(b, args[0], args[1], args[2], scores.getScaleAttr());
  func::ReturnOp::create(b);
}

void weft::formPrediction(func::FuncOp kernel, BlockAttentionOp op) {
  std::optional<Selection> selection = Selection::from(op.getGiven());
  if (!selection)
    return;
  Chain chain(*selection);
  ImplicitLocOpBuilder b(op.getLoc(), op.getContext());
  formPool(b, kernel, ".pool_queries", chain.query);
  formPool(b, kernel, ".pool_keys", chain.key);
  formScore(b, kernel, chain);
}

PredictionPools weft::poolsOf(BlockAttentionOp op) {
  Chain chain(*Selection::from(op.getGiven()));
  return {poolsOfMeans(chain.query), poolsOfMeans(chain.key)};
}

DictionaryAttr weft::describePrediction(func::FuncOp kernel, BlockAttentionOp op) {
  std::optional<Selection> selection = Selection::from(op.getGiven());
  if (!selection)
    return {};
  Builder b(op.getContext());
  SmallVector<NamedAttribute> description = {b.getNamedAttr("rule", b.getStringAttr(selection->rule)),
                                             b.getNamedAttr("min", b.getI64IntegerAttr(selection->min))};
  if (Chain chain(*selection); chain.reduce)
    description.push_back(b.getNamedAttr("pool", chain.reduce.getPoolAttr()));
  FloatAttr amount;
  if (matchPattern(selection->amount, m_Constant(&amount)))
    description.push_back(b.getNamedAttr("amount", amount));
  for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
    if (parameter == selection->amount)
      description.push_back(b.getNamedAttr("parameter", b.getI64IntegerAttr(i)));
  return b.getDictionaryAttr(description);
}
