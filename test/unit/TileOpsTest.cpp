// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the interpreter's tile steps: each op against direct computation.

#include "test/unit/TileFixture.h"

#include <cmath>

using namespace mlir;
using namespace weft;
using namespace weft::test;

namespace {

using TileOpsTest = TileFixture;

/// load_tile of the tokens 4, 0, 3 of 5, with d = 8 and a stride of 9.
class LoadTileTest : public TileFixture {
protected:
  static constexpr int64_t tokens[] = {4, 0, 3};

  Buffer load(const std::string &layout, const std::string &tile, const std::string &element, int64_t tileElements) {
    int64_t unit = element == "bf16" ? 2 : 4;
    Buffer target = unwritten(tileElements, unit);
    Values table = {1, 4, 0, 3, 2};
    table.resize(20);
    std::string source = "memref<" + element + ">", type = "memref<" + tile + "x" + element + ">";
    bool ok = run("%source: " + source + ", %table: memref<4x5xi32>, %tile: " + type,
                  "%stride = arith.constant 9 : index\n%first = arith.constant 1 : index\n"
                  "%count = arith.constant 3 : index\n"
                  "weft.load_tile %source stride %stride tokens %table first %first count %count into %tile "
                  "{d = 8 : i64, layout = #weft.layout<" +
                      layout + ">} : " + source + ", memref<4x5xi32>, " + type,
                  {memoryOf(counting(45), unit), memoryOf(table, 4), target});
    EXPECT_TRUE(ok) << message;
    return target;
  }

  /// What belongs to channel `c` of token `i` of the tile.
  static double expected(int64_t i, int64_t c) { return i < 3 && c < 8 ? tokens[i] * 9 + c + 1 : 0; }
};

TEST_F(LoadTileTest, Rows) {
  Buffer tile = load("rows", "40x12", "f32", 480);
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t c = 0; c < 12; ++c)
      EXPECT_EQ(at(tile, 4, i * 12 + c), expected(i, c)) << i << ", " << c;
  EXPECT_TRUE(std::isnan(at(tile, 4, 32 * 12))) << "rows beyond the padding are not written";
}

/// Panels of 4 columns: two for the channels, ten for the keys.
TEST_F(LoadTileTest, KeyPanels) {
  Buffer tile = load("key_panels", "10x10x4", "f32", 400);
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t c = 0; c < 10; ++c)
      EXPECT_EQ(at(tile, 4, i / 4 * 40 + c * 4 + i % 4), expected(i, c)) << i << ", " << c;
  EXPECT_TRUE(std::isnan(at(tile, 4, 320))) << "keys beyond the padding are not written";
}

TEST_F(LoadTileTest, KeyPairs) {
  Buffer tile = load("key_pairs", "10x5x8", "bf16", 400);
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t c = 0; c < 10; ++c)
      EXPECT_EQ(at(tile, 2, i / 4 * 40 + c / 2 * 8 + 2 * (i % 4) + c % 2), expected(i, c)) << i << ", " << c;
  EXPECT_TRUE(std::isnan(at(tile, 2, 320)));
}

TEST_F(LoadTileTest, ValuePanels) {
  Buffer tile = load("value_panels", "3x34x4", "f32", 408);
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t c = 0; c < 12; ++c)
      EXPECT_EQ(at(tile, 4, c / 4 * 136 + i * 4 + c % 4), expected(i, c)) << i << ", " << c;
  EXPECT_TRUE(std::isnan(at(tile, 4, 32 * 4)));
}

TEST_F(LoadTileTest, ValuePairs) {
  Buffer tile = load("value_pairs", "3x17x8", "bf16", 408);
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t c = 0; c < 12; ++c)
      EXPECT_EQ(at(tile, 2, c / 4 * 136 + i / 2 * 8 + 2 * (c % 4) + i % 2), expected(i, c)) << i << ", " << c;
  EXPECT_TRUE(std::isnan(at(tile, 2, 16 * 8)));
}

