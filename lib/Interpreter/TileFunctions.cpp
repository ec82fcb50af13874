// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluates functions on the tile level, op by op.

#include "lib/Interpreter/Ops.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

static LogicalResult evaluateTileOp(Operation *op, Scope &scope) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<AccumulateOp, InitTileOp, LoadTileOp, MeanRowOp, ScoreRowOp, ScoresOp, SoftmaxOp, StoreTileOp,
            memref::CollapseShapeOp, memref::LoadOp, memref::SubViewOp,
            memref::ViewOp, scf::ForOp, scf::IfOp>([&](auto known) { return evaluate(known, scope); })
      .Default([&](Operation *other) { return evaluateScalar(other, scope); });
}

static LogicalResult evaluateBlock(Block &block, Scope &scope) {
  for (Operation &op : block.without_terminator())
    if (failed(evaluateTileOp(&op, scope)))
      return failure();
  return success();
}

static SmallVector<RuntimeValue> getValues(ValueRange names, const Scope &scope) {
  SmallVector<RuntimeValue> values;
  for (Value name : names)
    values.push_back(scope.get(name));
  return values;
}

static void bindAll(ValueRange names, ArrayRef<RuntimeValue> values, Scope &scope) {
  for (auto [name, value] : llvm::zip_equal(names, values))
    scope.bind(name, value);
}

LogicalResult interp::evaluate(scf::ForOp op, Scope &scope) {
  int64_t begin = scope.getInteger(op.getLowerBound()), end = scope.getInteger(op.getUpperBound());
  int64_t step = scope.getInteger(op.getStep());
  if (step <= 0)
    return op.emitOpError("expected a positive step, but got ") << step;
  SmallVector<RuntimeValue> carried = getValues(op.getInitArgs(), scope);
  for (int64_t i = begin; i < end; i += step) {
    scope.bind(op.getInductionVar(), i);
    bindAll(op.getRegionIterArgs(), carried, scope);
    if (failed(evaluateBlock(*op.getBody(), scope)))
      return failure();
    carried = getValues(op.getYieldedValues(), scope);
  }
  bindAll(op.getResults(), carried, scope);
  return success();
}

LogicalResult interp::evaluate(scf::IfOp op, Scope &scope) {
  Region &taken = scope.getInteger(op.getCondition()) ? op.getThenRegion() : op.getElseRegion();
  if (taken.empty())
    return success();
  if (failed(evaluateBlock(taken.front(), scope)))
    return failure();
  bindAll(op.getResults(), getValues(taken.front().getTerminator()->getOperands(), scope), scope);
  return success();
}

static FailureOr<RuntimeValue> convertBytes(func::FuncOp func, const Buffer &bytes, Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref || !memref.hasStaticShape() || !memref.getLayout().isIdentity() ||
      !memref.getElementType().isIntOrIndexOrFloat())
    return func.emitError("expected a contiguous buffer of numbers as argument, but got ") << type;
  FailureOr<Buffer> view = viewBytes(func, bytes, 0, getBytes(memref.getElementType()), memref.getShape().vec());
  if (failed(view))
    return failure();
  return RuntimeValue(std::move(*view));
}

static FailureOr<RuntimeValue> convertInteger(func::FuncOp func, int64_t value, Type type) {
  if (!type.isIntOrIndex())
    return func.emitError("expected an integer as argument, but got ") << type;
  return RuntimeValue(wrap(value, type.isIndex() ? 64 : type.getIntOrFloatBitWidth()));
}

/// The bytes or the number `value` as an argument of type `type`.
static FailureOr<RuntimeValue> convert(func::FuncOp func, const RuntimeValue &value, Type type) {
  if (auto *bytes = std::get_if<Buffer>(&value))
    return convertBytes(func, *bytes, type);
  if (std::holds_alternative<double>(value)) {
    if (!type.isF64())
      return func.emitError("expected an f64 as argument, but got ") << type;
    return value;
  }
  return convertInteger(func, std::get<int64_t>(value), type);
}

LogicalResult interp::callTileFunction(func::FuncOp func, ArrayRef<RuntimeValue> arguments) {
  if (!llvm::hasSingleElement(func.getBody()) || func.getNumResults() != 0)
    return func.emitError("expected a function of one block without results");
  if (func.getNumArguments() != arguments.size())
    return func.emitError("expected ") << arguments.size() << " arguments, but got " << func.getNumArguments();
  Scope scope;
  for (auto [argument, value] : llvm::zip(func.getArguments(), arguments)) {
    FailureOr<RuntimeValue> converted = convert(func, value, argument.getType());
    if (failed(converted))
      return failure();
    scope.bind(argument, std::move(*converted));
  }
  return evaluateBlock(func.front(), scope);
}
