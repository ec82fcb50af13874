// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading and writing schedules.

#include "lib/Schedule/ScheduleFile.h"

#include "lib/Schedule/CheckJSON.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <initializer_list>

using namespace llvm;
using namespace weft;
using namespace weft::schedule;

namespace {

/// Walks a JSON document and keeps the first error.
class Reader {
public:
  rt::Result<Schedule> read(const json::Value &value) {
    Schedule schedule;
    const json::Object *object = asObject("", value, {"version", "steps", "layers", "otherwise", "rules", "budgets"});
    if (object) {
      int64_t version = 1;
      integer(*object, "", "version", version, /*needed=*/true);
      if (version != 1)
        fail("version", fmt::format("expected 1, but got {}", version));
      integer(*object, "", "steps", schedule.steps, /*needed=*/true);
      integer(*object, "", "layers", schedule.layers, /*needed=*/true);
      string(*object, "", "otherwise", schedule.otherwise, /*needed=*/false);
      readRules(*object, schedule);
      readBudgets(*object, schedule);
    }
    if (status)
      status = schedule.validate();
    return status ? rt::Result<Schedule>(std::move(schedule)) : status;
  }

private:
  static std::string pathOf(const std::string &place, StringRef key) {
    return place.empty() ? key.str() : place + "." + key.str();
  }

  static std::string describe(const json::Value &value) { return formatv("{0}", value).str(); }

  void fail(const std::string &place, const std::string &message) {
    if (status)
      status = rt::Status::error((place.empty() ? std::string("schedule") : place) + ": " + message);
  }

  void failType(const std::string &place, const char *expected, const json::Value &value) {
    fail(place, fmt::format("expected {}, but got {}", expected, describe(value)));
  }

  const json::Object *asObject(const std::string &place, const json::Value &value,
                               std::initializer_list<StringRef> keys) {
    const json::Object *object = value.getAsObject();
    if (!object)
      failType(place, "an object", value);
    else if (keys.size())
      for (const auto &entry : *object)
        if (!is_contained(keys, StringRef(entry.first)))
          fail(pathOf(place, entry.first),
               fmt::format("expected one of {}", llvm::join(keys.begin(), keys.end(), ", ")));
    return object;
  }

  const json::Value *find(const json::Object &object, const std::string &place, StringRef key, bool needed) {
    const json::Value *value = object.get(key);
    if (!value && needed)
      fail(pathOf(place, key), "expected a value, but got nothing");
    return value;
  }

  void integer(const json::Object &object, const std::string &place, StringRef key, int64_t &result, bool needed) {
    const json::Value *value = find(object, place, key, needed);
    if (!value)
      return;
    if (auto number = value->getAsInteger())
      result = *number;
    else
      failType(pathOf(place, key), "an integer", *value);
  }

  void string(const json::Object &object, const std::string &place, StringRef key, std::string &result, bool needed) {
    const json::Value *value = find(object, place, key, needed);
    if (!value)
      return;
    if (auto text = value->getAsString())
      result = text->str();
    else
      failType(pathOf(place, key), "a string", *value);
  }

  void number(const std::string &place, const json::Value &value, double &result) {
    if (auto parsed = value.getAsNumber())
      result = *parsed;
    else
      failType(place, "a number", value);
  }

  /// Two integers, first and last; all of `count` where the key is missing and not needed.
  void range(const json::Object &object, const std::string &place, StringRef key, Range &result, bool needed,
             int64_t count) {
    result = {0, count - 1};
    const json::Value *value = find(object, place, key, needed);
    if (!value)
      return;
    const json::Array *pair = value->getAsArray();
    auto first = pair && pair->size() == 2 ? (*pair)[0].getAsInteger() : std::nullopt;
    auto last = pair && pair->size() == 2 ? (*pair)[1].getAsInteger() : std::nullopt;
    if (first && last)
      result = {*first, *last};
    else
      failType(pathOf(place, key), "[first, last]", *value);
  }

