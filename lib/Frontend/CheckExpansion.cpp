// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cycles between definitions, and how large a program grows when patterns are
// expanded.

#include "lib/Frontend/SemaPhases.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace weft {
namespace {

//===-- Cycles ------------------------------------------------------------===//

/// Definitions may refer to each other in chains of this length, which bounds
/// the stack of every later phase.
constexpr size_t maxChain = 1000;

class DefinitionSorter {
public:
  explicit DefinitionSorter(Diagnostics &diagnostics)
      : diagnostics(diagnostics) {}
  /// Appends `definition`, after those it refers to, unless it stands in
  /// `order` already.
  void visitNew(const Definition &definition) {
    if (states[&definition] == State::New)
      visit(definition);
  }
  DefinitionOrder order;

private:
  enum class State { New, Open, Done };
  void visit(const Definition &definition);
  void follow(const ReferenceExpr &reference);
  void reportCycle(const ReferenceExpr &reference);
  /// Once for a program: the rest of a chain would be a chain again.
  void reportChain(const ReferenceExpr &reference);

  Diagnostics &diagnostics;
  bool chainReported = false;
  std::map<const Definition *, State> states;
  std::vector<const Definition *> path;
};

/// Appends the uses of definitions in `expr`.
void collectReferences(const Expr &expr,
                       std::vector<const ReferenceExpr *> &references) {
  forEachChild(
      expr, [&](const Expr &child) { collectReferences(child, references); });
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (reference && reference->definition)
    references.push_back(reference);
}

void DefinitionSorter::visit(const Definition &definition) {
  std::vector<const ReferenceExpr *> references;
  for (auto &parameter : definition.parameters)
    if (parameter->defaultValue)
      collectReferences(*parameter->defaultValue, references);
  collectReferences(*definition.body, references);

  states[&definition] = State::Open;
  path.push_back(&definition);
  for (const ReferenceExpr *reference : references)
    follow(*reference);
  path.pop_back();
  states[&definition] = State::Done;
  order.push_back(&definition);
}

void DefinitionSorter::follow(const ReferenceExpr &reference) {
  State state = states[reference.definition];
  if (state == State::Open)
    reportCycle(reference);
  else if (state == State::New && path.size() >= maxChain)
    reportChain(reference);
  else if (state == State::New)
    visit(*reference.definition);
}

void DefinitionSorter::reportChain(const ReferenceExpr &reference) {
  if (!std::exchange(chainReported, true))
    diagnostics.error(
        reference.name.range,
        fmt::format(
            "expected at most {} definitions that each refer to the next",
            maxChain));
}

void DefinitionSorter::reportCycle(const ReferenceExpr &reference) {
  std::string cycle;
  for (auto it = std::ranges::find(path, reference.definition);
       it != path.end(); ++it)
    cycle += fmt::format("{} -> ", (*it)->name.text);
  diagnostics.error(reference.name.range,
                    fmt::format("{} refers to itself: {}{}",
                                describe(*reference.definition), cycle,
                                reference.definition->name.text));
}

//===-- Expansion ---------------------------------------------------------===//

/// Bounds on what an expression becomes once every definition in it is
/// expanded.
constexpr uint64_t maxExpandedNodes = 1 << 16;
constexpr uint64_t maxExpandedHeight = 2000;

struct Extent {
  uint64_t nodes = 1;
  uint64_t height = 1;
};

bool isTooLarge(const Extent &extent) {
  return extent.nodes > maxExpandedNodes || extent.height > maxExpandedHeight;
}

class ExpansionChecker {
public:
  explicit ExpansionChecker(Diagnostics &diagnostics)
      : diagnostics(diagnostics) {}
  Extent measure(const Expr &expr) const;
  void check(const Expr &expr, const Identifier &name);
  std::map<const Definition *, Extent> known;

private:
  /// True if a definition in `expr` was reported already.
  bool usesTooLarge(const Expr &expr) const;

  Diagnostics &diagnostics;
};

Extent ExpansionChecker::measure(const Expr &expr) const {
  Extent extent;
  uint64_t deepest = 0;
  auto include = [&](Extent part) {
    extent.nodes = std::min(extent.nodes + part.nodes, maxExpandedNodes + 1);
    deepest = std::max(deepest, part.height);
  };
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (reference && reference->definition) {
    for (const Expr *argument : reference->bound)
      include(measure(*argument));
    include(known.at(reference->definition));
  } else {
    forEachChild(expr, [&](const Expr &child) { include(measure(child)); });
  }
  extent.height += deepest;
  return extent;
}

bool ExpansionChecker::usesTooLarge(const Expr &expr) const {
  std::vector<const ReferenceExpr *> references;
  collectReferences(expr, references);
  return std::ranges::any_of(references, [&](const ReferenceExpr *reference) {
    return isTooLarge(known.at(reference->definition));
  });
}

void ExpansionChecker::check(const Expr &expr, const Identifier &name) {
  Extent extent = measure(expr);
  if (isTooLarge(extent) && usesTooLarge(expr))
    return;
  if (extent.nodes > maxExpandedNodes)
    diagnostics.error(name.range,
                      fmt::format("'{}' expands to more than {} operations",
                                  name.text, maxExpandedNodes));
  else if (extent.height > maxExpandedHeight)
    diagnostics.error(
        name.range,
        fmt::format(
            "'{}' expands to an expression more than {} operations deep",
            name.text, maxExpandedHeight));
}

} // namespace

DefinitionOrder sortDefinitions(const Program &program,
                                Diagnostics &diagnostics) {
  DefinitionSorter sorter(diagnostics);
  for (auto &definition : program.definitions)
    sorter.visitNew(*definition);
  return std::move(sorter.order);
}

void checkExpansion(const Program &program, const DefinitionOrder &order,
                    Diagnostics &diagnostics) {
  ExpansionChecker checker(diagnostics);
  for (const Definition *definition : order) {
    checker.check(*definition->body, definition->name);
    checker.known[definition] = checker.measure(*definition->body);
  }
  for (auto &attention : program.attentions)
    forEachClauseExpr(*attention, [&](const Expr &expr) {
      checker.check(expr, attention->name);
    });
}

} // namespace weft
