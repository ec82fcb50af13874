// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Packs keys and values and runs the query blocks, longest lists first.

#include "runtime/Kernel.h"

#include "runtime/SnappedHeads.h"
#include "runtime/TensorChecks.h"
#include "runtime/Threads.h"
#include "runtime/Tiles.h"
#include "runtime/Workspace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

using namespace weft::rt;

std::vector<int32_t> TokenBlocks::blockByToken() const {
  std::vector<int32_t> blocks(tokens);
  for (int64_t block = 0; block < count(); ++block)
    for (int32_t position = offsets[block]; position < offsets[block + 1]; ++position)
      blocks[table[position]] = static_cast<int32_t>(block);
  return blocks;
}

std::vector<int32_t> TokenBlocks::coordinatesByToken() const {
  std::vector<int32_t> coordinates(4 * tokens);
  for (int64_t position = 0; position < tokens; ++position)
    for (int64_t axis = 0; axis < 4; ++axis) // the table has the index first
      coordinates[axis * tokens + table[position]] = table[(axis + 1) % 4 * tokens + position];
  return coordinates;
}

Kernel::Kernel(KernelImage image) : parts(std::move(image)) {
  if (parts.gathersRows())
    places = QueryPlaces(parts.query.offsets, std::span(parts.query.table).first(parts.query.tokens));
  if (parts.planner)
    return;
  staticLists = shareLists(std::exchange(parts.lists, {}));
  if (staticLists->size() == 1)
    onlyLists = std::shared_ptr<const BlockLists>(staticLists, &staticLists->front());
}

namespace {

const std::byte *at(const Tensor &tensor, int64_t batch, int64_t head) {
  int64_t offset = batch * tensor.strides[0] + head * tensor.strides[1];
  return static_cast<const std::byte *>(tensor.data) + offset * static_cast<int64_t>(sizeOf(tensor.dtype));
}

} // namespace

int64_t Kernel::packedBytesPerHead() const {
  return parts.key.count() * (parts.keyTileBytes + parts.valueTileBytes + parts.biasTileBytes);
}

int64_t Kernel::bytesPerHead() const {
  return packedBytesPerHead() + (parts.reuse ? SnappedHeads::bytesPerHead(parts) : 0);
}

int64_t Kernel::bytesPerWorker() const {
  constexpr int64_t line = 64;
  int64_t table = parts.gathersRows() ? parts.query.table.size() * sizeof(int32_t) : 0;
  return parts.scratchBytes + (table + line - 1) / line * line;
}

int64_t Kernel::headsInFlight(int64_t pairs) const {
  constexpr int64_t budget = int64_t(256) << 20;
  return std::clamp<int64_t>(budget / std::max<int64_t>(bytesPerHead(), 1), 1, pairs);
}

int64_t Kernel::workspaceBytes(int64_t batch, int threads) const {
  int64_t inFlight = headsInFlight(batch * parts.heads);
  int64_t workers = std::min<int64_t>(threads, inFlight * parts.query.count());
  return inFlight * bytesPerHead() + workers * bytesPerWorker();
}

namespace {

/// The plans of a call's rows: one for each set of rows with each set of lists that meet in a head.
class RowPlans {
public:
  RowPlans() = default;
  RowPlans(const RowLists &rows, const BlockLists &lists, const QueryPlaces &places, int64_t heads, int threads)
      : perBatch(rows.counts.shape[0] > 1 || lists.lists > heads),
        perHead(rows.counts.shape[1] > 1 || lists.lists > 1), heads(heads) {
    int64_t batches = std::max(rows.counts.shape[0], lists.lists / heads);
    plans.resize((perBatch ? batches : 1) * (perHead ? heads : 1));
    forEachItem(static_cast<int64_t>(plans.size()), threads, [&](int64_t i, int) {
      int64_t batch = perHead ? i / heads : i, head = perHead ? i % heads : 0;
      plans[i].emplace(lists, lists.setOf(batch * heads + head), places, rows.tokensOf(rows.setOf(batch, head)));
    });
  }

  const RowPlan &of(int64_t batch, int64_t head) const {
    int64_t first = perBatch ? batch : 0;
    return *plans[perHead ? first * heads + head : first];
  }

private:
  bool perBatch = false, perHead = false;
  int64_t heads = 0;
  std::vector<std::optional<RowPlan>> plans;
};

} // namespace

