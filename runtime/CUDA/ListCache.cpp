// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies lists to the device once.

#include "runtime/CUDA/ListCache.h"

#include "runtime/CUDA/DevicePrediction.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

using namespace weft::rt;
using namespace weft::rt::cuda;

namespace {

/// A work item as the kernel reads it.
struct Item {
  int32_t block, pair, offset, count;
};

/// Of `batch` elements from `first`; pairs are counted from that.
std::vector<Item> makeItems(const BlockLists &lists, int64_t first, int64_t batch, int64_t heads) {
  std::vector<Item> items;
  items.reserve(batch * heads * lists.queryBlocks);
  for (int64_t pair = 0; pair < batch * heads; ++pair) {
    int64_t set = lists.setOf(first * heads + pair);
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
    for (int64_t block = 0; block < lists.queryBlocks; ++block)
      items.push_back({static_cast<int32_t>(block), static_cast<int32_t>(pair),
                       static_cast<int32_t>(lists.starts[set] + offsets[block]), offsets[block + 1] - offsets[block]});
  }
  // Of equal lists, those of one head stay together: its keys and values are read from the cache.
  std::sort(items.begin(), items.end(), [](const Item &a, const Item &b) {
    return std::tuple(-a.count, a.pair, a.block) < std::tuple(-b.count, b.pair, b.block);
  });
  return items;
}

/// The pools of one set, the longest list first.
struct RankedPools {
  /// The first query block of each.
  std::vector<int32_t> blocks;
  /// By query block: the number of its pool.
  std::vector<int32_t> poolOf;

  RankedPools(const BlockLists &lists, int64_t set) : poolOf(lists.queryBlocks) {
    const int32_t *firstOf = lists.poolOf.data() + set * lists.queryBlocks;
    for (int32_t block = 0; block < lists.queryBlocks; ++block)
      if (firstOf[block] == block)
        blocks.push_back(block);
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
    std::sort(blocks.begin(), blocks.end(), [&](int32_t a, int32_t b) {
      int32_t lengthOfA = offsets[a + 1] - offsets[a], lengthOfB = offsets[b + 1] - offsets[b];
      return lengthOfA != lengthOfB ? lengthOfA > lengthOfB : a < b;
    });
    std::vector<int32_t> rankOf(lists.queryBlocks);
    for (size_t rank = 0; rank < blocks.size(); ++rank)
      rankOf[blocks[rank]] = static_cast<int32_t>(rank);
    for (int64_t block = 0; block < lists.queryBlocks; ++block)
      poolOf[block] = rankOf[firstOf[block]];
  }
};

/// KeyPlaces of `sets` sets from `firstSet` on.
std::vector<int32_t> placeKeys(const BlockLists &lists, int64_t firstSet, int64_t sets) {
  int64_t blocks = lists.keyBlocks, size = sets * blocks;
  std::vector<int32_t> tables(5 * size);
  auto table = [&](int64_t number, int64_t set) { return tables.data() + number * size + set * blocks; };
  for (int64_t set = 0; set < sets; ++set) {
    const int32_t *poolOf = lists.keyPoolOf.data() + (firstSet + set) * blocks;
    auto nameOf = [&](int32_t block) { return poolOf[block] < 0 ? block : poolOf[block]; };
    int32_t *placeOf = table(0, set), *baseOf = table(1, set), *blockAt = table(2, set), *baseAt = table(3, set),
            *endAt = table(4, set);
    std::iota(blockAt, blockAt + blocks, 0);
    std::sort(blockAt, blockAt + blocks,
              [&](int32_t a, int32_t b) { return std::pair(nameOf(a), a) < std::pair(nameOf(b), b); });
    for (int32_t base = 0, end = 0; base < blocks; base = end) {
      while (end < blocks && nameOf(blockAt[end]) == nameOf(blockAt[base]))
        ++end;
      for (int32_t place = base; place < end; ++place) {
        placeOf[blockAt[place]] = place, baseOf[blockAt[place]] = base;
        baseAt[place] = base, endAt[place] = end;
      }
    }
  }
  return tables;
}

template <typename T>
Status copyTo(DeviceMemory &memory, const std::shared_ptr<const Device> &device, const std::vector<T> &data,
              Stream stream) {
  auto made = DeviceMemory::upload(device, data.data(), data.size() * sizeof(T), stream);
  if (!made)
    return made.status();
  memory = std::move(*made);
  return Status::ok();
}

/// Where lists are, set by set: of each pool, or of each query block if the lists have not found their pools.
struct RangeTables {
  std::vector<int32_t> ranges, poolOf;
  int64_t pools = 0;

