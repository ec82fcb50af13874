// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the interpreter against direct computation.

#include "lib/Interpreter/Interpreter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

using namespace mlir;
using namespace weft;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr const char *regionArguments =
    "^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, "
    "%kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):\n";
constexpr const char *regionArgumentsGiven =
    "^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, "
    "%kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):\n";
/// abs(q.t - k.t) <= radius or q.text or k.text
constexpr const char *nearOrText = "%zero = arith.constant 0 : i32\n"
                                   "%d = arith.subi %qt, %kt : i32\n"
                                   "%n = arith.subi %zero, %d : i32\n"
                                   "%a = arith.maxsi %d, %n : i32\n"
                                   "%near = arith.cmpi sle, %a, %radius : i32\n"
                                   "%text = arith.ori %qx, %kx : i1\n"
                                   "%b = arith.ori %near, %text : i1\n";

/// Contiguous random floats [batch, heads, tokens, width].
struct Data {
  Data(std::array<int64_t, 4> shape, unsigned seed) : shape(shape), values(shape[0] * shape[1] * shape[2] * shape[3]) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> distribution;
    for (float &value : values)
      value = distribution(generator);
  }
  float &at(int64_t b, int64_t h, int64_t i, int64_t c) {
    return values[((b * shape[1] + h) * shape[2] + i) * shape[3] + c];
  }
  rt::Tensor view() {
    return rt::Tensor::contiguous(values.data(), rt::DType::F32, {shape.begin(), shape.end()});
  }

  std::array<int64_t, 4> shape;
  std::vector<float> values;
};

using Visible = std::function<bool(int64_t head, int32_t query, int32_t key)>;

/// What the weight of a key is multiplied with.
using Factor = std::function<double(int64_t batch, int64_t head, int64_t key)>;

/// Attention by its formulas, without any shift: only for scores of moderate size.
struct Direct {
  Direct(Data &q, Data &k, Data &v, double scale, const Visible &visible,
         Factor factorOf = [](auto...) { return 1.0; })
      : factor(std::move(factorOf)) {
    for (int64_t b = 0; b < q.shape[0]; ++b)
      for (int64_t h = 0; h < q.shape[1]; ++h)
        for (int64_t i = 0; i < q.shape[2]; ++i)
          addRow(q, k, v, scale, visible, b, h, i);
  }

  void addRow(Data &q, Data &k, Data &v, double scale, const Visible &visible, int64_t b, int64_t h, int64_t i) {
    double sum = 0;
    std::vector<double> row(q.shape[3]);
    for (int64_t j = 0; j < k.shape[2]; ++j) {
      if (!visible(h, i, j))
        continue;
      double score = 0;
      for (int64_t c = 0; c < q.shape[3]; ++c)
        score += double(q.at(b, h, i, c)) * k.at(b, h, j, c);
      double weight = std::exp(scale * score) * factor(b, h, j);
      sum += weight;
      for (int64_t c = 0; c < q.shape[3]; ++c)
        row[c] += weight * v.at(b, h, j, c);
    }
    for (double value : row)
      out.push_back(sum == 0 ? 0 : value / sum);
    lse.push_back(std::log(sum));
  }

  Factor factor;
  std::vector<double> out, lse;
};

void expectNear(const std::vector<double> &actual, const std::vector<double> &expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    if (actual[i] != expected[i]) {
      ASSERT_NEAR(actual[i], expected[i], 1e-12) << "element " << i;
    }
}

class InterpreterTest : public ::testing::Test {
protected:
  InterpreterTest() { context.loadDialect<WeftDialect, arith::ArithDialect, func::FuncDialect>(); }

  func::FuncOp parse(const std::string &source) {
    module = parseSourceString<ModuleOp>(source, ParserConfig(&context));
    if (!module)
      llvm::report_fatal_error("the test's source does not parse");
    return *module->getOps<func::FuncOp>().begin();
  }

  /// A predicate with the body `source`, which may use the i32 %radius from above and yields %b.
  PredicateOp parsePredicate(const std::string &source, const std::string &grid = "1x1x1") {
    std::string mask = "!weft.mask<query = #weft.grid<" + grid + ">, key = #weft.grid<" + grid + ">>";
    func::FuncOp func = parse("func.func @f(%radius: i32) { %m = weft.predicate : " + mask + " {\n" + regionArguments +
                              source + "\nweft.yield %b : i1 }\n return }");
    return *func.getOps<PredicateOp>().begin();
  }

  bool holds(const std::string &source, TokenCoordinates query = {}, TokenCoordinates key = {}) {
    FailureOr<bool> result = interpretPredicate(parsePredicate(source).getBody(), 0, query, key);
    EXPECT_TRUE(succeeded(result));
    return succeeded(result) && *result;
  }

  /// `%q, %k, %v, %radius -> out, lse` over one grid of `tokens` tokens, two heads and head dim 32.
  static std::string attentionSource(const std::string &grid, int64_t tokens, const std::string &mask,
                                     const std::string &attributes = "") {
    std::string type = "tensor<?x2x" + std::to_string(tokens) + "x32xf32>";
    std::string lse = "tensor<?x2x" + std::to_string(tokens) + "xf32>";
    std::string maskType = "!weft.mask<query = #g, key = #g>";
    return "#g = #weft.grid<" + grid + ">\nfunc.func @f(%q: " + type + ", %k: " + type + ", %v: " + type +
           ", %radius: i32 {weft.name = \"radius\", weft.default = 1 : i32}) -> (" + type + ", " + lse + ") {\n" +
           (mask.empty() ? "" : "%m = " + mask) + "%o, %l = weft.attention %q, %k, %v " +
           (mask.empty() ? "" : "mask(%m : " + maskType + ") ") + "{query_grid = #g, key_grid = #g, " + attributes +
           "scale = 0.25 : f64} : " + type + ", " + type + " -> " + lse + "\nreturn %o, %l : " + type + ", " + lse +
           "\n}";
  }

