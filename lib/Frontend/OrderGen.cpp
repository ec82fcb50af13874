// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Expressions to affine ones, which fold constants as they are made.

#include "lib/Frontend/OrderGen.h"

#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;

namespace weft {
namespace {

class SortKeyGen {
public:
  SortKeyGen(MLIRContext *context, const GridShape &keyGrid, Diagnostics &diagnostics)
      : context(context), keyGrid(keyGrid), diagnostics(diagnostics) {}

  using Parameters = llvm::ArrayRef<AffineExpr>;

  AffineExpr constant(int64_t value) { return getAffineConstantExpr(value, context); }

  AffineExpr emit(const Expr &expr, Parameters parameters) {
    if (auto *literal = std::get_if<LiteralExpr>(&expr.node))
      return constant(literal->value);
    if (auto *grid = std::get_if<GridExtentExpr>(&expr.node))
      return constant(extent(keyGrid, grid->axis));
    if (auto *coordinate = std::get_if<CoordinateExpr>(&expr.node))
      return getAffineDimExpr(static_cast<unsigned>(coordinate->axis), context);
    if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
      return emitReference(*reference, parameters);
    if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
      return emitOperator(*operation, expr.range, parameters);
    return reject(expr.range, "something else");
  }

private:
  AffineExpr emitReference(const ReferenceExpr &reference, Parameters parameters) {
    if (reference.parameter)
      return parameters[reference.parameter->index];
    llvm::SmallVector<AffineExpr> arguments;
    for (const Expr *argument : reference.bound)
      arguments.push_back(emit(*argument, parameters));
    return emit(*reference.definition->body, arguments);
  }

  AffineExpr emitOperator(const OperatorExpr &expr, SourceRange range, Parameters parameters) {
    AffineExpr left = emit(*expr.operands[0], parameters);
    AffineExpr right = expr.operands.size() == 2 ? emit(*expr.operands[1], parameters) : constant(0);
    auto leftConstant = dyn_cast<AffineConstantExpr>(left), rightConstant = dyn_cast<AffineConstantExpr>(right);
    if (isDivision(expr.op) && rightConstant && rightConstant.getValue() <= 0)
      return reject(range, fmt::format("the divisor {}", rightConstant.getValue()));
    if (leftConstant && rightConstant)
      return constant(apply(expr.op, leftConstant.getValue(), rightConstant.getValue()));
    switch (expr.op) {
    case Operator::Add:
      return left + right;
    case Operator::Subtract:
      return left - right;
    case Operator::Negate:
      return -left;
    case Operator::Multiply:
      if (leftConstant || rightConstant)
        return multiply(left, right, range);
      break;
    case Operator::Divide:
      if (rightConstant)
        return left.floorDiv(right);
      break;
    case Operator::Mod:
      if (rightConstant)
        return left % right;
      break;
    default:
      break;
    }
    return reject(range, fmt::format("'{}' of coordinates", info(expr.op).spelling()));
  }

  /// Factors of one coordinate are multiplied in 64 bits: the result must be one of 32 again.
  AffineExpr multiply(AffineExpr left, AffineExpr right, SourceRange range) {
    AffineExpr product = left * right;
    bool fits = true;
    product.walk([&](AffineExpr expr) {
      auto factor = dyn_cast<AffineConstantExpr>(expr);
      fits &= !factor || llvm::isInt<32>(factor.getValue());
    });
    return fits ? product : reject(range, "a factor of more than 32 bits");
  }

  AffineExpr reject(SourceRange range, const std::string &got) {
    diagnostics.error(range, fmt::format("expected sums and differences of coordinates, their products with constants, "
                                         "and '/' and 'mod' by positive ones, but got {}",
                                         got));
    return constant(0);
  }

  MLIRContext *context;
  const GridShape &keyGrid;
  Diagnostics &diagnostics;
};

} // namespace

AffineMap emitSortKeys(MLIRContext *context, const OrderClause &order, const StaticValues &values,
                       Diagnostics &diagnostics) {
  SortKeyGen generator(context, values.keyGrid, diagnostics);
  // Dynamic parameters and floats have no value, and no place here.
  llvm::SmallVector<AffineExpr> parameters, keys;
  for (MaybeStatic value : values.parameters)
    parameters.push_back(generator.constant(value.value_or(0)));
  for (const ExprPtr &key : order.keys)
    keys.push_back(generator.emit(*key, parameters));
  return AffineMap::get(/*dimCount=*/3, /*symbolCount=*/0, keys, context);
}

} // namespace weft
