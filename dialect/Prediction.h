// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Predicted block lists: their pools, and the ops that select.

#ifndef WEFT_DIALECT_PREDICTION_H
#define WEFT_DIALECT_PREDICTION_H

#include "dialect/BlockPartition.h"

#include <optional>

namespace weft {

/// The blocks of a partition cut into pools, which are numbered through all blocks.
struct PoolPartition {
  /// Pool p holds tokens[offsets[p]] .. tokens[offsets[p + 1] - 1] of the block partition.
  std::vector<int32_t> offsets;
  /// Block i has the pools firstPool[i] .. firstPool[i + 1] - 1.
  std::vector<int32_t> firstPool;

  int64_t numPools() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

/// Runs of at most `pool` tokens; one pool for each block without it.
PoolPartition partitionPools(const BlockPartition &blocks, std::optional<int64_t> pool);

/// An op that selects block lists from scores, of whichever rule.
struct Selection {
  /// `topk`, `topp` or `threshold`.
  llvm::StringRef rule;
  mlir::Value scores, amount;
  int64_t min = 0;

  /// Nothing if `blocks` has another source.
  static std::optional<Selection> from(mlir::Value blocks);
};

/// What a rule's amount must be, for messages; empty if it is that.
std::string checkAmount(llvm::StringRef rule, double amount);

} // namespace weft

#endif // WEFT_DIALECT_PREDICTION_H
