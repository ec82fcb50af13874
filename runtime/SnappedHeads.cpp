// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Snaps and merges the heads in flight, and measures what that saves.

#include "runtime/SnappedHeads.h"

#include "runtime/Threads.h"
#include "runtime/Workspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <numeric>

using namespace weft::rt;

SnappedHeads::SnappedHeads(const KernelImage &image, const RunArgs &args, const BlockLists &lists,
                           const QueryPlaces &places, double threshold, int threads, std::byte *memory)
    : image(image), reuse(*image.reuse), args(args), lists(lists), places(places), threshold(threshold),
      threads(threads), memory(memory) {}

static int64_t bytesOfRows(const KernelImage &image, const TokenBlocks &tokens) {
  constexpr int64_t line = 64;
  return (tokens.tokens * image.headDim * static_cast<int64_t>(sizeOf(image.dtype)) + line - 1) / line * line;
}

int64_t SnappedHeads::bytesPerHead(const KernelImage &image) {
  const Reuse &reuse = *image.reuse;
  int64_t queries = reuse.query.snaps() ? bytesOfRows(image, image.query) : 0;
  int64_t keys = reuse.key.snaps() ? bytesOfRows(image, image.key) : 0;
  return queries + keys + (reuse.mergesKeys() ? bytesOfRows(image, image.key) : 0);
}

static TokenRows rowsOf(const Tensor &tensor, int64_t batch, int64_t head) {
  int64_t offset = batch * tensor.strides[0] + head * tensor.strides[1];
  return {static_cast<const std::byte *>(tensor.data) + offset * static_cast<int64_t>(sizeOf(tensor.dtype)),
          tensor.strides[2]};
}

void SnappedHeads::place(Slot &slot, int64_t pair, int64_t index) {
  slot.pair = pair;
  std::byte *next = memory + index * bytesPerHead(image);
  auto take = [&](bool isUsed, const TokenBlocks &tokens) {
    std::byte *taken = next;
    next += isUsed ? bytesOfRows(image, tokens) : 0;
    return taken;
  };
  slot.queryMemory = take(reuse.query.snaps(), image.query);
  slot.keyMemory = take(reuse.key.snaps(), image.key);
  slot.valueMemory = take(reuse.mergesKeys(), image.key);
  slot.queryDonors.resize(reuse.mergesQueries() ? image.query.tokens : 0);
  slot.keyDonors.resize(reuse.mergesKeys() ? image.key.tokens : 0);
  if (countsTokens)
    slot.queryValues.resize(image.query.tokens), slot.keyValues.resize(image.key.tokens);
}

void SnappedHeads::snap(int64_t pair, int64_t count) {
  slots = std::vector<Slot>(count);
  for (int64_t i = 0; i < count; ++i)
    place(slots[i], pair + i, i);
  snapAll();
  if (reuse.whole)
    forEachItem(count, threads, [&](int64_t i, int) { merge(slots[i]); });
}

