// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the parser: every production, every error with its place, and
// recovery.

#include "lib/Frontend/Parser.h"
#include "lib/Frontend/ASTPrinter.h"

#include <gtest/gtest.h>

using namespace weft;

namespace {

/// The tree of a program without errors.
std::string tree(std::string text) {
  SourceFile source("t", std::move(text));
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parse(source, diagnostics);
  EXPECT_EQ(diagnostics.summary(), "");
  return printProgram(*program, source);
}

/// The tree of an expression, on one line and without places.
std::string expression(const std::string &text) {
  std::string result;
  bool skip = false;
  for (char c :
       tree("let x = " + text).substr(std::string("let x @1:1\n  ").size())) {
    skip = (skip || c == '@') && c != '\n';
    if (!skip && c != '\n')
      result += c;
  }
  return result;
}

std::string errors(std::string text) {
  SourceFile source("t", std::move(text));
  Diagnostics diagnostics(source);
  parse(source, diagnostics);
  return diagnostics.summary();
}

std::string repeat(const std::string &text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i)
    result += text;
  return result;
}

//===-- Productions -------------------------------------------------------===//

TEST(Parser, Items) {
  EXPECT_EQ(tree("pattern p = true\nlet n = 2\nattention a {}"),
            "pattern p @1:1\n"
            "  true @1:13\n"
            "let n @2:1\n"
            "  2 @2:9\n"
            "attention a @3:1\n");
  EXPECT_EQ(tree(""), "");
}

TEST(Parser, Parameters) {
  EXPECT_EQ(tree("attention a(n: int, b: bool = true, dynamic r: int = 1) {}"),
            "attention a @1:1\n"
            "  parameter n: int @1:13\n"
            "  parameter b: bool @1:21\n"
            "    true @1:31\n"
            "  dynamic parameter r: int @1:37\n"
            "    1 @1:54\n");
  EXPECT_EQ(tree("let n() = 1"), "let n @1:1\n  1 @1:11\n");
}

TEST(Parser, Clauses) {
  EXPECT_EQ(tree("attention a { order raster mask true }"),
            "attention a @1:1\n"
            "  order raster @1:15\n"
            "  mask @1:28\n"
            "    true @1:33\n");
  EXPECT_EQ(tree("attention a { mask given order tiles }"),
            "attention a @1:1\n"
            "  order tiles @1:26\n"
            "  mask @1:15\n"
            "    given @1:20\n");
  EXPECT_EQ(tree("attention a { rows given mask true bias given }"),
            "attention a @1:1\n"
            "  mask @1:26\n"
            "    true @1:31\n"
            "  bias given @1:36\n"
            "  rows given @1:15\n");
  // Elsewhere they are names.
  EXPECT_EQ(tree("attention a(rows: bool) { mask rows rows given }"),
            "attention a @1:1\n"
            "  parameter rows: bool @1:13\n"
            "  mask @1:27\n"
            "    use of name rows @1:32\n"
            "  rows given @1:37\n");
  EXPECT_EQ(tree("attention a { order tiles(t: 1, h: 2, w: 3) }"),
            "attention a @1:1\n"
            "  order tiles @1:15\n"
            "    1 @1:30\n"
            "    2 @1:36\n"
            "    3 @1:42\n");
  EXPECT_EQ(tree("attention a { order tiles(h: 2, w: 3) }"),
            "attention a @1:1\n"
            "  order tiles @1:15\n"
            "    2 @1:30\n"
            "    3 @1:36\n");
  EXPECT_EQ(tree("attention a { order tiles(first: 1, h: 2, w: 3) }"),
            "attention a @1:1\n"
            "  order tiles @1:15\n"
            "    first @1:34\n"
            "      1 @1:34\n"
            "    2 @1:40\n"
            "    3 @1:46\n");
  EXPECT_EQ(tree("attention a { order by(first: 1, token.t, token.h / 2) }"),
            "attention a @1:1\n"
            "  order by @1:15\n"
            "    first @1:31\n"
            "      1 @1:31\n"
            "    token.t @1:34\n"
            "    / @1:43\n"
            "      token.h @1:43\n"
            "      2 @1:53\n");
  // Elsewhere it is a name.
  EXPECT_EQ(expression("token"), "use of name token ");
}

