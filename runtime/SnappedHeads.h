// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The heads in flight of a call that reuses scores: their snapped tokens and what was merged of them.

#ifndef WEFT_RUNTIME_SNAPPEDHEADS_H
#define WEFT_RUNTIME_SNAPPEDHEADS_H

#include "runtime/Kernel.h"
#include "runtime/Merge.h"

#include <optional>

namespace weft::rt {

/// One call's heads, each in a slot. A pair is batch element * heads + head.
class SnappedHeads {
public:
  /// `memory` has bytesPerHead() for each slot. `places` are there if tokens are merged.
  SnappedHeads(const KernelImage &image, const RunArgs &args, const BlockLists &lists, const QueryPlaces &places,
               double threshold, int threads, std::byte *memory);

  static int64_t bytesPerHead(const KernelImage &image);

  /// Snaps queries and keys of `count` heads from `pair` and merges them as far as the kernel does that.
  void snap(int64_t pair, int64_t count);
  /// Merges their values.
  void mergeValues();

  TokenRows query(int64_t slot) const { return slots[slot].query; }
  TokenRows key(int64_t slot) const { return slots[slot].key; }
  TokenRows value(int64_t slot) const { return slots[slot].value; }
  /// Null if queries are not merged.
  const MergedRows *rows(int64_t slot) const { return slots[slot].rows ? &*slots[slot].rows : nullptr; }
  /// Null if keys are not merged.
  const MergedKeys *keys(int64_t slot) const { return slots[slot].keys ? &*slots[slot].keys : nullptr; }

  /// Counts by token as well, from the next snap() on.
  void countTokens() { countsTokens = true; }
  TokenReuse tokenReuse(int64_t slot) const;

  /// Adds what the heads in flight saved to `counts`.
  void count(ReuseCounts &counts) const;

private:
  struct Slot {
    int64_t pair = 0;
    TokenRows query, key, value;
    std::byte *queryMemory, *keyMemory, *valueMemory;
    /// By sequence position.
    std::vector<int32_t> queryDonors, keyDonors;
    std::optional<MergedRows> rows;
    std::optional<MergedKeys> keys;
    /// Values that are a neighbour's.
    int64_t replacedQueries = 0, replacedKeys = 0;
    /// The same by sequence position, if that is wanted.
    std::vector<int32_t> queryValues, keyValues;
    /// Rows of the call before they were merged.
    double numRows = 0, pairs = 0;
  };

  void place(Slot &slot, int64_t pair, int64_t index);
  void snapAll();
  void merge(Slot &slot) const;
  PooledRows pool(const Slot &slot) const;
  int64_t bytesOf(const TokenBlocks &tokens) const;

  const KernelImage &image;
  const Reuse &reuse;
  const RunArgs &args;
  const BlockLists &lists;
  const QueryPlaces &places;
  double threshold;
  int threads;
  std::byte *memory;
  bool countsTokens = false;
  std::vector<Slot> slots;
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_SNAPPEDHEADS_H
