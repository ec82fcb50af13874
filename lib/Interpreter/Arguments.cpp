// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Takes each argument from the caller's values of its kind.

#include "lib/Interpreter/Arguments.h"

#include "lib/Interpreter/ScalarOps.h"

#include "dialect/WeftDialect.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

class ArgumentBinder {
public:
  ArgumentBinder(Operation *op, const InterpreterArgs &args) : op(op), args(args) {}

  FailureOr<RuntimeValue> bind(unsigned number, ArgumentSpec spec) {
    return TypeSwitch<Type, FailureOr<RuntimeValue>>(spec.type)
        .Case([&](RankedTensorType type) { return bindTensor(number, type); })
        .Case([&](BlocksType) { return bindGiven(number); })
        .Case([&](RowsType) { return bindRows(number); })
        .Case<IntegerType, IndexType>([&](Type) { return bindParameter(number, spec); })
        .Case([&](Float64Type) { return bindFloat(number, spec); })
        .Default([&](Type type) { return op->emitError("expected no argument of type ") << type; });
  }

  LogicalResult checkNoneLeft() {
    if (nextTensor == args.tensors.size() && nextParameter >= args.parameters.size() &&
        nextGiven == args.given.size() && nextRows == args.rowLists.size())
      return success();
    return op->emitError("expected ") << nextTensor << " tensors, " << nextParameter << " parameters, " << nextGiven
                                      << " given lists and " << nextRows << " row lists, but got "
                                      << args.tensors.size() << ", " << args.parameters.size() << ", "
                                      << args.given.size() << " and " << args.rowLists.size();
  }

private:
  FailureOr<RuntimeValue> bindTensor(unsigned number, RankedTensorType type) {
    if (nextTensor == args.tensors.size())
      return op->emitError("expected a tensor for argument ") << number;
    const rt::Tensor &view = args.tensors[nextTensor++];
    auto isOther = [](auto sizes) {
      auto [expected, actual] = sizes;
      return !ShapedType::isDynamic(expected) && expected != actual;
    };
    if (view.rank() != type.getRank() || view.rank() < 2 || view.rank() > 4 ||
        llvm::any_of(llvm::zip(type.getShape(), view.shape), isOther))
      return op->emitError("expected ") << type << " for argument " << number << ", but got " << view.describe();
    bool isInteger = type.getElementType().isInteger(32);
    if (isInteger && view.dtype != rt::DType::I32)
      return op->emitError("expected i32 for argument ") << number << ", but got " << view.describe();
    if (!isInteger && !isFloat(view.dtype))
      return op->emitError("expected floats for argument ") << number << ", but got " << view.describe();
    bool isShared = view.rank() == 3 && view.shape[0] == 1;
    if (!isShared && view.shape[0] != args.tensors.front().shape[0])
      return op->emitError("expected the batch of argument 0 for argument ")
             << number << ", but got " << view.describe();
    return RuntimeValue(makeTensor(view));
  }

  FailureOr<RuntimeValue> bindParameter(unsigned number, ArgumentSpec spec) {
    unsigned width = spec.type.isIndex() ? 64 : spec.type.getIntOrFloatBitWidth();
    if (nextParameter < args.parameters.size())
      return RuntimeValue(wrap(args.parameters[nextParameter++], width));
    auto fallback = dyn_cast_or_null<IntegerAttr>(spec.fallback);
    if (!fallback)
      return missingParameter(number);
    return RuntimeValue(fallback.getValue().getSExtValue());
  }

  FailureOr<RuntimeValue> bindFloat(unsigned number, ArgumentSpec spec) {
    if (nextParameter < args.parameters.size())
      return RuntimeValue(llvm::bit_cast<double>(args.parameters[nextParameter++]));
    auto fallback = dyn_cast_or_null<FloatAttr>(spec.fallback);
    if (!fallback)
      return missingParameter(number);
    return RuntimeValue(fallback.getValueAsDouble());
  }

  LogicalResult missingParameter(unsigned number) {
    return op->emitError("expected a value for the parameter in argument ") << number;
  }

  FailureOr<RuntimeValue> bindGiven(unsigned number) {
    if (nextGiven == args.given.size())
      return op->emitError("expected block lists for argument ") << number;
    return RuntimeValue(&args.given[nextGiven++]);
  }

  FailureOr<RuntimeValue> bindRows(unsigned number) {
    if (nextRows == args.rowLists.size())
      return op->emitError("expected row lists for argument ") << number;
    return RuntimeValue(&args.rowLists[nextRows++]);
  }

  static bool isFloat(rt::DType dtype) {
    return llvm::is_contained({rt::DType::F64, rt::DType::F32, rt::DType::F16, rt::DType::BF16}, dtype);
  }

  Operation *op;
  const InterpreterArgs &args;
  size_t nextTensor = 0, nextParameter = 0, nextGiven = 0, nextRows = 0;
};

} // namespace

FailureOr<SmallVector<RuntimeValue>> interp::bindArguments(Operation *op, ArrayRef<ArgumentSpec> signature,
                                                           const InterpreterArgs &args) {
  ArgumentBinder binder(op, args);
  SmallVector<RuntimeValue> values;
  for (auto [i, spec] : llvm::enumerate(signature)) {
    FailureOr<RuntimeValue> value = binder.bind(i, spec);
    if (failed(value))
      return failure();
    values.push_back(std::move(*value));
  }
  if (failed(binder.checkNoneLeft()))
    return failure();
  return values;
}
