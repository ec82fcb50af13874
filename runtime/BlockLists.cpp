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
#include <string_view>
#include <unordered_map>

using namespace weft::rt;

namespace {

/// A position among a set's rows or offsets; the set is named if there are several.
std::string place(const GivenLists &given, int64_t set, int64_t position) {
  return given.lists == 1 ? std::to_string(position) : fmt::format("{} of set {}", position, set);
}

/// Offsets never fall, and a set begins where the one before it ends.
Status checkOffsets(const GivenLists &given) {
  int64_t total = static_cast<int64_t>(given.keyBlocks.size()), previous = 0, stride = given.queryBlocks + 1;
  for (int64_t i = 0; i < given.lists * stride; ++i) {
    int64_t offset = given.offsets[i], set = i / stride;
    if (offset < previous || offset > total)
      return Status::error(fmt::format("given lists: expected offset {} between {} and {}, but got {}",
                                       place(given, set, i % stride), previous, total, offset));
    if (set > 0 && i % stride == 0 && offset != previous)
      return Status::error(fmt::format("given lists: expected set {} to begin at {}, where set {} ends, but got {}",
                                       set, previous, set - 1, offset));
    previous = offset;
  }
  if (given.offsets.front() != 0 || given.offsets.back() != total)
    return Status::error(fmt::format("given lists: expected offsets from 0 to {}, but got {} to {}", total,
                                     given.offsets.front(), given.offsets.back()));
  return Status::ok();
}

Status checkRow(const GivenLists &given, int64_t set, int64_t row, int64_t numKeyBlocks) {
  const int64_t *offsets = given.offsets.data() + set * (given.queryBlocks + 1) + row;
  const std::vector<int32_t> &blocks = given.keyBlocks;
  for (int64_t i = offsets[0]; i < offsets[1]; ++i) {
    if (blocks[i] < 0 || blocks[i] >= numKeyBlocks)
      return Status::error(fmt::format("given lists: expected key blocks from 0 to {} in row {}, but got {}",
                                       numKeyBlocks - 1, place(given, set, row), blocks[i]));
    if (i > offsets[0] && blocks[i] <= blocks[i - 1])
      return Status::error(fmt::format("given lists: expected ascending key blocks in row {}, but got {} after {}",
                                       place(given, set, row), blocks[i], blocks[i - 1]));
  }
  return Status::ok();
}

} // namespace

Status GivenLists::validate(int64_t heads, int64_t expectedQueryBlocks, int64_t numKeyBlocks, int64_t batch) const {
  if (lists != 1 && lists != heads && lists != batch * heads) {
    std::string expected = batch == 1 || heads == 1 ? fmt::format("1 or {} sets", batch * heads)
                                                    : fmt::format("1, {} or {} sets", heads, batch * heads);
    return Status::error(
        fmt::format("given lists: expected {}, but got {}", batch * heads == 1 ? "1 set" : expected, lists));
  }
  if (queryBlocks != expectedQueryBlocks)
    return Status::error(
        fmt::format("given lists: expected {} query blocks, but got {}", expectedQueryBlocks, queryBlocks));
  int64_t expected = lists * (queryBlocks + 1);
  if (static_cast<int64_t>(offsets.size()) != expected)
    return Status::error(fmt::format("given lists: expected {} offsets, but got {}", expected, offsets.size()));
  if (Status status = checkOffsets(*this); !status)
    return status;
  for (int64_t set = 0; set < lists; ++set)
    for (int64_t row = 0; row < queryBlocks; ++row)
      if (Status status = checkRow(*this, set, row, numKeyBlocks); !status)
        return status;
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

void BlockLists::findPools() {
  poolOf.clear();
  for (int64_t set = 0; set < lists; ++set) {
    std::unordered_map<std::string_view, int32_t> pools;
    const int32_t *rows = offsets.data() + set * (queryBlocks + 1);
    for (int32_t block = 0; block < queryBlocks; ++block) {
      std::string_view list(reinterpret_cast<const char *>(entries.data() + starts[set] + rows[block]),
                            (rows[block + 1] - rows[block]) * sizeof(int32_t));
      poolOf.push_back(pools.try_emplace(list, block).first->second);
    }
  }
}

void BlockLists::findKeyPools() {
  keyPoolOf.clear();
  for (int64_t set = 0; set < lists; ++set) {
    const int32_t *rows = offsets.data() + set * (queryBlocks + 1);
    std::vector<std::vector<int32_t>> columns(keyBlocks);
    std::vector<uint8_t> isPartial(keyBlocks, 0);
    for (int32_t block = 0; block < queryBlocks; ++block)
      for (int64_t i = starts[set] + rows[block]; i < starts[set] + rows[block + 1]; ++i) {
        columns[entries[i] >> 2].push_back(block);
        isPartial[entries[i] >> 2] |= entries[i] & kPartial;
      }
    std::unordered_map<std::string_view, int32_t> pools;
    for (int32_t block = 0; block < keyBlocks; ++block) {
      std::string_view column(reinterpret_cast<const char *>(columns[block].data()),
                              columns[block].size() * sizeof(int32_t));
      keyPoolOf.push_back(isPartial[block] ? -1 : pools.try_emplace(column, block).first->second);
    }
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

std::span<const int32_t> rowOf(const BlockLists &lists, int64_t pair, int64_t row) {
  int64_t set = lists.setOf(pair);
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
      int64_t at = head % given.lists * (given.queryBlocks + 1) + row;
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

BlockLists BlockLists::gather(const std::vector<const BlockLists *> &sources, int64_t heads) {
  BlockLists result;
  int64_t most = 1;
  for (const BlockLists *source : sources)
    most = std::max(most, source->lists);
  result.lists = std::max<int64_t>(sources.size(), most);
  result.queryBlocks = sources.front()->queryBlocks, result.keyBlocks = sources.front()->keyBlocks;
  auto append = [](auto &to, const auto &from, int64_t begin, int64_t count) {
    to.insert(to.end(), from.begin() + begin, from.begin() + begin + count);
  };
  for (int64_t i = 0; i < result.lists; ++i) {
    const BlockLists &source = *sources[i % sources.size()];
    int64_t set = source.setOf(i % heads), columns = result.queryBlocks + 1;
    result.starts.push_back(result.entries.size());
    append(result.entries, source.entries, source.starts[set], source.countEntries(set));
    append(result.offsets, source.offsets, set * columns, columns);
    append(result.schedule, source.schedule, set * result.queryBlocks, result.queryBlocks);
    append(result.visited, source.visited, set * result.keyBlocks, result.keyBlocks);
  }
  result.starts.push_back(result.entries.size());
  return result;
}