TEST(Parser, Primaries) {
  for (const char *text :
       {"0",      "2147483647", "-2147483648", "true",    "false",   "head",
        "given",  "q.t",        "q.h",         "q.w",     "q.index", "q.text",
        "k.t",    "k.h",        "k.w",         "k.index", "k.text",  "grid.t",
        "grid.h", "grid.w",     "grid.text"})
    EXPECT_EQ(expression(text), std::string(text) + " ") << text;
  EXPECT_EQ(expression("(1)"), "1 ");
  EXPECT_EQ(expression("abs(1)"), "abs     1 ");
  EXPECT_EQ(expression("min(1, 2)"), "min     1     2 ");
  EXPECT_EQ(expression("max(1, 2)"), "max     1     2 ");
}

TEST(Parser, References) {
  EXPECT_EQ(expression("f"), "use of name f ");
  EXPECT_EQ(expression("f()"), "use of name f ");
  EXPECT_EQ(expression("f(1, n: 2)"), "use of name f     1     n:     2 ");
}

TEST(Parser, Precedence) {
  EXPECT_EQ(expression("a or b and c"), expression("a or (b and c)"));
  EXPECT_EQ(expression("not a == b and c"), expression("(not (a == b)) and c"));
  EXPECT_EQ(expression("not not a"), expression("not (not a)"));
  EXPECT_EQ(expression("a + b < c - d"), expression("(a + b) < (c - d)"));
  EXPECT_EQ(expression("a - b - c"), expression("(a - b) - c"));
  EXPECT_EQ(expression("a + b * c / d mod e"),
            expression("a + (((b * c) / d) mod e)"));
  EXPECT_EQ(expression("-a mod b"), expression("(-a) mod b"));
  EXPECT_EQ(expression("- -a"), expression("-(-a)"));
  EXPECT_EQ(expression("a - -1"), expression("a - (-1)"));
  for (const char *op : {"==", "!=", "<", "<=", ">", ">="})
    EXPECT_EQ(expression(std::string("a ") + op + " b"),
              std::string(op) + "     use of name a     use of name b ");
}

TEST(Parser, CoordinateNamesAreNotReserved) {
  EXPECT_EQ(expression("f(t: t, h: h, w: index)"),
            "use of name f     t:     use of name t     h:     use of name h   "
            "  w:     use of name index ");
}

//===-- Errors ------------------------------------------------------------===//

TEST(Parser, ItemErrors) {
  EXPECT_EQ(errors("patern p = true"),
            "t:1:1: error: expected 'pattern', 'let' or 'attention', but got "
            "'patern'; did you mean 'pattern'?\n");
  EXPECT_EQ(errors("pattern mask = true"),
            "t:1:9: error: expected a name, but got the keyword 'mask'\n");
  EXPECT_EQ(errors("pattern p true"),
            "t:1:11: error: expected '=', but got the keyword 'true'\n");
  EXPECT_EQ(errors("pattern p ="),
            "t:1:12: error: expected an expression, but got end of file\n");
  EXPECT_EQ(errors("attention a"),
            "t:1:12: error: expected '{', but got end of file\n");
  EXPECT_EQ(errors("attention a {"), "t:1:14: error: expected '}' at the end "
                                     "of attention 'a', but got end of file\n"
                                     "t:1:13: note: the '{' is here\n");
  EXPECT_EQ(errors("[ pattern p = true"),
            "t:1:1: error: unexpected character '['\n");
}

TEST(Parser, ParameterErrors) {
  EXPECT_EQ(errors("let f(n) = 1"),
            "t:1:8: error: expected ':', but got ')'\n");
  EXPECT_EQ(errors("let f(n: real) = 1"),
            "t:1:10: error: expected 'int', 'bool' or 'float', but got "
            "'real'\n");
  EXPECT_EQ(errors("let f(n: int m: int) = 1"),
            "t:1:14: error: expected ')' or ',', but got 'm'\n");
  EXPECT_EQ(errors("let f(n: int,) = 1"),
            "t:1:14: error: expected a name, but got ')'\n");
}