TEST_F(TileOpsTest, InitTile) {
  Buffer accumulator = unwritten(24, 4), maximum = unwritten(3, 4), sum = unwritten(3, 4);
  EXPECT_TRUE(run("%o: memref<3x8xf32>, %m: memref<3xf32>, %l: memref<3xf32>, %rows: index",
                  "weft.init_tile %o, %m, %l rows %rows : memref<3x8xf32>, memref<3xf32>",
                  {accumulator, maximum, sum, int64_t{2}}))
      << message;
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(at(accumulator, 4, i), 0);
  for (int64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(at(maximum, 4, i), -infinity);
    EXPECT_EQ(at(sum, 4, i), 0);
  }
  EXPECT_TRUE(std::isnan(at(accumulator, 4, 16)) && std::isnan(at(maximum, 4, 2)) && std::isnan(at(sum, 4, 2)));
}

TEST_F(TileOpsTest, Scores) {
  // Panels of two keys: the keys (1, 5), (2, 6), (3, 7), (4, 8).
  Buffer query = memoryOf(counting(3 * 2), 4), key = memoryOf({1, 2, 5, 6, 3, 4, 7, 8}, 4), scores = unwritten(12, 4);
  EXPECT_TRUE(run("%q: memref<3x2xf32>, %k: memref<2x2x2xf32>, %s: memref<3x4xf32>, %rows: index, %columns: index",
                  "weft.scores %q, %k into %s rows %rows columns %columns : memref<3x2xf32>, memref<2x2x2xf32>, "
                  "memref<3x4xf32>",
                  {query, key, scores, int64_t{2}, int64_t{3}}))
      << message;
  const double expected[2][3] = {{1 * 1 + 2 * 5, 1 * 2 + 2 * 6, 1 * 3 + 2 * 7},
                                 {3 * 1 + 4 * 5, 3 * 2 + 4 * 6, 3 * 3 + 4 * 7}};
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 3; ++j)
      EXPECT_EQ(at(scores, 4, i * 4 + j), expected[i][j]);
}

TEST_F(TileOpsTest, ScoresInPairs) {
  // One panel, key[0][c / 2][2 j + c mod 2]: the keys (1, 2, 5, 6) and (3, 4, 7, 8).
  Buffer query = memoryOf(counting(4), 2), key = memoryOf(counting(8), 2), scores = unwritten(2, 4);
  EXPECT_TRUE(run("%q: memref<1x4xbf16>, %k: memref<1x2x4xbf16>, %s: memref<1x2xf32>, %rows: index, %columns: index",
                  "weft.scores %q, %k into %s rows %rows columns %columns : memref<1x4xbf16>, memref<1x2x4xbf16>, "
                  "memref<1x2xf32>",
                  {query, key, scores, int64_t{1}, int64_t{2}}))
      << message;
  EXPECT_EQ(at(scores, 4, 0), 1 * 1 + 2 * 2 + 3 * 5 + 4 * 6);
  EXPECT_EQ(at(scores, 4, 1), 1 * 3 + 2 * 4 + 3 * 7 + 4 * 8);
}

TEST_F(TileOpsTest, MeanRow) {
  // The tokens 4, 0 and 3 of 5, with 8 channels and a stride of 9.
  Buffer mean = unwritten(8, 4);
  Values table = {1, 4, 0, 3, 2};
  table.resize(20);
  EXPECT_TRUE(run("%source: memref<bf16>, %table: memref<4x5xi32>, %mean: memref<8xf32>, %stride: index, "
                  "%first: index, %count: index",
                  "weft.mean_row %source stride %stride tokens %table first %first count %count into %mean : "
                  "memref<bf16>, memref<4x5xi32>, memref<8xf32>",
                  {memoryOf(counting(45), 2), memoryOf(table, 4), mean, int64_t{9}, int64_t{1}, int64_t{3}}))
      << message;
  for (int64_t c = 0; c < 8; ++c)
    EXPECT_DOUBLE_EQ(at(mean, 4, c), (4 + 0 + 3) * 9 / 3.0 + c + 1);
}

TEST_F(TileOpsTest, ScoreRow) {
  Buffer scores = unwritten(4, 4);
  EXPECT_TRUE(run("%q: memref<8xf32>, %k: memref<2x8xf32>, %s: memref<4xf32>",
                  "weft.score_row %q, %k into %s {scale = 0.5 : f64} : memref<8xf32>, memref<2x8xf32>, memref<4xf32>",
                  {memoryOf(counting(8), 4), memoryOf(counting(16), 4), scores}))
      << message;
  for (int64_t j = 0; j < 2; ++j) {
    double sum = 0;
    for (int64_t c = 0; c < 8; ++c)
      sum += (c + 1) * (8 * j + c + 1);
    EXPECT_EQ(at(scores, 4, j), 0.5 * sum);
  }
}

