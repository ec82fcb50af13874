// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The search for budgets: operators, repair, determinism, resumption, and commands that fail.

#include "lib/Search/Command.h"
#include "lib/Search/State.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>

using namespace weft;
using namespace weft::search;

namespace {

Options smallOptions() {
  Options options;
  options.steps = 6, options.target = 0.5;
  options.population = 8, options.offspring = 6, options.generations = 12;
  options.seed = 3;
  return options;
}

/// Separable: the square distance to a schedule whose mean is 0.5.
rt::Result<double> toyFitness(const Genes &genes) {
  const Genes best = {10, 9, 2, 6, 0, 3};
  double sum = 0;
  for (size_t i = 0; i < genes.size(); ++i)
    sum += (genes[i] - best[i]) * (genes[i] - best[i]);
  return sum;
}

Outcome resultOf(const Options &options, const Fitness &fitness, Settings settings = {}) {
  auto outcome = search::run(options, fitness, std::move(settings));
  EXPECT_TRUE(outcome) << outcome.status().message();
  return outcome ? *outcome : Outcome();
}

TEST(SearchTest, RepairKeepsTheBoundsForEveryTarget) {
  Random random(1);
  for (int64_t steps : {1, 2, 3, 10, 50})
    for (int percent = 0; percent <= 100; ++percent) {
      auto bounds = Bounds::around(percent / 100.0, 0.1, steps);
      if (!bounds)
        continue;
      EXPECT_LE(bounds->high, std::floor(1.1 * percent * steps / 10 + 1e-6));
      EXPECT_GE(bounds->low, std::ceil(0.9 * percent * steps / 10 - 1e-6));
      for (int start : {0, 10, -1}) {
        Genes genes = start < 0 ? randomGenes(steps, random) : Genes(steps, start);
        repair(genes, *bounds, random);
        int64_t sum = std::accumulate(genes.begin(), genes.end(), int64_t(0));
        EXPECT_TRUE(bounds->low <= sum && sum <= bounds->high) << steps << " steps, " << percent << " %";
        EXPECT_EQ(genes[0], 10);
        EXPECT_TRUE(std::all_of(genes.begin(), genes.end(), [](int gene) { return gene >= 0 && gene <= 10; }));
      }
    }
  EXPECT_TRUE(Bounds::around(1, 0, 7));
  EXPECT_TRUE(Bounds::around(0.3, 0, 10));
  EXPECT_FALSE(Bounds::around(0, 0.1, 4));
  EXPECT_FALSE(Bounds::around(0.55, 0, 3));
}

TEST(SearchTest, RepairLeavesWhatIsWithinTheBounds) {
  Random random(1);
  Genes genes = {10, 3, 2};
  repair(genes, {14, 16}, random);
  EXPECT_EQ(genes, (Genes{10, 3, 2}));
}

TEST(SearchTest, CrossoversTakeEachGeneFromAParent) {
  Random random(5);
  Genes a(20, 1), b(20, 2);
  bool mixed = false;
  for (int round = 0; round < 50; ++round) {
    Genes uniform = crossUniformly(a, b, random), block = crossBlock(a, b, random);
    auto switches = [](const Genes &genes) {
      int count = 0;
      for (size_t i = 1; i < genes.size(); ++i)
        count += genes[i] != genes[i - 1];
      return count;
    };
    mixed |= switches(uniform) > 2;
    EXPECT_LE(switches(block), 2);
    EXPECT_TRUE(std::count(block.begin(), block.end(), 2) > 0);
    for (int gene : uniform)
      EXPECT_TRUE(gene == 1 || gene == 2);
  }
  EXPECT_TRUE(mixed);
}

TEST(SearchTest, MutationLeavesTheFirstStepAndFollowsItsProbability) {
  Random random(5);
  Genes genes(100001, 10);
  mutate(genes, 0.1, random);
  EXPECT_EQ(genes[0], 10);
  // A tenth mutates, and a gene mutates to another value in 10 of 11 cases: 9091, with a deviation of 91.
  EXPECT_NEAR(std::count_if(genes.begin(), genes.end(), [](int gene) { return gene != 10; }), 9091, 500);
  Genes same(50, 4);
  mutate(same, 0, random);
  EXPECT_EQ(same, Genes(50, 4));
}

TEST(SearchTest, FindsTheOptimumOfASeparableFitness) {
  Options options = smallOptions();
  options.population = 50, options.offspring = 30, options.generations = 60;
  Outcome outcome = resultOf(options, toyFitness);
  EXPECT_EQ(outcome.genes, (Genes{10, 9, 2, 6, 0, 3}));
  EXPECT_EQ(outcome.fitness, 0);
}

TEST(SearchTest, WorkersDoNotChangeTheResultAndNothingIsEvaluatedTwice) {
  Evaluations all[2];
  Outcome outcomes[2];
  for (int i = 0; i < 2; ++i) {
    std::mutex mutex;
    std::map<Genes, int> calls;
    Settings settings;
    settings.workers = i ? 4 : 1;
    settings.evaluated = [&](const Evaluations &evaluations, const Progress &) {
      all[i] = evaluations;
      return rt::Status::ok();
    };
    outcomes[i] = resultOf(smallOptions(), [&](const Genes &genes) {
      {
        std::lock_guard lock(mutex);
        ++calls[genes];
      }
      return toyFitness(genes);
    }, settings);
    for (const auto &[genes, count] : calls)
      EXPECT_EQ(count, 1);
    EXPECT_EQ(static_cast<int64_t>(calls.size()), outcomes[i].evaluations);
  }
  EXPECT_EQ(outcomes[0].genes, outcomes[1].genes);
  EXPECT_EQ(all[0], all[1]);
  Options other = smallOptions();
  other.seed = 4;
  Evaluations evaluations;
  Settings settings;
  settings.evaluated = [&](const Evaluations &now, const Progress &) {
    evaluations = now;
    return rt::Status::ok();
  };
  resultOf(other, toyFitness, settings);
  EXPECT_NE(evaluations, all[0]);
}

TEST(SearchTest, GoesOnAfterAnEndAtAnyEvaluation) {
  Configuration configuration{smallOptions(), "toy"};
  Outcome whole = resultOf(smallOptions(), toyFitness);
  for (int64_t end = 1; end < whole.evaluations; ++end) {
    std::string state;
    Settings first;
    first.workers = 1 + end % 3;
    first.stopped = [&, asked = std::make_shared<std::atomic<int64_t>>(0)] { return ++*asked > end; };
    first.evaluated = [&](const Evaluations &evaluations, const Progress &) {
      state = stateToJSON(configuration, evaluations);
      return rt::Status::ok();
    };
    auto ended = search::run(smallOptions(), toyFitness, first);
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.message(), kStopped);
    auto known = parseState(state, configuration);
    ASSERT_TRUE(known) << known.message();
    std::atomic<int64_t> calls = 0;
    Settings second;
    second.known = *known;
    int64_t before = static_cast<int64_t>(known->size());
    EXPECT_EQ(before, end);
    Outcome outcome = resultOf(smallOptions(), [&](const Genes &genes) {
      ++calls;
      return toyFitness(genes);
    }, second);
    EXPECT_EQ(outcome.genes, whole.genes);
    EXPECT_EQ(outcome.fitness, whole.fitness);
    EXPECT_EQ(calls + before, whole.evaluations);
  }
}

