// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kinds: every expression is an int, a bool or a float. And the places where
// `given` and predictions may stand.

#include "lib/Frontend/SemaPhases.h"

#include <fmt/format.h>

namespace weft {
namespace {

class KindChecker {
public:
  explicit KindChecker(Diagnostics &diagnostics) : diagnostics(diagnostics) {}
  void checkParameters(const Parameters &parameters);
  void check(Expr &expr);
  void expectKind(const Expr &expr, Kind kind, std::string_view where);

private:
  void checkOperation(const OperatorExpr &operation, SourceRange range);
  void checkReference(const ReferenceExpr &reference, Expr &expr);
  void checkPrediction(const PredictionExpr &prediction);
  void checkRecognition(const RecognitionExpr &recognition, SourceRange range);

  Diagnostics &diagnostics;
};

void KindChecker::expectKind(const Expr &expr, Kind kind,
                             std::string_view where) {
  if (expr.kind != kind)
    diagnostics.error(expr.range,
                      fmt::format("expected {} {}, but got {}", spelling(kind),
                                  where, spelling(expr.kind)));
}

void KindChecker::checkParameters(const Parameters &parameters) {
  for (auto &parameter : parameters) {
    if (!parameter->defaultValue)
      continue;
    check(*parameter->defaultValue);
    expectKind(*parameter->defaultValue, parameter->kind,
               fmt::format("as the default of {}", describe(*parameter)));
  }
}

void KindChecker::check(Expr &expr) {
  forEachChild(expr, [&](Expr &child) { check(child); });
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
    checkOperation(*operation, expr.range);
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
    checkReference(*reference, expr);
  if (auto *prediction = std::get_if<PredictionExpr>(&expr.node))
    checkPrediction(*prediction);
  if (auto *recognition = std::get_if<RecognitionExpr>(&expr.node))
    checkRecognition(*recognition, expr.range);
}

/// Only the last candidate may lack a probe, as what is taken where no other
/// has the recall that is asked for.
void KindChecker::checkRecognition(const RecognitionExpr &recognition,
                                   SourceRange range) {
  constexpr size_t most = 16;
  const std::vector<Candidate> &candidates = recognition.candidates;
  if (candidates.size() < 2 || candidates.size() > most)
    diagnostics.error(range,
                      fmt::format("expected 2 to {} candidates for "
                                  "'recognize', but got {}",
                                  most, candidates.size()));
  for (const Candidate &candidate : candidates) {
    expectKind(*candidate.pattern, Kind::Bool, "as a candidate");
    if (candidate.probe)
      continue;
    if (&candidate != &candidates.back())
      diagnostics.error(candidate.range,
                        "expected 'on local' or 'on global' after a candidate "
                        "that is not the last");
    else if (!recognition.recall)
      diagnostics.error(candidate.range,
                        "expected 'recall:' with a candidate without 'on', "
                        "which is taken where no other has this recall");
  }
  if (recognition.recall)
    expectKind(*recognition.recall, Kind::Float, "for 'recall' of 'recognize'");
}

void KindChecker::checkPrediction(const PredictionExpr &prediction) {
  auto expectPart = [&](const ExprPtr &part, Kind kind, std::string_view name) {
    if (part)
      expectKind(*part, kind,
                 fmt::format("for '{}' of '{}'", name,
                             spelling(prediction.rule)));
  };
  expectPart(prediction.amount, Kind::Float, amountName(prediction.rule));
  expectPart(prediction.min, Kind::Int, "min");
  expectPart(prediction.pool, Kind::Int, "pool");
  expectPart(prediction.age, Kind::Float, "age");
}

void KindChecker::checkOperation(const OperatorExpr &operation,
                                 SourceRange range) {
  const OperatorInfo &row = info(operation.op);
  if (row.operands == OperandKind::Same) {
    Kind left = operation.operands[0]->kind,
         right = operation.operands[1]->kind;
    if (left != right)
      diagnostics.error(
          range,
          fmt::format(
              "expected two operands of one kind for '{}', but got {} and {}",
              row.spelling(), spelling(left), spelling(right)));
    else if (left == Kind::Float)
      diagnostics.error(
          range, fmt::format("expected two ints or two bools for '{}', but got "
                             "float; floats are not compared",
                             row.spelling()));
    return;
  }
  Kind kind = row.operands == OperandKind::Int ? Kind::Int : Kind::Bool;
  for (const ExprPtr &operand : operation.operands)
    expectKind(*operand, kind,
               fmt::format("as an operand of '{}'", row.spelling()));
}

void KindChecker::checkReference(const ReferenceExpr &reference, Expr &expr) {
  if (reference.parameter) {
    expr.kind = reference.parameter->kind;
    return;
  }
  const Definition &callee = *reference.definition;
  expr.kind = callee.kind;
  for (size_t i = 0; i < reference.bound.size(); ++i) {
    const Parameter &parameter = *callee.parameters[i];
    if (reference.bound[i] != parameter.defaultValue.get())
      expectKind(*reference.bound[i], parameter.kind,
                 fmt::format("for {}", describe(parameter)));
  }
}

/// What stands for block lists: "given" or a prediction's keyword; "recognize"
/// for a choice of patterns; empty for others.
static std::string_view listsWord(const Expr &expr) {
  if (std::holds_alternative<GivenExpr>(expr.node))
    return "given";
  if (std::holds_alternative<RecognitionExpr>(expr.node))
    return "recognize";
  auto *prediction = std::get_if<PredictionExpr>(&expr.node);
  bool isOfBlocks =
      prediction && prediction->predictor == Predictor::BlockMean;
  return isOfBlocks ? spelling(prediction->rule) : "";
}

class GivenChecker {
public:
  explicit GivenChecker(Diagnostics &diagnostics) : diagnostics(diagnostics) {}
  /// Reports every `given` and prediction in `expr`; `rule` says where it may
  /// stand.
  void forbid(const Expr &expr, std::string_view rule);
  /// Allows one of them, and one recognition, under `and`, `or` and `not`.
  void checkMask(const Expr &expr);

private:
  Diagnostics &diagnostics;
  const Expr *firstLists = nullptr, *firstRecognition = nullptr;
};

void GivenChecker::forbid(const Expr &expr, std::string_view rule) {
  if (std::string_view word = listsWord(expr); !word.empty())
    diagnostics.error(expr.range, fmt::format("'{}' {}", word, rule));
  forEachChild(expr, [&](const Expr &child) { forbid(child, rule); });
}

static bool isConnective(const OperatorExpr *operation) {
  return operation &&
         (operation->op == Operator::And || operation->op == Operator::Or ||
          operation->op == Operator::Not);
}

void GivenChecker::checkMask(const Expr &expr) {
  if (std::string_view word = listsWord(expr); !word.empty()) {
    auto *recognition = std::get_if<RecognitionExpr>(&expr.node);
    const Expr *&first = recognition ? firstRecognition : firstLists;
    if (first)
      diagnostics
          .error(expr.range,
                 word == listsWord(*first)
                     ? fmt::format("expected at most one '{}' in a mask", word)
                     : fmt::format("expected '{}' or '{}' in a mask, but got "
                                   "both",
                                   listsWord(*first), word))
          .note(first->range, "the first is here");
    else
      first = &expr;
    if (recognition)
      forEachChild(expr, [&](const Expr &child) {
        forbid(child, "may not stand in a candidate of 'recognize'");
      });
  } else if (isConnective(std::get_if<OperatorExpr>(&expr.node))) {
    forEachChild(expr, [&](const Expr &child) { checkMask(child); });
  } else {
    forbid(expr, "may only be combined by 'and', 'or' and 'not'");
  }
}

} // namespace

void checkKinds(Program &program, Diagnostics &diagnostics) {
  KindChecker checker(diagnostics);
  for (auto &definition : program.definitions) {
    checker.checkParameters(definition->parameters);
    checker.check(*definition->body);
    checker.expectKind(
        *definition->body, definition->kind,
        fmt::format("as the value of {}", describe(*definition)));
  }
  for (auto &attention : program.attentions) {
    checker.checkParameters(attention->parameters);
    forEachClauseExpr(*attention, [&](Expr &expr) { checker.check(expr); });
    if (attention->order && attention->order->sizes)
      for (const ExprPtr &size : *attention->order->sizes)
        if (size)
          checker.expectKind(*size, Kind::Int, "as a tile size");
    if (attention->order && attention->order->first)
      checker.expectKind(*attention->order->first, Kind::Int,
                         "for 'first' of 'order'");
    if (attention->order)
      for (const ExprPtr &key : attention->order->keys)
        checker.expectKind(*key, Kind::Int, "to sort tokens by");
    if (attention->mask)
      checker.expectKind(*attention->mask->condition, Kind::Bool, "as a mask");
    if (attention->rows && attention->rows->selection)
      checker.expectKind(*attention->rows->selection, Kind::Bool, "as rows");
    if (attention->reuse) {
      checker.expectKind(*attention->reuse->threshold, Kind::Float,
                         "for 'threshold' of 'reuse'");
      if (attention->reuse->window)
        checker.expectKind(*attention->reuse->window, Kind::Int,
                           "for 'window' of 'reuse'");
    }
  }
}

void checkGiven(const Program &program, Diagnostics &diagnostics) {
  constexpr std::string_view rule =
      "may only stand in the mask of an attention";
  auto forbidInDefaults = [&](const Parameters &parameters) {
    for (auto &parameter : parameters)
      if (parameter->defaultValue)
        GivenChecker(diagnostics).forbid(*parameter->defaultValue, rule);
  };
  for (auto &definition : program.definitions) {
    forbidInDefaults(definition->parameters);
    GivenChecker(diagnostics).forbid(*definition->body, rule);
  }
  for (auto &attention : program.attentions) {
    forbidInDefaults(attention->parameters);
    if (attention->mask)
      GivenChecker(diagnostics).checkMask(*attention->mask->condition);
    if (attention->rows && attention->rows->selection)
      GivenChecker(diagnostics).forbid(*attention->rows->selection, rule);
  }
}

} // namespace weft
