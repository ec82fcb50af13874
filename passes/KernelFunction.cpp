// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks and describes kernel functions.

#include "passes/KernelFunction.h"

#include "dialect/Reuse.h"
#include "dialect/RowSelection.h"
#include "passes/FormPrediction.h"
#include "passes/FormRecognition.h"
#include "passes/FormReuse.h"
#include "passes/FormRows.h"
#include "passes/SinkCaptured.h"

using namespace mlir;
using namespace weft;

bool weft::isParameter(Type type) { return type.isInteger(1) || type.isInteger(32) || type.isF64(); }

/// The runtime passes query, key and value, then a bias, the results that rows are written into, drift and age, given
/// lists, rows and parameters, as far as there are any.
static LogicalResult checkArguments(func::FuncOp kernel, BlockAttentionOp op) {
  Value tensors[] = {originalTokens(op.getQuery()), originalTokens(op.getKey()), op.getValue()};
  for (auto [i, operand] : llvm::enumerate(tensors))
    if (i >= kernel.getNumArguments() || operand != kernel.getArgument(i))
      return op.emitOpError("expected arguments 0, 1 and 2 of the function as query, key and value");
  int64_t numGiven = 0;
  SmallVector<Value> extras = {op.getBias(), op.getIntoOut(), op.getIntoLse()};
  if (!RowSelection::from(op.getRows()))
    extras.push_back(op.getRows());
  llvm::append_range(extras, rowSelectionArguments(op));
  for (BlockArgument argument : kernel.getArguments().drop_front(3)) {
    bool isGiven = isa<BlocksType>(argument.getType()), isExtra = llvm::is_contained(extras, argument);
    if (!isGiven && !isExtra && !isParameter(argument.getType()))
      return op.emitOpError("expected a function of three tensors, i1, i32, f64, !weft.blocks and what the op names, ")
             << "but got " << argument.getType() << " as argument " << argument.getArgNumber();
    if (isExtra)
      llvm::erase(extras, argument);
    numGiven += isGiven;
  }
  if (numGiven > 1)
    return op.emitOpError("expected a function of at most one !weft.blocks, but got ") << numGiven;
  if (llvm::any_of(extras, [](Value extra) { return extra != nullptr; }))
    return op.emitOpError("expected arguments of the function as bias, rows, what these are written into and what they "
                          "are selected by");
  return success();
}

/// The kernel computes the attention and nothing else.
static LogicalResult checkBody(func::FuncOp kernel, BlockAttentionOp op) {
  if (!llvm::hasSingleElement(kernel.getBody()))
    return op.emitOpError("expected a function of one block");
  for (Operation &other : kernel.front().without_terminator())
    if (&other != op && !isMemoryEffectFree(&other))
      return op.emitOpError("expected a function without other effects, but got ") << other.getName();
  return success();
}

/// A predicate uses the function's parameters and what was computed from them, which is in its region by now, and a
/// choice.
static LogicalResult checkPredicate(BlockAttentionOp op) {
  for (Operation &inner : op.getBody().front())
    for (Value operand : inner.getOperands())
      if (Operation *outside = operand.getDefiningOp(); outside && outside->getParentRegion() != &op.getBody() && !isa<ChooseOp>(outside))
        return op.emitOpError("expected a predicate on parameters, but got the result of ") << outside->getName();
  return success();
}

LogicalResult weft::checkKernel(func::FuncOp kernel, BlockAttentionOp op) {
  if (kernel && failed(checkRowSelection(kernel, op)))
    return failure();
  if (!kernel || !op.getFolded() || !returnsResults(op))
    return op.emitOpError("expected a folded op whose results its function returns");
  if (failed(checkArguments(kernel, op)) || failed(checkBody(kernel, op)) || failed(checkPrediction(kernel, op)) ||
      failed(checkReuse(kernel, op)) || failed(checkRecognition(kernel, op)))
    return failure();
  if (op.getBody().empty())
    return success();
  sinkCaptured(op.getBody());
  return checkPredicate(op);
}

SmallVector<BlockArgument> weft::parametersOf(func::FuncOp kernel) {
  SmallVector<BlockArgument> result;
  for (BlockArgument argument : kernel.getArguments())
    if (isParameter(argument.getType()))
      result.push_back(argument);
  return result;
}

static DictionaryAttr describeParameter(func::FuncOp kernel, BlockArgument parameter) {
  Builder b(kernel.getContext());
  SmallVector<NamedAttribute> attributes = {b.getNamedAttr("type", TypeAttr::get(parameter.getType()))};
  for (StringRef name : {WeftDialect::kParameterNameAttrName, WeftDialect::kParameterDefaultAttrName})
    if (Attribute value = kernel.getArgAttr(parameter.getArgNumber(), name))
      attributes.push_back(b.getNamedAttr(name, value));
  return b.getDictionaryAttr(attributes);
}

SmallVector<NamedAttribute> weft::describeKernel(func::FuncOp kernel, BlockAttentionOp op) {
  Builder b(kernel.getContext());
  RankedTensorType query = op.getQuery().getType();
  SmallVector<NamedAttribute> image;
  auto add = [&](StringRef name, Attribute value) { image.push_back(b.getNamedAttr(name, value)); };
  add("name", b.getStringAttr(kernel.getName()));
  add("heads", b.getI64IntegerAttr(query.getDimSize(1)));
  add("head_dim", b.getI64IntegerAttr(query.getDimSize(3)));
  add("dtype", TypeAttr::get(query.getElementType()));
  add("query_grid", op.getQueryGrid());
  add("key_grid", op.getKeyGrid());
  add("query_order", op.getQueryOrder());
  add("key_order", op.getKeyOrder());
  add("block", b.getI64IntegerAttr(op.getBlock()));
  if (op.getQueryBlock())
    add("query_block", op.getQueryBlockAttr());
  // A caller passes lists if the program takes them, also when its mask turned out not to depend on them.
  bool takesLists = llvm::any_of(kernel.getArgumentTypes(), llvm::IsaPred<BlocksType>);
  DictionaryAttr prediction = describePrediction(kernel, op);
  add("given", b.getBoolAttr(takesLists || prediction));
  if (prediction)
    add("prediction", prediction);
  if (DictionaryAttr reuse = describeReuse(kernel, op))
    add("reuse", reuse);
  if (op.getBias())
    add("bias", b.getUnitAttr());
  if (op.getRows())
    add("rows", b.getUnitAttr());
  if (DictionaryAttr selection = describeRowSelection(kernel, op))
    add("row_selection", selection);
  SmallVector<Attribute> descriptions;
  for (BlockArgument parameter : parametersOf(kernel))
    descriptions.push_back(describeParameter(kernel, parameter));
  add("parameters", b.getArrayAttr(descriptions));
  if (op.getLists())
    add("lists", *op.getLists());
  return image;
}