/// One softmax of up to 3 rows and 33 columns, with the scale 0.5.
class SoftmaxTest : public TileFixture {
protected:
  static constexpr int64_t width = 64;

  void setScores(int64_t row, const Values &values) {
    for (size_t j = 0; j < values.size(); ++j)
      scores.at({4 * (row * width + static_cast<int64_t>(j))}) = values[j];
  }
  double weight(int64_t row, int64_t column) const { return at(scores, 4, row * width + column); }

  /// The weights take the scores' place.
  bool step(int64_t rows, int64_t columns, const std::string &coordinates = "", const std::string &types = "",
            const std::string &region = "", std::vector<interp::RuntimeValue> extra = {}) {
    std::vector<interp::RuntimeValue> values = {scores, maximum, sum, correction, rows, columns};
    values.insert(values.end(), extra.begin(), extra.end());
    std::string more = extra.empty() ? "" : ", %qt: memref<4x3xi32>, %kt: memref<4x4xi32>, %head: i32, %given: i1";
    return run("%s: memref<3x64xf32>, %m: memref<3xf32>, %l: memref<3xf32>, %c: memref<3xf32>, %rows: index, "
               "%columns: index" +
                   more,
               "%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n"
               "weft.softmax %s, %m, %l, %c into %s rows %rows columns %columns scale 0.5 " +
                   coordinates + " : memref<3x64xf32>, memref<3xf32>, memref<3x64xf32>" + types + " {" + region + "}",
               values);
  }

  Buffer scores = unwritten(3 * width, 4), maximum = memoryOf(Values(3, -infinity), 4),
         sum = memoryOf(Values(3, 0), 4), correction = unwritten(3, 4);
};

TEST_F(SoftmaxTest, TwoSteps) {
  setScores(0, {1, 3});
  ASSERT_TRUE(step(1, 2)) << message;
  EXPECT_EQ(at(maximum, 4, 0), 3);
  EXPECT_EQ(at(correction, 4, 0), 0);
  EXPECT_DOUBLE_EQ(weight(0, 0), std::exp(-1));
  EXPECT_DOUBLE_EQ(weight(0, 1), 1);
  EXPECT_DOUBLE_EQ(at(sum, 4, 0), 1 + std::exp(-1));

  setScores(0, {7, 5, 4});
  ASSERT_TRUE(step(1, 3)) << message;
  EXPECT_EQ(at(maximum, 4, 0), 7);
  EXPECT_DOUBLE_EQ(at(correction, 4, 0), std::exp(-2));
  EXPECT_DOUBLE_EQ(at(sum, 4, 0), (1 + std::exp(-1)) * std::exp(-2) + 1 + std::exp(-1) + std::exp(-1.5));

  setScores(0, {3});
  ASSERT_TRUE(step(1, 1)) << message;
  EXPECT_EQ(at(maximum, 4, 0), 7);
  EXPECT_EQ(at(correction, 4, 0), 1);
  EXPECT_DOUBLE_EQ(weight(0, 0), std::exp(-2));
}

TEST_F(SoftmaxTest, ColumnsArePaddedWithZeros) {
  setScores(0, Values(33, 2));
  ASSERT_TRUE(step(1, 33)) << message;
  EXPECT_EQ(at(sum, 4, 0), 33);
  EXPECT_EQ(weight(0, 32), 1);
  for (int64_t j = 33; j < 64; ++j)
    EXPECT_EQ(weight(0, j), 0);
  EXPECT_TRUE(std::isnan(weight(1, 0)));
}

