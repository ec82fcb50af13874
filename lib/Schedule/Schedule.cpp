// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checking schedules, and what they say of a step and a layer.

#include "lib/Schedule/Schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

using namespace weft;
using namespace weft::schedule;

double Ramp::at(int64_t step) const {
  if (step <= steps.first)
    return min;
  if (step >= steps.last)
    return max;
  return min + (step - steps.first) * (max - min) / (steps.last - steps.first);
}

static rt::Status checkCount(const char *place, int64_t count, int64_t limit) {
  if (count >= 1 && count <= limit)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected 1 to {}, but got {}", place, limit, count));
}

static rt::Status checkRange(const std::string &place, Range range, int64_t count) {
  if (range.first < 0 || range.last >= count)
    return rt::Status::error(
        fmt::format("{}: expected numbers from 0 to {}, but got {} to {}", place, count - 1, range.first, range.last));
  if (range.first > range.last)
    return rt::Status::error(fmt::format("{}: expected the first before the last, but got {} to {}", place,
                                         range.first, range.last));
  return rt::Status::ok();
}

static rt::Status checkName(const std::string &place, const std::string &name) {
  return name.empty() ? rt::Status::error(fmt::format("{}: expected a name, but got nothing", place))
                      : rt::Status::ok();
}

static rt::Status checkFinite(const std::string &place, double value) {
  return std::isfinite(value)
             ? rt::Status::ok()
             : rt::Status::error(fmt::format("{}: expected a finite number, but got {}", place, value));
}

static rt::Status checkShare(const std::string &place, double value) {
  if (value >= 0 && value <= 1)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected a number from 0 to 1, but got {}", place, value));
}

static rt::Status checkRamp(const std::string &place, const Ramp &ramp, int64_t steps) {
  if (rt::Status status = checkRange(place + ".steps", ramp.steps, steps); !status)
    return status;
  if (rt::Status status = checkFinite(place + ".min", ramp.min); !status)
    return status;
  return checkFinite(place + ".max", ramp.max);
}

static rt::Status checkValues(const std::string &place, const Rule &rule, int64_t steps) {
  for (const auto &[name, value] : rule.values) {
    if (rt::Status status = checkName(place, name); !status)
      return status;
    std::string at = place + "." + name;
    const auto *ramp = std::get_if<Ramp>(&value);
    if (rt::Status status = ramp ? checkRamp(at, *ramp, steps) : checkFinite(at, std::get<double>(value)); !status)
      return status;
  }
  return rt::Status::ok();
}

static rt::Status checkRule(const std::string &place, const Rule &rule, const Schedule &schedule) {
  if (rt::Status status = checkRange(place + ".steps", rule.steps, schedule.steps); !status)
    return status;
  if (rt::Status status = checkRange(place + ".layers", rule.layers, schedule.layers); !status)
    return status;
  if (rt::Status status = checkName(place + ".attention", rule.attention); !status)
    return status;
  if (rt::Status status = checkValues(place + ".values", rule, schedule.steps); !status)
    return status;
  if (rule.keep)
    if (rt::Status status = checkShare(place + ".keep", *rule.keep); !status)
      return status;
  return checkCount((place + ".refresh").c_str(), rule.refresh, Schedule::kMaxSteps);
}

static bool overlap(Range a, Range b) { return a.first <= b.last && b.first <= a.last; }

static rt::Status checkOverlaps(const std::vector<Rule> &rules) {
  for (size_t i = 0; i < rules.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (overlap(rules[i].steps, rules[j].steps) && overlap(rules[i].layers, rules[j].layers))
        return rt::Status::error(fmt::format(
            "rules[{}]: expected steps and layers without a rule, but got those of rules[{}]: step {}, layer {}", i, j,
            std::max(rules[i].steps.first, rules[j].steps.first),
            std::max(rules[i].layers.first, rules[j].layers.first)));
  return rt::Status::ok();
}

static rt::Status checkBudgets(const std::vector<double> &budgets, int64_t steps) {
  if (!budgets.empty() && budgets.size() != static_cast<size_t>(steps))
    return rt::Status::error(
        fmt::format("budgets: expected one for each of {} steps, but got {}", steps, budgets.size()));
  for (size_t i = 0; i < budgets.size(); ++i)
    if (rt::Status status = checkShare(fmt::format("budgets[{}]", i), budgets[i]); !status)
      return status;
  if (!budgets.empty() && budgets.front() != 1)
    return rt::Status::error(
        fmt::format("budgets[0]: expected 1, as nothing is cached before, but got {}", budgets.front()));
  return rt::Status::ok();
}

rt::Status Schedule::validate() const {
  if (rt::Status status = checkCount("steps", steps, kMaxSteps); !status)
    return status;
  if (rt::Status status = checkCount("layers", layers, kMaxLayers); !status)
    return status;
  if (rt::Status status = checkName("otherwise", otherwise); !status)
    return status;
  for (size_t i = 0; i < rules.size(); ++i)
    if (rt::Status status = checkRule(fmt::format("rules[{}]", i), rules[i], *this); !status)
      return status;
  if (rt::Status status = checkOverlaps(rules); !status)
    return status;
  return checkBudgets(budgets, steps);
}

Action Schedule::at(int64_t step, int64_t layer) const {
  assert(step >= 0 && step < steps && layer >= 0 && layer < layers && "expected a step and a layer of the schedule");
  Action action;
  action.attention = otherwise;
  if (!budgets.empty())
    action.budget = budgets[step];
  for (const Rule &rule : rules) {
    if (!rule.steps.contains(step) || !rule.layers.contains(layer))
      continue;
    action.attention = rule.attention;
    for (const auto &[name, value] : rule.values) {
      const auto *ramp = std::get_if<Ramp>(&value);
      action.values[name] = ramp ? ramp->at(step) : std::get<double>(value);
    }
    action.keep = rule.keep;
    action.refreshMask = (step - rule.steps.first) % rule.refresh == 0;
  }
  return action;
}
