// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The recursive descent parser; the grammar is in docs/language.md.

#include "lib/Frontend/Parser.h"

#include "lib/Frontend/Suggest.h"

#include <fmt/format.h>

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

class Parser {
public:
  Parser(const SourceFile &source, Diagnostics &diagnostics)
      : lexer(source), diagnostics(diagnostics), token(lexer.next()),
        following(lexer.next()) {}

  std::unique_ptr<Program> parseFile();

private:
  // Tokens.
  Token take();
  bool at(TokenKind kind) const { return token.is(kind); }
  bool atWord(std::string_view word) const {
    return at(TokenKind::Identifier) && token.text == word;
  }
  bool consumeIf(TokenKind kind);
  bool expect(TokenKind kind, std::string_view purpose = "");
  bool expectWord(std::string_view word);
  Diagnostic &unexpected(std::string_view expected,
                         std::string_view suffix = "");
  std::string describeToken() const;
  SourceRange from(uint32_t begin) const { return {begin, lastEnd}; }

  // Recovery.
  bool atItem() const;
  bool atClause() const {
    return at(TokenKind::OrderKeyword) || at(TokenKind::MaskKeyword) ||
           ((atWord("bias") || atWord("rows")) &&
            following.is(TokenKind::GivenKeyword)) ||
           (atWord("rows") && following.is(TokenKind::TopkKeyword)) ||
           (atWord("reuse") && following.is(TokenKind::Identifier));
  }
  void skipToItem();
  void skipToClause();

  // Items and clauses.
  bool parseItem(Program &program);
  bool parseDefinition(Program &program, Kind kind);
  bool parseAttention(Program &program);
  void parseClauses(Attention &attention);
  bool parseClause(Attention &attention);
  bool parseBias(Attention &attention);
  bool parseRows(Attention &attention);
  bool parseOrder(OrderClause &order);
  bool parseTileSizes(OrderClause &order);
  bool parseReuseClause(Attention &attention);
  bool parseReuse(ReuseClause &reuse);
  bool parseReusePart(ReuseClause &reuse);
  bool parseReuseExpression(ExprPtr &part);
  bool parseReuseAxes(ReuseClause &reuse);
  template <typename Clause>
  void keepFirst(std::optional<Clause> &slot, Clause clause,
                 std::string_view name);
  bool parseName(Identifier &name);
  /// Whether the token is the name of a parameter: `threshold` may be one.
  bool atParameterName() const {
    return at(TokenKind::Identifier) || at(TokenKind::ThresholdKeyword);
  }
  bool parseParameterName(Identifier &name);
  bool parseParameters(Parameters &parameters);
  std::unique_ptr<Parameter> parseParameter();

  // Expressions; null after an error.
  ExprPtr parseExpression(Precedence loosest = Precedence::Or);
  ExprPtr parseOperand(Precedence loosest);
  ExprPtr parsePrefix(const OperatorInfo &prefix);
  ExprPtr parseInfix(ExprPtr left, Precedence loosest);
  ExprPtr parsePrimary();
  ExprPtr parseParenthesized();
  ExprPtr parseInteger(uint32_t begin, bool negative);
  ExprPtr parseDecimal(uint32_t begin, bool negative);
  ExprPtr parsePrediction(SelectionRule rule);
  bool parsePredictor(PredictionExpr &prediction);
  bool parsePredictionArgument(PredictionExpr &prediction);
  ExprPtr parseRecognition();
  bool parseCandidate(RecognitionExpr &recognition);
  bool parseRecall(RecognitionExpr &recognition);
  ExprPtr parseMember();
  ExprPtr parseBuiltin(const OperatorInfo &builtin);
  ExprPtr parseReference();
  bool parseArguments(std::vector<Argument> &arguments);
  std::optional<Axis> parseAxis(std::string_view owner, bool ofGrid);
  template <typename Node>
  ExprPtr make(uint32_t begin, Node node, Kind kind = Kind::Int);
  ExprPtr makeOperation(uint32_t begin, Operator op, ExprPtr first,
                        ExprPtr second = nullptr);

  /// Counts one level of nesting for as long as it lives.
  struct Nesting {
    explicit Nesting(unsigned &depth) : depth(++depth) {}
    ~Nesting() { --depth; }
    unsigned &depth;
  };
  bool tooComplex();

  Lexer lexer;
  Diagnostics &diagnostics;
  Token token;
  Token following;
  uint32_t lastEnd = 0;
  unsigned nesting = 0;
  unsigned nodes = 0;
};

