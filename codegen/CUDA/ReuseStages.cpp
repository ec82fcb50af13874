// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which stages an attention with reuse needs.

#include "codegen/CUDA/ReuseStages.h"

#include "passes/FormReuse.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

std::array<bool, 3> weft::cuda::windowAxes(BlockAttentionOp op) {
  std::array<bool, 3> axes = {false, false, false};
  for (Value tokens : {op.getQuery(), op.getKey()})
    if (auto snap = tokens.getDefiningOp<SnapOp>())
      for (auto [axis, isCut] : llvm::enumerate(snap.getAxisFlags()))
        axes[axis] |= isCut;
  return axes;
}

void weft::cuda::formReuseStages(func::FuncOp kernel, BlockAttentionOp op, int64_t tileRows,
                                 int64_t columns) {
  auto query = op.getQuery().getDefiningOp<SnapOp>(), key = op.getKey().getDefiningOp<SnapOp>();
  if (!query && !key)
    return;
  if (mergesByCells(op)) {
    formSnapCells(kernel, op);
    formPlanCells(kernel, op, columns);
    formFillCells(kernel, op, tileRows, columns);
    formSpread(kernel, op);
    return;
  }
  formSnap(kernel, op, query ? query : key);
  if (mergesQueries(op) || mergesKeys(op)) {
    formInspectLists(kernel, op);
    if (op.getRows())
      formMarkRows(kernel, op);
  }
  if (mergesQueries(op)) {
    if (!isOnePool(op))
      formMergeRows(kernel, op);
    formSpread(kernel, op);
  }
  if (mergesKeys(op)) {
    formCountKeys(kernel, op, columns);
    formPlanKeys(kernel, op, columns);
    formFillKeys(kernel, op, columns);
    formMergeLists(kernel, op);
  }
}
