// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The generations of a search.
//
// A generation's candidates are made by one thread from the population before it and a random number generator of its
// own, before any of them is evaluated. So the course of a search depends on the values of the fitness alone, never on
// the order in which they arrive: any number of workers gives the same result, and a search that was cut off goes on
// by running from the start with the evaluations that it had.

#include "lib/Search/Search.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

using namespace weft;
using namespace weft::search;

rt::Status Options::validate() const {
  struct Count {
    const char *name;
    int64_t value, least, limit;
  };
  for (auto [name, value, least, limit] :
       {Count{"steps", steps, 1, 100000}, Count{"population", population, 2, 100000},
        Count{"offspring", offspring, 1, 100000}, Count{"generations", generations, 0, 1000000}})
    if (value < least || value > limit)
      return rt::Status::error(fmt::format("{}: expected {} to {}, but got {}", name, least, limit, value));
  struct Share {
    const char *name;
    double value;
  };
  for (auto [name, value] : {Share{"target", target}, Share{"tolerance", tolerance},
                             Share{"mutation-first", mutationFirst}, Share{"mutation-last", mutationLast}})
    if (!(value >= 0 && value <= 1))
      return rt::Status::error(fmt::format("{}: expected a number from 0 to 1, but got {}", name, value));
  return Bounds::around(target, tolerance, steps).status();
}

namespace {

struct Candidate {
  Genes genes;
  double fitness;
};

class Evolution {
public:
  Evolution(const Options &options, Bounds bounds, const Fitness &fitness, Settings run)
      : options(options), bounds(bounds), fitness(fitness), run(std::move(run)) {}

  rt::Result<Outcome> result() {
    for (int64_t generation = 0; generation <= options.generations; ++generation) {
      std::vector<Genes> made = generation ? makeOffspring(generation) : makePopulation();
      if (rt::Status status = evaluate(made, generation); !status)
        return status;
      select(made);
    }
    if (!std::isfinite(population.front().fitness))
      return rt::Status::error("fitness: expected a candidate that can be evaluated, but all failed");
    return Outcome{population.front().genes, population.front().fitness,
                   static_cast<int64_t>(run.known.size())};
  }

private:
  Random randomOf(int64_t generation) const {
    std::seed_seq sequence{static_cast<uint32_t>(options.seed), static_cast<uint32_t>(options.seed >> 32),
                           static_cast<uint32_t>(generation)};
    uint32_t words[2];
    sequence.generate(words, words + 2);
    return Random(words[0] | static_cast<uint64_t>(words[1]) << 32);
  }

  /// Adds candidates that were not seen before; a small space may have no more of them.
  std::vector<Genes> makeDistinct(int64_t count, const std::function<Genes()> &make) {
    std::vector<Genes> made;
    for (int64_t tries = 0; static_cast<int64_t>(made.size()) < count && tries < 20 * count; ++tries) {
      Genes genes = make();
      if (seen.insert(genes).second)
        made.push_back(std::move(genes));
    }
    return made;
  }

  std::vector<Genes> makePopulation() {
    Random random = randomOf(0);
    return makeDistinct(options.population, [&] {
      Genes genes = randomGenes(options.steps, random);
      repair(genes, bounds, random);
      return genes;
    });
  }

  std::vector<Genes> makeOffspring(int64_t generation) {
    Random random = randomOf(generation);
    double progress = options.generations == 1 ? 0 : (generation - 1.0) / (options.generations - 1);
    double mutation = options.mutationFirst + progress * (options.mutationLast - options.mutationFirst);
    auto pick = [&]() -> const Genes & { return population[random.below(population.size())].genes; };
    return makeDistinct(options.offspring, [&] {
      const Genes &a = pick(), &b = pick();
      Genes child = random.below(2) ? crossUniformly(a, b, random) : crossBlock(a, b, random);
      mutate(child, mutation, random);
      repair(child, bounds, random);
      return child;
    });
  }

  /// The best of the population and the new candidates; equally good ones in the order of their genes.
  void select(const std::vector<Genes> &made) {
    for (const Genes &genes : made)
      population.push_back({genes, run.known.at(genes).value_or(std::numeric_limits<double>::infinity())});
    std::sort(population.begin(), population.end(), [](const Candidate &a, const Candidate &b) {
      return a.fitness != b.fitness ? a.fitness < b.fitness : a.genes < b.genes;
    });
    if (population.size() > static_cast<size_t>(options.population))
      population.resize(options.population);
  }

  rt::Status evaluate(const std::vector<Genes> &made, int64_t generation) {
    std::vector<const Genes *> open;
    for (const Genes &genes : made)
      if (!run.known.count(genes))
        open.push_back(&genes);
    done = 0, total = static_cast<int64_t>(open.size()), current = generation;
    std::atomic<size_t> next = 0;
    auto work = [&] {
      for (size_t i; (i = next++) < open.size();)
        if (!evaluateOne(*open[i]))
          return;
    };
    std::vector<std::thread> threads;
    size_t helpers = std::min<size_t>(std::max(run.workers, 1), open.size());
    for (size_t i = 1; i < helpers; ++i)
      threads.emplace_back(work);
    work();
    for (std::thread &thread : threads)
      thread.join();
    return failure;
  }

  /// False if the search ends; evaluations that are under way are still recorded.
  bool evaluateOne(const Genes &genes) {
    {
      std::lock_guard lock(mutex);
      if (failure && run.stopped && run.stopped())
        failure = rt::Status::error(kStopped);
      if (!failure)
        return false;
    }
    rt::Result<double> value = fitness(genes);
    if (value && !std::isfinite(*value))
      value = rt::Status::error(fmt::format("fitness: expected a finite number, but got {}", *value));
    std::lock_guard lock(mutex);
    if (!value && run.stopped && run.stopped()) {
      if (failure)
        failure = rt::Status::error(kStopped);
      return false;
    }
    if (!value && !run.keepGoing) {
      if (failure)
        failure = value.status();
      return false;
    }
    run.known[genes] = value ? std::optional(*value) : std::nullopt;
    ++done;
    rt::Status status = run.evaluated ? run.evaluated(run.known, progress()) : rt::Status::ok();
    if (!status && failure)
      failure = status;
    return failure.isOk();
  }

  Progress progress() const {
    Progress progress;
    progress.generation = current;
    progress.evaluated = static_cast<int64_t>(run.known.size());
    progress.left = total - done + (options.generations - current) * options.offspring;
    for (const auto &[genes, value] : run.known)
      if (value && (!progress.best || *value < *progress.best))
        progress.best = value;
    return progress;
  }

  const Options &options;
  Bounds bounds;
  const Fitness &fitness;
  Settings run;
  std::vector<Candidate> population;
  std::set<Genes> seen;
  std::mutex mutex;
  rt::Status failure = rt::Status::ok();
  int64_t done = 0, total = 0, current = 0;
};

} // namespace

rt::Result<Outcome> search::run(const Options &options, const Fitness &fitness, Settings settings) {
  if (rt::Status status = options.validate(); !status)
    return status;
  Bounds bounds = *Bounds::around(options.target, options.tolerance, options.steps);
  return Evolution(options, bounds, fitness, std::move(settings)).result();
}