  /// Entries of the source begin at `begin`.
  void append(const BlockLists &source, int64_t set, int64_t begin) {
    const int32_t *offsets = source.offsets.data() + set * (source.queryBlocks + 1);
    size_t first = ranges.size();
    ranges.resize(first + 2 * source.queryBlocks);
    auto put = [&](int64_t place, int32_t block) {
      int32_t *range = ranges.data() + first + 2 * place;
      range[0] = static_cast<int32_t>(begin + source.starts[set] + offsets[block]);
      range[1] = offsets[block + 1] - offsets[block];
    };
    if (source.poolOf.empty()) {
      for (int32_t block = 0; block < source.queryBlocks; ++block)
        put(block, block);
      return;
    }
    RankedPools ranked(source, set);
    poolOf.insert(poolOf.end(), ranked.poolOf.begin(), ranked.poolOf.end());
    pools = std::max(pools, static_cast<int64_t>(ranked.blocks.size()));
    for (size_t rank = 0; rank < ranked.blocks.size(); ++rank)
      put(static_cast<int64_t>(rank), ranked.blocks[rank]);
  }

  Status upload(DeviceLists &lists, const std::shared_ptr<const Device> &device, Stream stream) const {
    lists.pools = pools;
    Status status = copyTo(lists.ranges, device, ranges, stream);
    return status ? copyTo(lists.poolOf, device, poolOf, stream) : status;
  }
};

} // namespace

ListCache::Found ListCache::get(std::shared_ptr<const BlockLists> lists, int64_t first, int64_t batch, Stream stream,
                                bool isCaptured, const Masker &mask) {
  // Lists that all batch elements share are the same from everywhere.
  first = lists->lists > heads ? first : 0;
  return find(lists, first, batch, stream, isCaptured,
              [&](DeviceLists &made) {
                Status status = upload(*lists, made, stream);
                return status ? mask({{lists.get()}}, made.masks) : status;
              });
}

ListCache::Found ListCache::getCodes(const std::vector<Classified> &candidates, Stream stream, bool isCaptured,
                                     const Masker &mask) {
  return find(candidates.front(), 0, 0, stream, isCaptured, [&](DeviceLists &made) {
    made.sets = setsOf(candidates);
    std::vector<MaskSource> sources;
    for (size_t choice = 0; choice < candidates.size(); ++choice)
      for (const BlockLists &source : *candidates[choice])
        sources.push_back({&source, static_cast<int64_t>(choice)});
    Status status = copyTo(made.codes, device, makeCodes(candidates), stream);
    return status ? mask(sources, made.masks) : status;
  });
}

ListCache::Found ListCache::getCandidates(const std::vector<std::shared_ptr<const BlockLists>> &candidates,
                                          Stream stream, bool isCaptured, const Masker &mask) {
  return find(candidates.front(), kCandidates, 0, stream, isCaptured, [&](DeviceLists &made) {
    std::vector<MaskSource> sources;
    for (size_t choice = 0; choice < candidates.size(); ++choice)
      sources.push_back({candidates[choice].get(), static_cast<int64_t>(choice)});
    Status status = uploadCandidates(candidates, made, stream);
    return status ? mask(sources, made.masks) : status;
  });
}

