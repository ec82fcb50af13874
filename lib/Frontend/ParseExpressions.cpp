// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Expressions, by the precedence of their operators.

#include "lib/Frontend/RecursiveParser.h"

#include "lib/Frontend/Suggest.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace weft {

namespace {

/// Parentheses, calls and prefix operators may nest this deep, which bounds the
/// parser's own stack.
constexpr unsigned maxNesting = 200;

/// One expression may have this many nodes, which bounds the height of its
/// tree.
constexpr unsigned maxNodes = 2000;

} // namespace

ExprPtr Parser::makeOperation(uint32_t begin, Operator op, ExprPtr first,
                              ExprPtr second) {
  OperatorExpr operation{op, {}};
  operation.operands.push_back(std::move(first));
  if (second)
    operation.operands.push_back(std::move(second));
  return make(begin, std::move(operation), info(op).result);
}

bool Parser::tooComplex() {
  if (nesting == 1)
    nodes = 0;
  if (nesting > maxNesting)
    diagnostics.error(
        token.range,
        fmt::format("expected at most {} levels of nesting in an expression",
                    maxNesting));
  else if (nodes > maxNodes)
    diagnostics.error(
        token.range,
        fmt::format("expected at most {} operations in an expression",
                    maxNodes));
  return nesting > maxNesting || nodes > maxNodes;
}

ExprPtr Parser::parseExpression(Precedence loosest) {
  Nesting level(nesting);
  if (tooComplex())
    return nullptr;
  ExprPtr left = parseOperand(loosest);
  return left ? parseInfix(std::move(left), loosest) : nullptr;
}

ExprPtr Parser::parseOperand(Precedence loosest) {
  const OperatorInfo *prefix = findOperator(token.kind, Form::Prefix);
  if (!prefix)
    return parsePrimary();
  if (prefix->precedence < loosest) {
    unexpected("an expression",
               fmt::format("; write '({} ...)'", prefix->spelling()));
    return nullptr;
  }
  return parsePrefix(*prefix);
}

ExprPtr Parser::parsePrefix(const OperatorInfo &prefix) {
  uint32_t begin = take().range.begin;
  if (prefix.op == Operator::Negate && at(TokenKind::Integer))
    return parseInteger(begin, /*negative=*/true);
  if (prefix.op == Operator::Negate && at(TokenKind::Decimal))
    return parseDecimal(begin, /*negative=*/true);
  ExprPtr operand = parseExpression(prefix.precedence);
  return operand ? makeOperation(begin, prefix.op, std::move(operand))
                 : nullptr;
}