TEST(Parser, ClauseErrors) {
  EXPECT_EQ(
      errors("attention a { reuse neighbours(axes: [t]) mask true }"),
      "t:1:32: error: expected 'channel' or 'token', but got 'axes'\n");
  EXPECT_EQ(errors("attention a { maks true }"),
            "t:1:15: error: unknown clause 'maks': expected 'order', 'mask', "
            "'bias', 'rows' or 'reuse'; did you mean 'mask'?\n");
  EXPECT_EQ(errors("attention a { mask true orr false }"),
            "t:1:25: error: unknown clause 'orr': expected 'order', 'mask', "
            "'bias', 'rows' or 'reuse'; did you mean 'or'?\n");
  EXPECT_EQ(errors("attention a { 1 }"),
            "t:1:15: error: expected 'order', 'mask', 'bias', 'rows', 'reuse' or '}', "
            "but got '1'\n");
  EXPECT_EQ(errors("attention a { bais given }"),
            "t:1:15: error: unknown clause 'bais': expected 'order', 'mask', "
            "'bias', 'rows' or 'reuse'; did you mean 'bias'?\n");
  EXPECT_EQ(errors("attention a { rows order raster }"),
            "t:1:20: error: expected 'given' or 'topk' after 'rows', but got "
            "the keyword 'order'\n");
  EXPECT_EQ(errors("attention a { bias given rows given bias given }"),
            "t:1:37: error: duplicate clause 'bias'\n"
            "t:1:15: note: the first is here\n");
  EXPECT_EQ(errors("attention a { mask true mask false }"),
            "t:1:25: error: duplicate clause 'mask'\n"
            "t:1:15: note: the first is here\n");
  EXPECT_EQ(errors("attention a { order raster order tiles }"),
            "t:1:28: error: duplicate clause 'order'\n"
            "t:1:15: note: the first is here\n");
  EXPECT_EQ(errors("attention a { order tile }"),
            "t:1:21: error: expected 'raster', 'tiles' or 'by', but got 'tile'; "
            "did you mean 'tiles'?\n");
  EXPECT_EQ(errors("attention a { order by }"),
            "t:1:24: error: expected '(' after 'by', but got '}'\n");
  EXPECT_EQ(errors("attention a { order by() }"),
            "t:1:24: error: expected an expression, but got ')'\n");
  EXPECT_EQ(errors("attention a { order by(first: 1) }"),
            "t:1:32: error: expected ',', but got ')'\n");
  EXPECT_EQ(errors("attention a { order by(token.index) }"),
            "t:1:30: error: expected 't', 'h' or 'w' after 'token.', but got "
            "'index'\n");
  EXPECT_EQ(errors("attention a { mask token.t == 0 }"),
            "t:1:20: error: 'token' may only stand in 'order by', where tokens "
            "are sorted; write 'q' or 'k'\n");
  EXPECT_EQ(errors("attention a { order tiles(2, 8, 8) }"),
            "t:1:27: error: expected 't', but got '2'\n");
  EXPECT_EQ(errors("attention a { order tiles(t: 2, w: 8, h: 8) }"),
            "t:1:33: error: expected 'h', but got 'w'\n");
  EXPECT_EQ(errors("attention a { order tiles(h: 2, t: 8, w: 8) }"),
            "t:1:33: error: expected 'w', but got 't'\n");
  EXPECT_EQ(errors("attention a { order tiles(t: 2, h: 8) }"),
            "t:1:37: error: expected ',', but got ')'\n");
}

