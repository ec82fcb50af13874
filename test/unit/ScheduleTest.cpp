// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules: what runs where, the file format and its errors.

#include "lib/Schedule/ScheduleFile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

using namespace weft::schedule;

namespace {

/// TimeRipple on 50 steps: dense up to step 9 and at step 49, a ramp from step 10 to 20.
Schedule ripple() {
  Schedule schedule;
  schedule.steps = 50, schedule.layers = 3;
  Rule rule;
  rule.steps = {10, 48}, rule.layers = {0, 1};
  rule.attention = "ripple";
  rule.values["theta"] = Ramp{{10, 20}, 0.2, 0.5};
  rule.values["radius"] = 2.0;
  rule.keep = 0.25, rule.refresh = 4;
  schedule.rules.push_back(rule);
  return schedule;
}

std::string errorOf(const std::string &json) {
  auto schedule = parse(json);
  return schedule ? "no error" : schedule.message();
}

TEST(ScheduleTest, DenseWhereNoRuleHolds) {
  Schedule schedule = ripple();
  for (auto [step, layer] : {std::pair(0, 0), {9, 1}, {49, 0}, {30, 2}}) {
    Action action = schedule.at(step, layer);
    EXPECT_EQ(action.attention, "dense");
    EXPECT_TRUE(action.values.empty());
    EXPECT_EQ(action.budget, 1);
  }
}

TEST(ScheduleTest, RampBeginsAtMinAndIsHeldAtMax) {
  Schedule schedule = ripple();
  auto theta = [&](int64_t step) { return schedule.at(step, 0).values.at("theta"); };
  EXPECT_DOUBLE_EQ(theta(10), 0.2);
  EXPECT_DOUBLE_EQ(theta(15), 0.35);
  EXPECT_DOUBLE_EQ(theta(20), 0.5);
  EXPECT_DOUBLE_EQ(theta(48), 0.5);
  EXPECT_EQ((Ramp{{3, 3}, 1, 2}).at(3), 1);
  EXPECT_EQ((Ramp{{3, 3}, 1, 2}).at(4), 2);
}

TEST(ScheduleTest, MaskIsMadeAtTheFirstStepOfARuleAndAtEveryFourth) {
  Schedule schedule = ripple();
  for (int64_t step = 10; step <= 48; ++step)
    EXPECT_EQ(schedule.at(step, 1).refreshMask, (step - 10) % 4 == 0) << step;
  EXPECT_EQ(schedule.at(10, 1).keep, 0.25);
}

TEST(ScheduleTest, BudgetIsThatOfTheStep) {
  Schedule schedule;
  schedule.steps = 3, schedule.budgets = {1, 0.5, 0};
  EXPECT_EQ(schedule.at(1, 0).budget, 0.5);
  EXPECT_EQ(schedule.at(2, 0).budget, 0);
}

TEST(ScheduleTest, RandomSchedulesReadBackExactly) {
  std::mt19937_64 random(7);
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  auto share = [&] { return std::ldexp(static_cast<double>(random() >> 11), -53); };
  for (int round = 0; round < 200; ++round) {
    Schedule schedule;
    schedule.steps = 1 + below(40), schedule.layers = 1 + below(9);
    schedule.otherwise = "name \"\\\u00e9" + std::to_string(round);
    for (int64_t first = 0; first < schedule.steps; first += 1 + below(8)) {
      Rule rule;
      rule.steps = {first, first}, rule.layers = {below(schedule.layers), schedule.layers - 1};
      rule.attention = "a";
      rule.values["x"] = (share() - 0.5) * std::ldexp(1, static_cast<int>(below(200)) - 100);
      rule.values["y"] = Ramp{{0, schedule.steps - 1}, share(), -share()};
      if (below(2))
        rule.keep = share();
      rule.refresh = 1 + below(4);
      schedule.rules.push_back(rule);
    }
    if (below(2)) {
      schedule.budgets.assign(schedule.steps, share());
      schedule.budgets[0] = 1;
    }
    auto again = parse(toJSON(schedule));
    ASSERT_TRUE(again) << again.message();
    EXPECT_EQ(*again, schedule);
  }
}

TEST(ScheduleTest, NumbersThatJSONCannotHoldAreFoundBeforeWriting) {
  Schedule schedule = ripple();
  schedule.rules[0].values["radius"] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(schedule.validate().message(), "rules[0].values.radius: expected a finite number, but got nan");
  schedule = ripple();
  schedule.rules[0].keep = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(schedule.validate().message(), "rules[0].keep: expected a number from 0 to 1, but got nan");
}

TEST(ScheduleTest, ErrorsNameThePlace) {
  auto withRule = [](const std::string &rule) {
    return errorOf(R"({"version": 1, "steps": 10, "layers": 4, "rules": [)" + rule + "]}");
  };
  auto withBudgets = [](const std::string &budgets) {
    return errorOf(R"({"version": 1, "steps": 2, "layers": 1, "budgets": )" + budgets + "}");
  };
  EXPECT_EQ(withRule(R"({"steps": [2, 10], "attention": "a"})"),
            "rules[0].steps: expected numbers from 0 to 9, but got 2 to 10");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "layers": [-1, 2], "attention": "a"})"),
            "rules[0].layers: expected numbers from 0 to 3, but got -1 to 2");
  EXPECT_EQ(withRule(R"({"steps": [3, 2], "attention": "a"})"),
            "rules[0].steps: expected the first before the last, but got 3 to 2");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a"}, {"steps": [3, 4], "layers": [1, 1], "attention": "b"})"),
            "rules[1]: expected steps and layers without a rule, but got those of rules[0]: step 3, layer 1");
  EXPECT_EQ(withRule(R"({"steps": [2], "attention": "a"})"), "rules[0].steps: expected [first, last], but got [2]");
  EXPECT_EQ(withRule(R"({"steps": [2, 3]})"), "rules[0].attention: expected a value, but got nothing");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": ""})"), "rules[0].attention: expected a name, but got nothing");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a", "keep": 1.5})"),
            "rules[0].keep: expected a number from 0 to 1, but got 1.5");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a", "refresh": 0})"),
            "rules[0].refresh: expected 1 to 100000, but got 0");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a", "values": {"x": "1"}})"),
            "rules[0].values.x: expected a number, but got \"1\"");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a", "values": {"x": {"steps": [0, 99], "min": 0, "max": 1}}})"),
            "rules[0].values.x.steps: expected numbers from 0 to 9, but got 0 to 99");
  EXPECT_EQ(withRule(R"({"steps": [2, 3], "attention": "a", "kept": 1})"),
            "rules[0].kept: expected one of steps, layers, attention, values, keep, refresh");
  EXPECT_EQ(withRule("7"), "rules[0]: expected an object, but got 7");
  EXPECT_EQ(withBudgets("[1]"), "budgets: expected one for each of 2 steps, but got 1");
  EXPECT_EQ(withBudgets("[1, -0.5]"), "budgets[1]: expected a number from 0 to 1, but got -0.5");
  EXPECT_EQ(withBudgets("[0.5, 1]"), "budgets[0]: expected 1, as nothing is cached before, but got 0.5");
  EXPECT_EQ(withBudgets("[1, null]"), "budgets[1]: expected a number, but got null");
  EXPECT_EQ(errorOf(R"({"version": 2, "steps": 1, "layers": 1})"), "version: expected 1, but got 2");
  EXPECT_EQ(errorOf(R"({"version": 1, "steps": 0, "layers": 1})"), "steps: expected 1 to 100000, but got 0");
  EXPECT_EQ(errorOf("[]"), "schedule: expected an object, but got []");
  EXPECT_EQ(errorOf("{").rfind("schedule: expected JSON, but got ", 0), 0u);
  EXPECT_EQ(withBudgets("[1, NaN]").rfind("schedule: expected JSON, but got ", 0), 0u);
}