//===-- Tokens ------------------------------------------------------------===//

Token Parser::take() {
  Token taken = std::move(token);
  lastEnd = taken.range.end;
  token = std::move(following);
  following = lexer.next();
  return taken;
}

bool Parser::consumeIf(TokenKind kind) {
  if (!at(kind))
    return false;
  take();
  return true;
}

std::string Parser::describeToken() const {
  if (at(TokenKind::EndOfFile))
    return "end of file";
  return fmt::format("{}'{}'", isKeyword(token.kind) ? "the keyword " : "",
                     token.text);
}

Diagnostic &Parser::unexpected(std::string_view expected,
                               std::string_view suffix) {
  if (at(TokenKind::Error))
    return diagnostics.error(token.range, token.error);
  return diagnostics.error(token.range,
                           fmt::format("expected {}, but got {}{}", expected,
                                       describeToken(), suffix));
}

bool Parser::expect(TokenKind kind, std::string_view purpose) {
  if (consumeIf(kind))
    return true;
  unexpected(fmt::format("'{}'{}", spelling(kind), purpose));
  return false;
}

bool Parser::expectWord(std::string_view word) {
  if (!atWord(word)) {
    unexpected(fmt::format("'{}'", word));
    return false;
  }
  take();
  return true;
}

//===-- Recovery ----------------------------------------------------------===//

bool Parser::atItem() const {
  return at(TokenKind::PatternKeyword) || at(TokenKind::LetKeyword) ||
         at(TokenKind::AttentionKeyword) || at(TokenKind::EndOfFile);
}

void Parser::skipToItem() {
  while (!atItem())
    take();
}

void Parser::skipToClause() {
  while (!atItem() && !atClause() && !at(TokenKind::RightBrace))
    take();
}

//===-- Items and clauses -------------------------------------------------===//

std::unique_ptr<Program> Parser::parseFile() {
  auto program = std::make_unique<Program>();
  while (!at(TokenKind::EndOfFile))
    if (!parseItem(*program))
      skipToItem();
  return program;
}

bool Parser::parseItem(Program &program) {
  if (at(TokenKind::PatternKeyword))
    return parseDefinition(program, Kind::Bool);
  if (at(TokenKind::LetKeyword))
    return parseDefinition(program, Kind::Int);
  if (at(TokenKind::AttentionKeyword))
    return parseAttention(program);
  std::vector<std::string_view> items = {"pattern", "let", "attention"};
  unexpected(quotedList(items), didYouMean(token.text, items));
  take();
  return false;
}

bool Parser::parseDefinition(Program &program, Kind kind) {
  auto definition = std::make_unique<Definition>();
  definition->kind = kind;
  uint32_t begin = take().range.begin;
  if (!parseName(definition->name) ||
      !parseParameters(definition->parameters) || !expect(TokenKind::Assign))
    return false;
  definition->body = parseExpression();
  definition->range = from(begin);
  if (!definition->body)
    return false;
  program.definitions.push_back(std::move(definition));
  return true;
}

bool Parser::parseAttention(Program &program) {
  auto attention = std::make_unique<Attention>();
  uint32_t begin = take().range.begin;
  if (!parseName(attention->name) || !parseParameters(attention->parameters))
    return false;
  SourceRange brace = token.range;
  if (!expect(TokenKind::LeftBrace))
    return false;
  parseClauses(*attention);
  bool closed = consumeIf(TokenKind::RightBrace);
  if (!closed)
    unexpected(
        fmt::format("'}}' at the end of attention '{}'", attention->name.text))
        .note(brace, "the '{' is here");
  attention->range = from(begin);
  program.attentions.push_back(std::move(attention));
  return closed;
}

void Parser::parseClauses(Attention &attention) {
  while (!at(TokenKind::RightBrace) && !atItem())
    if (!parseClause(attention))
      skipToClause();
}

template <typename Clause>
void Parser::keepFirst(std::optional<Clause> &slot, Clause clause,
                       std::string_view name) {
  if (slot)
    diagnostics.error(clause.range, fmt::format("duplicate clause '{}'", name))
        .note(slot->range, "the first is here");
  else
    slot = std::move(clause);
}

