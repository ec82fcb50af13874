// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The recursive descent parser as its files share it; the grammar is in
// docs/language.md.

#ifndef WEFT_LIB_FRONTEND_RECURSIVEPARSER_H
#define WEFT_LIB_FRONTEND_RECURSIVEPARSER_H

#include "lib/Frontend/Parser.h"

#include <functional>

#include <fmt/format.h>

namespace weft {

/// One file being parsed. Tokens and recovery are in Parser.cpp, items and
/// clauses in ParseItems.cpp, expressions in ParseExpressions.cpp.
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
  bool parseFirst(OrderClause &order);
  bool parseTileSizes(OrderClause &order);
  bool parseSortKeys(OrderClause &order);
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
  ExprPtr parseTokenMember();
  ExprPtr parseBuiltin(const OperatorInfo &builtin);
  ExprPtr parseReference();
  bool parseArguments(std::vector<Argument> &arguments);
  std::optional<Axis> parseAxis(std::string_view owner,
                                const std::function<bool(Axis)> &isMember);
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
  bool isInOrder = false;
  unsigned nesting = 0;
  unsigned nodes = 0;
};

template <typename Node>
ExprPtr Parser::make(uint32_t begin, Node node, Kind kind) {
  ++nodes;
  return std::make_unique<Expr>(Expr{from(begin), std::move(node), kind});
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

} // namespace weft

#endif // WEFT_LIB_FRONTEND_RECURSIVEPARSER_H
