// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// AST: the nodes of a .weft program. Nodes carry their source range; what they
// mean is in Sema and StaticValues.

#ifndef WEFT_LIB_FRONTEND_AST_H
#define WEFT_LIB_FRONTEND_AST_H

#include "lib/Frontend/Operators.h"
#include "lib/Frontend/SourceFile.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

struct Definition;
struct Expr;
struct Parameter;
using ExprPtr = std::unique_ptr<Expr>;

/// A name where it is declared or used.
struct Identifier {
  std::string text;
  SourceRange range;
};

/// The members of `q` and `k`; T, H, W and Text are those of `grid` too.
enum class Axis { T, H, W, Index, Text, TextIndex };

/// Every axis, in the order in which messages and editors list them.
inline constexpr Axis allAxes[] = {Axis::T,     Axis::H,    Axis::W,
                                   Axis::Index, Axis::Text, Axis::TextIndex};

/// Whether `grid` has the member.
constexpr bool isExtent(Axis axis) {
  return axis != Axis::Index && axis != Axis::TextIndex;
}

/// `12` or `true`.
struct LiteralExpr {
  int32_t value = 0;
};

/// `q.t`, `k.text`, ... or, where tokens are sorted, `token.t`.
struct CoordinateExpr {
  enum class Owner { Query, Key, Token };
  Owner owner = Owner::Query;
  Axis axis = Axis::T;
};

/// `grid.t`, ...: an extent of the key grid.
struct GridExtentExpr {
  Axis axis = Axis::T;
};

/// `head`
struct HeadExpr {};

/// `given`
struct GivenExpr {};

/// `0.25`
struct FloatExpr {
  double value = 0;
};

/// How a predicted mask selects key blocks, and predicted rows their tokens.
enum class SelectionRule { TopK, TopP, Threshold };

/// By what: a mask's blocks by the means of their tokens, rows by importance.
enum class Predictor { BlockMean, Importance };

/// `topk(block_mean, keep: .., min: .., pool: ..)` and so on, or
/// `topk(importance, keep: .., min: .., age: ..)`; parts but the amount may be
/// null.
struct PredictionExpr {
  SelectionRule rule = SelectionRule::TopK;
  Predictor predictor = Predictor::BlockMean;
  ExprPtr amount, min, pool, age;
};

/// Which video tokens stand for all where recall is measured.
enum class ProbeKind { Local, Global };

/// `pattern on local`, `pattern on global` or, without a probe, `pattern`.
struct Candidate {
  SourceRange range;
  ExprPtr pattern;
  std::optional<ProbeKind> probe;
};

/// `recognize(candidate, .., recall: ..)`; `recall` may be null.
struct RecognitionExpr {
  std::vector<Candidate> candidates;
  ExprPtr recall;
};

/// An operator and its operands.
struct OperatorExpr {
  Operator op = Operator::Or;
  std::vector<ExprPtr> operands;
};

/// One argument of a call, `value` or `name: value`.
struct Argument {
  std::optional<Identifier> name;
  ExprPtr value;
};

/// `name` or `name(arguments)`: a parameter, or an expansion of a pattern or
/// let.
struct ReferenceExpr {
  Identifier name;
  bool hasParentheses = false;
  std::vector<Argument> arguments;

  /// Set by Sema, exactly one of them.
  const Parameter *parameter = nullptr;
  const Definition *definition = nullptr;
  /// Set by Sema: for each parameter of `definition`, the argument or the
  /// default.
  std::vector<const Expr *> bound = {};
};

/// An expression; `kind` is set by the parser for literals and by Sema for the
/// rest.
struct Expr {
  SourceRange range;
  std::variant<LiteralExpr, CoordinateExpr, GridExtentExpr, HeadExpr, GivenExpr,
               FloatExpr, PredictionExpr, RecognitionExpr, OperatorExpr,
               ReferenceExpr>
      node;
  Kind kind = Kind::Int;
};

/// `[dynamic] name: kind [= default]`; `index` is its place in the list.
struct Parameter {
  SourceRange range;
  Identifier name;
  Kind kind = Kind::Int;
  bool isDynamic = false;
  ExprPtr defaultValue;
  unsigned index = 0;
};

using Parameters = std::vector<std::unique_ptr<Parameter>>;

/// `pattern name(parameters) = body` (Bool) or `let name(parameters) = body`
/// (Int).
struct Definition {
  SourceRange range;
  Kind kind = Kind::Bool;
  Identifier name;
  Parameters parameters;
  ExprPtr body;
};

/// `order raster`, `order tiles`, `order tiles(t: .., h: .., w: ..)`, with rows
/// that run on into the next frame, `order tiles(h: .., w: ..)`, or, with tokens
/// sorted by one number after the other, `order by(.., ..)`.
struct OrderClause {
  SourceRange range;
  bool isTiles = false;
  /// What tokens are sorted by; empty if they are not.
  std::vector<ExprPtr> keys;
  /// The first is null if it is not written.
  std::optional<std::array<ExprPtr, 3>> sizes;
  /// Frames that are cut apart, or null.
  ExprPtr first;
};