  static std::string predicateSource(const std::string &body) {
    return "weft.predicate : !weft.mask<query = #g, key = #g> {\n" + std::string(regionArguments) + body +
           "weft.yield %b : i1 }\n";
  }

  static InterpreterArgs arguments(Data &q, Data &k, Data &v) {
    InterpreterArgs args;
    args.tensors = {q.view(), k.view(), v.view()};
    return args;
  }

  InterpreterResult run(func::FuncOp func, const InterpreterArgs &args) {
    FailureOr<InterpreterResult> result = interpret(func, args);
    EXPECT_TRUE(succeeded(result));
    return succeeded(result) ? *result : InterpreterResult();
  }

  /// The error that `call` reports.
  std::string errorOf(llvm::function_ref<LogicalResult()> call) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
    EXPECT_TRUE(failed(call()));
    return message;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST_F(InterpreterTest, DenseAttention) {
  Data q({2, 2, 30, 32}, 1), k({2, 2, 30, 32}, 2), v({2, 2, 30, 32}, 3);
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, "")), arguments(q, k, v));
  Direct direct(q, k, v, 0.25, [](auto...) { return true; });
  EXPECT_EQ(result.out.shape, (std::vector<int64_t>{2, 2, 30, 32}));
  EXPECT_EQ(result.lse.shape, (std::vector<int64_t>{2, 2, 30}));
  expectNear(result.out.data, direct.out);
  expectNear(result.lse.data, direct.lse);
}

TEST_F(InterpreterTest, MaskedAttentionWithText) {
  Data q({1, 2, 33, 32}, 1), k({1, 2, 33, 32}, 2), v({1, 2, 33, 32}, 3);
  func::FuncOp func = parse(attentionSource("5x2x3, text = 3 before", 33, predicateSource(nearOrText)));
  auto isNear = [](int32_t radius) {
    return [radius](int64_t, int32_t i, int32_t j) {
      bool text = i < 3 || j < 3;
      return text || std::abs((i - 3) / 6 - (j - 3) / 6) <= radius;
    };
  };
  InterpreterArgs args = arguments(q, k, v);
  expectNear(run(func, args).out.data, Direct(q, k, v, 0.25, isNear(1)).out);
  args.parameters = {2};
  InterpreterResult result = run(func, args);
  expectNear(result.out.data, Direct(q, k, v, 0.25, isNear(2)).out);
  expectNear(result.lse.data, Direct(q, k, v, 0.25, isNear(2)).lse);
}

/// A bias and rows in front of an attention's mask or attributes.
std::string withExtras(std::string source, const std::string &arguments, const std::string &clauses) {
  source.insert(source.find(") -> ("), arguments);
  source.insert(source.find("%q, %k, %v ") + 11, clauses);
  return source;
}

TEST_F(InterpreterTest, Bias) {
  Data q({2, 2, 33, 32}, 1), k({2, 2, 33, 32}, 2), v({2, 2, 33, 32}, 3);
  std::string source = withExtras(attentionSource("5x2x3, text = 3 before", 33, predicateSource(nearOrText)),
                                  ", %bias: tensor<?x?x33xf32>", "bias(%bias : tensor<?x?x33xf32>) ");
  func::FuncOp func = parse(source);
  auto near = [](int64_t, int32_t i, int32_t j) {
    return i < 3 || j < 3 || std::abs((i - 3) / 6 - (j - 3) / 6) <= 1;
  };
  for (int64_t batches : {1, 2})
    for (int64_t heads : {1, 2}) {
      Data bias({batches, heads, 33, 1}, 4);
      bias.at(0, heads - 1, 5, 0) = -INFINITY;
      // A bias of ln n counts a key n times: as factors on the weights of the formula.
      Direct direct(q, k, v, 0.25, near, [&](int64_t b, int64_t h, int64_t j) {
        return std::exp(double(bias.at(batches == 1 ? 0 : b, heads == 1 ? 0 : h, j, 0)));
      });
      InterpreterArgs args = arguments(q, k, v);
      rt::Tensor view = bias.view();
      view.shape.pop_back(), view.strides.pop_back();
      args.tensors.push_back(view);
      InterpreterResult result = run(func, args);
      expectNear(result.out.data, direct.out);
      expectNear(result.lse.data, direct.lse);
    }
}

TEST_F(InterpreterTest, BiasThatIsNotFinite) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3), bias({1, 2, 30, 1}, 4);
  std::string source = withExtras(attentionSource("2x3x5", 30, predicateSource("%b = arith.cmpi sge, %qi, %ki : i32\n")),
                                  ", %bias: tensor<1x2x30xf32>", "bias(%bias : tensor<1x2x30xf32>) ");
  func::FuncOp func = parse(source);
  bias.at(0, 0, 0, 0) = -INFINITY, bias.at(0, 0, 12, 0) = INFINITY, bias.at(0, 1, 20, 0) = NAN;
  InterpreterArgs args = arguments(q, k, v);
  args.tensors.push_back(rt::Tensor::contiguous(bias.values.data(), rt::DType::F32, {1, 2, 30}));
  InterpreterResult result = run(func, args);
  EXPECT_EQ(result.lse.at({0, 0, 0}), -infinity);
  EXPECT_EQ(result.out.at({0, 0, 0, 3}), 0);
  for (int64_t i = 1; i < 30; ++i) {
    EXPECT_EQ(std::isnan(result.out.at({0, 0, i, 3})), i >= 12);
    EXPECT_EQ(std::isnan(result.lse.at({0, 1, i})), i >= 20);
  }
}

