// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matches the ops that select rows, and describes them. Selecting is the runtime's work: nothing of it is compiled.

#include "passes/FormRows.h"

#include "dialect/RowSelection.h"
#include "passes/KernelFunction.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;

static bool isConstantOrParameter(func::FuncOp kernel, Value amount) {
  return llvm::is_contained(parametersOf(kernel), amount) || matchPattern(amount, m_Constant());
}

LogicalResult weft::checkRowSelection(func::FuncOp kernel, BlockAttentionOp op) {
  if (!op.getRows() || isa<BlockArgument>(op.getRows()))
    return success();
  std::optional<RowSelection> selection = RowSelection::from(op.getRows());
  if (!selection)
    return op.emitOpError("expected rows that are an argument or selected by importance, but got the result of ")
           << op.getRows().getDefiningOp()->getName();
  ImportanceOp importance = selection->importance;
  if (!importance || importance.getLse() != op.getIntoLse())
    return op.emitOpError("expected rows that are selected by the log-sum-exp that they are written into");
  if (!isConstantOrParameter(kernel, selection->select.getKeep()) ||
      !isConstantOrParameter(kernel, importance.getWeight()))
    return op.emitOpError("expected a selection of rows by constants or parameters");
  return success();
}

SmallVector<Value> weft::rowSelectionArguments(BlockAttentionOp op) {
  std::optional<RowSelection> selection = RowSelection::from(op.getRows());
  if (!selection || !selection->importance)
    return {};
  return {selection->importance.getDrift(), selection->importance.getAge()};
}

bool weft::returnsResults(BlockAttentionOp op) {
  OperandRange returned = op->getBlock()->getTerminator()->getOperands();
  std::optional<RowSelection> selection = RowSelection::from(op.getRows());
  if (!selection)
    return llvm::equal(op->getResults(), returned);
  if (returned.size() != 3 || !llvm::equal(op->getResults(), returned.drop_back()))
    return false;
  auto advance = returned.back().getDefiningOp<AdvanceAgeOp>();
  return advance && advance.getRows() == op.getRows() && selection->importance &&
         advance.getAge() == selection->importance.getAge();
}

DictionaryAttr weft::describeRowSelection(func::FuncOp kernel, BlockAttentionOp op) {
  std::optional<RowSelection> selection = RowSelection::from(op.getRows());
  if (!selection)
    return {};
  Builder b(op.getContext());
  SelectRowsOp select = selection->select;
  SmallVector<NamedAttribute> description = {b.getNamedAttr("min", select.getMinAttr()),
                                             b.getNamedAttr("always", select.getAlwaysAttr())};
  auto describeAmount = [&](StringRef name, Value amount) {
    FloatAttr constant;
    if (matchPattern(amount, m_Constant(&constant)))
      description.push_back(b.getNamedAttr(name, constant));
    for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
      if (parameter == amount)
        description.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(i)));
  };
  describeAmount("keep", select.getKeep());
  describeAmount("age_weight", selection->importance.getWeight());
  return b.getDictionaryAttr(description);
}
