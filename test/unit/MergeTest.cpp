// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of merging: pools of keys, slots, blocks, lists, values and biases.

#include "runtime/Merge.h"

#include "runtime/Kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace weft::rt;

namespace {

using Ints = std::vector<int32_t>;

/// Blocks of two tokens, in the order of the sequence; a token's t is its index, h and w are 0.
TokenBlocks makeBlocks(int32_t count) {
  TokenBlocks blocks;
  blocks.tokens = 2 * count;
  for (int32_t block = 0; block <= count; ++block)
    blocks.offsets.push_back(2 * block);
  blocks.table.resize(4 * blocks.tokens + TokenBlocks::kTablePadding);
  for (int32_t token = 0; token < blocks.tokens; ++token)
    blocks.table[token] = blocks.table[blocks.tokens + token] = token;
  return blocks;
}

/// Classified lists over three query blocks and four key blocks; an entry is key block * 2 + partial.
BlockLists makeLists(Ints offsets, Ints entries) {
  BlockLists lists = BlockLists::fromClassified(1, 3, 4, offsets, entries);
  lists.findPools(), lists.findKeyPools();
  return lists;
}

TEST(Merge, KeyBlocksThatTheSameQueriesVisitAreOnePool) {
  // Query block 0 visits 0, 1, 3; block 1 visits 0, 1, and 2 partially; block 2 visits nothing.
  BlockLists lists = makeLists({0, 3, 6, 6}, {0, 2, 6, 0, 2, 5});
  EXPECT_EQ(lists.keyPoolOf, (Ints{0, 0, -1, 3}));
  // Two sets, the second of which has every pair of blocks.
  lists = BlockLists::fromClassified(2, 1, 2, {0, 1, 1, 3}, {2, 0, 2});
  lists.findKeyPools();
  EXPECT_EQ(lists.keyPoolOf, (Ints{0, 1, 0, 0}));
}

struct Problem {
  TokenBlocks queries = makeBlocks(3), keys = makeBlocks(4);
  BlockLists lists;
  QueryPlaces places;
  PooledRows rows;