TEST_F(SoftmaxTest, PredicateDecidesWhichColumnsCount) {
  // Queries from column 1 of the table: a video token, a text token and one that sees no key.
  Buffer queryTable = memoryOf({0, 8, 9, /*t*/ 0, 2, kFar, /*h*/ 0, 5, kFar, /*w*/ 0, 6, kFar}, 4);
  Buffer keyTable = memoryOf({0, 1, 2, 3, /*t*/ 1, 2, kFar, 9, /*h*/ 0, 0, kFar, 0, /*w*/ 0, 0, kFar, 0}, 4);
  auto mask = [&](const std::string &body, int64_t head, int64_t given) {
    setScores(0, {1, 2, 3}), setScores(1, {1, 2, 3});
    for (int64_t i = 0; i < 2; ++i)
      maximum.at({4 * i}) = -infinity, sum.at({4 * i}) = 0;
    return step(2, 3, "tokens %qt[%one], %kt[%zero] head %head given %given", ", memref<4x3xi32>, memref<4x4xi32>",
                "^bb0(%hd: i32, %at: i32, %ah: i32, %aw: i32, %ai: i32, %ax: i1, %bt: i32, %bh: i32, %bw: i32, "
                "%bi: i32, %bx: i1, %g: i1):\n" +
                    body + "\nweft.yield %b : i1",
                {queryTable, keyTable, head, given});
  };
  auto countingColumns = [&] {
    std::string text;
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 3; ++j)
        text += weight(i, j) > 0 ? '1' : '0';
    return text;
  };

  ASSERT_TRUE(mask("%b = arith.cmpi eq, %at, %bt : i32", 0, 0)) << message;
  EXPECT_EQ(countingColumns(), "010001");
  EXPECT_EQ(at(maximum, 4, 0), 2);
  EXPECT_EQ(weight(0, 1), 1);
  EXPECT_EQ(at(sum, 4, 0), 1);
  ASSERT_TRUE(mask("%b = arith.ori %ax, %bx : i1", 0, 0)) << message;
  EXPECT_EQ(countingColumns(), "001111");
  ASSERT_TRUE(mask("%d = arith.subi %ai, %bi : i32\n%e = arith.constant 7 : i32\n"
                   "%b = arith.cmpi eq, %d, %e : i32", 0, 0))
      << message;
  EXPECT_EQ(countingColumns(), "010001");
  ASSERT_TRUE(mask("%d = arith.subi %ah, %bh : i32\n%e = arith.subi %aw, %bw : i32\n"
                   "%b = arith.cmpi slt, %d, %e : i32", 0, 0))
      << message;
  EXPECT_EQ(countingColumns(), "111000");
  ASSERT_TRUE(mask("%b = arith.cmpi eq, %hd, %bi : i32", 2, 0)) << message;
  EXPECT_EQ(countingColumns(), "001001");
  ASSERT_TRUE(mask("%b = arith.andi %g, %ax : i1", 0, 1)) << message;
  EXPECT_EQ(countingColumns(), "000111");
  EXPECT_EQ(at(maximum, 4, 0), -infinity);
  EXPECT_EQ(at(sum, 4, 0), 0);
  EXPECT_EQ(at(correction, 4, 0), 0);
}

TEST_F(SoftmaxTest, NaNGoesThrough) {
  setScores(0, {std::nan(""), 1}), setScores(1, {std::nan("")});
  ASSERT_TRUE(step(2, 1)) << message;
  EXPECT_TRUE(std::isnan(at(sum, 4, 0)) && std::isnan(at(sum, 4, 1)));
}

TEST_F(TileOpsTest, Accumulate) {
  Buffer weights = memoryOf({1, 2, 100, 3, 4, 100}, 4), value = memoryOf(counting(3 * 2), 4);
  Buffer correction = memoryOf({10, 0.5}, 4), accumulator = memoryOf({1, 2, 3, 4}, 4);
  EXPECT_TRUE(run("%p: memref<2x3xf32>, %v: memref<1x3x2xf32>, %c: memref<2xf32>, %o: memref<2x2xf32>, %rows: index, "
                  "%columns: index",
                  "weft.accumulate %p, %v, %c into %o rows %rows columns %columns : memref<2x3xf32>, "
                  "memref<1x3x2xf32>, "
                  "memref<2xf32>, memref<2x2xf32>",
                  {weights, value, correction, accumulator, int64_t{2}, int64_t{2}}))
      << message;
  EXPECT_EQ(at(accumulator, 4, 0), 1 * 10 + 1 * 1 + 2 * 3);
  EXPECT_EQ(at(accumulator, 4, 1), 2 * 10 + 1 * 2 + 2 * 4);
  EXPECT_EQ(at(accumulator, 4, 2), 3 * 0.5 + 3 * 1 + 4 * 3);
  EXPECT_EQ(at(accumulator, 4, 3), 4 * 0.5 + 3 * 2 + 4 * 4);
}