bool Parser::parseClause(Attention &attention) {
  uint32_t begin = token.range.begin;
  if (consumeIf(TokenKind::OrderKeyword)) {
    OrderClause order;
    if (!parseOrder(order))
      return false;
    order.range = from(begin);
    keepFirst(attention.order, std::move(order), "order");
    return true;
  }
  if (consumeIf(TokenKind::MaskKeyword)) {
    MaskClause mask;
    if (!(mask.condition = parseExpression()))
      return false;
    mask.range = from(begin);
    keepFirst(attention.mask, std::move(mask), "mask");
    return true;
  }
  // `bias` and `rows` are words of a clause at its begin alone.
  if (atWord("bias"))
    return parseBias(attention);
  if (atWord("rows"))
    return parseRows(attention);
  if (atWord("reuse"))
    return parseReuseClause(attention);
  if (at(TokenKind::Identifier))
    diagnostics.error(
        token.range,
        fmt::format("unknown clause '{}': expected 'order', 'mask', 'bias', "
                    "'rows' or 'reuse'{}",
                    token.text,
                    didYouMean(token.text, {"order", "mask", "bias", "rows",
                                            "reuse", "or", "and", "mod"})));
  else
    unexpected("'order', 'mask', 'bias', 'rows', 'reuse' or '}'");
  take();
  return false;
}

bool Parser::parseBias(Attention &attention) {
  Token word = take();
  if (!expect(TokenKind::GivenKeyword, " after 'bias'"))
    return false;
  keepFirst(attention.bias, GivenClause{from(word.range.begin)}, "bias");
  return true;
}

bool Parser::parseRows(Attention &attention) {
  RowsClause rows;
  uint32_t begin = take().range.begin;
  if (!at(TokenKind::GivenKeyword) && !at(TokenKind::TopkKeyword)) {
    unexpected("'given' or 'topk' after 'rows'");
    return false;
  }
  if (!consumeIf(TokenKind::GivenKeyword) &&
      !(rows.selection = parseExpression()))
    return false;
  rows.range = from(begin);
  keepFirst(attention.rows, std::move(rows), "rows");
  return true;
}

bool Parser::parseOrder(OrderClause &order) {
  order.isTiles = atWord("tiles");
  if (!order.isTiles && !atWord("raster")) {
    unexpected("'raster' or 'tiles'",
               didYouMean(token.text, {"raster", "tiles"}));
    return false;
  }
  take();
  return !order.isTiles || !at(TokenKind::LeftParen) || parseTileSizes(order);
}

bool Parser::parseTileSizes(OrderClause &order) {
  take();
  order.sizes.emplace();
  for (size_t i = 0; i < order.sizes->size(); ++i) {
    if ((i != 0 && !expect(TokenKind::Comma)) ||
        !expectWord(spelling(static_cast<Axis>(i))) ||
        !expect(TokenKind::Colon))
      return false;
    if (!((*order.sizes)[i] = parseExpression()))
      return false;
  }
  return expect(TokenKind::RightParen);
}

bool Parser::parseReuseClause(Attention &attention) {
  uint32_t begin = take().range.begin;
  ReuseClause reuse;
  if (!parseReuse(reuse))
    return false;
  reuse.range = from(begin);
  if (!reuse.threshold) {
    diagnostics.error(reuse.range, "missing 'threshold' of 'reuse'");
    return false;
  }
  keepFirst(attention.reuse, std::move(reuse), "reuse");
  return true;
}

bool Parser::parseReuse(ReuseClause &reuse) {
  if (!expectWord("neighbours") || !expect(TokenKind::LeftParen))
    return false;
  if (!atWord("channel") && !atWord("token")) {
    unexpected("'channel' or 'token'",
               didYouMean(token.text, {"channel", "token"}));
    return false;
  }
  reuse.granularity =
      take().text == "token" ? Granularity::Token : Granularity::Channel;
  while (consumeIf(TokenKind::Comma))
    if (!parseReusePart(reuse))
      return false;
  return expect(TokenKind::RightParen, " or ','");
}

bool Parser::parseReusePart(ReuseClause &reuse) {
  if (at(TokenKind::ThresholdKeyword))
    return parseReuseExpression(reuse.threshold);
  if (atWord("window"))
    return parseReuseExpression(reuse.window);
  if (atWord("axes"))
    return parseReuseAxes(reuse);
  unexpected("'threshold:', 'window:' or 'axes:'",
             didYouMean(token.text, {"threshold", "window", "axes"}));
  return false;
}

bool Parser::parseReuseExpression(ExprPtr &part) {
  Token name = take();
  if (part) {
    diagnostics.error(name.range,
                      fmt::format("duplicate argument '{}'", name.text))
        .note(part->range, "the first is here");
    return false;
  }
  return expect(TokenKind::Colon) && (part = parseExpression());
}