/// One call in progress.
struct Kernel::Call {
  const KernelImage &parts;
  const RunArgs &args;
  const BlockLists &lists;
  const RowPlans &plans;
  /// Null without reuse.
  SnappedHeads *snapped;
  AttendArgs common;
  /// Null if the mask does not recognize heads.
  const Choices *choices;
  int threads;
  std::byte *packed, *scratch;
  int64_t headBytes, workerBytes;

  std::byte *packedKey(int64_t slot) const { return packed + slot * headBytes; }
  std::byte *packedValue(int64_t slot) const { return packedKey(slot) + parts.key.count() * parts.keyTileBytes; }
  std::byte *packedBias(int64_t slot) const { return packedValue(slot) + parts.key.count() * parts.valueTileBytes; }

  const MergedRows *mergedRows(int64_t slot) const { return snapped ? snapped->rows(slot) : nullptr; }
  const MergedKeys *mergedKeys(int64_t slot) const { return snapped ? snapped->keys(slot) : nullptr; }

  /// By key block of this head: whether its queries visit it.
  const uint8_t *visitedOf(int64_t pair, int64_t slot) const {
    if (const MergedKeys *keys = mergedKeys(slot))
      return keys->visited.data();
    if (const MergedRows *rows = mergedRows(slot))
      return rows->plan.visited.data();
    return args.rows ? planOf(pair, slot).visited.data()
                     : lists.visited.data() + lists.setOf(pair) * parts.key.count();
  }

  /// A head's queries, keys or values.
  TokenRows sourceOf(const Tensor &tensor, int64_t pair, TokenRows (SnappedHeads::*get)(int64_t) const,
                     int64_t slot) const {
    if (snapped)
      return (snapped->*get)(slot);
    return {at(tensor, pair / parts.heads, pair % parts.heads), tensor.strides[2]};
  }

  /// Packs the visited key blocks of `count` heads from `pair` = batch * heads + head.
  void pack(int64_t pair, int64_t count) const {
    int64_t blocks = parts.key.count();
    forEachItem(count * blocks, threads, [&](int64_t item, int) {
      int64_t slot = item / blocks, block = item % blocks;
      if (!visitedOf(pair + slot, slot)[block])
        return;
      const MergedKeys *merged = mergedKeys(slot);
      const std::vector<int32_t> &offsets = merged ? merged->blocks : parts.key.offsets;
      TokenRows key = sourceOf(args.key, pair + slot, &SnappedHeads::key, slot);
      TokenRows value = sourceOf(args.value, pair + slot, &SnappedHeads::value, slot);
      PackArgs pack{key.data,
                    key.stride,
                    value.data,
                    value.stride,
                    merged ? merged->table.data() : parts.key.table.data(),
                    offsets[block],
                    offsets[block + 1] - offsets[block],
                    packedKey(slot) + block * parts.keyTileBytes,
                    packedValue(slot) + block * parts.valueTileBytes};
      parts.pack(&pack);
      if (merged)
        packMergedBias(*merged, slot, block);
      else if (args.bias)
        packBias((pair + slot) / parts.heads, (pair + slot) % parts.heads, slot, block);
    });
  }

  void packMergedBias(const MergedKeys &keys, int64_t slot, int64_t block) const {
    auto *tile = reinterpret_cast<float *>(packedBias(slot) + block * parts.biasTileBytes);
    const float *biases = keys.biases.data();
    float *end = std::copy(biases + keys.blocks[block], biases + keys.blocks[block + 1], tile);
    std::fill(end, tile + parts.biasTileBytes / sizeof(float), 0.0f);
  }

  /// A key block's bias in the order of its keys, and zeros up to the end of the tile.
  void packBias(int64_t batch, int64_t head, int64_t slot, int64_t block) const {
    const Tensor &bias = *args.bias;
    auto *source = reinterpret_cast<const float *>(
        at(bias, bias.shape[0] == 1 ? 0 : batch, bias.shape[1] == 1 ? 0 : head));
    auto *tile = reinterpret_cast<float *>(packedBias(slot) + block * parts.biasTileBytes);
    int64_t first = parts.key.offsets[block], count = parts.key.offsets[block + 1] - first;
    for (int64_t i = 0; i < count; ++i)
      tile[i] = source[parts.key.table[first + i] * bias.strides[2]];
    std::fill(tile + count, tile + parts.biasTileBytes / sizeof(float), 0.0f);
  }

