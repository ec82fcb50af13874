// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Astraea's evolutionary search for the share of tokens that each denoising step computes anew.

#ifndef WEFT_LIB_SEARCH_SEARCH_H
#define WEFT_LIB_SEARCH_SEARCH_H

#include "lib/Search/Genes.h"

#include <functional>
#include <map>
#include <optional>

namespace weft::search {

/// What decides the course of a search; the defaults are those of Astraea (arXiv 2506.05096).
struct Options {
  int64_t steps = 50;
  /// The mean budget, and how far a candidate may be from it, as a share of it.
  double target = 0.5, tolerance = 0.1;
  int64_t population = 50, offspring = 30, generations = 30;
  /// Probability that a gene mutates, in the first generation and in the last.
  double mutationFirst = 0.1, mutationLast = 0.01;
  uint64_t seed = 1;

  rt::Status validate() const;
};

/// How good a candidate is: smaller is better. Called from several threads at once.
using Fitness = std::function<rt::Result<double>(const Genes &)>;

/// The fitness of every candidate evaluated so far; nothing for those whose evaluation failed.
using Evaluations = std::map<Genes, std::optional<double>>;

/// How far a search is.
struct Progress {
  int64_t generation = 0, evaluated = 0;
  /// Evaluations that are still to come at most.
  int64_t left = 0;
  std::optional<double> best;
};

/// How a search is run; nothing here changes its result.
struct Settings {
  int workers = 1;
  /// A failed evaluation is infinitely bad instead of ending the search. (This one can change a result.)
  bool keepGoing = false;
  /// What earlier runs of this search evaluated: it is not evaluated again, so a search that was cut off goes on.
  Evaluations known;
  /// Called after each evaluation, from one thread at a time; an error ends the search.
  std::function<rt::Status(const Evaluations &, const Progress &)> evaluated;
  /// Asked before each evaluation; an evaluation that ends after it became true is dropped if it failed.
  std::function<bool()> stopped;
};

struct Outcome {
  Genes genes;
  double fitness = 0;
  int64_t evaluations = 0;
};

/// The best candidate, or why there is none. Depends on `options` and `fitness` only, not on the number of workers.
rt::Result<Outcome> run(const Options &options, const Fitness &fitness, Settings settings);

/// The message of the error that run() returns when it was stopped.
constexpr const char *kStopped = "the search was stopped";

} // namespace weft::search

#endif // WEFT_LIB_SEARCH_SEARCH_H