/// Tokens of the sets of one call, each with room for `capacity`.
struct RowSets {
  RowSets(int64_t batches, int64_t heads, const std::vector<std::vector<int32_t>> &sets, int64_t capacity = 40)
      : indices(sets.size() * capacity, -7) {
    for (size_t set = 0; set < sets.size(); ++set) {
      llvm::copy(sets[set], indices.begin() + set * capacity);
      counts.push_back(sets[set].size());
    }
    lists.indices = rt::Tensor::contiguous(indices.data(), rt::DType::I32, {batches, heads, capacity});
    lists.counts = rt::Tensor::contiguous(counts.data(), rt::DType::I32, {batches, heads});
  }
  std::vector<int32_t> indices, counts;
  rt::RowLists lists;
};

TEST_F(InterpreterTest, RowsAreWrittenAndTheOthersKept) {
  Data q({2, 2, 33, 32}, 1), k({2, 2, 33, 32}, 2), v({2, 2, 33, 32}, 3), out({2, 2, 33, 32}, 4), lse({2, 2, 33, 1}, 5);
  std::string types = "tensor<?x2x33x32xf32>, tensor<?x2x33xf32>";
  std::string plain = attentionSource("5x2x3, text = 3", 33, predicateSource(nearOrText));
  std::string source =
      withExtras(plain, ", %o_in: tensor<?x2x33x32xf32>, %l_in: tensor<?x2x33xf32>, %rows: !weft.rows", "");
  source.insert(source.find("{query_grid"), "rows %rows into(%o_in, %l_in : " + types + ") ");
  InterpreterArgs args = arguments(q, k, v);
  InterpreterResult whole = run(parse(plain), args);
  func::FuncOp func = parse(source);
  rt::Tensor lseView = lse.view();
  lseView.shape.pop_back(), lseView.strides.pop_back();
  args.tensors.push_back(out.view()), args.tensors.push_back(lseView);
  auto expect = [&](const RowSets &rows, const std::function<bool(int64_t, int64_t, int64_t)> &selected) {
    args.rowLists = {rows.lists};
    InterpreterResult result = run(func, args);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t h = 0; h < 2; ++h)
        for (int64_t i = 0; i < 33; ++i) {
          bool isNew = selected(b, h, i);
          EXPECT_EQ(result.lse.at({b, h, i}), isNew ? whole.lse.at({b, h, i}) : lse.at(b, h, i, 0));
          EXPECT_EQ(result.out.at({b, h, i, 9}), isNew ? whole.out.at({b, h, i, 9}) : out.at(b, h, i, 9));
        }
  };
  expect(RowSets(1, 1, {{}}), [](auto...) { return false; });
  expect(RowSets(1, 1, {{32, 4, 5}}), [](int64_t, int64_t, int64_t i) { return i == 32 || i == 4 || i == 5; });
  expect(RowSets(1, 2, {{7}, {8, 9}}), [](int64_t, int64_t h, int64_t i) { return h ? i == 8 || i == 9 : i == 7; });
  expect(RowSets(2, 1, {{7}, {}}), [](int64_t b, int64_t, int64_t i) { return b == 0 && i == 7; });
  expect(RowSets(2, 2, {{0}, {1}, {2}, {3}}), [](int64_t b, int64_t h, int64_t i) { return i == 2 * b + h; });

  RowSets twice(1, 1, {{4, 5, 4}});
  args.rowLists = {twice.lists};
  EXPECT_EQ(errorOf([&] { return interpret(func, args); }),
            "'weft.attention' op rows: expected different indices, but got 4 twice");
  args.rowLists.clear();
  EXPECT_EQ(errorOf([&] { return interpret(func, args); }), "expected row lists for argument 6");
}

/// Ops on one batch element of four tokens and two heads: importance, rows of it, and the ages after these.
std::string selectionSource(const std::string &returned, const std::string &weight = "0.5", const std::string &keep = "0.5") {
  return "func.func @f(%lse: tensor<?x2x4xf32>, %drift: tensor<?x4xf32>, %age: tensor<?x4xi32>) -> " + returned +
         "{\n%w = arith.constant " + weight + " : f64\n%k = arith.constant " + keep + " : f64\n" +
         "%s = weft.importance %lse drift %drift age %age weight %w : tensor<?x2x4xf32>, tensor<?x4xf32>, "
         "tensor<?x4xi32> -> tensor<?x4xf64>\n"
         "%r = weft.select_rows %s keep %k {always = array<i32: 3>} : tensor<?x4xf64>\n"
         "%a = weft.advance_age %age rows %r : tensor<?x4xi32>\nreturn " +
         (returned == "tensor<?x4xf64>" ? "%s : " : "%a : ") + returned + "\n}";
}

