// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reports as text, JSON and a picture.

#include "lib/Explain/Explain.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <fmt/format.h>

#include <cmath>

using namespace llvm;
using namespace weft;
using namespace weft::explain;

static std::string percent(const std::optional<double> &share) {
  return share ? fmt::format("{:.2f} %", 100 * *share) : "-";
}

std::string explain::toText(const Report &report) {
  std::string text = fmt::format("{}: {} x {} tokens, {} x {} blocks\n", report.name, report.queryTokens,
                                 report.keyTokens, report.queryBlocks, report.keyBlocks);
  text += fmt::format("{:>6}{:>11}{:>11}{:>11}{:>11}{:>9}{:>9}\n", "head", "visited", "kept", "waste", "recall",
                      "longest", "mean");
  for (size_t i = 0; i < report.heads.size(); ++i) {
    const Head &head = report.heads[i];
    text += fmt::format("{:>6}{:>11}{:>11}{:>11}{:>11}{:>9}{:>9.1f}\n", i, percent(head.visited), percent(head.kept),
                        percent(head.waste()), percent(head.recall), head.longestList, head.meanList);
  }
  text += fmt::format("  {:<24}{} of {}\n", "sampled queries", report.sampled, report.queryTokens);
  text += fmt::format("  {:<24}{:.3f} x mean, {} workers\n", "last worker", report.balance.lastOverMean,
                      report.balance.workers);
  text += fmt::format("  {:<24}{:.6g} GFLOP\n", "products", report.flop / 1e9);
  text += fmt::format("  {:<24}{:.6g} MB\n", "tensors", report.bytes / 1e6);
  if (report.reuse)
    text += fmt::format("  {:<24}{}\n", "reuse", report.reuse->describe());
  if (report.milliseconds)
    text += fmt::format("  {:<24}{:.3f} ms\n", "run time", *report.milliseconds);
  return text;
}

static json::Value number(const std::optional<double> &value) {
  return value && std::isfinite(*value) ? json::Value(*value) : json::Value(nullptr);
}

static json::Value reuse(const std::optional<rt::ReuseSaving> &saving) {
  if (!saving)
    return nullptr;
  return json::Object{{"granularity", saving->whole ? "token" : "channel"},
                      {"queries", saving->queries},
                      {"keys", saving->keys},
                      {"work_saved", saving->work}};
}

std::string explain::toJSON(const Report &report) {
  json::Array heads;
  for (const Head &head : report.heads)
    heads.push_back(json::Object{{"visited", head.visited},
                                 {"kept", number(head.kept)},
                                 {"waste", number(head.waste())},
                                 {"recall", number(head.recall)},
                                 {"longest_list", head.longestList},
                                 {"mean_list", head.meanList},
                                 {"frames", json::Array(head.frames)},
                                 {"text", number(head.text)}});
  json::Object object{{"name", report.name},
                      {"query_tokens", report.queryTokens},
                      {"key_tokens", report.keyTokens},
                      {"query_blocks", report.queryBlocks},
                      {"key_blocks", report.keyBlocks},
                      {"sampled_queries", report.sampled},
                      {"heads", std::move(heads)},
                      {"workers", report.balance.workers},
                      {"last_over_mean", report.balance.lastOverMean},
                      {"flop", report.flop},
                      {"bytes", report.bytes},
                      {"reuse", reuse(report.reuse)},
                      {"time_ms", number(report.milliseconds)}};
  return formatv("{0:2}\n", json::Value(std::move(object))).str();
}

/// Rectangles of one row, neighbours of one class joined.
static std::string row(const rt::BlockLists &lists, int64_t set, int64_t block, int64_t left) {
  const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + block;
  const int32_t *entries = lists.entries.data() + lists.starts[set];
  std::string text;
  for (int32_t e = offsets[0]; e < offsets[1];) {
    int32_t first = entries[e] >> 2, kind = entries[e] & rt::BlockLists::kPartial, width = 0;
    for (; e < offsets[1] && entries[e] >> 2 == first + width && (entries[e] & rt::BlockLists::kPartial) == kind; ++e)
      ++width;
    text += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"1\"/>\n",
                        kind ? "partial" : "full", left + first, block, width);
  }
  return text;
}

std::string explain::toSVG(const rt::BlockLists &lists) {
  int64_t gap = 1 + lists.keyBlocks / 10, width = lists.lists * (lists.keyBlocks + gap) - gap;
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" shape-rendering=\"crispEdges\">\n"
      "<style>.empty{{fill:#eee}}.partial{{fill:#8ab}}.full{{fill:#135}}</style>\n",
      width, lists.queryBlocks);
  for (int64_t set = 0; set < lists.lists; ++set) {
    int64_t left = set * (lists.keyBlocks + gap);
    text += fmt::format("<rect class=\"empty\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\"/>\n", left, lists.keyBlocks,
                        lists.queryBlocks);
    for (int64_t block = 0; block < lists.queryBlocks; ++block)
      text += row(lists, set, block, left);
  }
  return text + "</svg>\n";
}