void SnappedHeads::snapAll() {
  struct Part {
    SnapTask task;
    std::atomic<int64_t> replaced = 0;
    explicit Part(const SnapTask &task) : task(task) {}
  };
  std::vector<std::unique_ptr<Part>> parts;
  auto add = [&](const SnapGrid &grid, const TokenBlocks &tokens, TokenRows &rows, const Tensor &tensor,
                 std::byte *target, std::vector<int32_t> &donors, std::vector<int32_t> &values, int64_t slotPair) {
    rows = rowsOf(tensor, slotPair / image.heads, slotPair % image.heads);
    if (!grid.snaps())
      return;
    parts.push_back(std::make_unique<Part>(SnapTask{grid, reuse.window, reuse.whole, threshold, image.dtype,
                                                    tokens.tokens, image.headDim, rows, target, donors.data(),
                                                    countsTokens ? values.data() : nullptr}));
    rows = {target, image.headDim};
  };
  for (Slot &slot : slots) {
    add(reuse.query, image.query, slot.query, args.query, slot.queryMemory, slot.queryDonors, slot.queryValues,
        slot.pair);
    add(reuse.key, image.key, slot.key, args.key, slot.keyMemory, slot.keyDonors, slot.keyValues, slot.pair);
  }
  std::vector<std::pair<Part *, int64_t>> items;
  for (auto &part : parts)
    for (int64_t item = 0; item < part->task.countItems(); ++item)
      items.emplace_back(part.get(), item);
  forEachItem(static_cast<int64_t>(items.size()), threads, [&](int64_t i, int) {
    auto [part, item] = items[i];
    part->replaced += part->task.run(item);
  });
  auto next = parts.begin();
  for (Slot &slot : slots) {
    if (reuse.query.snaps())
      slot.replacedQueries = (*next++)->replaced;
    if (reuse.key.snaps())
      slot.replacedKeys = (*next++)->replaced;
  }
}

/// The rows that the call computes in this head.
PooledRows SnappedHeads::pool(const Slot &slot) const {
  std::vector<int32_t> tokens;
  if (args.rows) {
    tokens = args.rows->tokensOf(args.rows->setOf(slot.pair / image.heads, slot.pair % image.heads));
  } else {
    tokens.resize(image.query.tokens);
    std::iota(tokens.begin(), tokens.end(), 0);
  }
  return PooledRows(lists, lists.setOf(slot.pair), places, tokens);
}

void SnappedHeads::merge(Slot &slot) const {
  int64_t set = lists.setOf(slot.pair);
  PooledRows rows = pool(slot);
  slot.numRows = static_cast<double>(rows.positions.size());
  slot.pairs = countPairs(rows, ListView(lists, set, image.key));
  if (!reuse.query.snaps()) {
    slot.queryDonors.resize(image.query.tokens);
    std::iota(slot.queryDonors.begin(), slot.queryDonors.end(), 0);
  }
  slot.rows = mergeRows(lists, set, places, image.query, rows, slot.queryDonors);
  if (reuse.mergesKeys())
    slot.keys = mergeKeys(lists, set, image.key, slot.rows->plan.rows, slot.keyDonors);
}

void SnappedHeads::mergeValues() {
  constexpr int32_t part = 256;
  struct Item {
    ValueTask task;
    int32_t first, last;
  };
  std::vector<Item> items;
  for (Slot &slot : slots) {
    int64_t batch = slot.pair / image.heads, head = slot.pair % image.heads;
    slot.value = rowsOf(args.value, batch, head);
    if (!slot.keys)
      continue;
    ValueTask task{*slot.keys, image.dtype, image.headDim, slot.value, nullptr, 0, slot.valueMemory};
    if (args.bias) {
      const Tensor &bias = *args.bias;
      TokenRows row = rowsOf(bias, bias.shape[0] == 1 ? 0 : batch, bias.shape[1] == 1 ? 0 : head);
      task.bias = reinterpret_cast<const float *>(row.data), task.biasStride = row.stride;
    }
    for (int32_t first = 0; first < slot.keys->tokens.count(); first += part)
      items.push_back({task, first, std::min(first + part, slot.keys->tokens.count())});
    slot.value = {slot.valueMemory, image.headDim};
  }
  forEachItem(static_cast<int64_t>(items.size()), threads,
              [&](int64_t i, int) { items[i].task.run(items[i].first, items[i].last); });
}