/// `mask condition`
struct MaskClause {
  SourceRange range;
  ExprPtr condition;
};

/// `bias given`
struct GivenClause {
  SourceRange range;
};

/// `rows given`, or `rows selection` with a set of query tokens.
struct RowsClause {
  SourceRange range;
  /// Null if they are given.
  ExprPtr selection;
};

/// What takes a neighbour's value: each channel for itself, or a whole token.
enum class Granularity { Channel, Token };

/// `reuse neighbours(token, threshold: .., window: .., axes: t h w)`; `window`
/// may be null.
struct ReuseClause {
  SourceRange range;
  Granularity granularity = Granularity::Channel;
  ExprPtr threshold, window;
  /// Those of t, h and w that are written, in the order of the file; empty for
  /// every axis that is long enough.
  std::vector<std::pair<Axis, SourceRange>> axes;
};

/// `attention name(parameters) { clauses }`; a missing order is raster, a
/// missing mask is dense, a missing bias 0, missing rows are all, and without
/// reuse every score is computed from its own query and key.
struct Attention {
  SourceRange range;
  Identifier name;
  Parameters parameters;
  std::optional<OrderClause> order;
  std::optional<MaskClause> mask;
  std::optional<GivenClause> bias;
  std::optional<RowsClause> rows;
  std::optional<ReuseClause> reuse;
};

/// A whole file; definitions and attentions in source order.
struct Program {
  std::vector<std::unique_ptr<Definition>> definitions;
  std::vector<std::unique_ptr<Attention>> attentions;
};

/// How a member is written.
constexpr std::string_view spelling(CoordinateExpr::Owner owner) {
  return owner == CoordinateExpr::Owner::Key     ? "k"
         : owner == CoordinateExpr::Owner::Query ? "q"
                                                 : "token";
}
constexpr std::string_view spelling(Axis axis) {
  constexpr std::string_view names[] = {"t",     "h",    "w",
                                        "index", "text", "text_index"};
  return names[static_cast<size_t>(axis)];
}

/// How a predictor is written.
constexpr std::string_view spelling(Predictor predictor) {
  return predictor == Predictor::BlockMean ? "block_mean" : "importance";
}

/// The rule's keyword.
std::string_view spelling(SelectionRule rule);
/// What the rule's amount is called: "keep", "mass" or "score".
std::string_view amountName(SelectionRule rule);

/// The granularity's word.
constexpr std::string_view spelling(Granularity granularity) {
  return granularity == Granularity::Channel ? "channel" : "token";
}

/// "local" or "global".
constexpr std::string_view spelling(ProbeKind probe) {
  return probe == ProbeKind::Local ? "local" : "global";
}

/// "pattern" or "let": what declares a definition of this kind.
constexpr std::string_view definitionWord(Kind kind) {
  return kind == Kind::Bool ? "pattern" : "let";
}

/// Calls `visit` on each direct operand or written argument of `expr`.
template <typename Visit> void forEachChild(const Expr &expr, Visit visit) {
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
    for (const ExprPtr &operand : operation->operands)
      visit(*operand);
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
    for (const Argument &argument : reference->arguments)
      visit(*argument.value);
  if (auto *prediction = std::get_if<PredictionExpr>(&expr.node))
    for (const ExprPtr *part :
         {&prediction->amount, &prediction->min, &prediction->pool,
          &prediction->age})
      if (*part)
        visit(**part);
  if (auto *recognition = std::get_if<RecognitionExpr>(&expr.node)) {
    for (const Candidate &candidate : recognition->candidates)
      visit(*candidate.pattern);
    if (recognition->recall)
      visit(*recognition->recall);
  }
}

/// The same for code that annotates the tree.
template <typename Visit> void forEachChild(Expr &expr, Visit visit) {
  forEachChild(std::as_const(expr),
               [&](const Expr &child) { visit(const_cast<Expr &>(child)); });
}

/// Calls `visit` on the expressions of an attention that are not defaults: those
/// of the order, then the mask, then the rows, then those of reuse.
template <typename Visit>
void forEachClauseExpr(const Attention &attention, Visit visit) {
  if (attention.order && attention.order->sizes)
    for (const ExprPtr &size : *attention.order->sizes)
      if (size)
        visit(*size);
  if (attention.order && attention.order->first)
    visit(*attention.order->first);
  if (attention.order)
    for (const ExprPtr &key : attention.order->keys)
      visit(*key);
  if (attention.mask)
    visit(*attention.mask->condition);
  if (attention.rows && attention.rows->selection)
    visit(*attention.rows->selection);
  if (attention.reuse) {
    visit(*attention.reuse->threshold);
    if (attention.reuse->window)
      visit(*attention.reuse->window);
  }
}

} // namespace weft

#endif // WEFT_LIB_FRONTEND_AST_H
