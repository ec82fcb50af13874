// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Static-ness: divisors, tile sizes, defaults, and the arguments that reach
// them.

#include "lib/Frontend/SemaPhases.h"
#include "lib/Frontend/StaticEvaluator.h"

#include <fmt/format.h>

#include <map>

namespace weft {
namespace {

class StaticChecker {
public:
  explicit StaticChecker(Diagnostics &diagnostics)
      : diagnostics(diagnostics), evaluator(diagnostics, std::nullopt) {}
  void checkDefinition(const Definition &definition);
  void checkAttention(const Attention &attention);

private:
  void checkDefaults(const Parameters &parameters);
  /// Checks the divisors in `expr`, and the arguments that reach one.
  void checkUses(const Expr &expr);
  /// Reports `expr` unless it is static; parameters of definitions are noted as
  /// needing a static argument.
  bool requireStatic(const Expr &expr, std::string_view what, const Expr &use);
  bool requireStaticReference(const ReferenceExpr &reference, SourceRange range,
                              std::string_view what, const Expr &use);
  void report(SourceRange range, std::string_view what, std::string why,
              const Expr &use, SourceRange culprit);
  /// The first leaf in `expr`, with definitions expanded, that is not static;
  /// parameters count as static.
  const Expr *findRuntimeLeaf(const Expr &expr);
  void evaluateAlone(const Expr &expr, size_t parameters);

  Diagnostics &diagnostics;
  StaticEvaluator evaluator;
  /// For each definition checked so far, what findRuntimeLeaf finds in it.
  std::map<const Definition *, const Expr *> runtimeLeaves;
  /// For each parameter that must be static, the divisor that it reaches.
  std::map<const Parameter *, const Expr *> staticParameters;
};

/// Why a leaf of an expression is not static; empty if it is.
static std::string runtimeReason(const Expr &expr) {
  auto *coordinate = std::get_if<CoordinateExpr>(&expr.node);
  // The tokens that an order sorts are known.
  if (coordinate && coordinate->owner != CoordinateExpr::Owner::Token)
    return fmt::format("'{}.{}' is known only at run time",
                       spelling(coordinate->owner),
                       spelling(coordinate->axis));
  if (std::holds_alternative<HeadExpr>(expr.node))
    return "'head' is known only at run time";
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (reference && reference->parameter && reference->parameter->isDynamic)
    return fmt::format("{} is dynamic", describe(*reference->parameter));
  return "";
}

void StaticChecker::report(SourceRange range, std::string_view what,
                           std::string why, const Expr &use,
                           SourceRange culprit) {
  Diagnostic &error = diagnostics.error(
      range, fmt::format("expected a static {}, but {}", what, why));
  if (!use.range.contains(range))
    error.note(use.range, "it is a divisor here");
  if (!range.contains(culprit))
    error.note(culprit, "it comes from here");
}

bool StaticChecker::requireStatic(const Expr &expr, std::string_view what,
                                  const Expr &use) {
  if (std::string reason = runtimeReason(expr); !reason.empty()) {
    report(expr.range, what, std::move(reason), use, expr.range);
    return false;
  }
  bool isStatic = true;
  forEachChild(expr, [&](const Expr &child) {
    isStatic = isStatic && requireStatic(child, what, use);
  });
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node);
      reference && isStatic)
    return requireStaticReference(*reference, expr.range, what, use);
  return isStatic;
}

const Expr *StaticChecker::findRuntimeLeaf(const Expr &expr) {
  if (!runtimeReason(expr).empty())
    return &expr;
  const Expr *leaf = nullptr;
  forEachChild(expr, [&](const Expr &child) {
    leaf = leaf ? leaf : findRuntimeLeaf(child);
  });
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (!leaf && reference && reference->definition)
    leaf = runtimeLeaves.at(reference->definition);
  return leaf;
}

bool StaticChecker::requireStaticReference(const ReferenceExpr &reference,
                                           SourceRange range,
                                           std::string_view what,
                                           const Expr &use) {
  if (reference.parameter) {
    staticParameters.try_emplace(reference.parameter, &use);
    return true;
  }
  const Expr *leaf = runtimeLeaves.at(reference.definition);
  if (leaf)
    report(range, what, runtimeReason(*leaf), use, leaf->range);
  return !leaf;
}

void StaticChecker::checkUses(const Expr &expr) {
  forEachChild(expr, [&](const Expr &child) { checkUses(child); });
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node);
      operation && isDivision(operation->op))
    requireStatic(*operation->operands[1], "divisor", *operation->operands[1]);
  if (auto *prediction = std::get_if<PredictionExpr>(&expr.node)) {
    if (prediction->min)
      requireStatic(*prediction->min, "min", *prediction->min);
    if (prediction->pool)
      requireStatic(*prediction->pool, "pool", *prediction->pool);
  }
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (!reference || !reference->definition)
    return;
  for (size_t i = 0; i < reference->bound.size(); ++i) {
    const Parameter *parameter = reference->definition->parameters[i].get();
    if (auto needed = staticParameters.find(parameter);
        needed != staticParameters.end())
      requireStatic(*reference->bound[i],
                    fmt::format("argument for {}", describe(*parameter)),
                    *needed->second);
  }
}

void StaticChecker::checkDefaults(const Parameters &parameters) {
  for (auto &parameter : parameters) {
    if (!parameter->defaultValue)
      continue;
    checkUses(*parameter->defaultValue);
    requireStatic(*parameter->defaultValue, "default",
                  *parameter->defaultValue);
    evaluateAlone(*parameter->defaultValue, 0);
  }
}

void StaticChecker::evaluateAlone(const Expr &expr, size_t parameters) {
  evaluator.evaluate(
      expr, Frame{std::vector<MaybeStatic>(parameters), nullptr, nullptr});
}

void StaticChecker::checkDefinition(const Definition &definition) {
  checkDefaults(definition.parameters);
  runtimeLeaves[&definition] = findRuntimeLeaf(*definition.body);
  checkUses(*definition.body);
  evaluateAlone(*definition.body, definition.parameters.size());
}

void StaticChecker::checkAttention(const Attention &attention) {
  checkDefaults(attention.parameters);
  forEachClauseExpr(attention, [&](const Expr &expr) { checkUses(expr); });
  if (attention.mask)
    evaluateAlone(*attention.mask->condition, attention.parameters.size());
  if (attention.rows && attention.rows->selection)
    evaluateAlone(*attention.rows->selection, attention.parameters.size());
  if (attention.reuse && attention.reuse->window)
    requireStatic(*attention.reuse->window, "window", *attention.reuse->window);
  if (!attention.order)
    return;
  for (const ExprPtr &key : attention.order->keys)
    if (requireStatic(*key, "order", *key))
      evaluateAlone(*key, attention.parameters.size());
  if (attention.order->first)
    requireStatic(*attention.order->first, "first", *attention.order->first);
  Frame unknown{std::vector<MaybeStatic>(attention.parameters.size()), nullptr,
                nullptr};
  evaluator.firstOf(*attention.order, unknown);
  if (!attention.order->sizes)
    return;
  for (const ExprPtr &size : *attention.order->sizes)
    if (size)
      requireStatic(*size, "tile size", *size);
  evaluator.tileOf(*attention.order, unknown);
}

} // namespace

void checkStatics(const Program &program, const DefinitionOrder &order,
                  Diagnostics &diagnostics) {
  StaticChecker checker(diagnostics);
  for (const Definition *definition : order)
    checker.checkDefinition(*definition);
  for (auto &attention : program.attentions)
    checker.checkAttention(*attention);
}

} // namespace weft
