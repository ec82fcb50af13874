// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of SourceFile, Diagnostics, the lexer and suggestions.

#include "lib/Frontend/Lexer.h"
#include "lib/Frontend/Diagnostic.h"
#include "lib/Frontend/Suggest.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace weft;

namespace {

std::vector<Token> lex(const SourceFile &source) {
  Lexer lexer(source);
  std::vector<Token> tokens;
  do
    tokens.push_back(lexer.next());
  while (!tokens.back().is(TokenKind::EndOfFile));
  return tokens;
}

/// The message of the first token.
std::string firstError(std::string text) {
  SourceFile source("test.weft", std::move(text));
  return Lexer(source).next().error;
}

TEST(SourceFile, MapsOffsetsToLinesAndBack) {
  SourceFile source("test.weft", "ab\r\n\nc");
  EXPECT_EQ(source.position(0), (LineColumn{1, 1}));
  EXPECT_EQ(source.position(4), (LineColumn{2, 1}));
  EXPECT_EQ(source.position(5), (LineColumn{3, 1}));
  EXPECT_EQ(source.position(99), (LineColumn{3, 2}));
  EXPECT_EQ(source.line(1), "ab");
  EXPECT_EQ(source.line(2), "");
  EXPECT_EQ(source.line(4), "");
  EXPECT_EQ(source.offset({3, 1}), 5u);
  EXPECT_EQ(source.offset({1, 99}), 2u);
  EXPECT_EQ(source.offset({9, 1}), 6u);
  EXPECT_EQ(source.offset({0, 1}), 0u);
  EXPECT_EQ(source.offset({3, 0}), 5u);
}

TEST(SourceFile, ReportsUnreadableFiles) {
  std::string error;
  EXPECT_FALSE(SourceFile::read("/nonexistent/x.weft", error));
  EXPECT_EQ(error, "cannot read '/nonexistent/x.weft': No such file or directory");
}

TEST(Lexer, SplitsWordsNumbersAndPunctuation) {
  SourceFile source("test.weft", "pattern p_1=q.t<=12 // comment\n!=");
  std::vector<Token> tokens = lex(source);
  std::vector<TokenKind> kinds;
  for (const Token &token : tokens)
    kinds.push_back(token.kind);
  EXPECT_EQ(kinds,
            (std::vector<TokenKind>{
                TokenKind::PatternKeyword, TokenKind::Identifier,
                TokenKind::Assign, TokenKind::QKeyword, TokenKind::Dot,
                TokenKind::Identifier, TokenKind::LessEqual, TokenKind::Integer,
                TokenKind::NotEqual, TokenKind::EndOfFile}));
  EXPECT_EQ(tokens[1].text, "p_1");
  EXPECT_EQ(tokens[1].range, (SourceRange{8, 11}));
}

TEST(Lexer, KnowsEveryKeyword) {
  EXPECT_TRUE(std::ranges::is_sorted(keywords(), {}, &Keyword::spelling));
  for (const Keyword &keyword : keywords()) {
    SourceFile source("test.weft", std::string(keyword.spelling));
    EXPECT_TRUE(Lexer(source).next().is(keyword.kind)) << keyword.spelling;
    EXPECT_TRUE(isKeyword(keyword.kind));
    EXPECT_EQ(spelling(keyword.kind), keyword.spelling);
  }
}

TEST(Lexer, EndsForEver) {
  SourceFile source("test.weft", " // only a comment");
  Lexer lexer(source);
  EXPECT_TRUE(lexer.next().is(TokenKind::EndOfFile));
  EXPECT_TRUE(lexer.next().is(TokenKind::EndOfFile));
}

TEST(Lexer, ExplainsWhatIsNotAToken) {
  EXPECT_EQ(firstError("0.2.5"), "expected a decimal number, but got '0.2.5'");
  EXPECT_EQ(firstError("0.5e3"), "expected a decimal number, but got '0.5e3'");
  EXPECT_EQ(firstError("12ab"), "expected a decimal number, but got '12ab'");
  EXPECT_EQ(firstError("0x10"), "expected a decimal number, but got '0x10'");
  EXPECT_EQ(firstError("&& x"), "unexpected '&&'; did you mean 'and'?");
  EXPECT_EQ(firstError("|| x"), "unexpected '||'; did you mean 'or'?");
  EXPECT_EQ(firstError("!x"), "unexpected '!'; did you mean 'not'?");
  EXPECT_EQ(firstError("%"), "unexpected '%'; did you mean 'mod'?");
  EXPECT_EQ(firstError("["), "unexpected character '['");
  EXPECT_EQ(firstError("\xC3\xA9t\xC3\xA9"), "unexpected character '\xC3\xA9'");
  EXPECT_EQ(firstError(std::string(1, '\0')), "unexpected byte 0x00");
  EXPECT_EQ(firstError("\xFF"), "unexpected byte 0xff");
}

TEST(Diagnostics, PointAtTheSource) {
  SourceFile source("test.weft", "let a = 1\n\tlet b = a\n");
  Diagnostics diagnostics(source);
  diagnostics.error({15, 16}, "first").note({4, 5}, "see");
  diagnostics.warning({11, 14}, "second");
  diagnostics.error("third");
  EXPECT_TRUE(diagnostics.hasErrors());
  EXPECT_EQ(diagnostics.render(), "test.weft:2:6: error: first\n"
                                  "\tlet b = a\n"
                                  "\t    ^\n"
                                  "test.weft:1:5: note: see\n"
                                  "let a = 1\n"
                                  "    ^\n"
                                  "test.weft:2:2: warning: second\n"
                                  "\tlet b = a\n"
                                  "\t^~~\n"
                                  "test.weft: error: third\n");
}

TEST(Diagnostics, WarningsAreNotErrors) {
  SourceFile source("test.weft", "");
  Diagnostics diagnostics(source);
  diagnostics.warning({0, 0}, "mind");
  EXPECT_FALSE(diagnostics.hasErrors());
  EXPECT_EQ(diagnostics.render(), "test.weft:1:1: warning: mind\n\n^\n");
}

TEST(Suggest, FindsTheNearestName) {
  EXPECT_EQ(didYouMean("colum", {"near", "column"}),
            "; did you mean 'column'?");
  EXPECT_EQ(didYouMean("zzz", {"near", "column"}), "");
  EXPECT_EQ(didYouMean("x", {"a", "b"}), "");
}

TEST(Suggest, ListsNames) {
  EXPECT_EQ(quotedList({"a"}), "'a'");
  EXPECT_EQ(quotedList({"a", "b", "c"}), "'a', 'b' or 'c'");
}

} // namespace