TEST_F(TileOpsTest, AccumulateInPairs) {
  // One panel, value[0][j / 2][2 c + j mod 2]: the rows (1, 3), (2, 4), (5, 7), (6, 8).
  Buffer weights = memoryOf({1, 10, 100, 1000}, 2), value = memoryOf(counting(8), 2);
  Buffer correction = memoryOf({0}, 4), accumulator = memoryOf({1, 2}, 4);
  EXPECT_TRUE(run("%p: memref<1x4xbf16>, %v: memref<1x2x4xbf16>, %c: memref<1xf32>, %o: memref<1x2xf32>, %rows: index, "
                  "%columns: index",
                  "weft.accumulate %p, %v, %c into %o rows %rows columns %columns : memref<1x4xbf16>, "
                  "memref<1x2x4xbf16>, memref<1xf32>, memref<1x2xf32>",
                  {weights, value, correction, accumulator, int64_t{1}, int64_t{4}}))
      << message;
  EXPECT_EQ(at(accumulator, 4, 0), 6521);
  EXPECT_EQ(at(accumulator, 4, 1), 8743);
}

TEST_F(TileOpsTest, StoreTile) {
  std::string body = "%first = arith.constant 1 : index\n%count = arith.constant 2 : index\n"
                     "%stride = arith.constant 9 : index\n%lse_stride = arith.constant 2 : index\n"
                     "weft.store_tile %o, %m, %l tokens %table first %first count %count to %out stride %stride "
                     "lse %lse stride %lse_stride if %want scale 0.5 {d = 8 : i64} : memref<2x8xf32>, memref<2xf32>, "
                     "memref<4x3xi32>, memref<f32>";
  Values table = {0, 2, 1};
  table.resize(12);
  for (int64_t want : {0, 1}) {
    Buffer out = unwritten(27, 4), lse = unwritten(6, 4);
    Values accumulator = counting(16);
    EXPECT_TRUE(run("%o: memref<2x8xf32>, %m: memref<2xf32>, %l: memref<2xf32>, %table: memref<4x3xi32>, "
                    "%out: memref<f32>, %lse: memref<f32>, %want: i1",
                    body,
                    {memoryOf(accumulator, 4), memoryOf({6, -infinity}, 4), memoryOf({4, 0}, 4), memoryOf(table, 4),
                     out, lse, want}))
        << message;
    for (int64_t c = 0; c < 8; ++c) {
      EXPECT_TRUE(std::isnan(at(out, 4, c)));
      EXPECT_EQ(at(out, 4, 2 * 9 + c), (c + 1) / 4.0);
      EXPECT_EQ(at(out, 4, 1 * 9 + c), 0) << "a row without keys";
    }
    EXPECT_TRUE(std::isnan(at(out, 4, 17))) << "the gap behind a row is not written";
    if (want) {
      EXPECT_DOUBLE_EQ(at(lse, 4, 4), 0.5 * 6 + std::log(4));
      EXPECT_EQ(at(lse, 4, 2), -infinity);
    } else {
      EXPECT_TRUE(std::isnan(at(lse, 4, 4)) && std::isnan(at(lse, 4, 2)));
    }
  }
}