ListCache::Found ListCache::find(const std::shared_ptr<const void> &source, int64_t first, int64_t batch,
                                 Stream stream, bool isCaptured,
                                 const std::function<Status(DeviceLists &)> &upload) {
  std::lock_guard lock(mutex);
  auto entry = std::find_if(known.begin(), known.end(), [&](const auto &entry) {
    return entry->source == source && entry->first == first && entry->batch == batch;
  });
  if (entry != known.end()) {
    known.splice(known.begin(), known, entry);
    known.front()->captured |= isCaptured;
    return known.front();
  }
  if (isCaptured)
    return Status::error("lists: expected block lists that an earlier launch has copied to the device, since the "
                         "stream is being captured");
  auto made = std::make_shared<DeviceLists>();
  made->source = source, made->first = first, made->batch = batch;
  if (Status status = upload(*made); !status)
    return status;
  // Another stream may use the lists next.
  if (int code = device->driver.streamSynchronize(stream))
    return device->driver.check(code, "cuStreamSynchronize");
  known.push_front(std::move(made));
  dropOld();
  return known.front();
}

Status ListCache::upload(const BlockLists &source, DeviceLists &lists, Stream stream) const {
  if (source.entries.size() > INT32_MAX)
    return Status::error(fmt::format("lists: expected at most {} entries, but got {}", INT32_MAX,
                                     source.entries.size()));
  std::vector<Item> items = makeItems(source, lists.first, lists.batch, heads);
  lists.mostItems = static_cast<int64_t>(items.size());
  Status status = copyTo(lists.items, device, items, stream);
  if (status)
    status = copyTo(lists.entries, device, source.entries, stream);
  if (status)
    status = copyTo(lists.numItems, device, std::vector<int32_t>{static_cast<int32_t>(items.size())}, stream);
  return status && !source.poolOf.empty() ? uploadRanges(source, lists, stream) : status;
}

Status ListCache::uploadRanges(const BlockLists &source, DeviceLists &lists, Stream stream) const {
  int64_t firstSet = source.lists > heads ? lists.first * heads : 0;
  lists.sets = source.lists > heads ? lists.batch * heads : source.lists;
  RangeTables tables;
  for (int64_t set = 0; set < lists.sets; ++set)
    tables.append(source, firstSet + set, 0);
  Status status = tables.upload(lists, device, stream);
  if (status && !source.keyPoolOf.empty())
    status = copyTo(lists.keyPlaces, device, placeKeys(source, firstSet, lists.sets), stream);
  return status;
}

Status ListCache::uploadCandidates(const std::vector<std::shared_ptr<const BlockLists>> &candidates,
                                   DeviceLists &lists, Stream stream) const {
  std::vector<int32_t> entries;
  RangeTables tables;
  for (const auto &candidate : candidates)
    lists.sets = std::max(lists.sets, candidate->lists);
  for (const auto &candidate : candidates) {
    if (entries.size() + candidate->entries.size() > INT32_MAX)
      return Status::error(fmt::format("lists: expected at most {} entries of all candidates, but got more",
                                       INT32_MAX));
    for (int64_t set = 0; set < lists.sets; ++set)
      tables.append(*candidate, candidate->setOf(set), static_cast<int64_t>(entries.size()));
    entries.insert(entries.end(), candidate->entries.begin(), candidate->entries.end());
  }
  Status status = copyTo(lists.entries, device, entries, stream);
  return status ? tables.upload(lists, device, stream) : status;
}

void ListCache::dropOld() {
  int64_t maskBytes = 0;
  for (const auto &lists : known)
    maskBytes += lists->masks.bytes;
  auto newest = known.begin();
  for (auto entry = std::prev(known.end()); entry != newest;) {
    if (known.size() <= kMaxLists && maskBytes <= mostMaskBytes)
      return;
    auto oldest = entry--;
    if ((*oldest)->captured)
      continue;
    maskBytes -= (*oldest)->masks.bytes;
    known.erase(oldest);
  }
}