TEST(SearchTest, AFailureEndsTheSearchUnlessItGoesOn) {
  Fitness failing = [](const Genes &genes) -> rt::Result<double> {
    if (genes[1] > 5)
      return genes[1] == 6 ? rt::Result<double>(std::nan("")) : rt::Status::error("fitness: broken");
    return toyFitness(genes);
  };
  EXPECT_FALSE(search::run(smallOptions(), failing, {}));
  Settings settings;
  settings.keepGoing = true;
  Outcome outcome = resultOf(smallOptions(), failing, settings);
  EXPECT_LE(outcome.genes[1], 5);
  auto none = search::run(smallOptions(), [](const Genes &) { return rt::Status::error("no"); }, settings);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.message(), "fitness: expected a candidate that can be evaluated, but all failed");
}

TEST(SearchTest, StatesOfOtherSearchesAndBrokenOnesAreRefused) {
  Configuration configuration{smallOptions(), "toy"};
  Evaluations evaluations = {{{10, 1, 2, 3, 4, 5}, 0.1}, {{10, 0, 0, 0, 0, 0}, std::nullopt}};
  std::string state = stateToJSON(configuration, evaluations);
  EXPECT_EQ(*parseState(state, configuration), evaluations);
  Configuration other = configuration;
  other.options.generations = 13;
  EXPECT_EQ(parseState(state, other).message(),
            "generations: expected 13, as this search has, but the state is of one with 12");
  other = configuration;
  other.fitness = "another";
  EXPECT_EQ(parseState(state, other).message(),
            "fitness: expected \"another\", as this search has, but the state is of one with \"toy\"");
  EXPECT_EQ(parseState("{}", configuration).message(),
            "expected a search's state with 'configuration' and 'evaluations'");
  std::string broken = state;
  broken.replace(broken.find("[10,"), 4, "[11,");
  EXPECT_EQ(parseState(broken, configuration).message(), "evaluations[0]: expected 6 tenths and a fitness");
  EXPECT_FALSE(parseState(state.substr(0, state.size() / 2), configuration));
  std::string repeated = state;
  repeated.insert(repeated.find("\"tenths\""), "\"tenths\":[],");
  EXPECT_EQ(parseState(repeated, configuration).message(),
            "evaluations[0].tenths: expected the key once, but got it twice");
}

