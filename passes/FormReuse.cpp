// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matches the ops that snap an attention's queries and keys. No code is formed for them: the runtime snaps and merges.

#include "passes/FormReuse.h"

#include "dialect/BlockPartition.h"
#include "passes/KernelFunction.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;

static SnapOp snapOf(Value tokens) { return tokens.getDefiningOp<SnapOp>(); }

LogicalResult weft::checkReuse(func::FuncOp kernel, BlockAttentionOp op) {
  SnapOp query = snapOf(op.getQuery()), key = snapOf(op.getKey());
  if (query && query.getGrid() != op.getQueryGrid())
    return op.emitOpError("expected queries that are snapped in ") << op.getQueryGrid() << ", but got "
                                                                   << query.getGrid();
  if (key && key.getGrid() != op.getKeyGrid())
    return op.emitOpError("expected keys that are snapped in ") << op.getKeyGrid() << ", but got " << key.getGrid();
  if (query && key &&
      (query.getThreshold() != key.getThreshold() || query.getWindow() != key.getWindow() ||
       query.getWhole() != key.getWhole()))
    return op.emitOpError("expected queries and keys that are snapped by one threshold and window");
  for (SnapOp snap : {query, key})
    if (snap && !llvm::is_contained(parametersOf(kernel), snap.getThreshold()) &&
        !matchPattern(snap.getThreshold(), m_Constant()))
      return op.emitOpError("expected a reuse by a constant or a parameter");
  return success();
}

bool weft::mergesQueries(BlockAttentionOp op) {
  SnapOp query = snapOf(op.getQuery());
  return query && query.getWhole();
}

bool weft::mergesKeys(BlockAttentionOp op) {
  SnapOp key = snapOf(op.getKey());
  return key && key.getWhole();
}

/// Key blocks ascend strictly in a row, so that the number of entries says whether all are there.
static bool visitsAll(BlockListsAttr lists, int64_t keyBlocks) {
  ArrayRef<int64_t> offsets = lists.getOffsets().getType().getShape();
  return lists.getEntries().getNumElements() == offsets[0] * (offsets[1] - 1) * keyBlocks;
}

bool weft::visitsAll(BlockAttentionOp op) {
  if (!op.getBody().empty() || op.getGiven() || !op.getLists())
    return false;
  int64_t keyBlocks = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks();
  return llvm::all_of(op.getLists()->getAsRange<BlockListsAttr>(),
                      [&](BlockListsAttr lists) { return ::visitsAll(lists, keyBlocks); });
}

bool weft::isOnePool(BlockAttentionOp op) { return visitsAll(op) && !op.getRows(); }

bool weft::mergesByCells(BlockAttentionOp op) {
  return mergesQueries(op) && mergesKeys(op) && snapOf(op.getQuery()).getWindow() == 2 && !op.getBias() && isOnePool(op);
}

DictionaryAttr weft::describeReuse(func::FuncOp kernel, BlockAttentionOp op) {
  SnapOp query = snapOf(op.getQuery()), key = snapOf(op.getKey()), either = query ? query : key;
  if (!either)
    return {};
  Builder b(op.getContext());
  SmallVector<NamedAttribute> description = {b.getNamedAttr("window", either.getWindowAttr())};
  if (either.getWhole())
    description.push_back(b.getNamedAttr("whole", b.getUnitAttr()));
  if (either.getWhole() && isOnePool(op))
    description.push_back(b.getNamedAttr("one_pool", b.getUnitAttr()));
  if (mergesByCells(op))
    description.push_back(b.getNamedAttr("by_cells", b.getUnitAttr()));
  if (query)
    description.push_back(b.getNamedAttr("query_axes", query.getAxesAttr()));
  if (key)
    description.push_back(b.getNamedAttr("key_axes", key.getAxesAttr()));
  FloatAttr threshold;
  if (matchPattern(either.getThreshold(), m_Constant(&threshold)))
    description.push_back(b.getNamedAttr("threshold", threshold));
  for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
    if (parameter == either.getThreshold())
      description.push_back(b.getNamedAttr("parameter", b.getI64IntegerAttr(i)));
  return b.getDictionaryAttr(description);
}
