// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers of the ops that select rows.

#include "dialect/RowSelection.h"

#include "dialect/Prediction.h"

#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace weft;

std::optional<RowSelection> RowSelection::from(Value rows) {
  auto select = rows ? rows.getDefiningOp<SelectRowsOp>() : SelectRowsOp();
  if (!select)
    return std::nullopt;
  return RowSelection{select, select.getImportance().getDefiningOp<ImportanceOp>()};
}

std::string weft::checkAgeWeight(double weight) {
  return std::isfinite(weight) && weight >= 0 ? "" : "a finite number of at least 0";
}

static LogicalResult verifyPerToken(Operation *op, StringRef what, RankedTensorType type) {
  if (type.getRank() == 2)
    return success();
  return op->emitOpError("expected ") << what << " as [batch, tokens], but got " << type;
}

LogicalResult ImportanceOp::verify() {
  RankedTensorType lse = getLse().getType();
  if (lse.getRank() != 3) // importance_c1
    return emitOpError("expected lse as [batch, heads, tokens], but got ") << lse;
  std::pair<StringRef, RankedTensorType> perToken[] = {{"drift", getDrift().getType()},
                                                       {"ages", getAge().getType()},
                                                       {"an importance", getImportance().getType()}};
  for (auto [what, type] : perToken) {
    if (failed(verifyPerToken(*this, what, type)))
      return failure();
    if (type.getDimSize(0) != lse.getDimSize(0) || type.getDimSize(1) != lse.getDimSize(2))
      return emitOpError("expected ") << what << " with the batch and tokens of " << lse << ", but got " << type;
  }
  APFloat weight(0.0);
  if (!matchPattern(getWeight(), m_ConstantFloat(&weight)))
    return success();
  if (std::string expected = checkAgeWeight(weight.convertToDouble()); !expected.empty()) // importance_c2
    return emitOpError("expected a weight that is ") << expected << ", but got " << weight.convertToDouble();
  return success();
}

LogicalResult SelectRowsOp::verify() {
  RankedTensorType type = getImportance().getType();
  if (failed(verifyPerToken(*this, "an importance", type))) // select_rows_c1
    return failure();
  if (static_cast<int64_t>(getMin()) < 0)
    return emitOpError("expected a min of at least 0, but got ") << static_cast<int64_t>(getMin());
  APFloat keep(0.0);
  if (matchPattern(getKeep(), m_ConstantFloat(&keep)))
    if (std::string expected = checkAmount("topk", keep.convertToDouble()); !expected.empty()) // select_rows_c2
      return emitOpError("expected ") << expected << ", but got " << keep.convertToDouble();
  int64_t previous = -1;
  for (int32_t token : getAlways()) { // select_rows_c3
    if (token <= previous || token >= type.getDimSize(1))
      return emitOpError("expected tokens to select always that ascend from 0 to ")
             << type.getDimSize(1) - 1 << ", but got " << token << " after " << previous;
    previous = token;
  }
  return success();
}

LogicalResult AdvanceAgeOp::verify() { return verifyPerToken(*this, "ages", getAge().getType()); }