  /// The listed rows alone, chunk by chunk.
  void attendRows(int64_t pair, int64_t count) const {
    std::vector<std::pair<int64_t, const RowChunk *>> items;
    for (int64_t slot = 0; slot < count; ++slot)
      for (const RowChunk &chunk : planOf(pair + slot, slot).chunks)
        items.emplace_back(slot, &chunk);
    forEachItem(static_cast<int64_t>(items.size()), threads, [&](int64_t item, int worker) {
      auto [slot, chunk] = items[item];
      int64_t batch = (pair + slot) / parts.heads, head = (pair + slot) % parts.heads;
      Rows rows{gather(planOf(pair + slot, slot).rows, *chunk, worker), 0, chunk->count};
      attendBlock(batch, head, slot, lists.setOf(pair + slot), chunk->block, rows, worker);
      if (const MergedRows *merged = mergedRows(slot))
        for (int32_t row = chunk->begin; row < chunk->begin + chunk->count; ++row)
          shareResult(batch, head, merged->tokens.membersOf(row));
    });
  }

  /// Queries that were merged have the result of the first of them.
  void shareResult(int64_t batch, int64_t head, std::span<const int32_t> members) const {
    auto *out = const_cast<std::byte *>(at(args.out, batch, head));
    int64_t size = sizeOf(args.out.dtype), stride = args.out.strides[2] * size;
    for (int32_t token : members.subspan(1))
      std::memcpy(out + token * stride, out + members[0] * stride, parts.headDim * size);
    if (!args.lse)
      return;
    auto *lse = reinterpret_cast<float *>(const_cast<std::byte *>(at(*args.lse, batch, head)));
    for (int32_t token : members.subspan(1))
      lse[token * args.lse->strides[2]] = lse[members[0] * args.lse->strides[2]];
  }

  const RowPlan &planOf(int64_t pair, int64_t slot) const {
    if (const MergedRows *rows = mergedRows(slot))
      return rows->plan;
    return plans.of(pair / parts.heads, pair % parts.heads);
  }

  /// The chunk's columns of the table of tokens, in the worker's own table.
  const int32_t *gather(const PooledRows &rows, const RowChunk &chunk, int worker) const {
    auto *table = reinterpret_cast<int32_t *>(scratch + worker * workerBytes + parts.scratchBytes);
    for (int64_t row = 0; row < 4; ++row)
      for (int64_t i = 0; i < chunk.count; ++i)
        table[row * parts.query.tokens + i] =
            parts.query.table[row * parts.query.tokens + rows.positions[chunk.begin + i]];
    return table;
  }

  /// Positions first .. first + count - 1 of a table of query tokens.
  struct Rows {
    const int32_t *table;
    int64_t first, count;
  };

  void attend(int64_t pair, int64_t count) const {
    if (args.rows || (snapped && parts.reuse->whole))
      return attendRows(pair, count);
    int64_t blocks = parts.query.count();
    forEachItem(count * blocks, threads, [&](int64_t item, int worker) {
      int64_t slot = item / blocks;
      int64_t batch = (pair + slot) / parts.heads, head = (pair + slot) % parts.heads;
      int64_t set = lists.setOf(pair + slot);
      int64_t block = lists.schedule[set * blocks + item % blocks];
      int64_t first = parts.query.offsets[block];
      Rows rows{parts.query.table.data(), first, parts.query.offsets[block + 1] - first};
      attendBlock(batch, head, slot, set, block, rows, worker);
    });
  }

