// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a kernel's block lists cost: density, waste, load balance and floors.

#ifndef WEFT_LIB_EXPLAIN_EXPLAIN_H
#define WEFT_LIB_EXPLAIN_EXPLAIN_H

#include "runtime/Kernel.h"

#include <optional>
#include <string>
#include <vector>

namespace weft::explain {

/// Figures of one head. Shares are of all its pairs of a query and a key token.
struct Head {
  /// Pairs in visited blocks.
  double visited = 0;
  /// Pairs that the mask keeps, over the sampled queries, and what those queries visit.
  std::optional<double> kept, visitedBySample;
  /// Share of the attention mass that the mask keeps, averaged over the sampled queries.
  std::optional<double> recall;
  /// Key blocks in a list.
  int64_t longestList = 0;
  double meanList = 0;
  /// Visited share by frame of the query, and of the text if there is any.
  std::vector<double> frames;
  std::optional<double> text;

  /// Share of the visited pairs that the mask does not keep.
  std::optional<double> waste() const;
};

/// How query blocks spread over workers that take the longest lists first, in visited pairs.
struct Balance {
  int64_t workers = 1;
  /// What the last worker does, over what each would do if all did the same; 1 is perfect.
  double lastOverMean = 1;
};

struct Report {
  std::string name;
  int64_t queryTokens = 0, keyTokens = 0, queryBlocks = 0, keyBlocks = 0;
  /// Queries that `kept` and `recall` are about.
  int64_t sampled = 0;
  std::vector<Head> heads;
  Balance balance;
  /// Of one batch: two products of visited pairs; query, key, value and output once.
  double flop = 0, bytes = 0;
  std::optional<double> milliseconds;
  /// Of the queries and keys at hand, if scores are reused.
  std::optional<rt::ReuseSaving> reuse;
};

/// Key tokens that a query of block `block` visits.
int64_t visitedKeys(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t set, int64_t block);
/// All that follows from the lists alone.
Report explain(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t workers);
/// Visited keys of every query of a head, in the order of the sequence.
std::vector<int64_t> visitedByQuery(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t head);

/// Aligned lines for a person.
std::string toText(const Report &report);
/// One JSON object; figures that are not known or not finite are null.
std::string toJSON(const Report &report);
/// The block map of every set of lists in the kernel's order, partial blocks lighter than full ones.
std::string toSVG(const rt::BlockLists &lists);

} // namespace weft::explain

#endif // WEFT_LIB_EXPLAIN_EXPLAIN_H
