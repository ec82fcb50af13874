// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of rows: validation, pools and chunks.

#include "runtime/Rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

using namespace weft::rt;

namespace {

/// Two sets with room for four rows, in memory of odd strides: {3, 0, 7} and {}.
struct TwoSets {
  std::vector<int32_t> memory = {3, -1, 0, -1, 7, -1, 99, -1, 3, 5, 5, 5, 5, 5, 5, 5, 5, 0};
  RowLists rows;

  TwoSets() {
    rows.indices = {memory.data(), DType::I32, {1, 2, 4}, {0, 9, 2}};
    rows.counts = {memory.data() + 8, DType::I32, {1, 2}, {0, 9}};
  }
  TwoSets(const TwoSets &) = delete;

  std::string error(int64_t batch = 3, int64_t heads = 2, int64_t tokens = 8) const {
    return rows.validate(batch, heads, tokens).message();
  }
};

TEST(RowsTest, ValidRows) {
  TwoSets test;
  EXPECT_EQ(test.error(), "");
  EXPECT_EQ(test.rows.tokensOf(0), (std::vector<int32_t>{3, 0, 7}));
  EXPECT_TRUE(test.rows.tokensOf(1).empty());
  EXPECT_EQ(test.rows.setOf(2, 1), 1);
  test.rows.indices.shape[1] = test.rows.counts.shape[1] = 1;
  EXPECT_EQ(test.error(), "");
  EXPECT_EQ(test.rows.setOf(2, 1), 0);
}

TEST(RowsTest, NoRoomNeedsNoMemory) {
  int32_t zero = 0;
  RowLists rows{Tensor::contiguous(nullptr, DType::I32, {1, 1, 0}), Tensor::contiguous(&zero, DType::I32, {1, 1})};
  EXPECT_EQ(rows.validate(2, 3, 8).message(), "");
  EXPECT_TRUE(rows.tokensOf(0).empty());
}

TEST(RowsTest, InvalidRows) {
  auto errorAfter = [](auto change) {
    TwoSets test;
    change(test);
    return test.error();
  };
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.indices.dtype = DType::I64; }),
            "rows: expected indices of dtype i32, but got i64");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.counts.dtype = DType::F32; }),
            "rows: expected counts of dtype i32, but got f32");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.indices.shape = {1, 3, 4}; }),
            "rows: expected indices of shape [1 or 3, 1 or 2, capacity], but got [1, 3, 4]");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.indices.shape = {2, 4}; }),
            "rows: expected indices of shape [1 or 3, 1 or 2, capacity], but got [2, 4]");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.counts.shape = {2, 2}; }),
            "rows: expected counts of shape [1 or 3, 1 or 2], but got [2, 2]");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.counts.shape = {1, 1}; }),
            "rows: expected counts of shape [1, 2] for indices [1, 2, 4], but got [1, 1]");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.indices.data = nullptr; }),
            "rows: expected memory for indices, but got a null pointer");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.rows.counts.data = reinterpret_cast<char *>(t.memory.data()) + 2; })
                .find("rows: expected counts at an address aligned to 4 bytes, but got 0x"),
            0u);
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[8] = 5; }),
            "rows: expected a count of batch 0 head 0 from 0 to 4, but got 5");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[17] = -1; }),
            "rows: expected a count of batch 0 head 1 from 0 to 4, but got -1");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[2] = 8; }),
            "rows: expected indices of batch 0 head 0 from 0 to 7, but got 8");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[2] = -1; }),
            "rows: expected indices of batch 0 head 0 from 0 to 7, but got -1");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[4] = 3; }),
            "rows: expected different indices of batch 0 head 0, but got 3 twice");
  EXPECT_EQ(errorAfter([](TwoSets &t) { t.memory[17] = 2, t.memory[9] = 3; }), "") << "sets may share rows";
  EXPECT_EQ(errorAfter([](TwoSets &t) {
              t.rows.indices.shape[1] = t.rows.counts.shape[1] = 1;
              t.memory[4] = 3;
            }),
            "rows: expected different indices, but got 3 twice");
}

