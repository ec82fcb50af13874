// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens and recovery of the parser, and its entry.

#include "lib/Frontend/RecursiveParser.h"

#include "lib/Frontend/Suggest.h"

namespace weft {

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
