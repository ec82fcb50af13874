// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Candidates of the search for budgets, and the operators that make new ones.

#ifndef WEFT_LIB_SEARCH_GENES_H
#define WEFT_LIB_SEARCH_GENES_H

#include "runtime/Status.h"

#include <cstdint>
#include <random>
#include <vector>

namespace weft::search {

/// A budget for each step in tenths, from 0 to 10; the first is 10.
using Genes = std::vector<int>;
constexpr int kFull = 10;

/// Random numbers that are the same everywhere: the standard leaves its distributions to the library.
class Random {
public:
  explicit Random(uint64_t seed) : engine(seed) {}
  /// From 0 to count - 1.
  int64_t below(int64_t count) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(count)); }
  bool chance(double probability) { return static_cast<double>(engine() >> 11) * 0x1p-53 < probability; }

private:
  std::mt19937_64 engine;
};

/// The least and the greatest sum of a candidate's genes.
struct Bounds {
  int64_t low = 0, high = 0;

  /// Within `tolerance` x target of `target`, the mean budget; an error if no candidate of `steps` genes is.
  static rt::Result<Bounds> around(double target, double tolerance, int64_t steps);
};

Genes randomGenes(int64_t steps, Random &random);
/// Each gene from one of the parents.
Genes crossUniformly(const Genes &a, const Genes &b, Random &random);
/// A run of steps from `b`, the others from `a`.
Genes crossBlock(const Genes &a, const Genes &b, Random &random);
/// Each gene becomes a random one with this probability; the first stays.
void mutate(Genes &genes, double probability, Random &random);
/// Moves random genes by one tenth until the sum is within the bounds: as many moves as tenths are missing or too many.
void repair(Genes &genes, Bounds bounds, Random &random);

} // namespace weft::search

#endif // WEFT_LIB_SEARCH_GENES_H
