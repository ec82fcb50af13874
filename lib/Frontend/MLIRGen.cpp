// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Generates the kernel function, its mask and its attention.

#include "lib/Frontend/MLIRGen.h"

#include "dialect/WeftDialect.h"
#include "lib/Frontend/OrderGen.h"
#include "lib/Frontend/PredicateGen.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>

using namespace mlir;

namespace weft {
namespace {

class Generator {
public:
  Generator(MLIRContext &context, const StaticValues &values,
            const GenerateOptions &options, Diagnostics &diagnostics)
      : builder(&context), locate(&context, diagnostics.source()),
        values(values), options(options), attention(*values.attention),
        evaluator(diagnostics, values.keyGrid), frame(values.frame()),
        order(makeOrder(diagnostics)),
        queryGrid(gridAttr(values.queryGrid)),
        keyGrid(gridAttr(values.keyGrid)),
        maskType(MaskType::get(&context, queryGrid, keyGrid)) {}
  OwningOpRef<ModuleOp> run();

private:
  // The function.
  GridAttr gridAttr(const GridShape &grid);
  OrderAttr makeOrder(Diagnostics &diagnostics);
  RankedTensorType tensorType(GridAttr grid);
  Type elementType();
  RankedTensorType lseType();
  SmallVector<Type> operandTypes();
  Type parameterType(Kind kind);
  SmallVector<Type> argumentTypes();
  void annotateParameters(func::FuncOp function);
  void emitBody(func::FuncOp function);

  // The mask.
  Value emitMask(const Expr &expr);
  Value emitPredicate(const Expr &expr);
  Value emitPrediction(const PredictionExpr &expr, Location loc);
  Value emitScores(const PredictionExpr &expr, Location loc);
  Value emitMeans(Value operand, GridAttr grid, IntegerAttr pool, Location loc);
  Value emitAmount(const Expr &expr);

  // The rows.
  bool selectsRows() const { return attention.rows && attention.rows->selection; }
  RankedTensorType perTokenType(Type element);
  SmallVector<Type> resultTypes();
  Value emitRows(Value lse, Value drift, Value age);
  SmallVector<int32_t> tokensAlways(const Expr &expr);

  IntegerAttr integerAttr(const ExprPtr &expr);
  double scale() const;
  Value emitRecognition(const RecognitionExpr &expr, Location loc);
  Value emitChoice(const RecognitionExpr &expr, ArrayRef<Value> candidates,
                   Location loc);
  Value emitChosen(Value choice, int32_t number, Location loc);
  Value emitConnective(const OperatorExpr &expr, Location loc);

  // Reuse.
  Value emitSnap(Value operand, const GridShape &grid);