/// Two sets of lists over three query blocks: {0, 1}, {0, 1}, {1} and none, {0 partial}, none.
BlockLists makeLists() {
  return BlockLists::fromClassified(2, 3, 2, {0, 2, 4, 5, 5, 5, 6, 6}, {0, 2, 0, 2, 2, 1});
}

TEST(RowsTest, BlocksWithEqualListsAreOnePool) {
  BlockLists lists = makeLists();
  EXPECT_TRUE(lists.poolOf.empty());
  lists.findPools();
  EXPECT_EQ(lists.poolOf, (std::vector<int32_t>{0, 0, 2, 0, 1, 0}));
}

TEST(RowsTest, PartialBlocksAreOtherBlocks) {
  BlockLists lists = BlockLists::fromClassified(1, 3, 2, {0, 1, 2, 3}, {0, 1, 0});
  lists.findPools();
  EXPECT_EQ(lists.poolOf, (std::vector<int32_t>{0, 1, 0}));
}

TEST(RowsTest, RowsByPool) {
  BlockLists lists = makeLists();
  lists.findPools();
  // Blocks of 2, 3 and 1 tokens; the sequence is walked backwards.
  QueryPlaces places(std::vector<int32_t>{0, 2, 5, 6}, std::vector<int32_t>{5, 4, 3, 2, 1, 0});
  EXPECT_EQ(places.largestBlock(), 3);
  PooledRows rows(lists, 0, places, std::vector<int32_t>{0, 3, 5, 1});
  EXPECT_EQ(rows.offsets, (std::vector<int32_t>{0, 3, 3, 4}));
  EXPECT_EQ(rows.positions, (std::vector<int32_t>{0, 2, 4, 5}));
  std::vector<RowChunk> chunks = rows.cut(2);
  ASSERT_EQ(chunks.size(), 3u);
  for (auto [i, chunk] : std::map<int, RowChunk>{{0, {0, 0, 2}}, {1, {0, 2, 1}}, {2, {2, 3, 1}}}) {
    EXPECT_EQ(chunks[i].block, chunk.block);
    EXPECT_EQ(chunks[i].begin, chunk.begin);
    EXPECT_EQ(chunks[i].count, chunk.count);
  }
  EXPECT_TRUE(PooledRows(lists, 1, places, {}).cut(2).empty());
}

/// Every selected row is in one chunk, whose list is its block's; and a dense attention has as few chunks as can be.
TEST(RowsTest, ChunksCoverTheRows) {
  std::mt19937 random(1);
  for (int repeat = 0; repeat < 50; ++repeat) {
    int32_t blocks = 1 + random() % 9, tokens = 0;
    std::vector<int32_t> offsets = {0}, listOffsets = {0}, entries;
    for (int32_t block = 0; block < blocks; ++block) {
      offsets.push_back(tokens += 1 + random() % 20);
      for (int32_t key = 0; key < 3; ++key)
        if (repeat % 2 == 0 || random() % 2)
          entries.push_back(key * 2);
      listOffsets.push_back(entries.size());
    }
    BlockLists lists = BlockLists::fromClassified(1, blocks, 3, listOffsets, entries);
    lists.findPools();
    std::vector<int32_t> order(tokens);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    QueryPlaces places(offsets, order);
    std::vector<int32_t> selected = order;
    std::shuffle(selected.begin(), selected.end(), random);
    selected.resize(random() % (tokens + 1));
    PooledRows rows(lists, 0, places, selected);
    std::multiset<int32_t> covered;
    auto chunks = rows.cut(8);
    for (RowChunk chunk : chunks) {
      EXPECT_LE(chunk.count, 8);
      for (int32_t i = chunk.begin; i < chunk.begin + chunk.count; ++i) {
        int32_t position = rows.positions[i];
        auto block = std::upper_bound(offsets.begin(), offsets.end(), position) - offsets.begin() - 1;
        EXPECT_EQ(lists.poolOf[block], chunk.block);
        covered.insert(order[position]);
      }
    }
    EXPECT_EQ(covered, std::multiset<int32_t>(selected.begin(), selected.end()));
    if (repeat % 2 == 0)
      EXPECT_EQ(chunks.size(), (selected.size() + 7) / 8);
  }
}

} // namespace
