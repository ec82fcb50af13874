// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lexer: turns source text into tokens.

#ifndef WEFT_LIB_FRONTEND_LEXER_H
#define WEFT_LIB_FRONTEND_LEXER_H

#include "lib/Frontend/SourceFile.h"

#include <span>
#include <string>
#include <string_view>

namespace weft {

/// Kinds of tokens; keywords and punctuation come from Tokens.def.
enum class TokenKind {
  EndOfFile,
  Error,
  Identifier,
  Integer,
  Decimal,
#define KEYWORD(kind, spelling, meaning) kind##Keyword,
#define PUNCTUATION(kind, spelling) kind,
#include "lib/Frontend/Tokens.def"
};

/// One token; `error` says what is wrong with a token of kind Error.
struct Token {
  TokenKind kind = TokenKind::EndOfFile;
  SourceRange range;
  std::string_view text;
  std::string error = {};

  bool is(TokenKind other) const { return kind == other; }
};

/// A reserved word and what it means, for editors.
struct Keyword {
  TokenKind kind;
  std::string_view spelling;
  std::string_view meaning;
};

/// All reserved words, sorted by spelling.
std::span<const Keyword> keywords();
/// True for reserved words.
bool isKeyword(TokenKind kind);
/// How a keyword or punctuation is written; a description for the other kinds.
std::string_view spelling(TokenKind kind);

/// Yields the tokens of one file; after the last one, EndOfFile for ever.
class Lexer {
public:
  /// `source` must outlive the lexer and its tokens.
  explicit Lexer(const SourceFile &source) : text(source.text()) {}
  Token next();

private:
  void skipSpaceAndComments();
  Token make(TokenKind kind, uint32_t begin) const;
  Token makeError(uint32_t begin, std::string message) const;
  Token number();
  Token word();
  Token punctuation();
  Token unexpected();
  template <typename Predicate> void skipWhile(Predicate predicate);

  std::string_view text;
  uint32_t cursor = 0;
};

} // namespace weft

#endif // WEFT_LIB_FRONTEND_LEXER_H
