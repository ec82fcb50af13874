// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows: the query tokens that a call computes, and how they are cut into work.
//
// A query block is computed together because its rows visit the same key blocks. Rows
// of two blocks with equal lists do so too: all such blocks are one pool, and the rows
// of a pool fill blocks of their own, however they are scattered. A dense attention
// with half of its rows is half of the blocks, not all of them half full.

#ifndef WEFT_RUNTIME_ROWS_H
#define WEFT_RUNTIME_ROWS_H

#include "runtime/BlockLists.h"
#include "runtime/Tensor.h"

#include <cstdint>
#include <span>
#include <vector>

namespace weft::rt {

/// Rows that a caller selects: views of its memory.
struct RowLists {
  /// i32 [batch or 1, heads or 1, capacity]: positions in the sequence, in any order.
  Tensor indices;
  /// i32 [batch or 1, heads or 1]: how many of the indices count.
  Tensor counts;

  /// Checks types and shapes.
  Status validateShapes(int64_t batch, int64_t heads) const;
  /// Checks types, shapes, counts and indices, none of which may come twice.
  Status validate(int64_t batch, int64_t heads, int64_t tokens) const;

  /// Sets of rows, in the order of batches, then heads.
  int64_t sets() const { return counts.shape[0] * counts.shape[1]; }
  int64_t setOf(int64_t batch, int64_t head) const {
    return (counts.shape[0] == 1 ? 0 : batch) * counts.shape[1] + (counts.shape[1] == 1 ? 0 : head);
  }
  /// The rows of a set.
  std::vector<int32_t> tokensOf(int64_t set) const;
};

/// A partition of the query tokens, as the rows' plan sees it.
struct QueryPlaces {
  /// Block i holds positions offsets[i] .. offsets[i + 1] - 1 in block order.
  std::vector<int32_t> offsets;
  /// By sequence position: the position in block order.
  std::vector<int32_t> positionOf;

  QueryPlaces() = default;
  /// `tokens` are the sequence positions in block order.
  QueryPlaces(std::span<const int32_t> offsets, std::span<const int32_t> tokens);
  /// Tokens of the largest block.
  int64_t largestBlock() const;
};

/// Rows of one pool that are computed together, with the list of query block `block`.
struct RowChunk {
  int32_t block, begin, count;
};

/// The rows of one set by pool.
struct PooledRows {
  /// Rows of the pool whose first query block is i are offsets[i] .. offsets[i + 1] - 1.
  std::vector<int32_t> offsets;
  /// Positions in block order, ascending in each pool.
  std::vector<int32_t> positions;

  PooledRows() = default;
  /// Sorts the tokens into the pools of one set of lists, which has found its pools.
  PooledRows(const BlockLists &lists, int64_t set, const QueryPlaces &places, std::span<const int32_t> tokens);

  /// Cuts the pools into chunks of at most `most` rows.
  std::vector<RowChunk> cut(int64_t most) const;
};

/// The work that rows of one set are, with one set of lists.
struct RowPlan {
  PooledRows rows;
  /// Most work first.
  std::vector<RowChunk> chunks;
  /// By key block: whether a row visits it.
  std::vector<uint8_t> visited;

  RowPlan(const BlockLists &lists, int64_t set, const QueryPlaces &places, PooledRows rows);
  RowPlan(const BlockLists &lists, int64_t set, const QueryPlaces &places, std::span<const int32_t> tokens)
      : RowPlan(lists, set, places, PooledRows(lists, set, places, tokens)) {}
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_ROWS_H