bool Parser::parseReuseAxes(ReuseClause &reuse) {
  Token name = take();
  if (!reuse.axes.empty()) {
    diagnostics.error(name.range, "duplicate argument 'axes'")
        .note(reuse.axes.front().second, "the first is here");
    return false;
  }
  if (!expect(TokenKind::Colon))
    return false;
  do {
    std::optional<Axis> axis;
    for (Axis candidate : {Axis::T, Axis::H, Axis::W})
      if (atWord(spelling(candidate)))
        axis = candidate;
    if (!axis) {
      unexpected("'t', 'h' or 'w'");
      return false;
    }
    for (auto &[earlier, range] : reuse.axes)
      if (earlier == *axis) {
        diagnostics
            .error(token.range, fmt::format("duplicate axis '{}'", token.text))
            .note(range, "the first is here");
        return false;
      }
    reuse.axes.emplace_back(*axis, take().range);
  } while (!at(TokenKind::Comma) && !at(TokenKind::RightParen));
  return true;
}

bool Parser::parseName(Identifier &name) {
  if (!at(TokenKind::Identifier)) {
    unexpected("a name");
    return false;
  }
  Token word = take();
  name = {std::string(word.text), word.range};
  return true;
}

/// A keyword that begins a prediction only before a parenthesis.
bool Parser::parseParameterName(Identifier &name) {
  if (!at(TokenKind::ThresholdKeyword))
    return parseName(name);
  Token word = take();
  name = {std::string(word.text), word.range};
  return true;
}

bool Parser::parseParameters(Parameters &parameters) {
  if (!consumeIf(TokenKind::LeftParen))
    return true;
  if (consumeIf(TokenKind::RightParen))
    return true;
  do {
    std::unique_ptr<Parameter> parameter = parseParameter();
    if (!parameter)
      return false;
    parameter->index = parameters.size();
    parameters.push_back(std::move(parameter));
  } while (consumeIf(TokenKind::Comma));
  return expect(TokenKind::RightParen, " or ','");
}

std::unique_ptr<Parameter> Parser::parseParameter() {
  auto parameter = std::make_unique<Parameter>();
  uint32_t begin = token.range.begin;
  parameter->isDynamic = consumeIf(TokenKind::DynamicKeyword);
  if (!parseParameterName(parameter->name) || !expect(TokenKind::Colon))
    return nullptr;
  if (!at(TokenKind::IntKeyword) && !at(TokenKind::BoolKeyword) &&
      !at(TokenKind::FloatKeyword)) {
    unexpected("'int', 'bool' or 'float'");
    return nullptr;
  }
  TokenKind kind = take().kind;
  parameter->kind = kind == TokenKind::IntKeyword    ? Kind::Int
                    : kind == TokenKind::BoolKeyword ? Kind::Bool
                                                     : Kind::Float;
  if (consumeIf(TokenKind::Assign) &&
      !(parameter->defaultValue = parseExpression()))
    return nullptr;
  parameter->range = from(begin);
  return parameter;
}

//===-- Expressions -------------------------------------------------------===//

template <typename Node>
ExprPtr Parser::make(uint32_t begin, Node node, Kind kind) {
  ++nodes;
  return std::make_unique<Expr>(Expr{from(begin), std::move(node), kind});
}

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
    return parseReference();
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

std::optional<Axis> Parser::parseAxis(std::string_view owner, bool ofGrid) {
  std::vector<std::string_view> names;
  for (Axis axis : allAxes) {
    if (ofGrid && !isExtent(axis))
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
  std::optional<Axis> axis = parseAxis(owner.text, ofGrid);
  if (!axis)
    return nullptr;
  if (ofGrid)
    return make(owner.range.begin, GridExtentExpr{*axis});
  Kind kind = *axis == Axis::Text ? Kind::Bool : Kind::Int;
  return make(owner.range.begin,
              CoordinateExpr{owner.is(TokenKind::KKeyword), *axis}, kind);
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

} // namespace

std::string_view spelling(SelectionRule rule) {
  constexpr TokenKind keywords[] = {TokenKind::TopkKeyword,
                                    TokenKind::ToppKeyword,
                                    TokenKind::ThresholdKeyword};
  return spelling(keywords[static_cast<size_t>(rule)]);
}

std::string_view amountName(SelectionRule rule) {
  constexpr std::string_view names[] = {"keep", "mass", "score"};
  return names[static_cast<size_t>(rule)];
}

std::unique_ptr<Program> parse(const SourceFile &source,
                               Diagnostics &diagnostics) {
  return Parser(source, diagnostics).parseFile();
}

} // namespace weft