TEST_F(InterpreterTest, RowsByImportance) {
  std::vector<float> lse = {1, 2, float(-infinity), 4, 3, float(-infinity), float(-infinity), 4}, drift = {0.5, 1, 9, NAN};
  std::vector<int32_t> age = {0, 1, 2, 80};
  InterpreterArgs args;
  args.tensors = {rt::Tensor::contiguous(lse.data(), rt::DType::F32, {1, 2, 4}),
                  rt::Tensor::contiguous(drift.data(), rt::DType::F32, {1, 4}),
                  rt::Tensor::contiguous(age.data(), rt::DType::I32, {1, 4})};
  InterpreterResult importance = run(parse(selectionSource("tensor<?x4xf64>")), args);
  EXPECT_EQ(importance.out.shape, (std::vector<int64_t>{1, 4}));
  // The means are 2, 2, none and 4.
  EXPECT_EQ(importance.out.data[0], 2 * 0.5 + 0.5);
  EXPECT_EQ(importance.out.data[1], 2 * 1 + 0.5 * std::exp(1.0));
  EXPECT_EQ(importance.out.data[2], 0.5 * std::exp(2.0));
  EXPECT_TRUE(std::isnan(importance.out.data[3]));
  InterpreterResult ages = run(parse(selectionSource("tensor<?x4xi32>")), args);
  ASSERT_EQ(ages.selectedRows.size(), 1u);
  EXPECT_EQ(ages.selectedRows[0].view().tokensOf(0), (std::vector<int32_t>{2, 3})) << "NaN is first";
  EXPECT_EQ(ages.out.data, (std::vector<double>{1, 2, 0, 0}));
  drift[3] = 0;
  ages = run(parse(selectionSource("tensor<?x4xi32>", "0.0", "0.25")), args);
  EXPECT_EQ(ages.selectedRows[0].view().tokensOf(0), (std::vector<int32_t>{1, 3})) << "3 is selected always";
  RowSets rows(1, 1, {{1}});
  args.selectedRows = &rows.lists;
  EXPECT_EQ(run(parse(selectionSource("tensor<?x4xi32>")), args).out.data, (std::vector<double>{1, 0, 3, 80}));
  RowSets perHead(1, 2, {{1}, {2}});
  args.selectedRows = &perHead.lists;
  EXPECT_EQ(errorOf([&] { return interpret(parse(selectionSource("tensor<?x4xi32>")), args); }),
            "'weft.advance_age' op expected rows of one set for all heads, but got 2");
  age[1] = 81;
  EXPECT_EQ(errorOf([&] { return interpret(parse(selectionSource("tensor<?x4xf64>")), args); }),
            "'weft.importance' op expected ages from 0 to 80, but got 81 of batch 0 token 1");
  args.tensors[2].dtype = rt::DType::F32;
  EXPECT_EQ(errorOf([&] { return interpret(parse(selectionSource("tensor<?x4xf64>")), args); }),
            "expected i32 for argument 2, but got f32[1, 4]");
}

TEST_F(InterpreterTest, HeadsMayDiffer) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  std::string body = "%i = arith.addi %head, %ki : i32\n%b = arith.cmpi sge, %i, %qi : i32\n";
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, predicateSource(body))), arguments(q, k, v));
  Direct direct(q, k, v, 0.25, [](int64_t head, int32_t i, int32_t j) { return head + j >= i; });
  expectNear(result.out.data, direct.out);
}

TEST_F(InterpreterTest, MaskAlgebra) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  std::string type = " : !weft.mask<query = #g, key = #g>\n";
  std::string causal = predicateSource("%b = arith.cmpi sge, %qi, %ki : i32\n");
  std::string sameFrame = predicateSource("%b = arith.cmpi eq, %qt, %kt : i32\n");
  std::string mask = causal + "%frame = " + sameFrame + "%not = weft.mask_not %frame" + type +
                     "%none = weft.constant_mask false" + type + "%or = weft.mask_or %none, %m" + type +
                     "%and = weft.mask_and %or, %not" + type;
  std::string source = attentionSource("2x3x5", 30, mask);
  source.replace(source.find("mask(%m"), 7, "mask(%and");
  InterpreterResult result = run(parse(source), arguments(q, k, v));
  Direct direct(q, k, v, 0.25, [](int64_t, int32_t i, int32_t j) { return i >= j && i / 15 != j / 15; });
  expectNear(result.out.data, direct.out);
  expectNear(result.lse.data, direct.lse);
}

TEST_F(InterpreterTest, QueryWithoutKeys) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  k.at(0, 0, 3, 0) = NAN;
  std::string mask = "weft.constant_mask false : !weft.mask<query = #g, key = #g>\n";
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, mask)), arguments(q, k, v));
  EXPECT_EQ(result.out.data, std::vector<double>(1 * 2 * 30 * 32, 0.0));
  EXPECT_EQ(result.lse.data, std::vector<double>(1 * 2 * 30, -infinity));
}

TEST_F(InterpreterTest, NaNReachesThoseWhoSeeIt) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  k.at(0, 1, 20, 5) = NAN;
  v.at(0, 0, 25, 7) = NAN;
  std::string causal = predicateSource("%b = arith.cmpi sge, %qi, %ki : i32\n");
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, causal)), arguments(q, k, v));
  for (int64_t i = 0; i < 30; ++i) {
    EXPECT_EQ(std::isnan(result.lse.at({0, 1, i})), i >= 20);
    EXPECT_EQ(std::isnan(result.out.at({0, 1, i, 0})), i >= 20);
    EXPECT_FALSE(std::isnan(result.lse.at({0, 0, i})));
    EXPECT_FALSE(std::isnan(result.out.at({0, 0, i, 6})));
    EXPECT_EQ(std::isnan(result.out.at({0, 0, i, 7})), i >= 25);
  }
}

