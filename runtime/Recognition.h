// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which pattern each head takes, by the attention mass that it keeps on a sample of tokens.

#ifndef WEFT_RUNTIME_RECOGNITION_H
#define WEFT_RUNTIME_RECOGNITION_H

#include "runtime/Status.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::rt {

/// The candidate that each head takes: one for all heads, one per head, or one per batch element and head.
struct Choices {
  std::vector<int32_t> candidates;
  /// What decided it: of every choice the recalls of all candidates with a probe, in their order. May be empty.
  std::vector<double> recalls;

  /// The choice of a `pair` = batch element * heads + head.
  int32_t of(int64_t pair) const { return candidates[pair % candidates.size()]; }
  /// Checks the number of choices, and that each is one of `count` candidates.
  Status validate(int64_t heads, int64_t batch, int64_t count) const;
};

/// Operand of the generated recall functions: 8-byte slots, the dynamic parameters last.
struct RecallArgs {
  const void *query;
  int64_t queryStride;
  const int32_t *table;
  int64_t queryFirst, queryCount;
  const int32_t *keyOffsets;
  const void *packedKey;
  int64_t head;
  void *scratch;
  /// The rows' maxima and sums, [1 + candidates][2][rows of a query block]: over all keys, then over each candidate's.
  float *statistics;
  static constexpr int kMaxParameters = 16;
  int64_t parameters[kMaxParameters];
};

/// A sample of tokens, and the candidates whose recall is measured on it.
struct Probe {
  /// "local" or "global".
  std::string name;
  /// As TokenBlocks::table of all tokens, of which the rows' first places alone have a meaning.
  std::vector<int32_t> table;
  /// The sample cut into query and into key blocks: where each begins in a row of the table, and the end.
  std::vector<int32_t> queryOffsets, keyOffsets;
  std::vector<int32_t> candidates;
  void (*recall)(const RecallArgs *) = nullptr;

  int64_t tokens() const { return queryOffsets.back(); }
  int64_t queryBlocks() const { return static_cast<int64_t>(queryOffsets.size()) - 1; }
  int64_t keyBlocks() const { return static_cast<int64_t>(keyOffsets.size()) - 1; }
};

/// How a kernel chooses a candidate for each head.
struct Recognition {
  int64_t candidates = 0;
  /// The last candidate is taken where no other reaches the bound, which is then there.
  bool hasFallback = false;
  bool hasBound = false;
  /// The recall that is asked for, unless parameter number `parameter` says it.
  double bound = 0;
  int64_t parameter = -1;
  double scale = 1;
  /// Rows of `statistics`, and bytes of scratch memory that a recall function needs.
  int64_t rows = 0, scratchBytes = 0;
  std::vector<Probe> probes;

  /// Candidates with a probe.
  int64_t measured() const { return candidates - hasFallback; }
  /// What the bound must be, for messages; empty if it is that.
  std::string expectedBound(double value) const;
};

/// The first candidate with a recall of at least `bound`, else the fallback, or without it the greatest recall, of equal
/// ones the first. NaN counts as 0.
int32_t chooseCandidate(const Recognition &recognition, double bound, std::span<const double> recalls);

} // namespace weft::rt

#endif // WEFT_RUNTIME_RECOGNITION_H
