// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What runs at each denoising step and layer of a diffusion transformer.

#ifndef WEFT_LIB_SCHEDULE_SCHEDULE_H
#define WEFT_LIB_SCHEDULE_SCHEDULE_H

#include "runtime/Status.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace weft::schedule {

/// Steps or layers, counted from 0, both ends included.
struct Range {
  int64_t first = 0, last = 0;

  bool contains(int64_t i) const { return first <= i && i <= last; }
  bool operator==(const Range &) const = default;
};

/// A value that rises or falls linearly over some steps: `min` up to the first, `max` from the last on (TimeRipple,
/// Eq. 4; as printed there it lacks the term "min +").
struct Ramp {
  Range steps;
  double min = 0, max = 0;

  double at(int64_t step) const;
  bool operator==(const Ramp &) const = default;
};

/// A dynamic parameter: a constant, or a ramp.
using Value = std::variant<double, Ramp>;

/// What runs in a rectangle of steps and layers.
struct Rule {
  Range steps, layers;
  /// The attention of the program.
  std::string attention;
  std::map<std::string, Value> values;
  /// Share of key blocks that a predicted mask keeps.
  std::optional<double> keep;
  /// The mask is made at the rule's first step and at every `refresh`-th step after it, and kept between.
  int64_t refresh = 1;

  bool operator==(const Rule &) const = default;
};

/// What runs at one step in one layer.
struct Action {
  std::string attention;
  std::map<std::string, double> values;
  std::optional<double> keep;
  /// Whether the mask is made anew; otherwise that of an earlier step stays.
  bool refreshMask = true;
  /// Share of the tokens that are computed anew (Astraea); the others keep their cached outputs.
  double budget = 1;

  bool operator==(const Action &) const = default;
};

/// A schedule. Whatever it says is an argument of a call: no value of it makes a kernel compile again.
struct Schedule {
  int64_t steps = 1, layers = 1;
  /// What runs where no rule holds: dense steps and layers need no rule.
  std::string otherwise = "dense";
  std::vector<Rule> rules;
  /// A budget for each step; none: all tokens at all steps.
  std::vector<double> budgets;

  static constexpr int64_t kMaxSteps = 100000, kMaxLayers = 100000;

  /// Checks all but the attentions and parameters, which the program names. The error begins with the place, as in
  /// "rules[0].steps".
  rt::Status validate() const;
  /// Of a valid schedule, for a step below `steps` and a layer below `layers`.
  Action at(int64_t step, int64_t layer) const;

  bool operator==(const Schedule &) const = default;
};

} // namespace weft::schedule

#endif // WEFT_LIB_SCHEDULE_SCHEDULE_H
