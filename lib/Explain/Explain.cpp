// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Counting over block lists.

#include "lib/Explain/Explain.h"

#include "lib/Explain/Frames.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>

using namespace weft;
using namespace weft::explain;

std::optional<double> Head::waste() const {
  if (!kept || !visitedBySample || *visitedBySample == 0)
    return std::nullopt;
  return 1 - *kept / *visitedBySample;
}

static const int32_t *offsetsOf(const rt::BlockLists &lists, int64_t set, int64_t block) {
  return lists.offsets.data() + set * (lists.queryBlocks + 1) + block;
}

int64_t explain::visitedKeys(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t set, int64_t block) {
  const int32_t *offsets = offsetsOf(lists, set, block);
  int64_t keys = 0;
  for (int32_t e = offsets[0]; e < offsets[1]; ++e) {
    int32_t key = lists.entries[lists.starts[set] + e] >> 2;
    keys += image.key.offsets[key + 1] - image.key.offsets[key];
  }
  return keys;
}

std::vector<int64_t> explain::visitedByQuery(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t head) {
  std::vector<int64_t> keys(image.query.tokens);
  for (int64_t block = 0; block < lists.queryBlocks; ++block) {
    int64_t visited = visitedKeys(image, lists, lists.setOf(head), block);
    for (int32_t i = image.query.offsets[block]; i < image.query.offsets[block + 1]; ++i)
      keys[image.query.table[i]] = visited;
  }
  return keys;
}

static Head explainHead(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t number) {
  Head head;
  int64_t set = lists.setOf(number);
  std::vector<int64_t> keys = visitedByQuery(image, lists, number);
  for (int64_t count : keys)
    head.visited += count;
  head.visited /= static_cast<double>(image.query.tokens) * image.key.tokens;
  for (int64_t block = 0; block < lists.queryBlocks; ++block) {
    const int32_t *offsets = offsetsOf(lists, set, block);
    head.longestList = std::max<int64_t>(head.longestList, offsets[1] - offsets[0]);
  }
  head.meanList = static_cast<double>(lists.countEntries(set)) / lists.queryBlocks;
  std::vector<double> shares;
  for (int64_t count : keys)
    shares.push_back(static_cast<double>(count) / image.key.tokens);
  FrameMeans means = meansByFrame(image.query, shares);
  head.frames = means.frames, head.text = means.text;
  return head;
}

static Balance balance(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t workers) {
  std::vector<double> costs;
  double sum = 0;
  for (int64_t head = 0; head < image.heads; ++head)
    for (int64_t block = 0; block < lists.queryBlocks; ++block) {
      double rows = image.query.offsets[block + 1] - image.query.offsets[block];
      costs.push_back(rows * visitedKeys(image, lists, lists.setOf(head), block));
      sum += costs.back();
    }
  std::sort(costs.rbegin(), costs.rend());
  std::priority_queue<double, std::vector<double>, std::greater<>> loads;
  for (int64_t i = 0; i < workers; ++i)
    loads.push(0);
  double last = 0;
  for (double cost : costs) {
    double load = loads.top() + cost;
    loads.pop();
    loads.push(load);
    last = std::max(last, load);
  }
  return {workers, sum == 0 ? 1 : last * workers / sum};
}

double explain::imbalanceToDense(const rt::KernelImage &image, const rt::BlockLists &lists,
                                 const rt::KernelImage &dense, const rt::BlockLists &denseLists, int64_t workers) {
  return balance(image, lists, workers).lastOverMean / balance(dense, denseLists, workers).lastOverMean;
}

/// A share that the program says, or the default of a dynamic parameter, if it has one.
static std::optional<double> amountOf(const rt::KernelImage &image, double amount, int64_t parameter) {
  if (parameter < 0)
    return amount;
  const std::optional<int64_t> &bits = image.parameters[parameter].defaultValue;
  return bits ? std::optional(std::bit_cast<double>(*bits)) : std::nullopt;
}

static void addNominal(const rt::KernelImage &image, Report &report) {
  if (const auto &prediction = image.prediction; prediction && prediction->rule == rt::SelectionRule::TopK)
    report.nominal = amountOf(image, prediction->amount, prediction->parameter);
  if (const auto &rows = image.rowSelection)
    report.nominalRows = amountOf(image, rows->keep.value, rows->keep.parameter);
}

Report explain::explain(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t workers) {
  Report report;
  report.name = image.name;
  report.queryTokens = image.query.tokens, report.keyTokens = image.key.tokens;
  report.queryBlocks = lists.queryBlocks, report.keyBlocks = lists.keyBlocks;
  double all = static_cast<double>(image.query.tokens) * image.key.tokens;
  for (int64_t head = 0; head < image.heads; ++head) {
    report.heads.push_back(explainHead(image, lists, head));
    report.flop += 4 * report.heads.back().visited * all * image.headDim;
  }
  addNominal(image, report);
  report.balance = balance(image, lists, workers);
  report.bytes = 2.0 * image.heads * (image.query.tokens + image.key.tokens) * image.headDim * rt::sizeOf(image.dtype);
  return report;
}