TEST_F(InterpreterTest, InfiniteScores) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  q.at(0, 0, 4, 0) = 1;
  q.at(0, 0, 5, 0) = -1;
  k.at(0, 0, 9, 0) = INFINITY;
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, "")), arguments(q, k, v));
  EXPECT_TRUE(std::isnan(result.lse.at({0, 0, 4})));
  EXPECT_TRUE(std::isnan(result.out.at({0, 0, 4, 0})));
  EXPECT_TRUE(std::isfinite(result.lse.at({0, 0, 5})));
  EXPECT_TRUE(std::isfinite(result.out.at({0, 0, 5, 0})));
}

TEST_F(InterpreterTest, LargeScoresDoNotOverflow) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  for (float &value : q.values)
    value *= 1e4f;
  InterpreterResult result = run(parse(attentionSource("2x3x5", 30, "")), arguments(q, k, v));
  for (double value : result.out.data)
    EXPECT_TRUE(std::isfinite(value));
}

TEST_F(InterpreterTest, SampledRowsAreRowsOfTheWhole) {
  Data q({2, 2, 33, 32}, 1), k({2, 2, 33, 32}, 2), v({2, 2, 33, 32}, 3);
  func::FuncOp func = parse(attentionSource("5x2x3, text = 3", 33, predicateSource(nearOrText)));
  InterpreterArgs args = arguments(q, k, v);
  InterpreterResult whole = run(func, args);
  args.rows = {32, 0, 17, 17};
  InterpreterResult sampled = run(func, args);
  EXPECT_EQ(sampled.out.shape, (std::vector<int64_t>{2, 2, 4, 32}));
  EXPECT_EQ(sampled.lse.shape, (std::vector<int64_t>{2, 2, 4}));
  for (int64_t b : {0, 1})
    for (int64_t h : {0, 1})
      for (int64_t r = 0; r < 4; ++r) {
        EXPECT_EQ(sampled.lse.at({b, h, r}), whole.lse.at({b, h, args.rows[r]}));
        for (int64_t c = 0; c < 32; ++c)
          EXPECT_EQ(sampled.out.at({b, h, r, c}), whole.out.at({b, h, args.rows[r], c}));
      }
}

TEST_F(InterpreterTest, AnyStridesAndTypes) {
  Data q({1, 2, 30, 32}, 1), k({1, 2, 30, 32}, 2), v({1, 2, 30, 32}, 3);
  func::FuncOp func = parse(attentionSource("2x3x5", 30, ""));
  // The keys as bf16 in [batch, tokens, heads, head dim]; their values are rounded in place first.
  std::vector<uint16_t> bits(k.values.size());
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t i = 0; i < 30; ++i)
      for (int64_t c = 0; c < 32; ++c) {
        uint16_t &rounded = bits[(i * 2 + h) * 32 + c];
        rounded = rt::doubleToBf16(k.at(0, h, i, c));
        k.at(0, h, i, c) = rt::bf16ToDouble(rounded);
      }
  InterpreterArgs args = arguments(q, k, v);
  InterpreterResult expected = run(func, args);
  args.tensors[1] = rt::Tensor::contiguous(bits.data(), rt::DType::BF16, {1, 30, 2, 32}).permuted({0, 2, 1, 3});
  EXPECT_EQ(run(func, args).out.data, expected.out.data);
}

TEST_F(InterpreterTest, TextIsFarFromVideoAndNearText) {
  GridAttr grid = GridAttr::get(&context, 2, 3, 4, 5, /*textFirst=*/false);
  TokenCoordinates video = getCoordinates(grid, 23), text = getCoordinates(grid, 24), other = getCoordinates(grid, 28);
  std::string far = "%d = arith.subi %qt, %kt : i32\n%c = arith.constant 1000000 : i32\n"
                    "%b = arith.cmpi sgt, %d, %c : i32\n";
  EXPECT_TRUE(holds(far, text, video));
  EXPECT_FALSE(holds(far, text, other));
  EXPECT_TRUE(holds("%b = arith.cmpi eq, %qw, %kw : i32\n", text, other));
  EXPECT_TRUE(holds("%b = arith.andi %qx, %kx : i1\n", text, other));
  EXPECT_FALSE(holds("%b = arith.ori %qx, %kx : i1\n", video, video));
}

TEST_F(InterpreterTest, IntegersWrap) {
  TokenCoordinates largest{std::numeric_limits<int32_t>::max(), 0, 0, 0, false};
  TokenCoordinates least{std::numeric_limits<int32_t>::min(), 0, 0, 0, false};
  EXPECT_TRUE(holds("%one = arith.constant 1 : i32\n%s = arith.addi %qt, %one : i32\n"
                    "%b = arith.cmpi eq, %s, %kt : i32\n",
                    largest, least));
  EXPECT_TRUE(holds("%p = arith.muli %qt, %qt : i32\n%one = arith.constant 1 : i32\n"
                    "%b = arith.cmpi eq, %p, %one : i32\n",
                    largest));
  // abs(-2^31) is -2^31.
  EXPECT_TRUE(holds("%zero = arith.constant 0 : i32\n%n = arith.subi %zero, %qt : i32\n"
                    "%a = arith.maxsi %qt, %n : i32\n%b = arith.cmpi slt, %a, %zero : i32\n",
                    least));
  EXPECT_TRUE(holds("%b = arith.cmpi ugt, %qt, %kt : i32\n", least, largest));
}

