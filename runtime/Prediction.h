// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which key blocks the queries and keys of a call select.

#ifndef WEFT_RUNTIME_PREDICTION_H
#define WEFT_RUNTIME_PREDICTION_H

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::rt {

/// Operand of the generated pool functions: 8-byte slots.
struct PoolArgs {
  const void *source;
  int64_t stride;
  const int32_t *table;
  int64_t first, count;
  float *mean;
};

/// Operand of the generated score function: 8-byte slots.
struct ScoreArgs {
  const float *query, *keys;
  float *scores;
};

/// The blocks of a partition cut into pools: see weft::PoolPartition.
struct TokenPools {
  std::vector<int32_t> offsets, firstPool;
  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

/// The share of the scores, the share of their mass, or the bound.
enum class SelectionRule { TopK, TopP, Threshold };

/// How a kernel predicts its block lists.
struct Prediction {
  SelectionRule rule = SelectionRule::TopK;
  /// Key blocks of a query block at least.
  int64_t min = 0;
  /// What the rule asks for, unless parameter number `parameter` says it.
  double amount = 0;
  int64_t parameter = -1;
  TokenPools query, key;
  void (*poolQueries)(const PoolArgs *) = nullptr;
  void (*poolKeys)(const PoolArgs *) = nullptr;
  void (*score)(const ScoreArgs *) = nullptr;

  /// What the amount must be, for messages; empty if it is that.
  std::string expectedAmount(double value) const;
};

/// ceil(share * count), with products that are almost whole numbers taken for these.
int64_t shareOf(double share, int64_t count);

/// Appends the key blocks that a rule selects from a row of scores, in ascending order, to `blocks`: the greatest, of
/// equal scores that with the lower index. NaN counts as +inf. Overwrites NaN in `scores`.
void selectBlocks(const Prediction &prediction, double amount, std::span<float> scores, std::vector<int32_t> &blocks);

} // namespace weft::rt

#endif // WEFT_RUNTIME_PREDICTION_H
