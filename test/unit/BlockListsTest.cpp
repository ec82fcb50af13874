// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of block lists: validation, merging, schedules.

#include "runtime/BlockLists.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>

using namespace weft::rt;

namespace {

/// Two rows over four key blocks: {0, 2} and {3}.
GivenLists makeLists() {
  GivenLists lists;
  lists.queryBlocks = 2;
  lists.offsets = {0, 2, 3};
  lists.keyBlocks = {0, 2, 3};
  return lists;
}

std::string errorOf(const GivenLists &lists, int64_t heads = 3) { return lists.validate(heads, 2, 4).message(); }

TEST(BlockListsTest, ValidLists) {
  EXPECT_EQ(errorOf(makeLists()), "");
  GivenLists perHead = makeLists();
  perHead.lists = 3;
  perHead.offsets = {0, 2, 3, 3, 3, 3, 3, 3, 3};
  EXPECT_EQ(errorOf(perHead), "");
  GivenLists empty = makeLists();
  empty.offsets = {0, 0, 0}, empty.keyBlocks.clear();
  EXPECT_EQ(errorOf(empty), "");
}

TEST(BlockListsTest, InvalidLists) {
  GivenLists lists = makeLists();
  lists.lists = 2;
  EXPECT_EQ(errorOf(lists), "given lists: expected 1 or 3 sets, but got 2");
  lists = makeLists(), lists.queryBlocks = 3;
  EXPECT_EQ(errorOf(lists), "given lists: expected 2 query blocks, but got 3");
  lists = makeLists(), lists.offsets.push_back(3);
  EXPECT_EQ(errorOf(lists), "given lists: expected 3 offsets, but got 4");
  lists = makeLists(), lists.offsets.clear();
  EXPECT_EQ(errorOf(lists), "given lists: expected 3 offsets, but got 0");
  lists = makeLists(), lists.offsets = {0, 3, 2};
  EXPECT_EQ(errorOf(lists), "given lists: expected offset 2 between 3 and 3, but got 2");
  lists = makeLists(), lists.offsets = {0, 4, 4};
  EXPECT_EQ(errorOf(lists), "given lists: expected offset 1 between 0 and 3, but got 4");
  lists = makeLists(), lists.offsets = {-1, 2, 3};
  EXPECT_EQ(errorOf(lists), "given lists: expected offset 0 between 0 and 3, but got -1");
  lists = makeLists(), lists.offsets = {1, 2, 3};
  EXPECT_EQ(errorOf(lists), "given lists: expected offsets from 0 to 3, but got 1 to 3");
  lists = makeLists(), lists.offsets = {0, 2, 2};
  EXPECT_EQ(errorOf(lists), "given lists: expected offsets from 0 to 3, but got 0 to 2");
  lists = makeLists(), lists.keyBlocks = {0, 4, 3};
  EXPECT_EQ(errorOf(lists), "given lists: expected key blocks from 0 to 3 in row 0, but got 4");
  lists = makeLists(), lists.keyBlocks = {0, 2, -1};
  EXPECT_EQ(errorOf(lists), "given lists: expected key blocks from 0 to 3 in row 1, but got -1");
  lists = makeLists(), lists.keyBlocks = {2, 2, 3};
  EXPECT_EQ(errorOf(lists), "given lists: expected ascending key blocks in row 0, but got 2 after 2");
}

TEST(BlockListsTest, InvalidListsPerHead) {
  GivenLists lists;
  auto reset = [&] { lists = {2, 2, {0, 2, 3, 3, 4, 5}, {0, 2, 3, 1, 0}}; };
  reset();
  EXPECT_EQ(errorOf(lists, 2), "");
  EXPECT_EQ(errorOf(lists, 1), "given lists: expected 1 set, but got 2");
  lists.offsets[3] = 4;
  EXPECT_EQ(errorOf(lists, 2), "given lists: expected set 1 to begin at 3, where set 0 ends, but got 4");
  reset(), lists.offsets[4] = 2;
  EXPECT_EQ(errorOf(lists, 2), "given lists: expected offset 1 of set 1 between 3 and 5, but got 2");
  reset(), lists.keyBlocks[4] = 4;
  EXPECT_EQ(errorOf(lists, 2), "given lists: expected key blocks from 0 to 3 in row 1 of set 1, but got 4");
  reset(), lists.keyBlocks[1] = 0;
  EXPECT_EQ(errorOf(lists, 2), "given lists: expected ascending key blocks in row 0 of set 0, but got 0 after 0");
}

TEST(BlockListsTest, SetsPerBatchElement) {
  GivenLists lists{4, 1, {0, 1, 1, 2, 2, 3, 3, 4}, {0, 1, 2, 3}};
  EXPECT_EQ(lists.validate(2, 1, 4, 2).message(), "");
  EXPECT_EQ(lists.validate(4, 1, 4, 2).message(), "");
  EXPECT_EQ(lists.validate(2, 1, 4).message(), "given lists: expected 1 or 2 sets, but got 4");
  EXPECT_EQ(lists.validate(2, 1, 4, 3).message(), "given lists: expected 1, 2 or 6 sets, but got 4");
  EXPECT_EQ(lists.validate(1, 1, 4, 3).message(), "given lists: expected 1 or 3 sets, but got 4");
  // What is merged has as many sets as the given lists.
  BlockLists none = BlockLists::fromClassified(1, 1, 4, {0, 0}, {});
  BlockLists all = BlockLists::fromClassified(2, 1, 4, {0, 4, 4, 8}, {0, 2, 4, 6, 0, 2, 4, 6}, /*given=*/true);
  BlockLists merged = BlockLists::merge(lists, none, all);
  EXPECT_EQ(merged.lists, 4);
  for (int64_t pair = 0; pair < 4; ++pair) {
    EXPECT_EQ(merged.setOf(pair), pair);
    EXPECT_EQ(merged.entries[merged.starts[pair]], pair * 4 + BlockLists::kGiven);
  }
}

TEST(BlockListsTest, FromClassified) {
  // Set 0: {0 full, 1 partial}, {}; set 1: {2 full}, {0 partial, 1 full, 2 full}.
  BlockLists lists = BlockLists::fromClassified(2, 2, 3, {0, 2, 2, 2, 3, 6}, {0, 3, 4, 1, 2, 4});
  EXPECT_EQ(lists.offsets, (std::vector<int32_t>{0, 2, 2, 0, 1, 4}));
  EXPECT_EQ(lists.starts, (std::vector<int64_t>{0, 2, 6}));
  EXPECT_EQ(lists.entries, (std::vector<int32_t>{0, 5, 8, 1, 4, 8}));
  EXPECT_EQ(lists.schedule, (std::vector<int32_t>{0, 1, 1, 0}));
  EXPECT_EQ(lists.visited, (std::vector<uint8_t>{1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(lists.countEntries(0), 2);
  EXPECT_EQ(lists.countEntries(1), 4);
  EXPECT_DOUBLE_EQ(lists.blockDensity(), 0.5);
  EXPECT_EQ(lists.setOf(1), 1);
}

TEST(BlockListsTest, GivenEntriesAreMarked) {
  BlockLists lists = BlockLists::fromClassified(1, 1, 2, {0, 2}, {0, 3}, /*given=*/true);
  EXPECT_EQ(lists.entries, (std::vector<int32_t>{BlockLists::kGiven, 4 | BlockLists::kGiven | BlockLists::kPartial}));
  EXPECT_EQ(lists.setOf(5), 0) << "one set serves all heads";
}

TEST(BlockListsTest, EqualRowsKeepTheirOrder) {
  BlockLists lists = BlockLists::fromClassified(1, 4, 2, {0, 1, 3, 4, 6}, {0, 0, 2, 0, 0, 2});
  EXPECT_EQ(lists.schedule, (std::vector<int32_t>{1, 3, 0, 2}));
}

TEST(BlockListsTest, NoBlocks) {
  BlockLists lists = BlockLists::fromClassified(1, 0, 0, {0}, {});
  EXPECT_EQ(lists.blockDensity(), 0);
  EXPECT_TRUE(lists.schedule.empty());
}

TEST(BlockListsTest, MergeTakesEachPairFromOneSide) {
  BlockLists absent = BlockLists::fromClassified(1, 2, 4, {0, 2, 4}, {1, 6, 0, 7});
  BlockLists present = BlockLists::fromClassified(1, 2, 4, {0, 4, 4}, {0, 2, 5, 6}, /*given=*/true);
  BlockLists merged = BlockLists::merge(makeLists(), absent, present);
  // Row 0 names {0, 2}: 0 and 2 from `present`, 3 from `absent`. Row 1 names {3}: gone; 0 stays.
  EXPECT_EQ(merged.offsets, (std::vector<int32_t>{0, 3, 4}));
  EXPECT_EQ(merged.entries, (std::vector<int32_t>{0 * 4 + 2, 2 * 4 + 3, 3 * 4, 0 * 4}));
  EXPECT_EQ(merged.visited, (std::vector<uint8_t>{1, 0, 1, 1}));
  EXPECT_EQ(merged.schedule, (std::vector<int32_t>{0, 1}));
}

/// A random row of distinct ascending blocks.
std::vector<int32_t> makeRow(std::mt19937 &engine, int64_t blocks) {
  std::vector<int32_t> row;
  for (int64_t block = 0; block < blocks; ++block)
    if (engine() % 2)
      row.push_back(block);
  return row;
}

BlockLists makeRandom(std::mt19937 &engine, int64_t lists, int64_t queries, int64_t keys, bool given) {
  std::vector<int32_t> offsets, entries;
  for (int64_t set = 0; set < lists; ++set) {
    offsets.push_back(entries.size());
    for (int64_t row = 0; row < queries; ++row) {
      for (int32_t block : makeRow(engine, keys))
        entries.push_back(block * 2 + engine() % 2);
      offsets.push_back(entries.size());
    }
  }
  return BlockLists::fromClassified(lists, queries, keys, offsets, entries, given);
}

/// The entry of a pair of blocks; -1 for none.
int32_t entryOf(const BlockLists &lists, int64_t head, int64_t query, int64_t key) {
  int64_t set = lists.setOf(head);
  const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + query;
  for (int32_t i = offsets[0]; i < offsets[1]; ++i)
    if (int32_t entry = lists.entries[lists.starts[set] + i]; entry >> 2 == key)
      return entry;
  return -1;
}

TEST(BlockListsTest, RandomMerges) {
  std::mt19937 engine(1);
  for (int round = 0; round < 200; ++round) {
    int64_t heads = 1 + engine() % 3, queries = 1 + engine() % 5, keys = 1 + engine() % 6;
    auto sets = [&] { return engine() % 2 ? heads : 1; };
    BlockLists absent = makeRandom(engine, sets(), queries, keys, false);
    BlockLists present = makeRandom(engine, sets(), queries, keys, true);
    GivenLists given;
    given.lists = sets(), given.queryBlocks = queries;
    std::set<std::array<int64_t, 3>> named;
    for (int64_t set = 0; set < given.lists; ++set) {
      given.offsets.push_back(given.keyBlocks.size());
      for (int64_t row = 0; row < queries; ++row) {
        for (int32_t block : makeRow(engine, keys))
          given.keyBlocks.push_back(block), named.insert({set, row, block});
        given.offsets.push_back(given.keyBlocks.size());
      }
    }
    ASSERT_TRUE(given.validate(heads, queries, keys));
    BlockLists merged = BlockLists::merge(given, absent, present);
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t query = 0; query < queries; ++query)
        for (int64_t key = 0; key < keys; ++key) {
          bool held = named.contains({given.lists == 1 ? 0 : head, query, key});
          EXPECT_EQ(entryOf(merged, head, query, key), entryOf(held ? present : absent, head, query, key));
        }
  }
}

} // namespace