TokenReuse SnappedHeads::tokenReuse(int64_t index) const {
  const Slot &slot = slots[index];
  TokenReuse result{slot.queryValues, slot.keyValues, std::vector<int64_t>(image.query.tokens)};
  ListView view = slot.keys ? ListView(*slot.keys) : ListView(lists, lists.setOf(slot.pair), image.key);
  auto add = [&](int64_t block, std::span<const int32_t> positions) {
    int64_t columns = countColumns(view, block);
    for (int32_t position : positions)
      result.computedKeys[image.query.table[position]] = columns;
  };
  // Kernels without rows or merged queries have no pools: each query block is one.
  bool hasPools = !lists.poolOf.empty();
  PooledRows rows = slot.rows ? slot.rows->plan.rows : hasPools ? pool(slot) : PooledRows();
  std::vector<int32_t> all(image.query.tokens);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<int32_t> &offsets = hasPools ? rows.offsets : image.query.offsets;
  for (int64_t block = 0; block < image.query.count(); ++block)
    add(block, std::span(hasPools ? rows.positions : all).subspan(offsets[block], offsets[block + 1] - offsets[block]));
  return result;
}

void SnappedHeads::count(ReuseCounts &counts) const {
  for (const Slot &slot : slots) {
    if (!reuse.whole) {
      counts.queries += static_cast<double>(image.query.tokens * image.headDim);
      counts.keys += static_cast<double>(image.key.tokens * image.headDim);
      counts.mergedQueries += static_cast<double>(slot.replacedQueries);
      counts.mergedKeys += static_cast<double>(slot.replacedKeys);
      continue;
    }
    counts.queries += slot.numRows;
    counts.mergedQueries += slot.numRows - slot.rows->tokens.count();
    counts.pairs += slot.pairs;
    ListView view = slot.keys ? ListView(*slot.keys) : ListView(lists, lists.setOf(slot.pair), image.key);
    counts.computedPairs += countPairs(slot.rows->plan.rows, view);
    if (!slot.keys)
      continue;
    counts.keys += static_cast<double>(slot.keys->tokens.members.size());
    counts.mergedKeys += static_cast<double>(slot.keys->tokens.members.size()) - slot.keys->tokens.count();
  }
}

double Kernel::thresholdOf(const std::vector<int64_t> &parameters) const {
  int64_t parameter = parts.reuse->parameter;
  return parameter < 0 ? parts.reuse->threshold : std::bit_cast<double>(parameters[parameter]);
}

Status Kernel::forEachSnappedHead(const RunArgs &args, bool countsTokens,
                                  const std::function<void(const SnappedHeads &)> &visit) const {
  if (!parts.reuse)
    return Status::error(fmt::format("kernel '{}': expected an attention with reuse", parts.name));
  if (Status status = checkQueryAndKey(args); !status)
    return status;
  if (Status status = checkRows(args, MemoryKind::Host); !status)
    return status;
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  auto lists = resolveLists(args);
  if (!lists)
    return lists.status();
  Workspace workspace(SnappedHeads::bytesPerHead(parts));
  if (!workspace.data())
    return Status::error("workspace: expected memory for the tokens of one head, but there is not so much");
  int threads = args.threads ? args.threads : defaultThreads();
  SnappedHeads heads(parts, args, **lists, places, thresholdOf(*parameters), threads, workspace.data());
  if (countsTokens)
    heads.countTokens();
  for (int64_t pair = 0; pair < args.query.shape[0] * parts.heads; ++pair) {
    heads.snap(pair, 1);
    visit(heads);
  }
  return Status::ok();
}

Result<ReuseSaving> Kernel::measureReuse(const RunArgs &args) const {
  ReuseCounts counts;
  auto count = [&](const SnappedHeads &heads) { heads.count(counts); };
  if (Status status = forEachSnappedHead(args, /*countsTokens=*/false, count); !status)
    return status;
  return counts.share(parts.reuse->whole);
}

Result<std::vector<TokenReuse>> Kernel::measureTokenReuse(const RunArgs &args) const {
  std::vector<TokenReuse> result;
  auto add = [&](const SnappedHeads &heads) { result.push_back(heads.tokenReuse(0)); };
  if (Status status = forEachSnappedHead(args, /*countsTokens=*/true, add); !status)
    return status;
  return result;
}