  explicit Problem(BlockLists made, Ints listed = {0, 1, 2, 3, 4, 5})
      : lists(std::move(made)), places(queries.offsets, std::span(queries.table).first(queries.tokens)),
        rows(lists, 0, places, listed) {}
};

TEST(Merge, RowsMergeWithinPoolsOfWholeBlocks) {
  // Blocks 0 and 2 are one pool, block 1 has a partial entry.
  Problem problem(makeLists({0, 2, 3, 5}, {0, 2, 1, 0, 2}));
  MergedRows merged =
      mergeRows(problem.lists, 0, problem.places, problem.queries, problem.rows, Ints{0, 0, 2, 2, 0, 5});
  // Token 4 has the donor 0, as token 1; 2 and 3 are equal but their pool is partial.
  EXPECT_EQ(merged.plan.rows.offsets, (Ints{0, 2, 4, 4}));
  EXPECT_EQ(merged.plan.rows.positions, (Ints{0, 5, 2, 3}));
  EXPECT_EQ(merged.tokens.offsets, (Ints{0, 3, 4, 5, 6}));
  EXPECT_EQ(merged.tokens.members, (Ints{0, 1, 4, 5, 2, 3}));
  EXPECT_EQ(countPairs(problem.rows, ListView(problem.lists, 0, problem.keys)), 4 * 4 + 2 * 2);
  EXPECT_EQ(countPairs(merged.plan.rows, ListView(problem.lists, 0, problem.keys)), 2 * 4 + 2 * 2);
}

TEST(Merge, ADonorNeedNotBeListed) {
  Problem problem(makeLists({0, 1, 2, 3}, {0, 0, 0}), {5, 3});
  MergedRows merged =
      mergeRows(problem.lists, 0, problem.places, problem.queries, problem.rows, Ints{0, 0, 0, 0, 0, 0});
  EXPECT_EQ(merged.tokens.positions, (Ints{3}));
  EXPECT_EQ(merged.tokens.members, (Ints{3, 5}));
}

TEST(Merge, KeysMergeWithinPools) {
  // The pools of keys are {0, 1}, {2} and, by a partial entry, 3.
  Problem problem(makeLists({0, 4, 6, 6}, {0, 2, 4, 7, 0, 2}));
  MergedKeys merged = mergeKeys(problem.lists, 0, problem.keys, problem.rows, Ints{0, 0, 2, 0, 0, 0, 6, 6});
  // Tokens 0, 1, 3 are one key, though 4 and 5 of the other pool have the same donor; 6 and 7 do not merge.
  EXPECT_EQ(merged.tokens.positions, (Ints{0, 2, 4, 6, 7}));
  EXPECT_EQ(merged.tokens.members, (Ints{0, 1, 3, 2, 4, 5, 6, 7}));
  EXPECT_EQ(merged.blocks, (Ints{0, 2, 3, 5}));
  EXPECT_EQ(Ints(merged.table.begin(), merged.table.begin() + 5), (Ints{0, 2, 4, 6, 7}));
  EXPECT_EQ(Ints(merged.table.begin() + 8, merged.table.begin() + 13), (Ints{0, 2, 4, 6, 7}));
  // Entries are block * 4 + partial: 0, 1, 2 and the partial one for the first queries, 0 for the second.
  EXPECT_EQ(merged.listOffsets, (Ints{0, 3, 4, 4}));
  EXPECT_EQ(merged.entries, (Ints{0, 4, 2 * 4 + 1, 0}));
  EXPECT_EQ(merged.visited, (std::vector<uint8_t>{1, 1, 1, 0}));
  EXPECT_EQ(merged.biases.size(), 5u);
  EXPECT_EQ(countPairs(problem.rows, ListView(merged)), 2 * 5 + 2 * 2);
}

TEST(Merge, APoolFillsBlocks) {
  // All four blocks are one pool: of eight keys five stay, in blocks of two.
  Problem problem(makeLists({0, 4, 8, 12}, {0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6}));
  MergedKeys merged = mergeKeys(problem.lists, 0, problem.keys, problem.rows, Ints{0, 0, 2, 2, 4, 4, 6, 7});
  EXPECT_EQ(merged.blocks, (Ints{0, 2, 4, 5}));
  EXPECT_EQ(merged.listOffsets, (Ints{0, 3, 3, 3})) << "for the first query block of the only pool";
  EXPECT_EQ(merged.entries, (Ints{0, 4, 8}));
  // Without rows nothing is visited.
  Problem none(problem.lists, {});
  merged = mergeKeys(none.lists, 0, none.keys, none.rows, Ints{0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_TRUE(merged.entries.empty());
  EXPECT_EQ(merged.visited, (std::vector<uint8_t>(4, 0)));
}

TEST(Merge, ValuesAndBiases) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Problem problem(makeLists({0, 4, 8, 12}, {0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6}));
  MergedKeys merged = mergeKeys(problem.lists, 0, problem.keys, problem.rows, Ints{0, 0, 0, 0, 4, 4, 6, 7});
  std::vector<float> values = {1, 2, 3, 6, 10, 20, 7, 8}, target(8, -1), biases = {0, 5, 0, 5, 0, 5, 2, 5};
  ValueTask task{merged, DType::F32, 1, {reinterpret_cast<const std::byte *>(values.data()), 1}, nullptr, 0,
                 reinterpret_cast<std::byte *>(target.data())};
  task.run(0, merged.tokens.count());
  EXPECT_EQ(target, (std::vector<float>{3, -1, -1, -1, 15, -1, 7, 8}));
  EXPECT_FLOAT_EQ(merged.biases[0], std::log(4.0f));
  EXPECT_FLOAT_EQ(merged.biases[1], std::log(2.0f));
  EXPECT_EQ(merged.biases[2], 0);
  // Every second number of this memory is a bias.
  biases = {0, 9, std::log(2.0f), 9, -infinity, 9, std::log(5.0f), 9, -infinity, 9, -infinity, 9, 3, 9, infinity, 9};
  task.bias = biases.data(), task.biasStride = 2;
  task.run(0, merged.tokens.count());
  EXPECT_FLOAT_EQ(merged.biases[0], std::log(8.0f));
  EXPECT_FLOAT_EQ(target[0], (1 + 2 * 2 + 5 * 6) / 8.0f);
  EXPECT_EQ(merged.biases[1], -infinity);
  EXPECT_EQ(target[4], 15) << "a finite number that nobody sees";
  EXPECT_EQ(merged.biases[2], 3);
  EXPECT_EQ(merged.biases[3], infinity);
  biases[2] = std::nanf("");
  task.run(0, 1);
  EXPECT_TRUE(std::isnan(merged.biases[0]));
}

} // namespace
