// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Merging of rows, keys and values.

#include "runtime/Merge.h"

#include "runtime/Elements.h"
#include "runtime/Kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

using namespace weft::rt;

namespace {

/// Gives slots to tokens, pool by pool.
class Merger {
public:
  explicit Merger(std::span<const int32_t> donors) : donors(donors), slotOf(donors.size(), -1) {}

  /// From here on tokens merge with later ones alone.
  void beginPool() { firstSlot = merged.count(); }

  void add(int32_t position, int32_t token, bool merges) {
    int32_t &known = slotOf[donors[token]];
    int32_t slot = known;
    if (!merges || known < firstSlot) {
      slot = merged.count();
      merged.positions.push_back(position);
      if (merges)
        known = slot;
    }
    added.push_back({slot, token});
  }

  int32_t count() const { return merged.count(); }

  /// Sorts the tokens by slot, the first of each first.
  MergedTokens finish() {
    merged.offsets.assign(merged.count() + 1, 0);
    for (const Member &member : added)
      ++merged.offsets[member.slot + 1];
    for (int32_t slot = 0; slot < merged.count(); ++slot)
      merged.offsets[slot + 1] += merged.offsets[slot];
    std::vector<int32_t> next(merged.offsets.begin(), merged.offsets.end() - 1);
    merged.members.resize(added.size());
    for (const Member &member : added)
      merged.members[next[member.slot]++] = member.token;
    return std::move(merged);
  }

private:
  struct Member {
    int32_t slot, token;
  };

  std::span<const int32_t> donors;
  /// By donor: its latest slot.
  std::vector<int32_t> slotOf;
  std::vector<Member> added;
  MergedTokens merged;
  int32_t firstSlot = 0;
};

} // namespace

ListView::ListView(const BlockLists &lists, int64_t set, const TokenBlocks &keys)
    : offsets(std::span(lists.offsets).subspan(set * (lists.queryBlocks + 1), lists.queryBlocks + 1)),
      entries(std::span(lists.entries).subspan(lists.starts[set], lists.countEntries(set))), blocks(keys.offsets) {}

int64_t weft::rt::countColumns(const ListView &lists, int64_t block) {
  int64_t columns = 0;
  for (int32_t i = lists.offsets[block]; i < lists.offsets[block + 1]; ++i)
    columns += lists.blocks[(lists.entries[i] >> 2) + 1] - lists.blocks[lists.entries[i] >> 2];
  return columns;
}

double weft::rt::countPairs(const PooledRows &rows, const ListView &lists) {
  double pairs = 0;
  for (size_t pool = 0; pool + 1 < rows.offsets.size(); ++pool)
    pairs += static_cast<double>(countColumns(lists, static_cast<int64_t>(pool))) *
             (rows.offsets[pool + 1] - rows.offsets[pool]);
  return pairs;
}

MergedRows weft::rt::mergeRows(const BlockLists &lists, int64_t set, const QueryPlaces &places,
                               const TokenBlocks &queries, const PooledRows &rows, std::span<const int32_t> donors) {
  Merger merger(donors);
  PooledRows merged;
  merged.offsets.push_back(0);
  const int32_t *listOffsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
  for (int64_t pool = 0; pool < lists.queryBlocks; ++pool) {
    auto begin = lists.entries.begin() + lists.starts[set];
    bool isFull = std::none_of(begin + listOffsets[pool], begin + listOffsets[pool + 1],
                               [](int32_t entry) { return entry & BlockLists::kPartial; });
    merger.beginPool();
    for (int32_t i = rows.offsets[pool]; i < rows.offsets[pool + 1]; ++i)
      merger.add(rows.positions[i], queries.table[rows.positions[i]], isFull);
    merged.offsets.push_back(merger.count());
  }
  MergedTokens tokens = merger.finish();
  merged.positions = tokens.positions;
  return {std::move(tokens), RowPlan(lists, set, places, std::move(merged))};
}

namespace {

/// Forms the blocks and lists of one head's merged keys.
class KeyMerger {
public:
  KeyMerger(const BlockLists &lists, int64_t set, const TokenBlocks &keys, std::span<const int32_t> donors)
      : lists(lists), set(set), keys(keys), merger(donors), blocksOf(lists.keyBlocks + 1, 0) {}

  MergedKeys merge(const PooledRows &rows) {
    for (int32_t i = 0; i + 1 < static_cast<int32_t>(keys.offsets.size()); ++i)
      largest = std::max(largest, keys.offsets[i + 1] - keys.offsets[i]);
    addPools();
    result.tokens = merger.finish();
    fillTable();
    rewriteLists(rows);
    return std::move(result);
  }

private:
  int32_t poolOf(int64_t block) const { return lists.keyPoolOf[set * lists.keyBlocks + block]; }