TEST_F(InterpreterTest, DivisionRoundsDownAndModIsNotNegative) {
  for (int32_t divisor : {1, 3, 7})
    for (int32_t a = -15; a <= 15; ++a) {
      int32_t quotient = static_cast<int32_t>(std::floor(double(a) / divisor));
      std::string constant = "%c = arith.constant " + std::to_string(divisor) + " : i32\n";
      EXPECT_TRUE(holds(constant + "%x = arith.floordivsi %qt, %c : i32\n%b = arith.cmpi eq, %x, %kt : i32\n",
                        {a, 0, 0, 0, false}, {quotient, 0, 0, 0, false}))
          << a << " / " << divisor;
      EXPECT_TRUE(holds(constant + "%r = arith.remsi %qt, %c : i32\n%s = arith.addi %r, %c : i32\n"
                                   "%x = arith.remsi %s, %c : i32\n%b = arith.cmpi eq, %x, %kt : i32\n",
                        {a, 0, 0, 0, false}, {a - quotient * divisor, 0, 0, 0, false}))
          << a << " mod " << divisor;
    }
}

TEST_F(InterpreterTest, Booleans) {
  TokenCoordinates text{0, 0, 0, 0, true}, video{};
  std::string negated = "%true = arith.constant true\n%b = arith.xori %qx, %true : i1\n";
  EXPECT_FALSE(holds(negated, text));
  EXPECT_TRUE(holds(negated, video));
  EXPECT_TRUE(holds("%b = arith.cmpi ne, %qx, %kx : i1\n", text, video));
  std::string isOne = "%one = arith.constant 1 : i32\n%b = arith.cmpi eq, %x, %one : i32\n";
  EXPECT_TRUE(holds("%x = arith.extui %qx : i1 to i32\n" + isOne, text));
  EXPECT_FALSE(holds("%x = arith.extsi %qx : i1 to i32\n" + isOne, text));
  EXPECT_TRUE(holds("%b = arith.trunci %qt : i32 to i1\n", {3, 0, 0, 0, false}));
  EXPECT_FALSE(holds("%b = arith.trunci %qt : i32 to i1\n", {2, 0, 0, 0, false}));
  EXPECT_TRUE(holds("%b = arith.select %qx, %qx, %kx : i1\n", text, video));
}

TEST_F(InterpreterTest, PredicateUsesIntegersFromAbove) {
  PredicateOp predicate = parsePredicate("%two = arith.constant 2 : i32\n%limit = arith.muli %radius, %two : i32\n"
                                         "%b = arith.cmpi sle, %qt, %limit : i32\n");
  CapturedIntegers captured;
  captured[predicate->getParentOfType<func::FuncOp>().getArgument(0)] = 3;
  EXPECT_TRUE(*interpretPredicate(predicate.getBody(), 0, {6, 0, 0, 0, false}, {}, false, captured));
  EXPECT_FALSE(*interpretPredicate(predicate.getBody(), 0, {7, 0, 0, 0, false}, {}, false, captured));
}

TEST_F(InterpreterTest, ErrorsNameTheRule) {
  PredicateOp captures = parsePredicate("%b = arith.cmpi sle, %qt, %radius : i32\n");
  EXPECT_EQ(errorOf([&] { return interpretPredicate(captures.getBody(), 0, {}, {}); }),
            "expected a value for an integer that a predicate uses");

  Data q({1, 2, 30, 32}, 1), k({1, 2, 29, 32}, 2);
  func::FuncOp func = parse(attentionSource("2x3x5", 30, ""));
  EXPECT_EQ(errorOf([&] { return interpret(func, arguments(q, k, k)); }),
            "expected 'tensor<?x2x30x32xf32>' for argument 1, but got f32[1, 2, 29, 32]");
  InterpreterArgs rows = arguments(q, q, q);
  rows.rows = {30};
  EXPECT_EQ(errorOf([&] { return interpret(func, rows); }), "expected rows from 0 to 29, but got 30");
}

/// Plans over a grid that no tile divides, with text tokens.
class PlanTest : public InterpreterTest {
protected:
  static constexpr int64_t tokens = 4 * 5 * 7 + 6;
  static constexpr const char *gridText = "4x5x7, text = 6 before";

  GridAttr grid() { return GridAttr::get(&context, 4, 5, 7, 6, /*textFirst=*/true); }
  OrderAttr raster() { return OrderAttr::getRaster(&context); }
  OrderAttr tiles() { return OrderAttr::get(&context, true, 2, 2, 4); }
  /// By the residue of a lattice, and within it from right to left.
  OrderAttr sorted(int64_t first) {
    AffineExpr h = getAffineDimExpr(1, &context), w = getAffineDimExpr(2, &context);
    return OrderAttr::getSorted(AffineMap::get(3, 0, {(h - w) % 2, -w}, &context), first);
  }
  /// Rows run on into the next frame, but for the first frame.
  OrderAttr joined() { return OrderAttr::get(&context, true, 0, 4, 4, /*first=*/1); }

  static std::string text(Attribute attribute) {
    std::string result;
    llvm::raw_string_ostream(result) << attribute;
    return result;
  }