  /// Rows that visit what query block `block` does.
  void attendBlock(int64_t batch, int64_t head, int64_t slot, int64_t set, int64_t block, const Rows &rows,
                   int worker) const {
    AttendArgs attend = common;
    TokenRows query = sourceOf(args.query, batch * parts.heads + head, &SnappedHeads::query, slot);
    attend.query = query.data, attend.queryStride = query.stride;
    attend.out = const_cast<std::byte *>(at(args.out, batch, head));
    if (args.lse)
      attend.lse = reinterpret_cast<float *>(const_cast<std::byte *>(at(*args.lse, batch, head)));
    attend.queryTable = rows.table;
    attend.queryFirst = rows.first;
    attend.queryCount = rows.count;
    attend.packedKey = packedKey(slot);
    attend.packedValue = packedValue(slot);
    if (parts.biasTileBytes)
      attend.packedBias = reinterpret_cast<const float *>(packedBias(slot));
    attend.entries = lists.entries.data() + lists.starts[set];
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + block;
    if (const MergedKeys *merged = mergedKeys(slot)) {
      attend.keyTable = merged->table.data(), attend.keyOffsets = merged->blocks.data();
      attend.entries = merged->entries.data(), offsets = merged->listOffsets.data() + block;
    }
    attend.begin = offsets[0];
    attend.end = offsets[1];
    attend.head = head;
    if (choices)
      attend.parameters[parts.parameters.size()] = choices->of(batch * parts.heads + head);
    attend.scratch = scratch + worker * workerBytes;
    parts.attend(&attend);
  }
};

Result<OwnedRowLists> Kernel::selectRows(const RunArgs &args) const {
  if (Status status = checkImportance(args); !status)
    return status;
  if (args.threads < 0)
    return Status::error(fmt::format("threads: expected 0 or more, but got {}", args.threads));
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  const RowSelection &selection = *parts.rowSelection;
  return weft::rt::selectRows(selection, selection.keep.resolve(*parameters), selection.ageWeight.resolve(*parameters),
                              *args.lse, *args.drift, *args.age, args.threads ? args.threads : defaultThreads());
}

Status Kernel::run(const RunArgs &args) const {
  if (Status status = check(args); !status)
    return status;
  if (!parts.rowSelection)
    return attend(args);
  RunArgs call = args;
  Result<OwnedRowLists> selected = OwnedRowLists();
  RowLists rows;
  if (!args.rows) {
    selected = selectRows(args);
    if (!selected)
      return selected.status();
    rows = selected->view(), call.rows = &rows;
  }
  if (Status status = attend(call); !status)
    return status;
  advanceAges(*call.rows, *args.age);
  return Status::ok();
}

/// A call whose arguments are checked, with rows if the attention has any.
Status Kernel::attend(const RunArgs &args) const {
  if (parts.recognition && !args.choices) {
    Result<Choices> choices = recognize(args);
    if (!choices)
      return choices.status();
    RunArgs chosen = args;
    chosen.choices = &*choices;
    return attend(chosen);
  }
  if (parts.usesTiles && !requestTiles())
    return Status::error(fmt::format("kernel '{}': expected a system that grants the use of AMX tiles", parts.name));
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  auto lists = resolveLists(args);
  if (!lists)
    return lists.status();

  int threads = args.threads ? args.threads : defaultThreads();
  int64_t pairs = args.query.shape[0] * parts.heads, inFlight = headsInFlight(pairs);
  int64_t bytes = workspaceBytes(args.query.shape[0], threads);
  Workspace workspace(bytes);
  if (!workspace.data())
    return Status::error(fmt::format("workspace: expected {} bytes of memory, but there are not so many", bytes));

  AttendArgs common{};
  common.outStride = args.out.strides[2];
  common.lseStride = args.lse ? args.lse->strides[2] : 0;
  common.wantLse = args.lse.has_value();
  common.keyTable = parts.key.table.data();
  common.keyOffsets = parts.key.offsets.data();
  std::copy(parameters->begin(), parameters->end(), common.parameters);

  RowPlans plans;
  if (args.rows && !(parts.reuse && parts.reuse->whole))
    plans = RowPlans(*args.rows, **lists, places, parts.heads, threads);
  std::byte *memory = workspace.data() + inFlight * packedBytesPerHead();
  std::byte *scratch = workspace.data() + inFlight * bytesPerHead();
  std::optional<SnappedHeads> snapped;
  if (parts.reuse)
    snapped.emplace(parts, args, **lists, places, thresholdOf(*parameters), threads, memory);
  Call call{parts,   args,    **lists,          plans,   snapped ? &*snapped : nullptr,
            common,  args.choices, threads, workspace.data(), scratch, packedBytesPerHead(),
            bytesPerWorker()};
  for (int64_t pair = 0; pair < pairs; pair += inFlight) {
    int64_t count = std::min(inFlight, pairs - pair);
    if (snapped) {
      snapped->snap(pair, count);
      snapped->mergeValues();
    }
    call.pack(pair, count);
    call.attend(pair, count);
  }
  return Status::ok();
}