  void readValues(const json::Object &object, const std::string &place, Rule &rule, int64_t steps) {
    const json::Value *values = object.get("values");
    const json::Object *entries = values ? asObject(pathOf(place, "values"), *values, {}) : nullptr;
    if (!entries)
      return;
    for (const auto &entry : *entries) {
      std::string at = pathOf(pathOf(place, "values"), entry.first);
      if (!entry.second.getAsObject()) {
        double constant = 0;
        number(at, entry.second, constant);
        rule.values[entry.first.str()] = constant;
        continue;
      }
      const json::Object *parts = asObject(at, entry.second, {"steps", "min", "max"});
      Ramp ramp;
      range(*parts, at, "steps", ramp.steps, /*needed=*/true, steps);
      if (const json::Value *low = find(*parts, at, "min", true))
        number(pathOf(at, "min"), *low, ramp.min);
      if (const json::Value *high = find(*parts, at, "max", true))
        number(pathOf(at, "max"), *high, ramp.max);
      rule.values[entry.first.str()] = ramp;
    }
  }

  void readRule(const json::Value &value, const std::string &place, Schedule &schedule) {
    const json::Object *object =
        asObject(place, value, {"steps", "layers", "attention", "values", "keep", "refresh"});
    if (!object)
      return;
    Rule rule;
    range(*object, place, "steps", rule.steps, /*needed=*/true, schedule.steps);
    range(*object, place, "layers", rule.layers, /*needed=*/false, schedule.layers);
    string(*object, place, "attention", rule.attention, /*needed=*/true);
    readValues(*object, place, rule, schedule.steps);
    if (const json::Value *keep = object->get("keep"))
      number(pathOf(place, "keep"), *keep, rule.keep.emplace());
    integer(*object, place, "refresh", rule.refresh, /*needed=*/false);
    schedule.rules.push_back(std::move(rule));
  }

  const json::Array *array(const json::Object &object, StringRef key) {
    const json::Value *value = object.get(key);
    if (value && !value->getAsArray())
      failType(key.str(), "an array", *value);
    return value ? value->getAsArray() : nullptr;
  }

  void readRules(const json::Object &object, Schedule &schedule) {
    if (const json::Array *rules = array(object, "rules"))
      for (size_t i = 0; i < rules->size(); ++i)
        readRule((*rules)[i], fmt::format("rules[{}]", i), schedule);
  }

  void readBudgets(const json::Object &object, Schedule &schedule) {
    if (const json::Array *budgets = array(object, "budgets"))
      for (size_t i = 0; i < budgets->size(); ++i)
        number(fmt::format("budgets[{}]", i), (*budgets)[i], schedule.budgets.emplace_back());
  }

  rt::Status status = rt::Status::ok();
};

json::Value toValue(Range range) { return json::Array{range.first, range.last}; }

json::Value toValue(const Value &value) {
  if (const auto *ramp = std::get_if<Ramp>(&value))
    return json::Object{{"steps", toValue(ramp->steps)}, {"min", ramp->min}, {"max", ramp->max}};
  return std::get<double>(value);
}

json::Value toValue(const Rule &rule) {
  json::Object object{
      {"steps", toValue(rule.steps)}, {"layers", toValue(rule.layers)}, {"attention", rule.attention}};
  if (!rule.values.empty()) {
    json::Object values;
    for (const auto &[name, value] : rule.values)
      values[name] = toValue(value);
    object["values"] = std::move(values);
  }
  if (rule.keep)
    object["keep"] = *rule.keep;
  if (rule.refresh != 1)
    object["refresh"] = rule.refresh;
  return object;
}

} // namespace

rt::Result<Schedule> schedule::parse(std::string_view text) {
  if (rt::Status status = checkJSON(text); !status)
    return status;
  Expected<json::Value> value = json::parse(text);
  if (!value)
    return rt::Status::error("schedule: expected JSON, but got " + toString(value.takeError()));
  return Reader().read(*value);
}

std::string schedule::toJSON(const Schedule &schedule) {
  json::Object object{{"version", 1},
                      {"steps", schedule.steps},
                      {"layers", schedule.layers},
                      {"otherwise", schedule.otherwise}};
  json::Array rules;
  for (const Rule &rule : schedule.rules)
    rules.push_back(toValue(rule));
  if (!rules.empty())
    object["rules"] = std::move(rules);
  if (!schedule.budgets.empty())
    object["budgets"] = json::Array(schedule.budgets);
  return formatv("{0:2}\n", json::Value(std::move(object))).str();
}
