// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Block lists: which key blocks each query block visits, as kernels read them and as callers give them.

#ifndef WEFT_RUNTIME_BLOCKLISTS_H
#define WEFT_RUNTIME_BLOCKLISTS_H

#include "runtime/Status.h"

#include <cstdint>
#include <vector>

namespace weft::rt {

/// Lists that a caller passes for `given`, in the kernel's own partition.
///
/// Query block i of set l names the key blocks `keyBlocks[offsets[l * (queryBlocks + 1) + i]]` up to the next offset,
/// in strictly ascending order.
struct GivenLists {
  /// One set for all heads, one per head, or one per batch element and head.
  int64_t lists = 1;
  int64_t queryBlocks = 0;
  std::vector<int64_t> offsets;
  std::vector<int32_t> keyBlocks;

  /// A set begins where the one before it ends. Checks every offset and block against a kernel of `heads` heads and
  /// these numbers of blocks, called for `batch` elements.
  Status validate(int64_t heads, int64_t expectedQueryBlocks, int64_t numKeyBlocks, int64_t batch = 1) const;
};

/// Lists as kernels read them: an entry is `key block * 4 + given * 2 + partial`.
struct BlockLists {
  int64_t lists = 0, queryBlocks = 0, keyBlocks = 0;
  /// lists x (queryBlocks + 1), counted from each set's first entry.
  std::vector<int32_t> offsets;
  /// Where each set's entries begin, and their end.
  std::vector<int64_t> starts;
  std::vector<int32_t> entries;
  /// lists x queryBlocks: each set's query blocks, longest list first.
  std::vector<int32_t> schedule;
  /// lists x keyBlocks: whether any query block of the set visits a key block.
  std::vector<uint8_t> visited;
  /// lists x queryBlocks: the first query block of the set with the same list, which names a pool of blocks whose rows
  /// may be computed together. Empty until findPools().
  std::vector<int32_t> poolOf;
  /// lists x keyBlocks: the first key block of the set that the same query blocks visit, which names a pool of blocks
  /// whose keys may be merged; -1 if an entry names the block as partial. Empty until findKeyPools().
  std::vector<int32_t> keyPoolOf;

  static constexpr int32_t kPartial = 1, kGiven = 2;

  /// From sets of `key block * 2 + partial` as the compiler makes them; offsets run through all sets.
  static BlockLists fromClassified(int64_t lists, int64_t queryBlocks, int64_t keyBlocks,
                                   const std::vector<int32_t> &offsets, const std::vector<int32_t> &entries,
                                   bool given = false);

  /// A pair of blocks takes its entry from `present` if `given` names it, else from `absent`.
  static BlockLists merge(const GivenLists &given, const BlockLists &absent, const BlockLists &present);

  /// Set i is that of head `i mod heads` in source `i mod number of sources`, whose lists have one set or one per head.
  /// Sources have the same blocks.
  static BlockLists gather(const std::vector<const BlockLists *> &sources, int64_t heads);

  void findPools();
  void findKeyPools();

  /// The set of a `pair` = batch element * heads + head.
  int64_t setOf(int64_t pair) const { return pair % lists; }
  /// Visited pairs of one set.
  int64_t countEntries(int64_t set) const { return starts[set + 1] - starts[set]; }
  /// Share of all pairs of blocks that are visited, over all sets.
  double blockDensity() const;

private:
  void finish();
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_BLOCKLISTS_H
