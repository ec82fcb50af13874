// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of Sema and of static values: every rule with its message and place.

#include "lib/Frontend/Frontend.h"
#include "lib/Frontend/StaticValues.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

using namespace weft;

namespace {

std::string check(std::string text) {
  SourceFile source("t", std::move(text));
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parseProgram(source, diagnostics);
  EXPECT_EQ(program == nullptr, diagnostics.hasErrors());
  return diagnostics.summary();
}

/// What instantiating a program reports.
std::string instantiate(std::string text, StaticRequest request = {}) {
  SourceFile source("t", std::move(text));
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parseProgram(source, diagnostics);
  if (program)
    StaticValues::evaluate(*program, request, diagnostics);
  return diagnostics.summary();
}

StaticRequest withValue(std::string name, StaticValue value) {
  StaticRequest request;
  request.values[std::move(name)] = value;
  return request;
}

//===-- Names -------------------------------------------------------------===//

TEST(Sema, AcceptsAProgram) {
  EXPECT_EQ(check("pattern near(frames: int = 1) = abs(q.t - k.t) <= frames\n"
                  "pattern text = q.text or k.text\n"
                  "let tile(n: int) = q.t / n\n"
                  "attention near(radius: int = 2, dynamic on: bool = true) {\n"
                  "  order tiles(t: radius, h: grid.t, w: 8)\n"
                  "  mask near(frames: radius) or text() and on or tile(2 * "
                  "radius) == 1 or not given\n"
                  "}\n"),
            "");
}

TEST(Sema, UnknownNames) {
  EXPECT_EQ(check("pattern column = true\npattern p = colum"),
            "t:2:13: error: unknown name 'colum'; did you mean 'column'?\n");
  EXPECT_EQ(check("let f(radius: int) = raduis + radius"),
            "t:1:22: error: unknown name 'raduis'; did you mean 'radius'?\n");
  EXPECT_EQ(check("let n = t"),
            "t:1:9: error: unknown name 't'; did you mean 'q.t' or 'k.t'?\n");
  EXPECT_EQ(check("attention a {} pattern p = a"),
            "t:1:28: error: expected a parameter, pattern or let, but 'a' is "
            "an attention\n");
}

TEST(Sema, Duplicates) {
  EXPECT_EQ(check("let n = 1\npattern n = true"),
            "t:2:9: error: duplicate pattern 'n'\n"
            "t:1:5: note: the first is here\n");
  EXPECT_EQ(check("attention a {} attention a {}"),
            "t:1:26: error: duplicate attention 'a'\n"
            "t:1:11: note: the first is here\n");
  EXPECT_EQ(check("let f(n: int, n: int) = n"),
            "t:1:15: error: duplicate parameter 'n'\n"
            "t:1:7: note: the first is here\n");
}

TEST(Sema, UnusedParametersAreWarnings) {
  EXPECT_EQ(check("let f(n: int) = 1"),
            "t:1:7: warning: unused parameter 'n'\n");
  EXPECT_EQ(check("attention a(dynamic n: int) {}"),
            "t:1:21: warning: unused parameter 'n'\n");
}

TEST(Sema, DynamicOnlyInAttentions) {
  EXPECT_EQ(check("let f(dynamic n: int) = n"),
            "t:1:7: error: only parameters of an attention may be dynamic, but "
            "'n' is a parameter of a pattern or "
            "let\n");
}

TEST(Sema, Arguments) {
  const std::string f = "let f(a: int, b: int = 2) = a + b\n";
  EXPECT_EQ(check(f + "let n = f(1) + f(1, 2) + f(b: 1, a: 2) + f(1, b: 2)"),
            "");
  EXPECT_EQ(check(f + "let n = f"),
            "t:2:9: error: missing argument for parameter 'a' of let 'f'\n"
            "t:1:7: note: it is declared here\n");
  EXPECT_EQ(
      check(f + "let n = f(1, 2, 3, 4)"),
      "t:2:17: error: expected at most 2 arguments for let 'f', but got 4\n"
      "t:1:5: note: it is declared here\n");
  EXPECT_EQ(
      check(f + "let n = f(a: 1, 2)"),
      "t:2:17: error: expected a named argument after a named argument\n");
  EXPECT_EQ(check(f + "let n = f(1, a: 2)"),
            "t:2:17: error: duplicate argument for parameter 'a'\n"
            "t:2:11: note: the first is here\n");
  EXPECT_EQ(check("let f(count: int) = count\nlet n = f(1, coutn: 2)"),
            "t:2:14: error: unknown parameter 'coutn' of let 'f': expected "
            "'count'; did you mean 'count'?\n"
            "t:1:5: note: it is declared here\n");
  EXPECT_EQ(
      check("let f = 1\nlet n = f(x: 2)"),
      "t:2:11: error: unknown parameter 'x' of let 'f': it has no parameters\n"
      "t:1:5: note: it is declared here\n");
  EXPECT_EQ(check("let f(n: int) = n(1)"),
            "t:1:17: error: parameter 'n' takes no arguments\n"
            "t:1:7: note: it is declared here\n");
}

TEST(Sema, ParametersHideDefinitions) {
  EXPECT_EQ(check("pattern text = q.text\nlet f(text: int) = text + 1"), "");
}

TEST(Sema, DefaultsDoNotSeeParameters) {
  EXPECT_EQ(check("let f(a: int, b: int = a) = a + b"),
            "t:1:24: error: unknown name 'a': the default of a parameter "
            "cannot refer to parameter 'a'\n");
}

//===-- Cycles and size ---------------------------------------------------===//

TEST(Sema, Cycles) {
  EXPECT_EQ(check("let a = b + 1\nlet b = a"),
            "t:2:9: error: let 'a' refers to itself: a -> b -> a\n");
  EXPECT_EQ(check("pattern p = not p"),
            "t:1:17: error: pattern 'p' refers to itself: p -> p\n");
  EXPECT_EQ(check("let f(n: int = f(1)) = n"),
            "t:1:16: error: let 'f' refers to itself: f -> f\n");
}

std::string chain(int length, const std::string &body) {
  std::string text = "let f0 = q.t\n";
  for (int i = 1; i < length; ++i) {
    text += fmt::format("let f{0} = f{1}{2}f{1}\n", i, i - 1, body);
  }
  return text;
}

TEST(Sema, BoundedExpansion) {
  EXPECT_EQ(check(chain(10, " + ")), "");
  EXPECT_NE(
      check(chain(40, " + ")).find("expands to more than 65536 operations"),
      std::string::npos);
  EXPECT_NE(
      check(chain(5000, " + ")).find("expands to more than 65536 operations"),
      std::string::npos);
  std::string backwards;
  for (int i = 0; i < 5000; ++i)
    backwards += fmt::format("let f{} = f{}\n", i, i + 1);
  EXPECT_NE(
      check(backwards + "let f5000 = 1")
          .find(
              "expected at most 1000 definitions that each refer to the next"),
      std::string::npos);
}

//===-- Kinds -------------------------------------------------------------===//

TEST(Sema, Kinds) {
  EXPECT_EQ(check("pattern p = 1"), "t:1:13: error: expected bool as the value "
                                    "of pattern 'p', but got int\n");
  EXPECT_EQ(
      check("let n = true"),
      "t:1:9: error: expected int as the value of let 'n', but got bool\n");
  EXPECT_EQ(
      check("pattern p = 1 and true"),
      "t:1:13: error: expected bool as an operand of 'and', but got int\n");
  EXPECT_EQ(check("let n = 1 + q.text"),
            "t:1:13: error: expected int as an operand of '+', but got bool\n");
  EXPECT_EQ(check("let n = -true"),
            "t:1:10: error: expected int as an operand of '-', but got bool\n");
  EXPECT_EQ(
      check("let n = abs(true)"),
      "t:1:13: error: expected int as an operand of 'abs', but got bool\n");
  EXPECT_EQ(check("pattern p = q.text < k.text"),
            "t:1:13: error: expected int as an operand of '<', but got bool\n"
            "t:1:22: error: expected int as an operand of '<', but got bool\n");
  EXPECT_EQ(check("pattern p = q.text == k.text"), "");
  EXPECT_EQ(check("pattern p = q.text == 1"),
            "t:1:13: error: expected two operands of one kind for '==', but "
            "got bool and int\n");
  EXPECT_EQ(check("let f(n: int) = n\nlet m = f(true)"),
            "t:2:11: error: expected int for parameter 'n', but got bool\n");
  EXPECT_EQ(check("let f(n: int = true) = n"),
            "t:1:16: error: expected int as the default of parameter 'n', but "
            "got bool\n");
  EXPECT_EQ(check("attention a { mask 1 }"),
            "t:1:20: error: expected bool as a mask, but got int\n");
  EXPECT_EQ(check("attention a { order tiles(t: true, h: 1, w: 1) }"),
            "t:1:30: error: expected int as a tile size, but got bool\n");
}

TEST(Sema, Given) {
  EXPECT_EQ(check("attention a { mask given or given }"),
            "t:1:29: error: expected at most one 'given' in a mask\n"
            "t:1:20: note: the first is here\n");
  EXPECT_EQ(
      check("pattern p = given"),
      "t:1:13: error: 'given' may only stand in the mask of an attention\n");
  EXPECT_EQ(
      check("attention a(dynamic b: bool = given) { mask b }"),
      "t:1:31: error: 'given' may only stand in the mask of an attention\n");
  EXPECT_EQ(
      check("attention a { mask given == true }"),
      "t:1:20: error: 'given' may only be combined by 'and', 'or' and 'not'\n");
  EXPECT_EQ(
      check("pattern p(b: bool) = b\nattention a { mask p(given) }"),
      "t:2:22: error: 'given' may only be combined by 'and', 'or' and 'not'\n");
}

//===-- Statics -----------------------------------------------------------===//

TEST(Sema, DivisorsAreStatic) {
  EXPECT_EQ(check("let n = q.t / (k.h + 1)"),
            "t:1:16: error: expected a static divisor, but 'k.h' is known only "
            "at run "
            "time\n");
  EXPECT_EQ(check("let n = q.t mod head"),
            "t:1:17: error: expected a static divisor, but 'head' is known "
            "only at run time\n");
  EXPECT_EQ(check("attention a(dynamic n: int) { mask q.t / n == 0 }"),
            "t:1:42: error: expected a static divisor, but parameter 'n' is "
            "dynamic\n");
  EXPECT_EQ(check("attention a(n: int = 2) { mask q.t / (n * grid.t) == 0 }"),
            "");
}

TEST(Sema, DivisorsAreStaticThroughCalls) {
  EXPECT_EQ(check("let f(n: int) = q.t / n\n"
                  "let g(n: int) = f(n + 1)\n"
                  "attention a(dynamic d: int) { mask g(d) == 1 }\n"),
            "t:3:38: error: expected a static argument for parameter 'n', but "
            "parameter 'd' is dynamic\n"
            "t:1:23: note: it is a divisor here\n");
  EXPECT_EQ(check("let row = q.h\nlet f = q.t / row"),
            "t:2:15: error: expected a static divisor, but 'q.h' is known only "
            "at run time\n"
            "t:1:11: note: it comes from here\n");
}

TEST(Sema, DivisorsArePositive) {
  EXPECT_EQ(check("let n = q.t / 0"),
            "t:1:15: error: expected a positive divisor, but got 0\n");
  EXPECT_EQ(check("let n = q.t mod (1 - 3)"),
            "t:1:17: error: expected a positive divisor, but got -2\n");
  EXPECT_EQ(check("let f(n: int) = q.t / n\nlet g = f(0)"),
            "t:1:23: error: expected a positive divisor, but got 0\n"
            "t:2:9: note: in this use of 'f'\n");
}

TEST(Sema, DefaultsAreStatic) {
  EXPECT_EQ(check("let f(n: int = q.t) = n"),
            "t:1:16: error: expected a static default, but 'q.t' is known only "
            "at run time\n");
  EXPECT_EQ(check("let two = 2\nlet f(n: int = two * grid.h) = n"), "");
}

TEST(Sema, SortedTokens) {
  EXPECT_EQ(check("let strip(h: int, n: int = 8) = h / n\n"
                  "attention a(n: int = 2) {\n"
                  "  order by(first: n - 1, token.t, strip(token.h), token.w mod n)\n"
                  "}"),
            "");
  EXPECT_EQ(check("attention a { order by(token.t == 1) }"),
            "t:1:24: error: expected int to sort tokens by, but got bool\n");
  EXPECT_EQ(check("attention a { order by(q.t) }"),
            "t:1:24: error: expected a static order, but 'q.t' is known only "
            "at run time\n");
  EXPECT_EQ(check("let far = k.index\nattention a { order by(token.w, far) }"),
            "t:2:33: error: expected a static order, but 'k.index' is known "
            "only at run time\n"
            "t:1:11: note: it comes from here\n");
  EXPECT_EQ(check("attention a(dynamic n: int = 2) { order by(token.w / n) }"),
            "t:1:54: error: expected a static divisor, but parameter 'n' is "
            "dynamic\n"
            "t:1:54: error: expected a static order, but parameter 'n' is "
            "dynamic\n");
  EXPECT_EQ(check("attention a { order by(first: 0 - 1, token.w) }"),
            "t:1:31: error: expected 'first' to be at least 0, but got -1\n");
  EXPECT_EQ(check("attention a(dynamic n: int = 2) { order by(first: n, token.w) }"),
            "t:1:51: error: expected a static first, but parameter 'n' is "
            "dynamic\n");
}

TEST(Sema, TileSizes) {
  EXPECT_EQ(check("attention a { order tiles(t: 2, h: 8, w: 16) }"), "");
  EXPECT_EQ(check("attention a { order tiles(t: 0, h: 8, w: 16) }"), "");
  EXPECT_EQ(check("attention a { order tiles(t: 1, h: 0, w: 16) }"),
            "t:1:36: error: expected a positive tile size, but got 0\n");
  EXPECT_EQ(check("attention a { order tiles(t: 8, h: 8, w: 8) }"),
            "t:1:15: error: expected a tile of at most 256 tokens, but got "
            "8x8x8; the nearest legal tile is 4x8x8\n");
  EXPECT_EQ(check("attention a { order tiles(t: 1, h: 1, w: 2147483647) }"),
            "t:1:15: error: expected a tile of at most 256 tokens, but got "
            "1x1x2147483647; the nearest legal tile is "
            "1x1x256\n");
  EXPECT_EQ(check("attention a { order tiles(h: 300, w: 16) }"),
            "t:1:15: error: expected a tile of at most 256 tokens, but got "
            "300x16; the nearest legal tile is 16x16\n");
  EXPECT_EQ(check("attention a { order tiles(first: -1, h: 8, w: 2) }"),
            "t:1:34: error: expected 'first' to be at least 0, but got -1\n");
  EXPECT_EQ(check("attention a { order tiles(first: true, h: 8, w: 2) }"),
            "t:1:34: error: expected int for 'first' of 'order', but got bool\n");
  EXPECT_EQ(check("attention a(dynamic n: int) { order tiles(first: n, h: 8, w: 2) }"),
            "t:1:50: error: expected a static first, but parameter 'n' is "
            "dynamic\n");
  EXPECT_EQ(check("attention a { order tiles(h: 8, w: 0) }"),
            "t:1:36: error: expected a positive tile size, but got 0\n");
  EXPECT_EQ(
      check("attention a(dynamic n: int) { order tiles(t: n, h: 8, w: 8) }"),
      "t:1:46: error: expected a static tile size, but parameter 'n' is "
      "dynamic\n");
}

TEST(Sema, NearestTileIsLegalAndLarge) {
  for (std::array<int32_t, 3> sizes : {std::array{13, 30, 45},
                                       {257, 1, 1},
                                       {3, 100, 1},
                                       {1 << 30, 1 << 30, 1 << 30}}) {
    auto [t, h, w] = nearestTile(sizes);
    EXPECT_LE(t * h * w, maxTileTokens);
    EXPECT_GE(t * h * w, maxTileTokens * 9 / 10);
    EXPECT_TRUE(t <= sizes[0] && h <= sizes[1] && w <= sizes[2]);
  }
}

//===-- Arithmetic --------------------------------------------------------===//

TEST(Operators, Arithmetic) {
  constexpr int32_t least = std::numeric_limits<int32_t>::min(),
                    most = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(apply(Operator::Divide, -7, 2), -4);
  EXPECT_EQ(apply(Operator::Divide, 7, 2), 3);
  EXPECT_EQ(apply(Operator::Divide, least, most), -2);
  EXPECT_EQ(apply(Operator::Mod, -7, 4), 1);
  EXPECT_EQ(apply(Operator::Mod, -1, most), most - 1);
  EXPECT_EQ(apply(Operator::Add, most, 1), least);
  EXPECT_EQ(apply(Operator::Multiply, most, 2), -2);
  EXPECT_EQ(apply(Operator::Negate, least), least);
  EXPECT_EQ(apply(Operator::Abs, -5), 5);
  EXPECT_EQ(apply(Operator::Abs, least), least);
  EXPECT_EQ(apply(Operator::Min, -1, 2), -1);
  EXPECT_EQ(apply(Operator::Max, -1, 2), 2);
  EXPECT_EQ(apply(Operator::Not, 1), 0);
}

//===-- Static values -----------------------------------------------------===//

TEST(StaticValues, ParsesValues) {
  EXPECT_EQ(StaticValue::parse("-12")->value, -12);
  EXPECT_EQ(StaticValue::parse("true")->kind, Kind::Bool);
  EXPECT_EQ(StaticValue::parse("false")->value, 0);
  EXPECT_EQ(StaticValue::parse("-1.5")->kind, Kind::Float);
  EXPECT_EQ(StaticValue::parse("-1.5")->real, -1.5);
  for (const char *text : {"", "1.5x", "12a", "yes", "2147483648"})
    EXPECT_FALSE(StaticValue::parse(text)) << text;
}

TEST(StaticValues, ChoosesTheAttention) {
  EXPECT_EQ(instantiate("attention a {}"), "");
  EXPECT_EQ(instantiate("let n = 1"),
            "t: error: expected an attention, but the file has none\n");
  EXPECT_EQ(instantiate("attention a {} attention b {}"),
            "t: error: expected the name of an attention (--attention), "
            "because the file has several: 'a' and 'b'\n");
  StaticRequest request;
  request.attention = "neer";
  EXPECT_EQ(instantiate("attention near {}", request),
            "t: error: unknown attention 'neer': expected 'near'; did you mean "
            "'near'?\n");
}

TEST(StaticValues, ChecksParameters) {
  const std::string text =
      "attention a(radius: int, on: bool = true) { mask on and q.t < radius }";
  EXPECT_EQ(instantiate(text, withValue("radius", {Kind::Int, 3})), "");
  EXPECT_EQ(
      instantiate(text),
      "t:1:13: error: missing value for parameter 'radius' of attention 'a'\n");
  EXPECT_EQ(
      instantiate(text, withValue("radius", {Kind::Bool, 1})),
      "t:1:13: error: expected int for parameter 'radius', but got bool\n");
  EXPECT_EQ(instantiate("attention a(radius: int = 1) { mask q.t < radius }",
                        withValue("raduis", {Kind::Int, 1})),
            "t:1:11: error: unknown parameter 'raduis' of attention 'a': "
            "expected 'radius'; did you mean 'radius'?\n");
  EXPECT_EQ(instantiate("attention a {}", withValue("x", {Kind::Int, 1})),
            "t:1:11: error: unknown parameter 'x' of attention 'a': it has no "
            "parameters\n");
}

TEST(StaticValues, ChecksDivisorsAndTiles) {
  EXPECT_EQ(
      instantiate(
          "let f(n: int) = q.t / n\nattention a(n: int) { mask f(n - 1) == 0 }",
          withValue("n", {Kind::Int, 1})),
      "t:1:23: error: expected a positive divisor, but got 0\n"
      "t:2:28: note: in this use of 'f'\n");
  EXPECT_EQ(instantiate("attention a { mask q.t / grid.text == 0 }"),
            "t:1:26: error: expected a positive divisor, but got 0\n");
  EXPECT_EQ(
      instantiate("attention a(n: int = 8) { order tiles(t: n, h: n, w: n) }"),
      "t:1:27: error: expected a tile of at most 256 tokens, but got 8x8x8; "
      "the nearest legal tile is 4x8x8\n");
  EXPECT_EQ(
      instantiate("attention a(n: int = 8) { order tiles(t: n, h: 1, w: 1) }",
                  withValue("n", {Kind::Int, -1})),
      "t:1:42: error: expected a positive tile size, but got -1\n");
}

TEST(StaticValues, ChecksGrids) {
  StaticRequest request;
  request.keyGrid = {0, 4, 5, 6, false};
  EXPECT_EQ(instantiate("attention a {}", request),
            "t: error: expected a key grid with extents of at least 1 and "
            "fewer than 1048576 tokens, but got 0x4x5 and "
            "6 text tokens\n");
  request.keyGrid = {1000, 1000, 1000, 0, false};
  EXPECT_NE(instantiate("attention a {}", request), "");
}

TEST(StaticValues, Evaluates) {
  SourceFile source("t", "attention a(n: int = grid.w - 1, dynamic d: int = 7, "
                         "dynamic e: bool) {\n"
                         "  order tiles(t: n / 2, h: min(4, n), w: max(1, -n)) "
                         "mask q.t < d and e }");
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parseProgram(source, diagnostics);
  ASSERT_TRUE(program) << diagnostics.render();
  StaticRequest request = withValue("d", {Kind::Int, 9});
  request.keyGrid = {3, 4, 6, 0, false};
  std::optional<StaticValues> values =
      StaticValues::evaluate(*program, request, diagnostics);
  ASSERT_TRUE(values) << diagnostics.render();
  EXPECT_EQ(values->parameters, (std::vector<MaybeStatic>{5, 9, std::nullopt}));
  EXPECT_EQ(values->frame().parameters,
            (std::vector<MaybeStatic>{5, std::nullopt, std::nullopt}));
  EXPECT_EQ(values->tile->sizes, (std::array<int32_t, 3>{2, 4, 1}));
}

} // namespace
