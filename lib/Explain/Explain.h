// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a kernel's block lists cost: density, waste, load balance and floors.

#ifndef WEFT_LIB_EXPLAIN_EXPLAIN_H
#define WEFT_LIB_EXPLAIN_EXPLAIN_H

#include "lib/Explain/Picture.h"
#include "runtime/Kernel.h"

#include <array>
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
  /// Share of the pairs of a query and any key that is not computed, by frame of the query, and of the text: what the
  /// mask leaves out and what is merged.
  std::vector<double> savedFrames;
  std::optional<double> savedText;
  /// Share of the values of queries and of keys that are a neighbour's, by frame; empty if scores are not reused.
  std::vector<double> queryReuseFrames, keyReuseFrames;

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
  /// What the program asks for: the share of key blocks that `topk` keeps of each query block, and the share of rows.
  std::optional<double> nominal, nominalRows;
  /// Of one batch: two products of visited pairs; query, key, value and output once.
  double flop = 0, bytes = 0;
  std::optional<double> milliseconds;
  /// Of the dense kernel on the same tensors in the same run, and what it lets expect: its time, times the share of its
  /// pairs that is computed, times the load of the last of the call's threads over what that is of the dense kernel.
  std::optional<double> denseMilliseconds, predictedMilliseconds;
  /// Of the queries and keys at hand, if scores are reused.
  std::optional<rt::ReuseSaving> reuse;

  /// The mean over heads.
  double visited() const;
};

/// Key tokens that a query of block `block` visits.
int64_t visitedKeys(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t set, int64_t block);
/// All that follows from the lists alone.
Report explain(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t workers);
/// Visited keys of every query of a head, in the order of the sequence.
std::vector<int64_t> visitedByQuery(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t head);

/// One head's tokens by sequence position: the share of a query's pairs that is not computed; if scores are reused, the
/// shares of the values of a query and of a key that are a neighbour's.
struct TokenShares {
  std::vector<double> saved, queryReuse, keyReuse;
};
/// Of all heads; `reuse` has the first batch element's, if scores are reused.
std::vector<TokenShares> sharesOfTokens(const rt::KernelImage &image, const rt::BlockLists &lists,
                                        const std::vector<rt::TokenReuse> *reuse);
void addSavings(const rt::KernelImage &image, const std::vector<TokenShares> &tokens, Report &report);

/// Loads of `workers` over those of a dense attention of the same shape.
double imbalanceToDense(const rt::KernelImage &image, const rt::BlockLists &lists, const rt::KernelImage &dense,
                        const rt::BlockLists &denseLists, int64_t workers);

/// Shares [t, h, w] of the tokens of a video.
struct TokenField {
  std::array<int64_t, 3> extents = {0, 0, 0};
  std::vector<double> shares;
};
/// For each head the field of its queries and that of its keys if scores are reused, else what its queries save.
std::vector<TokenField> savingsFields(const rt::KernelImage &image, const std::vector<TokenShares> &tokens);

/// Aligned lines for a person.
std::string toText(const Report &report);
/// One JSON object; figures that are not known or not finite are null.
std::string toJSON(const Report &report);

/// The block map of every set of lists in the kernel's order, partial blocks lighter than full ones.
Picture blockMapPicture(const rt::BlockLists &lists);
/// The same in the order of the sequence, cut into as many runs as there are blocks: the darker, the more of the pairs
/// of two runs are visited.
Picture rasterMapPicture(const rt::KernelImage &image, const rt::BlockLists &lists);
/// A row of frames for each field, a cell for each token: the darker, the greater its share.
Picture savingsPicture(const std::vector<TokenField> &fields);

} // namespace weft::explain

#endif // WEFT_LIB_EXPLAIN_EXPLAIN_H
