// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reports as text and JSON.

#include "lib/Explain/Explain.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

using namespace llvm;
using namespace weft;
using namespace weft::explain;

static std::string percent(const std::optional<double> &share) {
  return share && std::isfinite(*share) ? fmt::format("{:.2f} %", 100 * *share) : "-";
}

double Report::visited() const {
  double sum = 0;
  for (const Head &head : heads)
    sum += head.visited;
  return sum / heads.size();
}

/// The mean over heads of one figure of a frame.
static std::optional<double> meanOfHeads(const Report &report, std::vector<double> Head::*figures, size_t frame) {
  double sum = 0;
  for (const Head &head : report.heads) {
    if (frame >= (head.*figures).size())
      return std::nullopt;
    sum += (head.*figures)[frame];
  }
  return sum / report.heads.size();
}

/// What each frame saves, over all heads.
static std::string savingsTable(const Report &report) {
  const Head &first = report.heads.front();
  bool reuses = report.reuse.has_value();
  std::string text = fmt::format("{:>6}{:>11}{:>11}{}\n", "frame", "visited", "saved",
                                 reuses ? fmt::format("{:>11}{:>11}", "q reused", "k reused") : "");
  size_t frames = std::max(first.savedFrames.size(), first.keyReuseFrames.size());
  for (size_t frame = 0; frame < frames; ++frame) {
    text += fmt::format("{:>6}{:>11}{:>11}", frame, percent(meanOfHeads(report, &Head::frames, frame)),
                        percent(meanOfHeads(report, &Head::savedFrames, frame)));
    if (reuses)
      text += fmt::format("{:>11}{:>11}", percent(meanOfHeads(report, &Head::queryReuseFrames, frame)),
                          percent(meanOfHeads(report, &Head::keyReuseFrames, frame)));
    text += "\n";
  }
  if (!first.text)
    return text;
  double visited = 0, saved = 0;
  for (const Head &head : report.heads)
    visited += *head.text / report.heads.size(), saved += *head.savedText / report.heads.size();
  return text + fmt::format("{:>6}{:>11}{:>11}\n", "text", percent(visited), percent(saved));
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
  if (report.nominal)
    text += fmt::format("  {:<24}{} of the key blocks, visited {} of the pairs\n", "nominal", percent(report.nominal),
                        percent(report.visited()));
  if (report.nominalRows)
    text += fmt::format("  {:<24}{} of the queries, explained are all\n", "nominal rows", percent(report.nominalRows));
  text += fmt::format("  {:<24}{} of {}\n", "sampled queries", report.sampled, report.queryTokens);
  text += fmt::format("  {:<24}{:.3f} x mean, {} workers\n", "last worker", report.balance.lastOverMean,
                      report.balance.workers);
  text += fmt::format("  {:<24}{:.6g} GFLOP\n", "products", report.flop / 1e9);
  text += fmt::format("  {:<24}{:.6g} MB\n", "tensors", report.bytes / 1e6);
  if (report.reuse)
    text += fmt::format("  {:<24}{}\n", "reuse", report.reuse->describe());
  if (report.milliseconds)
    text += fmt::format("  {:<24}{:.3f} ms\n", "run time", *report.milliseconds);
  if (report.predictedMilliseconds && report.milliseconds) {
    text += fmt::format("  {:<24}{:.3f} ms\n", "dense run time", *report.denseMilliseconds);
    text += fmt::format("  {:<24}{:.3f} ms, measured {:.2f} x\n", "predicted run time", *report.predictedMilliseconds,
                        *report.milliseconds / *report.predictedMilliseconds);
  }
  return text + savingsTable(report);
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
                                 {"text", number(head.text)},
                                 {"saved_frames", json::Array(head.savedFrames)},
                                 {"saved_text", number(head.savedText)},
                                 {"query_reuse_frames", json::Array(head.queryReuseFrames)},
                                 {"key_reuse_frames", json::Array(head.keyReuseFrames)}});
  json::Object object{{"name", report.name},
                      {"query_tokens", report.queryTokens},
                      {"key_tokens", report.keyTokens},
                      {"query_blocks", report.queryBlocks},
                      {"key_blocks", report.keyBlocks},
                      {"sampled_queries", report.sampled},
                      {"nominal", number(report.nominal)},
                      {"nominal_rows", number(report.nominalRows)},
                      {"visited", report.visited()},
                      {"heads", std::move(heads)},
                      {"workers", report.balance.workers},
                      {"last_over_mean", report.balance.lastOverMean},
                      {"flop", report.flop},
                      {"bytes", report.bytes},
                      {"reuse", reuse(report.reuse)},
                      {"time_ms", number(report.milliseconds)},
                      {"dense_time_ms", number(report.denseMilliseconds)},
                      {"predicted_time_ms", number(report.predictedMilliseconds)}};
  return formatv("{0:2}\n", json::Value(std::move(object))).str();
}