TEST(ScheduleTest, AKeyIsNotRepeated) {
  EXPECT_EQ(errorOf(R"({"version": 1, "steps": 8, "layers": 1, "steps": 8})"),
            "steps: expected the key once, but got it twice");
  EXPECT_EQ(errorOf(R"({"version": 1, "steps": 8, "layers": 1, "st\u0065ps": 9})"),
            "steps: expected the key once, but got it twice");
  auto withRules = [](const std::string &rules) {
    return errorOf(R"({"version": 1, "steps": 10, "layers": 4, "rules": [)" + rules + "]}");
  };
  EXPECT_EQ(withRules(R"({"steps": [0, 1], "attention": "a"}, {"steps": [2, 3], "attention": "a", "attention": "b"})"),
            "rules[1].attention: expected the key once, but got it twice");
  EXPECT_EQ(withRules(R"({"steps": [2, 3], "attention": "a", "values": {"x": 1, "y": 2, "x": {}}})"),
            "rules[0].values.x: expected the key once, but got it twice");
  EXPECT_EQ(withRules(R"({"steps": [2, 3], "attention": "a", "values": {"x": {"min": 0, "min": 0}}})"),
            "rules[0].values.x.min: expected the key once, but got it twice");
  EXPECT_EQ(withRules(R"({"steps": [0, 1], "attention": "a"}, {"steps": [2, 3], "attention": "a"})"), "no error");
}

TEST(ScheduleTest, ValuesNestToALimit) {
  EXPECT_EQ(errorOf(std::string(200000, '[')), "expected values that nest at most 64 deep, but got more");
  std::string deep = std::string(65, '[') + std::string(65, ']');
  EXPECT_EQ(errorOf(R"({"version": 1, "steps": 8, "layers": 1, "rules": )" + deep + "}"),
            "expected values that nest at most 64 deep, but got more");
}

TEST(ScheduleTest, ExampleOfTheDocumentationIsValid) {
  std::ifstream file(WEFT_SOURCE_DIR "/docs/schedules.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string page = text.str(), fence = "```json\n";
  size_t begin = page.find(fence);
  ASSERT_NE(begin, std::string::npos);
  begin += fence.size();
  auto schedule = parse(page.substr(begin, page.find("```", begin) - begin));
  ASSERT_TRUE(schedule) << schedule.message();
  EXPECT_EQ(schedule->at(9, 5).attention, "dense");
  EXPECT_DOUBLE_EQ(schedule->at(15, 5).values.at("threshold"), 0.35);
  EXPECT_TRUE(schedule->at(14, 5).refreshMask);
  EXPECT_FALSE(schedule->at(15, 5).refreshMask);
}

} // namespace