TEST(SearchTest, OptionsOutOfRangeAreNamed) {
  Options options = smallOptions();
  options.population = 1;
  EXPECT_EQ(options.validate().message(), "population: expected 2 to 100000, but got 1");
  options = smallOptions();
  options.target = std::nan("");
  EXPECT_EQ(options.validate().message(), "target: expected a number from 0 to 1, but got nan");
  options.target = 0.05;
  EXPECT_FALSE(options.validate());
}

TEST(SearchTest, ACommandPrintsOneFiniteNumberAndEndsWithZero) {
  auto message = [](const std::string &command) { return runCommand(command, 0, nullptr).status().message(); };
  EXPECT_EQ(*runCommand("echo ' 1.5e-3 '", 0, nullptr), 1.5e-3);
  EXPECT_EQ(message("echo 1; exit 3"), "fitness: expected the command to end with 0, but got 3");
  EXPECT_EQ(message("kill -9 $$"), "fitness: expected the command to end with 0, but signal 9 ended it");
  EXPECT_EQ(message("true"), "fitness: expected one number, but the command printed nothing");
  EXPECT_EQ(message("echo 1 2"), "fitness: expected one number, but the command printed '1 2'");
  EXPECT_EQ(message("echo nan"), "fitness: expected a finite number, but the command printed 'nan'");
  EXPECT_FALSE(runCommand("seq 100000", 0, nullptr));
}

TEST(SearchTest, ACommandThatRunsTooLongOrIsStoppedIsKilledWithItsChildren) {
  EXPECT_EQ(runCommand("sleep 1000 | cat", 0.05, nullptr).message(),
            "fitness: expected the command to end in 0.05 s, but it did not");
  EXPECT_EQ(runCommand("sleep 1000 | cat", 0, [] { return true; }).message(), "fitness: the command was stopped");
  EXPECT_EQ(*runCommand("sleep 1000 & echo 2; kill $!", 0, nullptr), 2);
}

} // namespace
