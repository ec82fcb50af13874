// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse: tokens that take the values of neighbours.
//
// A token's donor lies in the token's own cell of window x window x window tokens, and
// before it in raster order. So the cells of one strip along w are snapped in raster
// order, every token from the finished row of the first token of its window, and
// strips do not wait for each other.

#ifndef WEFT_RUNTIME_REUSE_H
#define WEFT_RUNTIME_REUSE_H

#include "runtime/Tensor.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weft::rt {

/// The video tokens of a sequence, and the axes along which windows lie.
struct SnapGrid {
  /// Tokens along t, h and w.
  std::array<int64_t, 3> extents = {1, 1, 1};
  std::array<bool, 3> axes = {false, false, false};
  /// Sequence position of the first video token.
  int64_t begin = 0;

  bool snaps() const { return axes[0] || axes[1] || axes[2]; }
  int64_t videoTokens() const { return extents[0] * extents[1] * extents[2]; }
};

/// How a kernel reuses scores: see weft.snap.
struct Reuse {
  int64_t window = 2;
  /// Tokens take all channels of a neighbour or none, and equal ones are computed once.
  bool whole = false;
  /// No mask, list or choice of rows tells tokens apart.
  bool isOnePool = false;
  /// Such queries and keys have windows of two, and no bias.
  bool isByCells = false;
  /// The bound on deviations, unless parameter number `parameter` says it.
  double threshold = 0;
  int64_t parameter = -1;
  SnapGrid query, key;

  bool mergesQueries() const { return whole && query.snaps(); }
  bool mergesKeys() const { return whole && key.snaps(); }
  /// What the threshold must be, for messages; empty if it is that.
  static std::string expectedThreshold(double value);
};

/// What a call saves, over all its heads.
struct ReuseSaving {
  /// Of a kernel that snaps tokens whole.
  bool whole = false;
  /// Share of the queries and keys, or of their values where channels are snapped, that are a neighbour's.
  double queries = 0, keys = 0;
  /// Share of the visited pairs of queries and keys that is not computed.
  double work = 0;

  /// One line for a person.
  std::string describe() const;
};

/// What savings are shares of, added up over heads.
struct ReuseCounts {
  double queries = 0, mergedQueries = 0, keys = 0, mergedKeys = 0, pairs = 0, computedPairs = 0;

  ReuseSaving share(bool whole) const;
};

/// One head's tokens: rows of contiguous channels.
struct TokenRows {
  const std::byte *data = nullptr;
  /// Elements from one row to the next.
  int64_t stride = 0;
};

/// The snapping of one head.
struct SnapTask {
  const SnapGrid &grid;
  int64_t window;
  bool whole;
  double threshold;
  DType dtype;
  int64_t tokens, channels;
  TokenRows source;
  /// Contiguous rows of `channels` elements.
  std::byte *target;
  /// By sequence position, if tokens are snapped whole: the position whose row a token takes.
  int32_t *donors;
  /// By sequence position, if wanted: how many of a token's values are a neighbour's.
  int32_t *replaced = nullptr;

  /// Parts that may run at the same time.
  int64_t countItems() const;
  /// Writes the rows of one part, and returns how many of their values are a neighbour's.
  int64_t run(int64_t item) const;
};

/// What one head saves, by sequence position.
struct TokenReuse {
  /// Channels that are a neighbour's.
  std::vector<int32_t> queryValues, keyValues;
  /// Keys that are computed for a query: 0 for one that another one's result is copied to.
  std::vector<int64_t> computedKeys;
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_REUSE_H