ExprPtr Parser::parseInfix(ExprPtr left, Precedence loosest) {
  uint32_t begin = left->range.begin;
  bool compared = false;
  while (const OperatorInfo *infix = findOperator(token.kind, Form::Infix)) {
    if (infix->precedence < loosest)
      break;
    bool comparison = infix->precedence == Precedence::Comparison;
    if (comparison && compared) {
      diagnostics.error(
          token.range, "comparisons do not chain; join two of them with 'and'");
      return nullptr;
    }
    compared = comparison;
    take();
    ExprPtr right = parseExpression(
        static_cast<Precedence>(static_cast<int>(infix->precedence) + 1));
    if (!right)
      return nullptr;
    left = makeOperation(begin, infix->op, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr Parser::parsePrimary() {
  uint32_t begin = token.range.begin;
  if (const OperatorInfo *builtin = findOperator(token.kind, Form::Call))
    return parseBuiltin(*builtin);
  switch (token.kind) {
  case TokenKind::Integer:
    return parseInteger(begin, /*negative=*/false);
  case TokenKind::Decimal:
    return parseDecimal(begin, /*negative=*/false);
  case TokenKind::TopkKeyword:
    return parsePrediction(SelectionRule::TopK);
  case TokenKind::ToppKeyword:
    return parsePrediction(SelectionRule::TopP);
  case TokenKind::ThresholdKeyword:
    return following.is(TokenKind::LeftParen)
               ? parsePrediction(SelectionRule::Threshold)
               : parseReference();
  case TokenKind::RecognizeKeyword:
    return parseRecognition();
  case TokenKind::TrueKeyword:
  case TokenKind::FalseKeyword: {
    bool value = take().is(TokenKind::TrueKeyword);
    return make(begin, LiteralExpr{value}, Kind::Bool);
  }
  case TokenKind::HeadKeyword:
    take();
    return make(begin, HeadExpr{});
  case TokenKind::GivenKeyword:
    take();
    return make(begin, GivenExpr{}, Kind::Bool);
  case TokenKind::QKeyword:
  case TokenKind::KKeyword:
  case TokenKind::GridKeyword:
    return parseMember();
  case TokenKind::Identifier:
    return atWord("token") && following.is(TokenKind::Dot) ? parseTokenMember()
                                                           : parseReference();
  case TokenKind::LeftParen:
    return parseParenthesized();
  default:
    unexpected("an expression");
    return nullptr;
  }
}

ExprPtr Parser::parseParenthesized() {
  uint32_t begin = take().range.begin;
  ExprPtr inner = parseExpression();
  if (!inner || !expect(TokenKind::RightParen))
    return nullptr;
  inner->range = from(begin);
  return inner;
}

ExprPtr Parser::parseInteger(uint32_t begin, bool negative) {
  constexpr int64_t largest = std::numeric_limits<int32_t>::max();
  Token digits = take();
  int64_t value = 0;
  auto [end, error] = std::from_chars(
      digits.text.data(), digits.text.data() + digits.text.size(), value);
  if (error != std::errc() || value > largest + negative) {
    std::string_view sign = negative ? "-" : "";
    diagnostics.error(
        digits.range,
        fmt::format("expected a 32-bit integer of at {} {}{}, but got {}{}",
                    negative ? "least" : "most", sign, largest + negative, sign,
                    digits.text));
    return nullptr;
  }
  return make(begin,
              LiteralExpr{static_cast<int32_t>(negative ? -value : value)});
}

ExprPtr Parser::parseDecimal(uint32_t begin, bool negative) {
  Token digits = take();
  double value = 0;
  std::from_chars(digits.text.data(), digits.text.data() + digits.text.size(),
                  value);
  return make(begin, FloatExpr{negative ? -value : value}, Kind::Float);
}

ExprPtr Parser::parsePrediction(SelectionRule rule) {
  uint32_t begin = token.range.begin;
  Token keyword = take();
  PredictionExpr prediction;
  prediction.rule = rule;
  if (!expect(TokenKind::LeftParen, fmt::format(" after '{}'", keyword.text)))
    return nullptr;
  if (!parsePredictor(prediction))
    return nullptr;
  while (consumeIf(TokenKind::Comma))
    if (!parsePredictionArgument(prediction))
      return nullptr;
  if (!expect(TokenKind::RightParen, " or ','"))
    return nullptr;
  if (!prediction.amount) {
    diagnostics.error(from(begin), fmt::format("missing '{}' of '{}'",
                                               amountName(rule), keyword.text));
    return nullptr;
  }
  return make(begin, std::move(prediction), Kind::Bool);
}

/// The share of the tokens is the one rule for importance.
bool Parser::parsePredictor(PredictionExpr &prediction) {
  std::vector<std::string_view> names = {spelling(Predictor::BlockMean)};
  if (prediction.rule == SelectionRule::TopK)
    names.push_back(spelling(Predictor::Importance));
  for (Predictor predictor : {Predictor::BlockMean, Predictor::Importance})
    if (atWord(spelling(predictor)) &&
        std::ranges::count(names, spelling(predictor))) {
      take();
      prediction.predictor = predictor;
      return true;
    }
  if (at(TokenKind::Identifier))
    diagnostics.error(token.range,
                      fmt::format("unknown predictor '{}': expected {}{}",
                                  token.text, quotedList(names),
                                  didYouMean(token.text, names)));
  else
    unexpected(fmt::format("the predictor {}", quotedList(names)));
  return false;
}

/// `min` is a keyword, the other names are not.
bool Parser::parsePredictionArgument(PredictionExpr &prediction) {
  std::string_view amount = amountName(prediction.rule);
  bool isMask = prediction.predictor == Predictor::BlockMean;
  std::string_view last = isMask ? "pool" : "age";
  ExprPtr *part = atWord(amount)              ? &prediction.amount
                  : at(TokenKind::MinKeyword) ? &prediction.min
                  : !atWord(last)             ? nullptr
                  : isMask                    ? &prediction.pool
                                              : &prediction.age;
  if (!part) {
    unexpected(fmt::format("'{}:', 'min:' or '{}:'", amount, last),
               didYouMean(token.text, {amount, "min", last}));
    return false;
  }
  Token name = take();
  if (*part) {
    diagnostics.error(name.range,
                      fmt::format("duplicate argument '{}'", name.text))
        .note((*part)->range, "the first is here");
    return false;
  }
  return expect(TokenKind::Colon) && (*part = parseExpression());
}

ExprPtr Parser::parseRecognition() {
  uint32_t begin = take().range.begin;
  RecognitionExpr recognition;
  if (!expect(TokenKind::LeftParen, " after 'recognize'"))
    return nullptr;
  do {
    bool isRecall = atWord("recall") && following.is(TokenKind::Colon);
    if (!(isRecall ? parseRecall(recognition) : parseCandidate(recognition)))
      return nullptr;
  } while (consumeIf(TokenKind::Comma));
  if (!expect(TokenKind::RightParen, " or ','"))
    return nullptr;
  return make(begin, std::move(recognition), Kind::Bool);
}

/// `on`, `local` and `global` are words here alone.
bool Parser::parseCandidate(RecognitionExpr &recognition) {
  if (recognition.recall) {
    diagnostics.error(token.range, "expected no candidate after 'recall:'");
    return false;
  }
  Candidate candidate;
  uint32_t begin = token.range.begin;
  if (!(candidate.pattern = parseExpression()))
    return false;
  if (atWord("on")) {
    take();
    if (!atWord("local") && !atWord("global")) {
      unexpected("'local' or 'global' after 'on'",
                 didYouMean(token.text, {"local", "global"}));
      return false;
    }
    candidate.probe =
        take().text == "local" ? ProbeKind::Local : ProbeKind::Global;
  }
  candidate.range = from(begin);
  recognition.candidates.push_back(std::move(candidate));
  return true;
}

bool Parser::parseRecall(RecognitionExpr &recognition) {
  Token name = take();
  take();
  if (recognition.recall) {
    diagnostics.error(name.range, "duplicate argument 'recall'")
        .note(recognition.recall->range, "the first is here");
    return false;
  }
  recognition.recall = parseExpression();
  return recognition.recall != nullptr;
}

std::optional<Axis>
Parser::parseAxis(std::string_view owner,
                  const std::function<bool(Axis)> &isMember) {
  std::vector<std::string_view> names;
  for (Axis axis : allAxes) {
    if (!isMember(axis))
      continue;
    if (atWord(spelling(axis))) {
      take();
      return axis;
    }
    names.push_back(spelling(axis));
  }
  unexpected(fmt::format("{} after '{}.'", quotedList(names), owner),
             didYouMean(token.text, names));
  return std::nullopt;
}

ExprPtr Parser::parseMember() {
  Token owner = take();
  if (!expect(TokenKind::Dot, fmt::format(" after '{}'", owner.text)))
    return nullptr;
  bool ofGrid = owner.is(TokenKind::GridKeyword);
  std::optional<Axis> axis =
      parseAxis(owner.text, [&](Axis axis) { return !ofGrid || isExtent(axis); });
  if (!axis)
    return nullptr;
  if (ofGrid)
    return make(owner.range.begin, GridExtentExpr{*axis});
  Kind kind = *axis == Axis::Text ? Kind::Bool : Kind::Int;
  auto side = owner.is(TokenKind::KKeyword) ? CoordinateExpr::Owner::Key
                                            : CoordinateExpr::Owner::Query;
  return make(owner.range.begin, CoordinateExpr{side, *axis}, kind);
}

ExprPtr Parser::parseTokenMember() {
  Token owner = take();
  take();
  if (!isInOrder) {
    diagnostics.error(owner.range,
                      "'token' may only stand in 'order by', where tokens are "
                      "sorted; write 'q' or 'k'");
    return nullptr;
  }
  std::optional<Axis> axis = parseAxis(owner.text, [](Axis axis) {
    return axis == Axis::T || axis == Axis::H || axis == Axis::W;
  });
  if (!axis)
    return nullptr;
  return make(owner.range.begin,
              CoordinateExpr{CoordinateExpr::Owner::Token, *axis});
}

ExprPtr Parser::parseBuiltin(const OperatorInfo &builtin) {
  uint32_t begin = take().range.begin;
  if (!expect(TokenKind::LeftParen,
              fmt::format(" after '{}'", builtin.spelling())))
    return nullptr;
  ExprPtr first = parseExpression();
  if (!first)
    return nullptr;
  ExprPtr second;
  if (builtin.arity() == 2 &&
      (!expect(TokenKind::Comma) || !(second = parseExpression())))
    return nullptr;
  if (!expect(TokenKind::RightParen))
    return nullptr;
  return makeOperation(begin, builtin.op, std::move(first), std::move(second));
}

ExprPtr Parser::parseReference() {
  uint32_t begin = token.range.begin;
  ReferenceExpr reference;
  parseParameterName(reference.name);
  if (at(TokenKind::Dot)) {
    diagnostics.error(
        reference.name.range,
        fmt::format("unknown name '{}': expected 'q', 'k' or 'grid' before '.'",
                    reference.name.text));
    return nullptr;
  }
  if (at(TokenKind::LeftParen)) {
    reference.hasParentheses = true;
    if (!parseArguments(reference.arguments))
      return nullptr;
  }
  return make(begin, std::move(reference));
}

bool Parser::parseArguments(std::vector<Argument> &arguments) {
  take();
  if (consumeIf(TokenKind::RightParen))
    return true;
  do {
    Argument argument;
    if (atParameterName() && following.is(TokenKind::Colon)) {
      parseParameterName(argument.name.emplace());
      take();
    }
    if (!(argument.value = parseExpression()))
      return false;
    arguments.push_back(std::move(argument));
  } while (consumeIf(TokenKind::Comma));
  return expect(TokenKind::RightParen, " or ','");
}

} // namespace weft