  /// The same attention as a plan: reordered unless `folded`, block attention without lists, restored unless `folded`.
  std::string planSource(const std::string &body, OrderAttr order, bool folded, bool given) {
    std::string type = "tensor<?x2x146x32xf32>", lse = "tensor<?x2x146xf32>";
    std::string how = " {grid = #g, order = " + text(order) + ", block = 32 : i64} : ";
    std::string source = "#g = #weft.grid<" + std::string(gridText) + ">\nfunc.func @f(%q0: " + type + ", %k0: " +
                         type + ", %v0: " + type + ", %radius: i32" + (given ? ", %blocks: !weft.blocks" : "") +
                         ") -> (" + type + ", " + lse + ") {\n";
    std::string in = folded ? "0" : "";
    if (!folded)
      for (std::string name : {"q", "k", "v"})
        source += "%" + name + " = weft.reorder %" + name + "0" + how + type + "\n";
    source += "%o, %l = weft.block_attention %q" + in + ", %k" + in + ", %v" + in + (given ? " given %blocks" : "") +
              " {query_grid = #g, key_grid = #g, query_order = " + text(order) + ", key_order = " + text(order) +
              ", block = 32 : i64, " + (folded ? "folded, " : "") + "scale = 0.25 : f64} : " + type + ", " + type +
              " -> " + lse + " {\n" + (given ? regionArgumentsGiven : regionArguments) + body +
              "weft.yield %b : i1 }\n";
    if (folded)
      return source + "return %o, %l : " + type + ", " + lse + "\n}";
    return source + "%or = weft.restore %o" + how + type + "\n%lr = weft.restore %l" + how + lse +
           "\nreturn %or, %lr : " + type + ", " + lse + "\n}";
  }

  /// One list set for all heads: blocks are empty, full or partial as every pair of their tokens says.
  BlockListsAttr classify(BlockAttentionOp op, OrderAttr order, const CapturedIntegers &captured, bool given) {
    BlockPartition partition = partitionTokens(grid(), order, 32);
    SmallVector<int32_t> offsets = {0}, entries;
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      for (int64_t j = 0; j < partition.numBlocks(); ++j) {
        auto [some, all] = countPairs(op, partition, i, j, captured, given);
        if (some)
          entries.push_back(j * 2 + !all);
      }
      offsets.push_back(entries.size());
    }
    Type i32 = IntegerType::get(&context, 32);
    auto constant = [&](ArrayRef<int64_t> shape, ArrayRef<int32_t> values) {
      return cast<DenseIntElementsAttr>(DenseElementsAttr::get(RankedTensorType::get(shape, i32), values));
    };
    return BlockListsAttr::get(&context, constant({1, static_cast<int64_t>(offsets.size())}, offsets),
                               constant({static_cast<int64_t>(entries.size())}, entries));
  }

  std::pair<bool, bool> countPairs(BlockAttentionOp op, const BlockPartition &partition, int64_t i, int64_t j,
                                   const CapturedIntegers &captured, bool given) {
    bool some = false, all = true;
    for (int32_t p = partition.offsets[i]; p < partition.offsets[i + 1]; ++p)
      for (int32_t r = partition.offsets[j]; r < partition.offsets[j + 1]; ++r) {
        bool held = *interpretPredicate(op.getBody(), 0, getCoordinates(grid(), partition.tokens[p]),
                                        getCoordinates(grid(), partition.tokens[r]), given, captured);
        some |= held;
        all &= held;
      }
    return {some, all};
  }

  /// Two list sets, one per head, that hold a block of every three or every two.
  rt::GivenLists givenLists(OrderAttr order) {
    int64_t blocks = countBlocks(grid(), order, 32);
    rt::GivenLists lists{2, blocks, {}, {}};
    for (int64_t head : {0, 1})
      for (int64_t i = 0; i <= blocks; ++i) {
        lists.offsets.push_back(lists.keyBlocks.size());
        for (int64_t j = 0; i < blocks && j < blocks; ++j)
          if ((i + j) % (3 - head) == 0)
            lists.keyBlocks.push_back(j);
      }
    return lists;
  }

  Data q{{1, 2, tokens, 32}, 1}, k{{1, 2, tokens, 32}, 2}, v{{1, 2, tokens, 32}, 3};
};

TEST_F(PlanTest, RestoreInvertsReorder) {
  std::string type = "tensor<?x2x146x32xf32>";
  auto evaluate = [&](const std::string &body) {
    InterpreterArgs args;
    args.tensors = {q.view()};
    return run(parse("func.func @f(%x: " + type + ") -> " + type + " {\n" + body + "return %y : " + type + "\n}"), args)
        .out;
  };
  std::vector<double> original(q.values.begin(), q.values.end());
  auto check = [&](GridAttr grid, OrderAttr order) {
    SCOPED_TRACE(text(grid) + " " + text(order));
    std::string how = " {grid = " + text(grid) + ", order = " + text(order) + ", block = 32 : i64} : " + type + "\n";
    EXPECT_EQ(evaluate("%a = weft.reorder %x" + how + "%y = weft.restore %a" + how).data, original);
    EXPECT_EQ(evaluate("%a = weft.restore %x" + how + "%y = weft.reorder %a" + how).data, original);

    DoubleTensor reordered = evaluate("%y = weft.reorder %x" + how);
    EXPECT_NE(reordered.data, original);
    BlockPartition partition = partitionTokens(grid, order, 32);
    for (int64_t p = 0; p < tokens; ++p)
      EXPECT_EQ(reordered.at({0, 1, p, 9}), q.at(0, 1, partition.tokens[p], 9));
  };
  // Frames have 5 x 7 tokens; 4 frames or more are all frames.
  for (bool textFirst : {true, false})
    for (std::array<int64_t, 3> box : {std::array<int64_t, 3>{2, 2, 4}, {3, 5, 2}, {0, 4, 4}, {0, 8, 3}, {0, 20, 6}})
      for (int64_t first : {0, 1, 3, 4, 9})
        check(GridAttr::get(&context, 4, 5, 7, 6, textFirst),
              OrderAttr::get(&context, true, box[0], box[1], box[2], first));
  for (int64_t first : {0, 1, 4})
    check(GridAttr::get(&context, 4, 5, 7, 6, /*textFirst=*/true), sorted(first));
}

