// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens of PTX.

#include "test/ptx/Lexer.h"

#include <bit>
#include <charconv>
#include <string>

using namespace weft::ptx;

static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || isDigit(c) || c == '_' || c == '$' || c == '%';
}

void Lexer::skipBlanks() {
  while (at < text.size()) {
    if (text.compare(at, 2, "//") == 0) {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.compare(at, 2, "/*") == 0) {
      size_t end = std::min(text.find("*/", at), text.size());
      advance(end);
      at = std::min(end + 2, text.size());
    } else if (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n' || text[at] == 0) {
      lineNumber += text[at++] == '\n';
    } else {
      return;
    }
  }
}

std::string_view Lexer::advance(size_t to) {
  std::string_view passed = text.substr(at, to - at);
  for (char c : passed)
    lineNumber += c == '\n';
  at = to;
  return passed;
}

bool Lexer::atEnd() {
  skipBlanks();
  return at >= text.size();
}

char Lexer::peek() { return atEnd() ? 0 : text[at]; }

bool Lexer::take(char expected) {
  if (peek() != expected)
    return false;
  ++at;
  return true;
}

size_t Lexer::endOfWord(size_t from) const {
  size_t end = from;
  if (end < text.size() && text[end] == '.')
    ++end;
  while (end < text.size() && isName(text[end]))
    ++end;
  return end;
}

std::string_view Lexer::word() {
  if (atEnd() || isDigit(text[at]))
    return {};
  size_t end = endOfWord(at);
  // Special registers have a component.
  if (text[at] == '%' && end + 1 < text.size() && text[end] == '.' && isName(text[end + 1]))
    end = endOfWord(end);
  return advance(end);
}

bool Lexer::takeWord(std::string_view expected) {
  if (atEnd() || text.compare(at, expected.size(), expected) != 0)
    return false;
  size_t end = at + expected.size();
  if (end < text.size() && isName(text[end]))
    return false;
  advance(end);
  return true;
}

std::string_view Lexer::opcode() {
  if (atEnd() || !isName(text[at]) || isDigit(text[at]))
    return {};
  size_t end = at;
  while (end < text.size() && (isName(text[end]) || text[end] == '.' || text.compare(end, 2, "::") == 0))
    end += text[end] == ':' ? 2 : 1;
  return advance(end);
}

std::string_view Lexer::label() {
  if (atEnd() || !isName(text[at]) || isDigit(text[at]))
    return {};
  size_t end = endOfWord(at), colon = end;
  while (colon < text.size() && (text[colon] == ' ' || text[colon] == '\t'))
    ++colon;
  if (colon >= text.size() || text[colon] != ':' || text.compare(colon, 2, "::") == 0)
    return {};
  std::string_view name = text.substr(at, end - at);
  advance(colon + 1);
  return name;
}

/// 0fXXXXXXXX and 0dXXXXXXXXXXXXXXXX.
bool Lexer::floatBits(Number &result) {
  char kind = at + 1 < text.size() ? text[at + 1] : 0;
  size_t digits = kind == 'f' || kind == 'F' ? 8 : kind == 'd' || kind == 'D' ? 16 : 0;
  if (text[at] != '0' || !digits || at + 2 + digits > text.size())
    return false;
  uint64_t bits = 0;
  const char *from = text.data() + at + 2;
  auto [end, error] = std::from_chars(from, from + digits, bits, 16);
  if (error != std::errc() || end != from + digits)
    return false;
  result.isFloat = true;
  result.value = digits == 8 ? std::bit_cast<float>(static_cast<uint32_t>(bits)) : std::bit_cast<double>(bits);
  result.bits = bits;
  advance(at + 2 + digits);
  return true;
}

bool Lexer::number(Number &result) {
  result = {};
  bool negative = take('-');
  if (!isDigit(peek()))
    return false;
  if (floatBits(result)) {
    result.value = negative ? -result.value : result.value;
    return true;
  }
  size_t end = at;
  while (end < text.size() && (isName(text[end]) || text[end] == '.' ||
                               ((text[end] == '-' || text[end] == '+') &&
                                (text[end - 1] == 'e' || text[end - 1] == 'E') && text.compare(at, 2, "0x") != 0)))
    ++end;
  std::string digits(advance(end));
  bool isHex = digits.size() > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
  if (!isHex && digits.find_first_of(".eE") != std::string::npos) {
    result.isFloat = true;
    result.value = std::strtod(digits.c_str(), nullptr) * (negative ? -1 : 1);
    return true;
  }
  if (!digits.empty() && digits.back() == 'U')
    digits.pop_back();
  bool isBinary = digits.size() > 2 && digits[0] == '0' && (digits[1] == 'b' || digits[1] == 'B');
  const char *begin = digits.data() + (isHex || isBinary ? 2 : 0);
  int base = isHex ? 16 : isBinary ? 2 : digits.size() > 1 && digits[0] == '0' ? 8 : 10;
  auto [stop, error] = std::from_chars(begin, digits.data() + digits.size(), result.bits, base);
  if (error != std::errc() || stop != digits.data() + digits.size())
    return false;
  if (negative)
    result.bits = -result.bits;
  return true;
}

std::string_view Lexer::quoted() {
  if (!take('"'))
    return {};
  size_t end = std::min(text.find('"', at), text.size());
  std::string_view inside = advance(end);
  take('"');
  return inside;
}

void Lexer::skipLine() { at = std::min(text.find('\n', at), text.size()); }

void Lexer::skipPast(char end) {
  for (int depth = 0; !atEnd();) {
    char c = text[at++];
    depth += (c == '{') - (c == '}');
    if (c == end && depth <= 0)
      return;
  }
}
