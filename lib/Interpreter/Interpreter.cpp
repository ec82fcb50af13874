// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluates a function op by op, and collects the rows of its results.

#include "lib/Interpreter/Interpreter.h"

#include "lib/Interpreter/Arguments.h"
#include "lib/Interpreter/Ops.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <numeric>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

double DoubleTensor::at(ArrayRef<int64_t> indices) const {
  int64_t position = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis)
    position = position * shape[axis] + (axis < indices.size() ? indices[axis] : 0);
  return data[position];
}

LogicalResult interp::evaluateScalar(Operation *op, Scope &scope) {
  APFloat number(0.0);
  if (op->getNumResults() == 1 && op->getResult(0).getType().isF64() && matchPattern(op, m_ConstantFloat(&number))) {
    scope.bind(op->getResult(0), number.convertToDouble());
    return success();
  }
  APInt constant;
  if (matchPattern(op, m_ConstantInt(&constant))) {
    scope.bind(op->getResult(0), constant.getSExtValue());
    return success();
  }
  FailureOr<ScalarOp> scalar = getScalarOp(op);
  if (failed(scalar))
    return failure();
  int64_t operands[3] = {0, 0, 0};
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    operands[i] = scope.getInteger(operand);
  if (scalar->divides && operands[1] == 0)
    return op->emitOpError("expected a divisor other than 0");
  scope.bind(op->getResult(0), scalar->apply(operands[0], operands[1], operands[2]));
  return success();
}

static LogicalResult evaluateOp(Operation *op, Scope &scope) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<AdvanceAgeOp, AttentionOp, BlockAttentionOp, BlockMeansOp, BlockScoresOp, ChooseOp, ConstantMaskOp, GivenOp,
            ImportanceOp, MaskAndOp, MaskNotOp, MaskOrOp, MaxScoresOp, PredicateOp, RecallOp, ReorderOp, RestoreOp,
            SelectRowsOp, SnapOp>(
          [&](auto known) { return evaluate(known, scope); })
      .Case<SelectTopKOp, SelectTopPOp, SelectThresholdOp>([&](auto) { return evaluateSelection(op, scope); })
      .Default([&](Operation *other) { return evaluateScalar(other, scope); });
}

/// The rows of a tensor, each computed once.
static DoubleTensor collectRows(const Tensor &tensor, ArrayRef<int64_t> rows) {
  DoubleTensor result{tensor.getShape(), {}};
  result.shape[2] = rows.size();
  for (int64_t batch = 0; batch < result.shape[0]; ++batch)
    for (int64_t head = 0; head < result.shape[1]; ++head)
      for (int64_t token : rows) {
        Row row = tensor.getRow(batch, head, token);
        result.data.insert(result.data.end(), row.begin(), row.end());
      }
  return result;
}

FailureOr<DoubleTensor> interp::collectResult(Operation *op, const Tensor &tensor, std::vector<int64_t> rows) {
  if (rows.empty()) {
    rows.resize(tensor.getTokens());
    std::iota(rows.begin(), rows.end(), 0);
  }
  for (int64_t row : rows)
    if (row < 0 || row >= tensor.getTokens())
      return op->emitError("expected rows from 0 to ") << tensor.getTokens() - 1 << ", but got " << row;
  return collectRows(tensor, rows);
}

static SmallVector<ArgumentSpec> getSignature(func::FuncOp func) {
  SmallVector<ArgumentSpec> signature;
  for (auto [i, type] : llvm::enumerate(func.getArgumentTypes()))
    signature.push_back({type, func.getArgAttr(i, WeftDialect::kParameterDefaultAttrName)});
  return signature;
}

FailureOr<InterpreterResult> weft::interpret(func::FuncOp func, const InterpreterArgs &args) {
  if (!llvm::hasSingleElement(func.getBody()))
    return func.emitError("expected a function of one block");
  auto bound = bindArguments(func, getSignature(func), args);
  if (failed(bound))
    return failure();
  Scope scope;
  scope.selected = args.selected, scope.selectedRows = args.selectedRows, scope.choices = args.choices;
  for (auto [argument, value] : llvm::zip(func.getArguments(), *bound))
    scope.bind(argument, std::move(value));
  Block &body = func.front();
  for (Operation &op : body.without_terminator())
    if (failed(evaluateOp(&op, scope)))
      return failure();

  OperandRange returned = body.getTerminator()->getOperands();
  if (returned.empty() || returned.size() > 3 || !llvm::all_of(returned.getTypes(), llvm::IsaPred<RankedTensorType>))
    return func.emitError("expected one to three tensors as results, but got ") << returned.getTypes();
  InterpreterResult result;
  DoubleTensor *const results[] = {&result.out, &result.lse, &result.age};
  for (auto [value, tensor] : llvm::zip_first(returned, results)) {
    bool hasHeads = cast<RankedTensorType>(value.getType()).getRank() > 2;
    auto collected = collectResult(func, scope.getTensor(value), hasHeads ? args.rows : std::vector<int64_t>());
    if (failed(collected))
      return failure();
    *tensor = std::move(*collected);
    if (!hasHeads)
      tensor->shape.erase(tensor->shape.begin() + 1);
  }
  for (auto &rows : scope.getKeptRows())
    result.selectedRows.push_back(rows->rows);
  for (auto &lists : scope.getKept())
    result.predicted.push_back(*lists);
  for (auto &choices : scope.getKeptChoices())
    result.recognized.push_back(*choices);
  return result;
}

FailureOr<bool> weft::interpretPredicate(Region &body, int64_t head, const TokenCoordinates &query,
                                         const TokenCoordinates &key, bool given,
                                         const CapturedIntegers &captured) {
  FailureOr<Predicate> predicate = Predicate::prepare(body, [&](Value value) -> FailureOr<int64_t> {
    auto found = captured.find(value);
    if (found == captured.end())
      return emitError(value.getLoc(), "expected a value for an integer that a predicate uses");
    return found->second;
  });
  if (failed(predicate))
    return failure();
  return predicate->holds(head, query, key, given);
}
