// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Expressions to arith operations.

#include "lib/Frontend/PredicateGen.h"

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace weft {

Locator::Locator(MLIRContext *context, const SourceFile &source)
    : fileName(StringAttr::get(context, source.name())), source(source) {}

Location Locator::operator()(SourceRange range) const {
  LineColumn begin = source.position(range.begin),
             end = source.position(range.end);
  return FileLineColRange::get(fileName, begin.line, begin.column, end.line,
                               end.column);
}

static bool isOfKey(const CoordinateExpr &coordinate) {
  return coordinate.owner == CoordinateExpr::Owner::Key;
}

/// Which argument of the predicate's block holds a coordinate.
static unsigned argumentOf(const CoordinateExpr &coordinate) {
  static_assert(kQueryText - kQueryT == static_cast<unsigned>(Axis::Text) &&
                    kKeyText - kKeyT == static_cast<unsigned>(Axis::Text),
                "coordinates stand in the order of Axis");
  return (isOfKey(coordinate) ? kKeyT : kQueryT) +
         static_cast<unsigned>(coordinate.axis);
}

Value PredicateGen::emitValue(const Expr &expr,
                              const EmittedParameters &parameters) {
  return materialize(emit(expr, parameters), expr.kind, locate(expr.range));
}

Emitted PredicateGen::emit(const Expr &expr,
                           const EmittedParameters &parameters) {
  if (auto *literal = std::get_if<LiteralExpr>(&expr.node))
    return {literal->value, {}};
  if (auto *grid = std::get_if<GridExtentExpr>(&expr.node))
    return {extent(keyGrid, grid->axis), {}};
  if (auto *coordinate = std::get_if<CoordinateExpr>(&expr.node)) {
    if (coordinate->axis == Axis::TextIndex)
      return {std::nullopt,
              emitTextIndex(isOfKey(*coordinate), locate(expr.range))};
    return {std::nullopt, block.getArgument(argumentOf(*coordinate))};
  }
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
    return emitOperator(*operation, expr.range, parameters);
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
    return emitReference(*reference, parameters);
  assert(std::holds_alternative<HeadExpr>(expr.node) &&
         "`given` never reaches a predicate");
  return {std::nullopt, block.getArgument(kHead)};
}

/// A text token's distance from the first; a video token is far from all.
Value PredicateGen::emitTextIndex(bool ofKey, Location loc) {
  const GridShape &grid = ofKey ? keyGrid : queryGrid;
  auto begin = static_cast<int32_t>(
      grid.textFirst ? 0 : grid.tokens() - grid.text);
  Value index = block.getArgument(ofKey ? kKeyIndex : kQueryIndex);
  Value position =
      arith::SubIOp::create(builder, loc, index, constant(begin, loc));
  return arith::SelectOp::create(
      builder, loc, block.getArgument(ofKey ? kKeyText : kQueryText), position,
      constant(WeftDialect::kTextCoordinate, loc));
}

Emitted PredicateGen::emitReference(const ReferenceExpr &reference,
                                    const EmittedParameters &parameters) {
  if (reference.parameter)
    return parameters[reference.parameter->index];
  EmittedParameters arguments;
  for (const Expr *argument : reference.bound)
    arguments.push_back(emit(*argument, parameters));
  return emit(*reference.definition->body, arguments);
}

Emitted PredicateGen::emitOperator(const OperatorExpr &expr, SourceRange range,
                                   const EmittedParameters &parameters) {
  Emitted left = emit(*expr.operands[0], parameters);
  Emitted right = expr.operands.size() == 2
                      ? emit(*expr.operands[1], parameters)
                      : Emitted{0, {}};
  if (left.constant && right.constant)
    return {apply(expr.op, *left.constant, *right.constant), {}};
  Location loc = locate(range);
  Kind kind = expr.operands[0]->kind;
  Value leftValue = materialize(left, kind, loc);
  if (expr.op == Operator::Mod)
    return {std::nullopt, emitMod(leftValue, *right.constant, loc)};
  Value rightValue =
      expr.operands.size() == 2 ? materialize(right, kind, loc) : Value();
  return {std::nullopt, emitRuntime(expr.op, leftValue, rightValue, loc)};
}

Value PredicateGen::materialize(const Emitted &emitted, Kind kind,
                                Location loc) {
  if (!emitted.constant)
    return emitted.value;
  if (kind == Kind::Bool)
    return arith::ConstantOp::create(builder, loc,
                                     builder.getBoolAttr(*emitted.constant));
  return constant(*emitted.constant, loc);
}

Value PredicateGen::constant(int32_t value, Location loc) {
  return arith::ConstantOp::create(builder, loc,
                                   builder.getI32IntegerAttr(value));
}

/// The remainder with the sign of the divisor.
Value PredicateGen::emitMod(Value value, int32_t divisor, Location loc) {
  constexpr int32_t largestShift = 1 << 30;
  Value right = constant(divisor, loc);
  if (divisor > largestShift) { // adding the divisor to a remainder would wrap
    Value quotient = arith::FloorDivSIOp::create(builder, loc, value, right);
    Value floor = arith::MulIOp::create(builder, loc, quotient, right);
    return arith::SubIOp::create(builder, loc, value, floor);
  }
  Value remainder = arith::RemSIOp::create(builder, loc, value, right);
  Value shifted = arith::AddIOp::create(builder, loc, remainder, right);
  return arith::RemSIOp::create(builder, loc, shifted, right);
}

Value PredicateGen::emitRuntime(Operator op, Value left, Value right,
                                Location loc) {
  using Predicate = arith::CmpIPredicate;
  auto compare = [&](Predicate predicate) -> Value {
    return arith::CmpIOp::create(builder, loc, predicate, left, right);
  };
  auto negate = [&]() -> Value {
    return arith::SubIOp::create(builder, loc, constant(0, loc), left);
  };
  switch (op) {
  case Operator::Or:
    return arith::OrIOp::create(builder, loc, left, right);
  case Operator::And:
    return arith::AndIOp::create(builder, loc, left, right);
  case Operator::Not:
    return arith::XOrIOp::create(builder, loc, left,
                                 materialize({1, {}}, Kind::Bool, loc));
  case Operator::Equal:
    return compare(Predicate::eq);
  case Operator::NotEqual:
    return compare(Predicate::ne);
  case Operator::Less:
    return compare(Predicate::slt);
  case Operator::LessEqual:
    return compare(Predicate::sle);
  case Operator::Greater:
    return compare(Predicate::sgt);
  case Operator::GreaterEqual:
    return compare(Predicate::sge);
  case Operator::Add:
    return arith::AddIOp::create(builder, loc, left, right);
  case Operator::Subtract:
    return arith::SubIOp::create(builder, loc, left, right);
  case Operator::Multiply:
    return arith::MulIOp::create(builder, loc, left, right);
  case Operator::Divide:
    return arith::FloorDivSIOp::create(builder, loc, left, right);
  case Operator::Mod:
    break;
  case Operator::Negate:
    return negate();
  case Operator::Abs:
    return arith::MaxSIOp::create(builder, loc, left, negate());
  case Operator::Min:
    return arith::MinSIOp::create(builder, loc, left, right);
  case Operator::Max:
    return arith::MaxSIOp::create(builder, loc, left, right);
  }
  llvm_unreachable("emitMod handles Mod");
}

} // namespace weft
