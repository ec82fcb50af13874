// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows: where a selection by importance may stand, and what may stand beside
// it.

#include "lib/Frontend/SemaPhases.h"

#include <fmt/format.h>

#include <set>

namespace weft {
namespace {

bool isImportance(const Expr &expr) {
  auto *prediction = std::get_if<PredictionExpr>(&expr.node);
  return prediction && prediction->predictor == Predictor::Importance;
}

class RowsChecker {
public:
  explicit RowsChecker(Diagnostics &diagnostics) : diagnostics(diagnostics) {}
  /// Reports every selection by importance in `expr`; `rule` says where it may
  /// stand.
  void forbid(const Expr &expr, std::string_view rule);
  /// Allows one of them, and sets of query tokens, under `or`.
  void check(const Expr &expr);

private:
  void requireTokens(const Expr &expr);

  Diagnostics &diagnostics;
  const Expr *first = nullptr;
  std::set<const Definition *> seen;
};

void RowsChecker::forbid(const Expr &expr, std::string_view rule) {
  if (isImportance(expr))
    diagnostics.error(expr.range,
                      fmt::format("'topk(importance, ..)' {}", rule));
  forEachChild(expr, [&](const Expr &child) { forbid(child, rule); });
}

void RowsChecker::check(const Expr &expr) {
  auto *operation = std::get_if<OperatorExpr>(&expr.node);
  if (operation && operation->op == Operator::Or)
    return forEachChild(expr, [&](const Expr &child) { check(child); });
  if (!isImportance(expr)) {
    forbid(expr, "may only be combined by 'or'");
    return requireTokens(expr);
  }
  if (first)
    diagnostics
        .error(expr.range, "expected at most one 'topk(importance, ..)'")
        .note(first->range, "the first is here");
  first = &expr;
}

/// What is said of rows must follow from the query token alone.
void RowsChecker::requireTokens(const Expr &expr) {
  auto report = [&](const std::string &what) {
    diagnostics.error(expr.range,
                      fmt::format("expected rows that the query tokens "
                                  "decide, but {}",
                                  what));
  };
  auto *coordinate = std::get_if<CoordinateExpr>(&expr.node);
  if (coordinate && coordinate->owner == CoordinateExpr::Owner::Key)
    report(fmt::format("'k.{}' is of a key", spelling(coordinate->axis)));
  if (std::holds_alternative<HeadExpr>(expr.node))
    report("'head' is of a head");
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node)) {
    if (reference->parameter && reference->parameter->isDynamic)
      report(fmt::format("{} is dynamic", describe(*reference->parameter)));
    const Definition *definition = reference->definition;
    if (definition && seen.insert(definition).second)
      requireTokens(*definition->body);
  }
  forEachChild(expr, [&](const Expr &child) { requireTokens(child); });
}

} // namespace

void checkRows(const Program &program, Diagnostics &diagnostics) {
  constexpr std::string_view rule =
      "may only stand in the rows of an attention";
  auto forbidInDefaults = [&](const Parameters &parameters) {
    for (auto &parameter : parameters)
      if (parameter->defaultValue)
        RowsChecker(diagnostics).forbid(*parameter->defaultValue, rule);
  };
  for (auto &definition : program.definitions) {
    forbidInDefaults(definition->parameters);
    RowsChecker(diagnostics).forbid(*definition->body, rule);
  }
  for (auto &attention : program.attentions) {
    forbidInDefaults(attention->parameters);
    const Expr *rows =
        attention->rows ? attention->rows->selection.get() : nullptr;
    forEachClauseExpr(*attention, [&](const Expr &expr) {
      if (&expr == rows)
        RowsChecker(diagnostics).check(expr);
      else
        RowsChecker(diagnostics).forbid(expr, rule);
    });
  }
}

} // namespace weft
