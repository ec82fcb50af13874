// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Crossover, mutation and repair.

#include "lib/Search/Genes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace weft;
using namespace weft::search;

rt::Result<Bounds> Bounds::around(double target, double tolerance, int64_t steps) {
  // A tenth of 0.3 x 10 steps is 3, not the 3.0000000000000004 that doubles make of it.
  constexpr double slack = 1e-9;
  double wanted = target * steps * kFull;
  int64_t low = static_cast<int64_t>(std::ceil((1 - tolerance) * wanted - slack));
  int64_t high = static_cast<int64_t>(std::floor((1 + tolerance) * wanted + slack));
  Bounds bounds{std::max<int64_t>(low, kFull), std::min<int64_t>(high, steps * kFull)};
  if (bounds.low <= bounds.high)
    return bounds;
  return rt::Status::error(fmt::format("target: expected a mean budget that tenths of {} steps reach, the first step "
                                       "full, but got {} with a tolerance of {}",
                                       steps, target, tolerance));
}

Genes search::randomGenes(int64_t steps, Random &random) {
  Genes genes(steps, kFull);
  for (int64_t i = 1; i < steps; ++i)
    genes[i] = static_cast<int>(random.below(kFull + 1));
  return genes;
}

Genes search::crossUniformly(const Genes &a, const Genes &b, Random &random) {
  Genes child = a;
  for (size_t i = 0; i < child.size(); ++i)
    if (random.below(2))
      child[i] = b[i];
  return child;
}

Genes search::crossBlock(const Genes &a, const Genes &b, Random &random) {
  Genes child = a;
  int64_t steps = static_cast<int64_t>(a.size());
  int64_t begin = random.below(steps), end = begin + 1 + random.below(steps - begin);
  std::copy(b.begin() + begin, b.begin() + end, child.begin() + begin);
  return child;
}

void search::mutate(Genes &genes, double probability, Random &random) {
  for (size_t i = 1; i < genes.size(); ++i)
    if (random.chance(probability))
      genes[i] = static_cast<int>(random.below(kFull + 1));
}

void search::repair(Genes &genes, Bounds bounds, Random &random) {
  genes[0] = kFull;
  int64_t sum = std::accumulate(genes.begin(), genes.end(), int64_t(0));
  while (sum < bounds.low || sum > bounds.high) {
    int step = sum < bounds.low ? 1 : -1, end = step > 0 ? kFull : 0;
    std::vector<size_t> movable;
    for (size_t i = 1; i < genes.size(); ++i)
      if (genes[i] != end)
        movable.push_back(i);
    genes[movable[random.below(static_cast<int64_t>(movable.size()))]] += step;
    sum += step;
  }
}
