// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Definitions, attentions and their clauses.

#include "lib/Frontend/RecursiveParser.h"

#include "lib/Frontend/Suggest.h"

#include <algorithm>

namespace weft {

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
  bool isSorted = atWord("by");
  if (!order.isTiles && !isSorted && !atWord("raster")) {
    unexpected("'raster', 'tiles' or 'by'",
               didYouMean(token.text, {"raster", "tiles", "by"}));
    return false;
  }
  take();
  if (isSorted)
    return parseSortKeys(order);
  return !order.isTiles || !at(TokenKind::LeftParen) || parseTileSizes(order);
}

bool Parser::parseFirst(OrderClause &order) {
  return !(atWord("first") && following.is(TokenKind::Colon)) ||
         (expectWord("first") && expect(TokenKind::Colon) &&
          (order.first = parseExpression()) && expect(TokenKind::Comma));
}

bool Parser::parseSortKeys(OrderClause &order) {
  if (!expect(TokenKind::LeftParen, " after 'by'") || !parseFirst(order))
    return false;
  isInOrder = true;
  do
    order.keys.push_back(parseExpression());
  while (order.keys.back() && consumeIf(TokenKind::Comma));
  isInOrder = false;
  return order.keys.back() && expect(TokenKind::RightParen);
}

bool Parser::parseTileSizes(OrderClause &order) {
  take();
  if (!parseFirst(order))
    return false;
  order.sizes.emplace();
  size_t first = atWord(spelling(Axis::H)) ? 1 : 0;
  for (size_t i = first; i < order.sizes->size(); ++i) {
    if ((i != first && !expect(TokenKind::Comma)) ||
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

} // namespace weft