TEST(Parser, ExpressionErrors) {
  EXPECT_EQ(
      errors("pattern p = a < b < c"),
      "t:1:19: error: comparisons do not chain; join two of them with 'and'\n");
  EXPECT_EQ(errors("pattern p = a == not b"),
            "t:1:18: error: expected an expression, but got the keyword 'not'; "
            "write '(not ...)'\n");
  EXPECT_EQ(errors("pattern p = (a"),
            "t:1:15: error: expected ')', but got end of file\n");
  EXPECT_EQ(errors("pattern p = q"),
            "t:1:14: error: expected '.' after 'q', but got end of file\n");
  EXPECT_EQ(errors("let n = grid.text_index"),
            "t:1:14: error: expected 't', 'h', 'w' or 'text' after 'grid.', "
            "but got 'text_index'\n");
  EXPECT_EQ(errors("pattern p = q.x"),
            "t:1:15: error: expected 't', 'h', 'w', 'index', 'text' or 'text_index' after "
            "'q.', but got 'x'\n");
  EXPECT_EQ(errors("pattern p = k.idx"),
            "t:1:15: error: expected 't', 'h', 'w', 'index', 'text' or 'text_index' after "
            "'k.', but got "
            "'idx'\n");
  EXPECT_EQ(errors("pattern p = q.txt"),
            "t:1:15: error: expected 't', 'h', 'w', 'index', 'text' or 'text_index' after "
            "'q.', but got "
            "'txt'; did you mean 'text'?\n");
  EXPECT_EQ(errors("let n = grid.index"),
            "t:1:14: error: expected 't', 'h', 'w' or 'text' after 'grid.', "
            "but got 'index'\n");
  EXPECT_EQ(errors("let n = abs 1"),
            "t:1:13: error: expected '(' after 'abs', but got '1'\n");
  EXPECT_EQ(errors("let n = abs(1, 2)"),
            "t:1:14: error: expected ')', but got ','\n");
  EXPECT_EQ(errors("let n = min(1)"),
            "t:1:14: error: expected ',', but got ')'\n");
  EXPECT_EQ(errors("let n = f(1 2)"),
            "t:1:13: error: expected ')' or ',', but got '2'\n");
  EXPECT_EQ(errors("let n = 0.5.1"),
            "t:1:9: error: expected a decimal number, but got '0.5.1'\n");
  EXPECT_EQ(errors("pattern p = a && b"),
            "t:1:15: error: unexpected '&&'; did you mean 'and'?\n");
}

TEST(Parser, IntegerRange) {
  EXPECT_EQ(errors("let n = 2147483648"),
            "t:1:9: error: expected a 32-bit integer of at most 2147483647, "
            "but got 2147483648\n");
  EXPECT_EQ(errors("let n = -2147483649"),
            "t:1:10: error: expected a 32-bit integer of at least -2147483648, "
            "but got -2147483649\n");
  EXPECT_EQ(errors("let n = 99999999999999999999999"),
            "t:1:9: error: expected a 32-bit integer of at most 2147483647, "
            "but got 99999999999999999999999\n");
}

TEST(Parser, BoundedNesting) {
  EXPECT_EQ(errors("let n = " + repeat("(", 199) + "1" + repeat(")", 199)), "");
  for (const char *opening : {"(", "-", "not ", "abs(", "f("})
    EXPECT_NE(errors("let n = " + repeat(opening, 100000) + "1")
                  .find("expected at most 200 levels of nesting"),
              std::string::npos)
        << opening;
}

TEST(Parser, BoundedSize) {
  EXPECT_EQ(errors("let n = 1" + repeat(" + 1", 900)), "");
  EXPECT_NE(errors("let n = 1" + repeat(" + 1", 100000))
                .find("expected at most 2000 operations in an expression"),
            std::string::npos);
}

TEST(Parser, RecoversAtItemsAndClauses) {
  EXPECT_EQ(errors("pattern p = \n"
                   "let n = )\n"
                   "attention a {\n"
                   "  rows topk(1)\n"
                   "  order sideways\n"
                   "  mask 1 +\n"
                   "}\n"
                   "pattern = true\n"
                   "pattern fine = true\n"
                   "oops\n"),
            "t:2:1: error: expected an expression, but got the keyword 'let'\n"
            "t:2:9: error: expected an expression, but got ')'\n"
            "t:4:13: error: expected the predictor 'block_mean' or "
            "'importance', but got '1'\n"
            "t:5:9: error: expected 'raster', 'tiles' or 'by', but got 'sideways'\n"
            "t:7:1: error: expected an expression, but got '}'\n"
            "t:8:9: error: expected a name, but got '='\n"
            "t:10:1: error: expected 'pattern', 'let' or 'attention', but got "
            "'oops'\n");
}

TEST(Parser, KeepsWhatItUnderstood) {
  SourceFile source("t", "pattern a = true\npattern b =\npattern c = true\n");
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parse(source, diagnostics);
  EXPECT_EQ(program->definitions.size(), 2u);
}

} // namespace