TEST_F(TileOpsTest, ViewsOfBuffers) {
  // Element [i][j] of the 3x4 view is at byte 8 + 4 (4 i + j); the subview is [1..2][1, 3] of it, and once more a
  // panel.
  Buffer scratch = unwritten(64, 1), accumulator = unwritten(4, 4), maximum = unwritten(2, 4), sum = unwritten(2, 4);
  for (int64_t i = 0; i < 12; ++i)
    scratch.at({8 + 4 * i}) = i;
  std::string body = R"(
    %shift = arith.constant 8 : index
    %three = arith.constant 3 : index
    %one = arith.constant 1 : index
    %view = memref.view %scratch[%shift][%three] : memref<64xi8> to memref<?x4xf32>
    %part = memref.subview %view[%one, 1] [2, 2] [1, 2] : memref<?x4xf32> to memref<2x2xf32, strided<[4, 2], offset: ?>>
    %panels = memref.view %scratch[%shift][%one] : memref<64xi8> to memref<?x3x4xf32>
    %panel = memref.subview %panels[0, %one, 1] [1, 2, 2] [1, 1, 2]
        : memref<?x3x4xf32> to memref<1x2x2xf32, strided<[12, 4, 2], offset: ?>>
    %row = memref.subview %view[0, 0] [1, 2] [1, 1] : memref<?x4xf32> to memref<2xf32>
    %rows = arith.constant 2 : index
    weft.init_tile %o, %m, %l rows %rows : memref<2x2xf32>, memref<2xf32>
    weft.accumulate %part, %panel, %row into %o rows %rows columns %rows
        : memref<2x2xf32, strided<[4, 2], offset: ?>>, memref<1x2x2xf32, strided<[12, 4, 2], offset: ?>>,
          memref<2xf32>, memref<2x2xf32>
  )";
  EXPECT_TRUE(run("%scratch: memref<64xi8>, %o: memref<2x2xf32>, %m: memref<2xf32>, %l: memref<2xf32>", body,
                  {scratch, accumulator, maximum, sum}))
      << message;
  EXPECT_EQ(at(accumulator, 4, 0), 5 * 5 + 7 * 9);
  EXPECT_EQ(at(accumulator, 4, 1), 5 * 7 + 7 * 11);
  EXPECT_EQ(at(accumulator, 4, 2), 9 * 5 + 11 * 9);
  EXPECT_EQ(at(accumulator, 4, 3), 9 * 7 + 11 * 11);
}

TEST_F(TileOpsTest, CollapsedViews) {
  auto evaluate = [&](const std::string &ops) {
    message.clear();
    run("%tile: memref<2x4x2xf32>", ops, {unwritten(16, 4)});
    return message;
  };
  EXPECT_EQ(evaluate("%flat = memref.collapse_shape %tile [[0, 1, 2]] : memref<2x4x2xf32> into memref<16xf32>"), "");
  EXPECT_EQ(evaluate("%rows = memref.collapse_shape %tile [[0], [1, 2]] : memref<2x4x2xf32> into memref<2x8xf32>"),
            "'memref.collapse_shape' op expected a result of rank 1, but got 'memref<2x8xf32>'");
  EXPECT_EQ(evaluate(R"(
    %part = memref.subview %tile[0, 0, 0] [2, 2, 2] [1, 1, 1]
        : memref<2x4x2xf32> to memref<2x2x2xf32, strided<[8, 2, 1]>>
    %rows = memref.collapse_shape %part [[0], [1, 2]]
        : memref<2x2x2xf32, strided<[8, 2, 1]>> into memref<2x4xf32, strided<[8, 1]>>
  )"),
            "'memref.collapse_shape' op expected a contiguous buffer, but got "
            "'memref<2x2x2xf32, strided<[8, 2, 1]>>'");
}

TEST_F(TileOpsTest, ControlFlow) {
  // Of the entries 12 = 3 << 2, 5 = 1 << 2 | 1 and 8 = 2 << 2 the even ones count with their upper bits: 3 + 2.
  Buffer accumulator = unwritten(64, 4), maximum = unwritten(8, 4), sum = unwritten(8, 4);
  std::string body = R"(
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %end = arith.constant 3 : index
    %none = arith.constant 0 : i32
    %odd = arith.constant 1 : i32
    %two = arith.constant 2 : i32
    %total = scf.for %i = %zero to %end step %one iter_args(%before = %zero) -> index {
      %entry = memref.load %entries[%i] : memref<3xi32>
      %bit = arith.andi %entry, %odd : i32
      %even = arith.cmpi eq, %bit, %none : i32
      %after = scf.if %even -> index {
        %upper = arith.shrui %entry, %two : i32
        %number = arith.index_cast %upper : i32 to index
        %next = arith.addi %before, %number : index
        scf.yield %next : index
      } else {
        scf.yield %before : index
      }
      scf.yield %after : index
    }
    weft.init_tile %o, %m, %l rows %total : memref<8x8xf32>, memref<8xf32>
  )";
  EXPECT_TRUE(run("%entries: memref<3xi32>, %o: memref<8x8xf32>, %m: memref<8xf32>, %l: memref<8xf32>", body,
                  {memoryOf({12, 5, 8}, 4), accumulator, maximum, sum}))
      << message;
  EXPECT_EQ(at(sum, 4, 4), 0);
  EXPECT_TRUE(std::isnan(at(sum, 4, 5)));
}