  /// Blocks that an entry names as partial stay as they are.
  void addPools() {
    std::vector<std::vector<int32_t>> pools(lists.keyBlocks);
    for (int32_t block = 0; block < lists.keyBlocks; ++block)
      if (lists.visited[set * lists.keyBlocks + block])
        pools[poolOf(block) < 0 ? block : poolOf(block)].push_back(block);
    for (int64_t pool = 0; pool < lists.keyBlocks; ++pool) {
      int32_t firstSlot = merger.count();
      merger.beginPool();
      for (int32_t block : pools[pool])
        for (int32_t position = keys.offsets[block]; position < keys.offsets[block + 1]; ++position)
          merger.add(position, keys.table[position], poolOf(block) >= 0);
      for (int32_t slot = firstSlot; slot < merger.count(); slot += largest)
        result.blocks.push_back(slot);
      blocksOf[pool + 1] = static_cast<int32_t>(result.blocks.size());
    }
    result.blocks.push_back(merger.count());
  }

  void fillTable() {
    result.table.resize(keys.table.size());
    for (int64_t row = 0; row < 4; ++row)
      for (int32_t slot = 0; slot < result.tokens.count(); ++slot)
        result.table[row * keys.tokens + slot] = keys.table[row * keys.tokens + result.tokens.positions[slot]];
  }

  /// An entry of a pool's first block becomes entries of all its blocks.
  void rewriteLists(const PooledRows &rows) {
    result.visited.assign(lists.keyBlocks, 0);
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
    for (int64_t queries = 0; queries < lists.queryBlocks; ++queries) {
      result.listOffsets.push_back(static_cast<int32_t>(result.entries.size()));
      if (rows.offsets[queries] == rows.offsets[queries + 1])
        continue;
      for (int64_t i = lists.starts[set] + offsets[queries]; i < lists.starts[set] + offsets[queries + 1]; ++i)
        rewriteEntry(lists.entries[i]);
    }
    result.listOffsets.push_back(static_cast<int32_t>(result.entries.size()));
  }

  void rewriteEntry(int32_t entry) {
    int32_t pool = entry >> 2;
    if (poolOf(pool) >= 0 && poolOf(pool) != pool)
      return;
    for (int32_t block = blocksOf[pool]; block < blocksOf[pool + 1]; ++block) {
      result.entries.push_back(block << 2 | (entry & 3));
      result.visited[block] = 1;
    }
  }

  const BlockLists &lists;
  int64_t set;
  const TokenBlocks &keys;
  Merger merger;
  /// Pool p, named by its first key block, has the merged blocks blocksOf[p] .. blocksOf[p + 1] - 1.
  std::vector<int32_t> blocksOf;
  int32_t largest = 1;
  MergedKeys result;
};

} // namespace

MergedKeys weft::rt::mergeKeys(const BlockLists &lists, int64_t set, const TokenBlocks &keys, const PooledRows &rows,
                               std::span<const int32_t> donors) {
  MergedKeys result = KeyMerger(lists, set, keys, donors).merge(rows);
  result.biases.resize(result.tokens.count());
  return result;
}

namespace {

template <typename Element> class ValueMerger {
public:
  explicit ValueMerger(const ValueTask &task) : task(task), row(task.channels) {}

  void run(int64_t slot) {
    std::span<const int32_t> members = task.keys.tokens.membersOf(slot);
    task.keys.biases[slot] = members.size() == 1 ? biasOf(members[0]) : weigh(members);
    Element *target = reinterpret_cast<Element *>(task.target) + members[0] * task.channels;
    if (members.size() == 1) {
      std::memcpy(target, rowOf(members[0]), task.channels * sizeof(Element));
      return;
    }
    std::fill(row.begin(), row.end(), 0.0f);
    for (size_t i = 0; i < members.size(); ++i)
      addValues(rowOf(members[i]), shares[i]);
    for (int64_t c = 0; c < task.channels; ++c)
      target[c] = Element::from(row[c]);
  }

private:
  const Element *rowOf(int32_t token) const {
    return reinterpret_cast<const Element *>(task.values.data) + token * task.values.stride;
  }

  float biasOf(int32_t token) const { return task.bias ? task.bias[token * task.biasStride] : 0.0f; }

  /// log sum exp of the biases, and each token's share of the sum: equal ones if all biases are -inf.
  float weigh(std::span<const int32_t> members) {
    float greatest = -std::numeric_limits<float>::infinity(), sum = 0;
    bool isNaN = false;
    for (int32_t token : members)
      greatest = std::max(greatest, biasOf(token)), isNaN |= std::isnan(biasOf(token));
    shares.resize(members.size());
    for (size_t i = 0; i < members.size(); ++i)
      sum += shares[i] = std::isinf(greatest) ? 1.0f : std::exp(biasOf(members[i]) - greatest);
    for (float &share : shares)
      share /= sum;
    return isNaN ? std::numeric_limits<float>::quiet_NaN() : std::isinf(greatest) ? greatest : greatest + std::log(sum);
  }

  void addValues(const Element *source, float share) {
    for (int64_t c = 0; c < task.channels; ++c)
      row[c] += share * source[c].load();
  }

  const ValueTask &task;
  std::vector<float> shares, row;
};

} // namespace

void ValueTask::run(int64_t first, int64_t last) const {
  withElement(dtype, [&](auto element) {
    ValueMerger<decltype(element)> merger(*this);
    for (int64_t slot = first; slot < last; ++slot)
      merger.run(slot);
  });
}
