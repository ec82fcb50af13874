// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Printing reports.

#include "tools/weft-run/Report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <span>
#include <type_traits>

using namespace weft;

static std::span<const double> recallsOf(const rt::Choices &choices, size_t pair) {
  size_t count = choices.recalls.size() / choices.candidates.size();
  return std::span(choices.recalls).subspan(pair * count, count);
}

/// A line for each batch element and head; candidates are counted from 0.
static std::string choicesToText(const rt::Choices &choices, int64_t heads) {
  std::string text;
  for (size_t pair = 0; pair < choices.candidates.size(); ++pair) {
    std::string label = fmt::format("head {}", pair % heads);
    if (choices.candidates.size() > static_cast<size_t>(heads))
      label = fmt::format("batch {}, {}", pair / heads, label);
    text += fmt::format("  {:<24}candidate {}, recalls", label, choices.candidates[pair]);
    for (double recall : recallsOf(choices, pair))
      text += fmt::format(" {:.3f}", recall);
    text += "\n";
  }
  return text;
}

std::string weft::toText(const Report &report) {
  std::string text = fmt::format("{} on {} ({}{})\n", report.name, report.backend, report.dtype,
                                 report.target.empty() ? "" : ", " + report.target);
  if (!report.device.empty())
    text += fmt::format("  {:<24}{}\n", "device", report.device);
  auto line = [&](const char *label, const std::optional<double> &value, auto format) {
    if (value)
      text += fmt::format("  {:<24}{}\n", label, format(*value));
  };
  auto percent = [](double value) { return fmt::format("{:.2f} %", 100 * value); };
  auto time = [](double value) { return fmt::format("{:.3f} ms", value); };
  auto error = [](double value) { return fmt::format("{:.2e}", value); };
  if (report.queryBlocks)
    text += fmt::format("  {:<24}{} x {}\n", "blocks", report.queryBlocks, report.keyBlocks);
  line("density", report.density, percent);
  line("rows", report.rowShare, percent);
  if (report.rowCount)
    text += fmt::format("  {:<24}{}\n", "rows computed", *report.rowCount);
  if (report.reuse)
    text += fmt::format("  {:<24}{}\n", "reuse", report.reuse->describe());
  if (report.choices)
    text += choicesToText(*report.choices, report.heads);
  line("error to interpreter", report.interpreterError, error);
  line("lse error", report.lseError, error);
  line("error to dense", report.denseError, error);
  line("compile time", report.compileMilliseconds, time);
  line("first run time", report.firstMilliseconds, time);
  line("run time", report.milliseconds, time);
  line("dense run time", report.denseMilliseconds, time);
  line("speed-up over dense", report.speedup, [](double value) { return fmt::format("{:.2f}x", value); });
  return text;
}

/// JSON has no spelling for "nan" and "inf": they are strings, so that null says only that a figure was not asked for.
template <typename T> static nlohmann::ordered_json number(const std::optional<T> &value) {
  if (!value)
    return nullptr;
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(*value))
      return std::isnan(*value) ? "nan" : *value > 0 ? "inf" : "-inf";
  return *value;
}

/// A row for each batch element and head.
static nlohmann::ordered_json recallsToJSON(const rt::Choices &choices) {
  auto rows = nlohmann::ordered_json::array();
  for (size_t pair = 0; pair < choices.candidates.size(); ++pair) {
    auto row = nlohmann::ordered_json::array();
    for (double recall : recallsOf(choices, pair))
      row.push_back(number(std::optional(recall)));
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string weft::toJSON(const Report &report) {
  nlohmann::ordered_json json;
  json["version"] = WEFT_VERSION;
  json["name"] = report.name;
  json["backend"] = report.backend;
  json["dtype"] = report.dtype;
  json["target"] = report.target;
  json["grid"] = report.grid;
  json["heads"] = report.heads;
  json["head_dim"] = report.headDim;
  json["block"] = report.block;
  json["values"] = report.values;
  json["device"] = report.device;
  json["threads"] = number(report.threads);
  json["query_blocks"] = report.queryBlocks;
  json["key_blocks"] = report.keyBlocks;
  json["density"] = number(report.density);
  json["row_share"] = number(report.rowShare);
  json["row_count"] = number(report.rowCount);
  json["reuse"] = nullptr;
  if (report.reuse)
    json["reuse"] = {{"granularity", report.reuse->whole ? "token" : "channel"},
                     {"queries", report.reuse->queries},
                     {"keys", report.reuse->keys},
                     {"work_saved", report.reuse->work}};
  json["choices"] = report.choices ? nlohmann::ordered_json(report.choices->candidates) : nullptr;
  json["recalls"] = report.choices ? recallsToJSON(*report.choices) : nullptr;
  json["error_interpreter"] = number(report.interpreterError);
  json["error_lse"] = number(report.lseError);
  json["error_dense"] = number(report.denseError);
  json["compile_ms"] = number(report.compileMilliseconds);
  json["first_time_ms"] = number(report.firstMilliseconds);
  json["time_ms"] = number(report.milliseconds);
  json["times_ms"] = report.times;
  json["dense_time_ms"] = number(report.denseMilliseconds);
  json["dense_times_ms"] = report.denseTimes;
  json["speedup"] = number(report.speedup);
  return json.dump(2) + "\n";
}
