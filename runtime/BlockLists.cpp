// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Validation, merging and scheduling of block lists.

#include "runtime/BlockLists.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

using namespace weft::rt;

Status GivenLists::validate(int64_t heads, int64_t expectedQueryBlocks, int64_t numKeyBlocks) const {
  if (lists != 1 && lists != heads)
    return Status::error(fmt::format("given lists: expected 1 or {} sets, but got {}", heads, lists));
  if (queryBlocks != expectedQueryBlocks)
    return Status::error(
        fmt::format("given lists: expected {} query blocks, but got {}", expectedQueryBlocks, queryBlocks));
  int64_t expected = lists * (queryBlocks + 1);
  if (static_cast<int64_t>(offsets.size()) != expected)
    return Status::error(fmt::format("given lists: expected {} offsets, but got {}", expected, offsets.size()));
  int64_t total = static_cast<int64_t>(keyBlocks.size());
  int64_t previous = 0;
  for (int64_t i = 0; i < expected; ++i) {
    if (offsets[i] < previous || offsets[i] > total)
      return Status::error(fmt::format("given lists: expected offset {} between {} and {}, but got {}", i, previous,
                                       total, offsets[i]));
    previous = offsets[i];
  }
  if (offsets.front() != 0 || offsets.back() != total)
    return Status::error(fmt::format("given lists: expected offsets from 0 to {}, but got {} to {}", total,
                                     offsets.front(), offsets.back()));
  for (int64_t row = 0; row + 1 < expected; ++row)
    for (int64_t i = offsets[row]; i < offsets[row + 1]; ++i) {
      if (keyBlocks[i] < 0 || keyBlocks[i] >= numKeyBlocks)
        return Status::error(fmt::format("given lists: expected key blocks from 0 to {} in row {}, but got {}",
                                         numKeyBlocks - 1, row, keyBlocks[i]));
      if (i > offsets[row] && keyBlocks[i] <= keyBlocks[i - 1])
        return Status::error(fmt::format("given lists: expected ascending key blocks in row {}, but got {} after {}",
                                         row, keyBlocks[i], keyBlocks[i - 1]));
    }
  return Status::ok();
}

double BlockLists::blockDensity() const {
  double pairs = static_cast<double>(lists) * queryBlocks * keyBlocks;
  return pairs == 0 ? 0 : entries.size() / pairs;
}

/// Computes schedule and visited.
void BlockLists::finish() {
  schedule.resize(lists * queryBlocks);
  visited.assign(lists * keyBlocks, 0);
  for (int64_t set = 0; set < lists; ++set) {
    const int32_t *rows = offsets.data() + set * (queryBlocks + 1);
    auto order = std::span(schedule).subspan(set * queryBlocks, queryBlocks);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      int32_t lengthA = rows[a + 1] - rows[a], lengthB = rows[b + 1] - rows[b];
      return lengthA != lengthB ? lengthA > lengthB : a < b;
    });
    for (int64_t i = starts[set]; i < starts[set + 1]; ++i)
      visited[set * keyBlocks + (entries[i] >> 2)] = 1;
  }
}

BlockLists BlockLists::fromClassified(int64_t lists, int64_t queryBlocks, int64_t keyBlocks,
                                      const std::vector<int32_t> &offsets, const std::vector<int32_t> &entries,
                                      bool given) {
  BlockLists result;
  result.lists = lists, result.queryBlocks = queryBlocks, result.keyBlocks = keyBlocks;
  result.offsets.resize(offsets.size());
  for (int64_t set = 0; set < lists; ++set) {
    int64_t begin = set * (queryBlocks + 1);
    result.starts.push_back(offsets[begin]);
    for (int64_t i = begin; i <= begin + queryBlocks; ++i)
      result.offsets[i] = offsets[i] - offsets[begin];
  }
  result.starts.push_back(entries.size());
  result.entries.reserve(entries.size());
  for (int32_t entry : entries)
    result.entries.push_back((entry >> 1) << 2 | (given ? kGiven : 0) | (entry & 1));
  result.finish();
  return result;
}

namespace {

std::span<const int32_t> rowOf(const BlockLists &lists, int64_t head, int64_t row) {
  int64_t set = lists.setOf(head);
  const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + row;
  return {lists.entries.data() + lists.starts[set] + offsets[0], lists.entries.data() + lists.starts[set] + offsets[1]};
}

} // namespace

BlockLists BlockLists::merge(const GivenLists &given, const BlockLists &absent, const BlockLists &present) {
  BlockLists result;
  result.lists = std::max({given.lists, absent.lists, present.lists});
  result.queryBlocks = absent.queryBlocks, result.keyBlocks = absent.keyBlocks;
  std::vector<uint8_t> named(result.keyBlocks);
  for (int64_t head = 0; head < result.lists; ++head) {
    result.starts.push_back(result.entries.size());
    result.offsets.push_back(0);
    for (int64_t row = 0; row < result.queryBlocks; ++row) {
      int64_t at = (given.lists == 1 ? 0 : head) * (given.queryBlocks + 1) + row;
      std::fill(named.begin(), named.end(), 0);
      for (int64_t i = given.offsets[at]; i < given.offsets[at + 1]; ++i)
        named[given.keyBlocks[i]] = 1;
      size_t rowStart = result.entries.size();
      for (int32_t entry : rowOf(present, head, row))
        if (named[entry >> 2])
          result.entries.push_back(entry);
      for (int32_t entry : rowOf(absent, head, row))
        if (!named[entry >> 2])
          result.entries.push_back(entry);
      std::sort(result.entries.begin() + rowStart, result.entries.end());
      result.offsets.push_back(result.entries.size() - result.starts.back());
    }
  }
  result.starts.push_back(result.entries.size());
  result.finish();
  return result;
}
