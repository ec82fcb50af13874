// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens with one donor are computed once.
//
// Keys j with equal rows have equal scores s in every query's row, so with biases b_j
//
//     sum_j exp(s + b_j) v_j = exp(s + b) v,   b = log sum_j exp b_j,   v = sum_j exp(b_j - b) v_j
//
// which is log n and the mean without biases: one key takes the place of n, and
// nothing is approximated. Queries with equal rows have equal outputs. That holds as
// long as the mask does not tell the tokens apart: keys merge within a pool of key
// blocks that the same query blocks visit, queries within a pool of query blocks that
// visit the same key blocks, and neither where an entry is partial.

#ifndef WEFT_RUNTIME_MERGE_H
#define WEFT_RUNTIME_MERGE_H

#include "runtime/BlockLists.h"
#include "runtime/Reuse.h"
#include "runtime/Rows.h"

#include <cstdint>
#include <span>
#include <vector>

namespace weft::rt {

struct TokenBlocks;

/// Slots of equal tokens, in the order of their first ones.
struct MergedTokens {
  /// By slot: where its first token stands in block order.
  std::vector<int32_t> positions;
  /// Slot i stands for the tokens members[offsets[i]] .. members[offsets[i + 1] - 1], by sequence position; the first
  /// of them is the one at positions[i].
  std::vector<int32_t> offsets, members;

  int32_t count() const { return static_cast<int32_t>(positions.size()); }
  std::span<const int32_t> membersOf(int64_t slot) const {
    return std::span(members).subspan(offsets[slot], offsets[slot + 1] - offsets[slot]);
  }
};

/// The rows of one set of a head, those with one donor once.
struct MergedRows {
  MergedTokens tokens;
  RowPlan plan;
};

/// Merges rows within their pools. `donors` are those of the queries, by sequence position.
MergedRows mergeRows(const BlockLists &lists, int64_t set, const QueryPlaces &places, const TokenBlocks &queries,
                     const PooledRows &rows, std::span<const int32_t> donors);

/// A head's keys, those with one donor once, in blocks of their own.
struct MergedKeys {
  MergedTokens tokens;
  /// Block i has the slots blocks[i] .. blocks[i + 1] - 1.
  std::vector<int32_t> blocks;
  /// As TokenBlocks::table, with the first tokens of slots.
  std::vector<int32_t> table;
  /// As BlockLists has them, for the first query block of each pool that has rows.
  std::vector<int32_t> listOffsets, entries;
  /// By block: whether an entry names it.
  std::vector<uint8_t> visited;
  /// By slot, from mergeValues.
  std::vector<float> biases;
};

/// `lists` have found their pools of keys; `rows` are the queries of the call.
MergedKeys mergeKeys(const BlockLists &lists, int64_t set, const TokenBlocks &keys, const PooledRows &rows,
                     std::span<const int32_t> donors);

/// The values that slots first .. last - 1 need.
struct ValueTask {
  MergedKeys &keys;
  DType dtype;
  int64_t channels;
  TokenRows values;
  /// f32 by sequence position, or null: what the caller adds to scores.
  const float *bias;
  int64_t biasStride;
  /// Contiguous rows by sequence position: a slot's is that of its first token.
  std::byte *target;

  void run(int64_t first, int64_t last) const;
};

/// The lists of one set, and the blocks that they name.
struct ListView {
  /// By query block; counted from the first of `entries`.
  std::span<const int32_t> offsets, entries;
  /// Where key blocks begin, and their end.
  std::span<const int32_t> blocks;

  ListView(const BlockLists &lists, int64_t set, const TokenBlocks &keys);
  explicit ListView(const MergedKeys &keys) : offsets(keys.listOffsets), entries(keys.entries), blocks(keys.blocks) {}
};

/// Keys in the list of a query block.
int64_t countColumns(const ListView &lists, int64_t block);

/// Pairs of a query and a key that the rows visit.
double countPairs(const PooledRows &rows, const ListView &lists);

} // namespace weft::rt

#endif // WEFT_RUNTIME_MERGE_H
