// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluates a function op by op, and collects the rows of its results.

#include "lib/Interpreter/Interpreter.h"

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
      .Case<AttentionOp, BlockAttentionOp, ConstantMaskOp, GivenOp, MaskAndOp, MaskNotOp, MaskOrOp, PredicateOp,
            ReorderOp, RestoreOp>([&](auto known) { return evaluate(known, scope); })
      .Default([&](Operation *other) { return evaluateScalar(other, scope); });
}

namespace {

/// Binds the function's arguments to the caller's values, each kind in its order.
class ArgumentBinder {
public:
  ArgumentBinder(func::FuncOp func, const InterpreterArgs &args, Scope &scope)
      : func(func), args(args), scope(scope) {}

  LogicalResult bindAll() {
    for (BlockArgument argument : func.getArguments())
      if (failed(bind(argument)))
        return failure();
    if (nextTensor != args.tensors.size() || nextParameter < args.parameters.size() || nextGiven != args.given.size())
      return func.emitError("expected ") << nextTensor << " tensors, " << nextParameter << " parameters and "
                                         << nextGiven << " given lists, but got " << args.tensors.size() << ", "
                                         << args.parameters.size() << " and " << args.given.size();
    return success();
  }

private:
  LogicalResult bind(BlockArgument argument) {
    return TypeSwitch<Type, LogicalResult>(argument.getType())
        .Case([&](RankedTensorType type) { return bindTensor(argument, type); })
        .Case([&](BlocksType) { return bindGiven(argument); })
        .Case<IntegerType, IndexType>([&](Type) { return bindParameter(argument); })
        .Default([&](Type type) { return func.emitError("expected no argument of type ") << type; });
  }

  LogicalResult bindTensor(BlockArgument argument, RankedTensorType type) {
    if (nextTensor == args.tensors.size())
      return func.emitError("expected a tensor for argument ") << argument.getArgNumber();
    const rt::Tensor &view = args.tensors[nextTensor++];
    auto isOther = [](auto sizes) {
      auto [expected, actual] = sizes;
      return !ShapedType::isDynamic(expected) && expected != actual;
    };
    if (view.rank() != type.getRank() || view.rank() != 4 ||
        llvm::any_of(llvm::zip(type.getShape(), view.shape), isOther))
      return func.emitError("expected ") << type << " for argument " << argument.getArgNumber() << ", but got "
                                         << view.describe();
    if (!isFloat(view.dtype))
      return func.emitError("expected floats for argument ") << argument.getArgNumber() << ", but got "
                                                             << view.describe();
    if (view.shape[0] != args.tensors.front().shape[0])
      return func.emitError("expected the batch of argument 0 for argument ")
             << argument.getArgNumber() << ", but got " << view.describe();
    scope.bind(argument, makeTensor(view));
    return success();
  }

  LogicalResult bindParameter(BlockArgument argument) {
    unsigned number = argument.getArgNumber();
    Type type = argument.getType();
    unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
    if (nextParameter < args.parameters.size()) {
      scope.bind(argument, wrap(args.parameters[nextParameter++], width));
      return success();
    }
    auto fallback = func.getArgAttrOfType<IntegerAttr>(number, WeftDialect::kParameterDefaultAttrName);
    if (!fallback)
      return func.emitError("expected a value for the parameter in argument ") << number;
    scope.bind(argument, fallback.getValue().getSExtValue());
    return success();
  }

  LogicalResult bindGiven(BlockArgument argument) {
    if (nextGiven == args.given.size())
      return func.emitError("expected block lists for argument ") << argument.getArgNumber();
    scope.bind(argument, &args.given[nextGiven++]);
    return success();
  }

  static bool isFloat(rt::DType dtype) {
    return llvm::is_contained({rt::DType::F64, rt::DType::F32, rt::DType::F16, rt::DType::BF16}, dtype);
  }

  func::FuncOp func;
  const InterpreterArgs &args;
  Scope &scope;
  size_t nextTensor = 0, nextParameter = 0, nextGiven = 0;
};

} // namespace

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

static FailureOr<DoubleTensor> collectResult(func::FuncOp func, const Tensor &tensor, std::vector<int64_t> rows) {
  if (rows.empty()) {
    rows.resize(tensor.getTokens());
    std::iota(rows.begin(), rows.end(), 0);
  }
  for (int64_t row : rows)
    if (row < 0 || row >= tensor.getTokens())
      return func.emitError("expected rows from 0 to ") << tensor.getTokens() - 1 << ", but got " << row;
  return collectRows(tensor, rows);
}

FailureOr<InterpreterResult> weft::interpret(func::FuncOp func, const InterpreterArgs &args) {
  if (!llvm::hasSingleElement(func.getBody()))
    return func.emitError("expected a function of one block");
  Scope scope;
  if (failed(ArgumentBinder(func, args, scope).bindAll()))
    return failure();
  Block &body = func.front();
  for (Operation &op : body.without_terminator())
    if (failed(evaluateOp(&op, scope)))
      return failure();

  OperandRange returned = body.getTerminator()->getOperands();
  if (returned.empty() || returned.size() > 2 || !llvm::all_of(returned.getTypes(), llvm::IsaPred<RankedTensorType>))
    return func.emitError("expected one or two tensors as results, but got ") << returned.getTypes();
  InterpreterResult result;
  for (auto [i, value] : llvm::enumerate(returned)) {
    FailureOr<DoubleTensor> tensor = collectResult(func, scope.getTensor(value), args.rows);
    if (failed(tensor))
      return failure();
    (i == 0 ? result.out : result.lse) = std::move(*tensor);
  }
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