TEST_F(TileOpsTest, IndicesOutOfRange) {
  auto load = [&](Values numbers, int64_t first) {
    numbers.resize(12);
    message.clear();
    run("%source: memref<f32>, %table: memref<4x3xi32>, %tile: memref<32x8xf32>, %first: index, %count: index",
        "%stride = arith.constant 8 : index\n"
        "weft.load_tile %source stride %stride tokens %table first %first count %count into %tile {d = 8 : i64, "
        "layout = #weft.layout<rows>} : memref<f32>, memref<4x3xi32>, memref<32x8xf32>",
        {memoryOf(counting(24), 4), memoryOf(numbers, 4), unwritten(256, 4), first, int64_t{2}});
    return message;
  };
  EXPECT_EQ(load({0, 1, 2}, 1), "");
  EXPECT_EQ(load({0, 1, 3}, 1), "'weft.load_tile' op expected an index below 24 on axis 0, but got 31");
  EXPECT_EQ(load({0, 1, -1}, 1), "'weft.load_tile' op expected an index below 24 on axis 0, but got -8");
  EXPECT_EQ(load({0, 1, 2}, 2), "'weft.load_tile' op expected an index below 3 on axis 1, but got 3");
  EXPECT_EQ(load({0, 0.5, 2}, 1).substr(0, 63), "'weft.load_tile' op expected an integer in memory, but got 5.00");

  auto evaluate = [&](const std::string &ops, int64_t number) {
    message.clear();
    run("%bytes: memref<64xi8>, %tile: memref<32x8xf32>, %numbers: memref<3xi32>, %m: memref<32xf32>, %i: index", ops,
        {unwritten(64, 1), unwritten(256, 4), memoryOf({1, 2, 3}, 4), unwritten(32, 4), number});
    return message;
  };
  std::string init = "weft.init_tile %tile, %m, %m rows %i : memref<32x8xf32>, memref<32xf32>";
  EXPECT_EQ(evaluate(init, 32), "");
  EXPECT_EQ(evaluate(init, 33), "'weft.init_tile' op expected an index below 32 on axis 0, but got 32");
  EXPECT_EQ(evaluate(init, -1), "'weft.init_tile' op expected a count of at least 0, but got -1");
  std::string get = "%x = memref.load %numbers[%i] : memref<3xi32>";
  EXPECT_EQ(evaluate(get, 2), "");
  EXPECT_EQ(evaluate(get, 3), "'memref.load' op expected an index below 3 on axis 0, but got 3");
  std::string subview = "%x = memref.subview %tile[0, %i] [32, 2] [1, 1] : memref<32x8xf32> to "
                        "memref<32x2xf32, strided<[8, 1], offset: ?>>";
  EXPECT_EQ(evaluate(subview, 6), "");
  EXPECT_EQ(evaluate(subview, 7), "'memref.subview' op expected an index below 8 on axis 1, but got 8");
  std::string view = "%x = memref.view %bytes[%i][] : memref<64xi8> to memref<4xf32>";
  EXPECT_EQ(evaluate(view, 48), "");
  EXPECT_EQ(evaluate(view, 49),
            "'memref.view' op expected a view within 64 bytes, but got one from byte 49 to 65");
}

TEST_F(TileOpsTest, OpsThatItDoesNotKnow) {
  EXPECT_FALSE(run("%tile: memref<3xf32>, %i: index", "%x = memref.load %tile[%i] : memref<3xf32>",
                   {unwritten(3, 4), int64_t{0}}));
  EXPECT_EQ(message, "'memref.load' op expected to load an integer, but got 'f32'");
  message.clear();
  EXPECT_FALSE(run("%tile: memref<3xf32>, %i: index", "memref.dealloc %tile : memref<3xf32>",
                   {unwritten(3, 4), int64_t{0}}));
  EXPECT_EQ(message, "'memref.dealloc' op expected an op that the interpreter knows");
  message.clear();
  EXPECT_FALSE(run("%step: index", "scf.for %i = %step to %step step %step {\n}", {int64_t{0}}));
  EXPECT_EQ(message, "'scf.for' op expected a positive step, but got 0");
}

} // namespace