  OpBuilder builder;
  Locator locate;
  const StaticValues &values;
  const GenerateOptions &options;
  const Attention &attention;
  StaticEvaluator evaluator;
  Frame frame;
  OrderAttr order;
  GridAttr queryGrid, keyGrid;
  MaskType maskType;
  EmittedParameters parameters;
  Value query, key, blocks;
};

bool usesGiven(const Expr &expr) {
  bool found = std::holds_alternative<GivenExpr>(expr.node);
  forEachChild(expr,
               [&](const Expr &child) { found = found || usesGiven(child); });
  return found;
}

bool usesGiven(const Attention &attention) {
  return attention.mask && usesGiven(*attention.mask->condition);
}

GridAttr Generator::gridAttr(const GridShape &grid) {
  return GridAttr::get(builder.getContext(), grid.t, grid.h, grid.w, grid.text,
                       grid.textFirst);
}

OrderAttr Generator::makeOrder(Diagnostics &diagnostics) {
  MLIRContext *context = builder.getContext();
  if (attention.order && !attention.order->keys.empty())
    return OrderAttr::getSorted(emitSortKeys(context, *attention.order, values, diagnostics), values.first);
  if (!attention.order || !attention.order->isTiles)
    return OrderAttr::getRaster(context);
  if (!values.tile)
    return OrderAttr::getChosenTiles(context);
  auto [t, h, w] = values.tile->sizes;
  return OrderAttr::get(context, /*tiled=*/true, t, h, w, values.first);
}

Type Generator::elementType() {
  switch (options.elementType) {
  case ElementType::F32:
    return builder.getF32Type();
  case ElementType::BF16:
    return builder.getBF16Type();
  case ElementType::F16:
    return builder.getF16Type();
  }
  llvm_unreachable("all element types are handled");
}

RankedTensorType Generator::tensorType(GridAttr grid) {
  return RankedTensorType::get(
      {ShapedType::kDynamic, options.heads, grid.getTokens(), options.headDim},
      elementType());
}

RankedTensorType Generator::lseType() {
  return RankedTensorType::get(
      {ShapedType::kDynamic, options.heads, queryGrid.getTokens()},
      builder.getF32Type());
}

Type Generator::parameterType(Kind kind) {
  switch (kind) {
  case Kind::Int:
    return builder.getI32Type();
  case Kind::Bool:
    return builder.getI1Type();
  case Kind::Float:
    return builder.getF64Type();
  }
  llvm_unreachable("all kinds are handled");
}

/// Those before the dynamic parameters.
SmallVector<Type> Generator::operandTypes() {
  MLIRContext *context = builder.getContext();
  SmallVector<Type> types = {tensorType(queryGrid), tensorType(keyGrid),
                             tensorType(keyGrid)};
  if (attention.bias)
    types.push_back(RankedTensorType::get(
        {ShapedType::kDynamic, ShapedType::kDynamic, keyGrid.getTokens()},
        builder.getF32Type()));
  if (attention.rows)
    types.append({tensorType(queryGrid), lseType()});
  if (selectsRows())
    types.append({perTokenType(builder.getF32Type()), perTokenType(builder.getI32Type())});
  if (usesGiven(attention))
    types.push_back(BlocksType::get(context));
  if (attention.rows && !selectsRows())
    types.push_back(RowsType::get(context));
  return types;
}

/// Of every query token, for all heads.
RankedTensorType Generator::perTokenType(Type element) {
  return RankedTensorType::get({ShapedType::kDynamic, queryGrid.getTokens()},
                               element);
}

SmallVector<Type> Generator::resultTypes() {
  SmallVector<Type> types = {tensorType(queryGrid), lseType()};
  if (selectsRows())
    types.push_back(perTokenType(builder.getI32Type()));
  return types;
}

SmallVector<Type> Generator::argumentTypes() {
  SmallVector<Type> types = operandTypes();
  for (auto &parameter : attention.parameters)
    if (parameter->isDynamic)
      types.push_back(parameterType(parameter->kind));
  return types;
}

void Generator::annotateParameters(func::FuncOp function) {
  unsigned argument = operandTypes().size();
  for (auto &parameter : attention.parameters) {
    MaybeStatic value = values.parameters[parameter->index];
    if (!parameter->isDynamic) {
      parameters.push_back({value, {}});
      continue;
    }
    function.setArgAttr(argument, WeftDialect::kParameterNameAttrName,
                        builder.getStringAttr(parameter->name.text));
    if (value)
      function.setArgAttr(argument, WeftDialect::kParameterDefaultAttrName,
                          parameter->kind == Kind::Int
                              ? Attribute(builder.getI32IntegerAttr(*value))
                              : builder.getBoolAttr(*value));
    if (std::optional<double> real = values.floats[parameter->index])
      function.setArgAttr(argument, WeftDialect::kParameterDefaultAttrName,
                          builder.getF64FloatAttr(*real));
    parameters.push_back({std::nullopt, function.getArgument(argument++)});
  }
}

OwningOpRef<ModuleOp> Generator::run() {
  Location loc = locate(attention.range);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  auto type = builder.getFunctionType(argumentTypes(), resultTypes());
  auto function = func::FuncOp::create(builder, loc, attention.name.text, type);
  function->setAttr(WeftDialect::kKernelAttrName, builder.getUnitAttr());
  builder.setInsertionPointToStart(function.addEntryBlock());
  annotateParameters(function);
  emitBody(function);
  if (failed(verify(*module)))
    return nullptr;
  return module;
}

void Generator::emitBody(func::FuncOp function) {
  Location loc = locate(attention.range);
  auto next = function.getArguments().begin();
  auto take = [&](bool isThere) { return isThere ? Value(*next++) : Value(); };
  bool hasRows = attention.rows.has_value();
  query = take(true), key = take(true);
  Value value = take(true);
  Value bias = take(attention.bias.has_value());
  Value intoOut = take(hasRows), intoLse = take(hasRows);
  Value drift = take(selectsRows()), age = take(selectsRows());
  blocks = take(usesGiven(attention));
  Value rows = selectsRows() ? emitRows(intoLse, drift, age) : take(hasRows);
  Value mask;
  if (attention.mask)
    mask = emitMask(*attention.mask->condition);
  // The mask is judged on the original tokens.
  Value snappedQuery = emitSnap(query, values.queryGrid);
  Value snappedKey = emitSnap(key, values.keyGrid);
  auto op = AttentionOp::create(
      builder, loc, tensorType(queryGrid), lseType(), snappedQuery, snappedKey,
      value, bias, mask, rows, intoOut, intoLse, queryGrid, keyGrid, order, order,
      builder.getI64IntegerAttr(options.block), /*query_block=*/IntegerAttr(),
      builder.getF64FloatAttr(scale()));
  SmallVector<Value> results = op.getResults();
  if (selectsRows())
    results.push_back(AdvanceAgeOp::create(builder, loc, age, rows));
  func::ReturnOp::create(builder, loc, results);
}

/// The operand itself if there is nothing to snap.
Value Generator::emitSnap(Value operand, const GridShape &grid) {
  if (!attention.reuse)
    return operand;
  std::string axes;
  for (Axis axis : values.reuseAxes(grid))
    axes += spelling(axis);
  if (axes.empty())
    return operand;
  bool isToken = attention.reuse->granularity == Granularity::Token;
  return SnapOp::create(builder, locate(attention.reuse->range), operand,
                        emitAmount(*attention.reuse->threshold), gridAttr(grid),
                        builder.getI64IntegerAttr(values.window),
                        builder.getStringAttr(axes),
                        isToken ? builder.getUnitAttr() : UnitAttr());
}

Value Generator::emitMask(const Expr &expr) {
  Location loc = locate(expr.range);
  if (MaybeStatic value = evaluator.evaluate(expr, frame))
    return ConstantMaskOp::create(builder, loc, maskType,
                                  builder.getBoolAttr(*value));
  if (std::holds_alternative<GivenExpr>(expr.node))
    return GivenOp::create(builder, loc, maskType, blocks);
  if (auto *prediction = std::get_if<PredictionExpr>(&expr.node))
    return emitPrediction(*prediction, loc);
  if (auto *recognition = std::get_if<RecognitionExpr>(&expr.node))
    return emitRecognition(*recognition, loc);
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
    if (Value mask = emitConnective(*operation, loc))
      return mask;
  return emitPredicate(expr);
}

double Generator::scale() const {
  return options.scale.value_or(
      1 / std::sqrt(static_cast<double>(options.headDim)));
}

/// Null for no expression.
IntegerAttr Generator::integerAttr(const ExprPtr &expr) {
  return expr ? builder.getI64IntegerAttr(*evaluator.evaluate(*expr, frame))
              : IntegerAttr();
}

Value Generator::emitAmount(const Expr &expr) {
  if (std::optional<double> value = values.floatValue(expr))
    return arith::ConstantOp::create(builder, locate(expr.range),
                                     builder.getF64FloatAttr(*value));
  return parameters[std::get<ReferenceExpr>(expr.node).parameter->index].value;
}

/// The number of blocks is known once tiles are chosen.
Value Generator::emitMeans(Value operand, GridAttr grid, IntegerAttr pool,
                           Location loc) {
  auto type = RankedTensorType::get({ShapedType::kDynamic, options.heads,
                                     ShapedType::kDynamic, options.headDim},
                                    builder.getF32Type());
  return BlockMeansOp::create(builder, loc, type, operand, grid, order,
                              builder.getI64IntegerAttr(options.block), pool);
}

Value Generator::emitScores(const PredictionExpr &expr, Location loc) {
  IntegerAttr pool = integerAttr(expr.pool);
  IntegerAttr block = builder.getI64IntegerAttr(options.block);
  auto type = RankedTensorType::get({ShapedType::kDynamic, options.heads,
                                     ShapedType::kDynamic,
                                     ShapedType::kDynamic},
                                    builder.getF32Type());
  Value scores = BlockScoresOp::create(
      builder, loc, type, emitMeans(query, queryGrid, pool, loc),
      emitMeans(key, keyGrid, pool, loc), builder.getF64FloatAttr(scale()));
  if (!pool)
    return scores;
  return MaxScoresOp::create(builder, loc, type, scores, queryGrid, keyGrid,
                             order, order, block, block, pool);
}

Value Generator::emitPrediction(const PredictionExpr &expr, Location loc) {
  Value scores = emitScores(expr, loc), amount = emitAmount(*expr.amount);
  IntegerAttr min =
      expr.min ? integerAttr(expr.min) : builder.getI64IntegerAttr(0);
  Type type = BlocksType::get(builder.getContext());
  Value selected;
  switch (expr.rule) {
  case SelectionRule::TopK:
    selected = SelectTopKOp::create(builder, loc, type, scores, amount, min);
    break;
  case SelectionRule::TopP:
    selected = SelectTopPOp::create(builder, loc, type, scores, amount, min);
    break;
  case SelectionRule::Threshold:
    selected =
        SelectThresholdOp::create(builder, loc, type, scores, amount, min);
    break;
  }
  return GivenOp::create(builder, loc, maskType, selected);
}

/// The selection by importance among operands of `or`.
static const Expr &selectionOf(const Expr &expr) {
  auto *operation = std::get_if<OperatorExpr>(&expr.node);
  if (!operation)
    return expr;
  const Expr &left = selectionOf(*operation->operands[0]);
  bool isLeft = std::holds_alternative<PredictionExpr>(left.node);
  return isLeft ? left : selectionOf(*operation->operands[1]);
}

/// The tokens that the other operands hold.
SmallVector<int32_t> Generator::tokensAlways(const Expr &expr) {
  SmallVector<int32_t> tokens;
  std::function<bool(const Expr &, const TokenCoordinateValues &)> holds =
      [&](const Expr &part, const TokenCoordinateValues &token) {
        if (auto *operation = std::get_if<OperatorExpr>(&part.node);
            operation && operation->op == Operator::Or)
          return holds(*operation->operands[0], token) ||
                 holds(*operation->operands[1], token);
        return evaluator.evaluateFor(token, part, frame).value_or(0) != 0;
      };
  for (int32_t i = 0; i < queryGrid.getTokens(); ++i)
    if (holds(expr, coordinatesAt(values.queryGrid, i)))
      tokens.push_back(i);
  return tokens;
}

Value Generator::emitRows(Value lse, Value drift, Value age) {
  constexpr double defaultWeight = 0.5;
  const Expr &expr = *attention.rows->selection;
  const Expr &selected = selectionOf(expr);
  auto &selection = std::get<PredictionExpr>(selected.node);
  Location loc = locate(selected.range);
  Value weight = selection.age ? emitAmount(*selection.age)
                               : arith::ConstantOp::create(
                                     builder, loc,
                                     builder.getF64FloatAttr(defaultWeight));
  Value importance =
      ImportanceOp::create(builder, loc, perTokenType(builder.getF64Type()),
                           lse, drift, age, weight);
  IntegerAttr min = selection.min ? integerAttr(selection.min)
                                  : builder.getI64IntegerAttr(0);
  return SelectRowsOp::create(builder, loc,
                              RowsType::get(builder.getContext()), importance,
                              emitAmount(*selection.amount), min,
                              builder.getDenseI32ArrayAttr(tokensAlways(expr)));
}

/// The union over all candidates of the heads that take one, and its pairs.
Value Generator::emitRecognition(const RecognitionExpr &expr, Location loc) {
  SmallVector<Value> candidates;
  for (const Candidate &candidate : expr.candidates)
    candidates.push_back(emitPredicate(*candidate.pattern));
  Value choice = emitChoice(expr, candidates, loc), mask;
  for (auto [number, candidate] : llvm::enumerate(candidates)) {
    Value part = MaskAndOp::create(builder, loc,
                                   emitChosen(choice, number, loc), candidate);
    mask = mask ? Value(MaskOrOp::create(builder, loc, mask, part)) : part;
  }
  return mask;
}

Value Generator::emitChoice(const RecognitionExpr &expr,
                            ArrayRef<Value> candidates, Location loc) {
  auto type = RankedTensorType::get({ShapedType::kDynamic, options.heads},
                                    builder.getF32Type());
  SmallVector<Value> recalls;
  for (auto [candidate, mask] : llvm::zip_equal(expr.candidates, candidates))
    if (candidate.probe)
      recalls.push_back(RecallOp::create(
          builder, locate(candidate.range), type, query, key, mask,
          *candidate.probe == ProbeKind::Local ? Probe::Local : Probe::Global,
          llvm::APFloat(scale())));
  Value bound = expr.recall ? emitAmount(*expr.recall) : Value();
  return ChooseOp::create(builder, loc, builder.getI32Type(), recalls, bound,
                          recalls.size() < candidates.size());
}

/// All pairs of the heads that take candidate `number`.
Value Generator::emitChosen(Value choice, int32_t number, Location loc) {
  auto predicate =
      PredicateOp::create(builder, loc, maskType, /*given=*/Value());
  Block &block = addCoordinateBlock(predicate.getBody(), /*given=*/false, loc);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(&block);
  Value constant = arith::ConstantOp::create(builder, loc,
                                             builder.getI32IntegerAttr(number));
  YieldOp::create(builder, loc,
                  arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq,
                                        choice, constant));
  return predicate;
}

/// Null for operators that are not `and`, `or` or `not`.
Value Generator::emitConnective(const OperatorExpr &expr, Location loc) {
  if (expr.op == Operator::Not)
    return MaskNotOp::create(builder, loc, emitMask(*expr.operands[0]));
  if (expr.op != Operator::And && expr.op != Operator::Or)
    return nullptr;
  Value left = emitMask(*expr.operands[0]);
  Value right = emitMask(*expr.operands[1]);
  if (expr.op == Operator::And)
    return MaskAndOp::create(builder, loc, left, right);
  return MaskOrOp::create(builder, loc, left, right);
}

Value Generator::emitPredicate(const Expr &expr) {
  Location loc = locate(expr.range);
  auto predicate =
      PredicateOp::create(builder, loc, maskType, /*given=*/Value());
  Block &block = addCoordinateBlock(predicate.getBody(), /*given=*/false, loc);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(&block);
  PredicateGen generator(builder, locate, block, values.queryGrid,
                         values.keyGrid);
  YieldOp::create(builder, loc, generator.emitValue(expr, parameters));
  return predicate;
}

void checkTensors(const GenerateOptions &options, Diagnostics &diagnostics) {
  constexpr int64_t maxHeads = 1 << 16;
  if (options.heads < 1 || options.heads > maxHeads)
    diagnostics.error(fmt::format("expected 1 to {} heads, but got {}",
                                  maxHeads, options.heads));
  if (options.headDim < 32 || options.headDim > 256 || options.headDim % 8 != 0)
    diagnostics.error(fmt::format("expected a head dimension that is a "
                                  "multiple of 8 from 32 to 256, but got {}",
                                  options.headDim));
  if (options.block < 32 || options.block > 256 || options.block % 32 != 0)
    diagnostics.error(fmt::format(
        "expected a block that is a multiple of 32 from 32 to 256, but got {}",
        options.block));
  if (options.scale &&
      (!(*options.scale > 0) || !std::isfinite(*options.scale)))
    diagnostics.error(fmt::format(
        "expected a positive finite scale, but got {}", *options.scale));
}

} // namespace

FailureOr<OwningOpRef<ModuleOp>> generateModule(MLIRContext &context,
                                                const Program &program,
                                                const GenerateOptions &options,
                                                Diagnostics &diagnostics) {
  checkTensors(options, diagnostics);
  std::optional<StaticValues> values =
      StaticValues::evaluate(program, options, diagnostics);
  if (!values || diagnostics.hasErrors())
    return failure();
  context.loadDialect<WeftDialect, arith::ArithDialect, func::FuncDialect>();
  Generator generator(context, *values, options, diagnostics);
  if (diagnostics.hasErrors())
    return failure();
  OwningOpRef<ModuleOp> module = generator.run();
  if (!module)
    return failure();
  return module;
}

} // namespace weft
