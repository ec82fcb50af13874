// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which stages an attention needs.

#include "codegen/CUDA/Stages.h"

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/ReuseStages.h"
#include "dialect/RowSelection.h"
#include "passes/FormPrediction.h"
#include "passes/FormRecognition.h"
#include "passes/FormReuse.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

void weft::cuda::formStages(func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns) {
  if (std::optional<Selection> selection = Selection::from(op.getGiven())) {
    auto [query, key] = poolsOf(op);
    formPool(kernel, op);
    formScore(kernel, op, query, key);
    formSelect(kernel, op, *selection);
    formSort(kernel, op);
  }
  if (!op.getBody().empty() && recognitionOf(op)) {
    formProbeBits(kernel, op);
    formRecalls(kernel, op);
    formChoose(kernel, op);
    if (!gathersRows(op))
      formSortChosen(kernel, op);
    if (gathersRows(op) || mergesKeys(op))
      formChooseLists(kernel, op);
  }
  if (gathersRows(op) && !mergesByCells(op)) {
    formCountRows(kernel, op);
    formPlanRows(kernel, op, rows);
    formScatterRows(kernel, op, rows, usedAxes(op, kQueryT));
  }
  formReuseStages(kernel, op, rows, columns);
  if (RowSelection::from(op.getRows())) {
    formImportance(kernel, op);
    formSelectRows(kernel, op);
    formAdvanceAges(kernel, op);
    formDrift(kernel, op);
  }
}