TEST_F(PlanTest, BlockAttentionIsAttention) {
  func::FuncOp program = parse(attentionSource(gridText, tokens, predicateSource(nearOrText)));
  InterpreterResult expected = run(program, arguments(q, k, v));
  for (OrderAttr order : {raster(), tiles(), joined(), sorted(1)})
    for (bool folded : {false, true})
      for (bool lists : {false, true}) {
        SCOPED_TRACE(text(order) + (folded ? " folded" : "") + (lists ? " lists" : ""));
        func::FuncOp plan = parse(planSource(nearOrText, order, folded, /*given=*/false));
        BlockAttentionOp op = *plan.getOps<BlockAttentionOp>().begin();
        CapturedIntegers captured;
        captured[plan.getArgument(3)] = 1;
        if (lists)
          op.setListsAttr(ArrayAttr::get(&context, {classify(op, order, captured, false)}));
        ASSERT_TRUE(succeeded(op.verify()));
        InterpreterArgs args = arguments(q, k, v);
        args.parameters = {1};
        InterpreterResult result = run(plan, args);
        expectNear(result.out.data, expected.out.data);
        expectNear(result.lse.data, expected.lse.data);
      }
}

TEST_F(PlanTest, BlockAttentionWithGivenLists) {
  std::string body = std::string(nearOrText);
  body.replace(body.find("%b ="), 4, "%p =");
  body += "%g = arith.andi %p, %given : i1\n%b = arith.ori %g, %text : i1\n";
  for (OrderAttr order : {raster(), tiles(), joined(), sorted(1)})
    for (bool lists : {false, true}) {
      SCOPED_TRACE(text(order) + (lists ? " lists" : ""));
      rt::GivenLists given = givenLists(order);
      BlockPartition partition = partitionTokens(grid(), order, 32);
      std::vector<int64_t> blockOf(tokens);
      for (int64_t i = 0; i < partition.numBlocks(); ++i)
        for (int32_t p = partition.offsets[i]; p < partition.offsets[i + 1]; ++p)
          blockOf[partition.tokens[p]] = i;
      Direct direct(q, k, v, 0.25, [&](int64_t head, int32_t i, int32_t j) {
        bool isText = i < 6 || j < 6;
        bool near = std::abs((i - 6) / 35 - (j - 6) / 35) <= 1;
        return isText || (near && (blockOf[i] + blockOf[j]) % (3 - head) == 0);
      });

      func::FuncOp plan = parse(planSource(body, order, /*folded=*/false, /*given=*/true));
      BlockAttentionOp op = *plan.getOps<BlockAttentionOp>().begin();
      CapturedIntegers captured;
      captured[plan.getArgument(3)] = 1;
      if (lists)
        op.setListsAttr(ArrayAttr::get(
            &context, {classify(op, order, captured, false), classify(op, order, captured, true)}));
      ASSERT_TRUE(succeeded(op.verify()));
      InterpreterArgs args = arguments(q, k, v);
      args.parameters = {1};
      args.given = {given};
      InterpreterResult result = run(plan, args);
      expectNear(result.out.data, direct.out);
      expectNear(result.lse.data, direct.lse);
    }
}

TEST_F(PlanTest, GivenMaskOfAttention) {
  std::string source = attentionSource(gridText, tokens, "weft.given %blocks : !weft.mask<query = #g, key = #g>\n",
                                       "block = 32, query_order = #weft.order<tiles = 2x2x4>, "
                                       "key_order = #weft.order<raster>, ");
  source.replace(source.find("%radius: i32"), 12, "%blocks: !weft.blocks, %radius: i32");
  int64_t queryBlocks = countBlocks(grid(), tiles(), 32);
  // Every query sees the text, which is key block 0.
  rt::GivenLists given{1, queryBlocks, {0}, std::vector<int32_t>(queryBlocks, 0)};
  for (int64_t i = 0; i < queryBlocks; ++i)
    given.offsets.push_back(i + 1);
  InterpreterArgs args = arguments(q, k, v);
  args.given = {given};
  Direct direct(q, k, v, 0.25, [](int64_t, int32_t, int32_t key) { return key < 6; });
  expectNear(run(parse(source), args).out.data, direct.out);

  args.given[0].keyBlocks[1] = 6;
  func::FuncOp func = parse(source);
  EXPECT_EQ(errorOf([&] { return interpret(func, args); }),
            "'weft.attention' op given lists: expected key blocks from 0 to 5 in row 1, but got 6");
}

TEST_F(PlanTest, SampledRowsOfAPlanAreSequencePositions) {
  func::FuncOp plan = parse(planSource(nearOrText, tiles(), /*folded=*/false, /*given=*/false));
  InterpreterArgs args = arguments(q, k, v);
  args.parameters = {1};
  InterpreterResult whole = run(plan, args);
  args.rows = {145, 3, 77};
  InterpreterResult sampled = run(plan, args);
  for (int64_t r = 0; r < 3; ++r) {
    EXPECT_EQ(sampled.lse.at({0, 1, r}), whole.lse.at({0, 1, args.rows[r]}));
    EXPECT_EQ(sampled.out.at({0, 1, r, 31}), whole.out.at({0, 1, args.rows[r], 31}));
  }
}

} // namespace
