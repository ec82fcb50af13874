// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A cursor over PTX text: names, numbers, opcodes and punctuation, with line numbers.

#ifndef WEFT_TEST_PTX_LEXER_H
#define WEFT_TEST_PTX_LEXER_H

#include <cstdint>
#include <string_view>

namespace weft::ptx {

/// A literal. An integer has its value in `bits`, a float in `value`.
struct Number {
  uint64_t bits = 0;
  double value = 0;
  bool isFloat = false;
};

/// Reads PTX from front to back; blanks and comments are skipped before every token.
class Lexer {
public:
  explicit Lexer(std::string_view text) : text(text) {}

  bool atEnd();
  uint32_t line() const { return lineNumber; }
  /// The next character, or 0 at the end.
  char peek();
  /// Skips this character if it is next.
  bool take(char expected);
  /// Skips this name or directive if it is next.
  bool takeWord(std::string_view word);
  /// A name or a directive with its dot; empty if there is none.
  std::string_view word();
  /// An opcode with all its modifiers, as in `cp.async.wait_group`; empty if there is none.
  std::string_view opcode();
  /// The name of a label that is defined here, with its colon; empty if there is none.
  std::string_view label();
  bool number(Number &result);
  /// A quoted string, without the quotes.
  std::string_view quoted();
  void skipLine();
  /// Skips to behind the next `end`, over nested braces.
  void skipPast(char end);

private:
  void skipBlanks();
  std::string_view advance(size_t to);
  size_t endOfWord(size_t at) const;
  bool floatBits(Number &result);

  std::string_view text;
  size_t at = 0;
  uint32_t lineNumber = 1;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_LEXER_H
