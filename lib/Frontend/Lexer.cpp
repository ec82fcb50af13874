// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The lexer and its lookups in Tokens.def.

#include "lib/Frontend/Lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace weft {

static constexpr Keyword keywordTable[] = {
#define KEYWORD(kind, spelling, meaning)                                       \
  {TokenKind::kind##Keyword, spelling, meaning},
#include "lib/Frontend/Tokens.def"
};

namespace {
struct Punctuation {
  TokenKind kind;
  std::string_view spelling;
};
/// Spellings of other languages and what they are called here.
struct Foreign {
  std::string_view spelling;
  std::string_view ours;
};
} // namespace

/// Longer spellings stand before their prefixes.
static constexpr Punctuation punctuationTable[] = {
#define PUNCTUATION(kind, spelling) {TokenKind::kind, spelling},
#include "lib/Frontend/Tokens.def"
};

static constexpr Foreign foreignTable[] = {{"&&", "and"}, {"||", "or"},
                                           {"&", "and"},  {"|", "or"},
                                           {"!", "not"},  {"%", "mod"}};

std::span<const Keyword> keywords() { return keywordTable; }

static const Keyword *findKeyword(std::string_view word) {
  const Keyword *found =
      std::ranges::lower_bound(keywordTable, word, {}, &Keyword::spelling);
  return found != std::end(keywordTable) && found->spelling == word ? found
                                                                    : nullptr;
}

bool isKeyword(TokenKind kind) {
  return std::ranges::find(keywordTable, kind, &Keyword::kind) !=
         std::end(keywordTable);
}

std::string_view spelling(TokenKind kind) {
  switch (kind) {
  case TokenKind::EndOfFile:
    return "end of file";
  case TokenKind::Error:
    return "invalid text";
  case TokenKind::Identifier:
    return "name";
  case TokenKind::Integer:
    return "integer";
  case TokenKind::Decimal:
    return "decimal number";
#define KEYWORD(kind, spelling, meaning)                                       \
  case TokenKind::kind##Keyword:                                               \
    return spelling;
#define PUNCTUATION(kind, spelling)                                            \
  case TokenKind::kind:                                                        \
    return spelling;
#include "lib/Frontend/Tokens.def"
  }
  return {};
}

static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool isWordPart(char c) { return isWordStart(c) || isDigit(c); }
static bool isContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

template <typename Predicate> void Lexer::skipWhile(Predicate predicate) {
  while (cursor < text.size() && predicate(text[cursor]))
    ++cursor;
}

void Lexer::skipSpaceAndComments() {
  while (true) {
    skipWhile(
        [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
    if (!text.substr(cursor).starts_with("//"))
      return;
    skipWhile([](char c) { return c != '\n'; });
  }
}

Token Lexer::make(TokenKind kind, uint32_t begin) const {
  return {kind, {begin, cursor}, text.substr(begin, cursor - begin)};
}

Token Lexer::makeError(uint32_t begin, std::string message) const {
  Token token = make(TokenKind::Error, begin);
  token.error = std::move(message);
  return token;
}

Token Lexer::next() {
  skipSpaceAndComments();
  if (cursor >= text.size())
    return make(TokenKind::EndOfFile, cursor);
  if (isDigit(text[cursor]))
    return number();
  if (isWordStart(text[cursor]))
    return word();
  return punctuation();
}

Token Lexer::number() {
  uint32_t begin = cursor;
  skipWhile(isDigit);
  bool fraction = cursor + 1 < text.size() && text[cursor] == '.' &&
                  isDigit(text[cursor + 1]);
  if (fraction) {
    ++cursor;
    skipWhile(isDigit);
  }
  bool suffix = cursor < text.size() &&
                (isWordStart(text[cursor]) || (fraction && text[cursor] == '.'));
  if (!suffix)
    return make(fraction ? TokenKind::Decimal : TokenKind::Integer, begin);
  skipWhile([](char c) { return isWordPart(c) || c == '.'; });
  return makeError(begin,
                   fmt::format("expected a decimal number, but got '{}'",
                               text.substr(begin, cursor - begin)));
}

Token Lexer::word() {
  uint32_t begin = cursor;
  skipWhile(isWordPart);
  const Keyword *keyword = findKeyword(text.substr(begin, cursor - begin));
  return make(keyword ? keyword->kind : TokenKind::Identifier, begin);
}

Token Lexer::punctuation() {
  uint32_t begin = cursor;
  for (const Punctuation &mark : punctuationTable) {
    if (text.substr(cursor).starts_with(mark.spelling)) {
      cursor += mark.spelling.size();
      return make(mark.kind, begin);
    }
  }
  return unexpected();
}

Token Lexer::unexpected() {
  uint32_t begin = cursor;
  for (const Foreign &foreign : foreignTable) {
    if (text.substr(cursor).starts_with(foreign.spelling)) {
      cursor += foreign.spelling.size();
      return makeError(begin, fmt::format("unexpected '{}'; did you mean '{}'?",
                                          foreign.spelling, foreign.ours));
    }
  }
  ++cursor;
  skipWhile(isContinuation);
  std::string_view character = text.substr(begin, cursor - begin);
  unsigned code = static_cast<unsigned char>(character[0]);
  if (code < 0x20 || code == 0x7F || (code >= 0x80 && character.size() == 1))
    return makeError(begin, fmt::format("unexpected byte 0x{:02x}", code));
  return makeError(begin, fmt::format("unexpected character '{}'", character));
}

} // namespace weft
