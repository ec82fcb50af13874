// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages of reuse.

#include "runtime/CUDA/DeviceReuse.h"

#include "runtime/CUDA/CellLaunch.h"
#include "runtime/CUDA/DeviceCells.h"
#include "runtime/CUDA/StageShapes.h"

#include <algorithm>
#include <numeric>
#include <tuple>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<DeviceReuse> DeviceReuse::load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image,
                                      KeyTile tile) {
  DeviceReuse result;
  result.device = std::move(device), result.tile = tile;
  if (Status status = result.findStages(code, image); !status)
    return status;
  if (Status status = result.uploadTables(image); !status)
    return status;
  return result;
}

Status DeviceReuse::findStages(const Code &code, const KernelImage &image) {
  const Reuse &reuse = *image.reuse;
  bool queries = reuse.mergesQueries(), keys = reuse.mergesKeys();
  struct Wanted {
    Stage &stage;
    const char *suffix;
    bool isWanted;
  };
  for (auto [stage, suffix, isWanted] :
       {Wanted{snap, "snap", true}, Wanted{inspect, "inspect_lists", reuse.whole},
        Wanted{mark, "mark_rows", reuse.whole && image.hasRows}, Wanted{merge, "merge_rows", queries && !reuse.isOnePool},
        Wanted{copy, "spread", queries}, Wanted{count, "count_keys", keys}, Wanted{plan, "plan_keys", keys},
        Wanted{fill, "fill_keys", keys}, Wanted{lists, "merge_lists", keys}}) {
    if (!isWanted)
      continue;
    auto found = Stage::find(*device, code, "weft_" + image.name + "_" + suffix);
    if (!found)
      return found.status();
    stage = *found;
  }
  return Status::ok();
}

/// KeyPlaces in which every block stays where it is.
static std::vector<int32_t> makePlaces(int64_t blocks) {
  std::vector<int32_t> tables(5 * blocks);
  for (int64_t table = 0; table < 5; ++table)
    std::iota(tables.begin() + table * blocks, tables.begin() + (table + 1) * blocks, table == 4 ? 1 : 0);
  return tables;
}

Status DeviceReuse::uploadTables(const KernelImage &image) {
  if (!image.reuse->whole)
    return Status::ok();
  std::vector<int32_t> tokens(image.query.tokens), sizes;
  std::iota(tokens.begin(), tokens.end(), 0);
  for (int64_t block = 0; block < image.key.count(); ++block)
    sizes.push_back(image.key.offsets[block + 1] - image.key.offsets[block]);
  struct Upload {
    DeviceMemory &memory;
    std::vector<int32_t> table;
  };
  for (auto &[memory, table] :
       {Upload{queryBlockOf, image.query.blockByToken()}, Upload{keyBlockOf, image.key.blockByToken()},
        Upload{coordinates, image.key.coordinatesByToken()}, Upload{places, makePlaces(image.key.count())},
        Upload{allTokens, tokens}, Upload{blockKeys, sizes},
        Upload{numTokens, {static_cast<int32_t>(tokens.size())}}}) {
    auto made = DeviceMemory::upload(device, table.data(), table.size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    memory = std::move(*made);
  }
  return Status::ok();
}

DeviceReuse::Memory DeviceReuse::layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs,
                                        int64_t pools) const {
  const Reuse &reuse = *image.reuse;
  bool queries = reuse.mergesQueries(), keys = reuse.mergesKeys();
  int64_t queryTokens = pairs * image.query.tokens, keyTokens = pairs * image.key.tokens;
  int64_t blocks = pairs * image.key.count(), mergedKeys = blocks * tile.columns;
  auto take = [&](bool isUsed, int64_t count) { return layout.add(isUsed ? count : 0); };
  auto takeRows = [&](bool isUsed, int64_t rows) {
    return take(isUsed, rows * image.headDim * static_cast<int64_t>(sizeOf(image.dtype)) / 4);
  };
  Memory memory;
  bool copiesRows = queries && !reuse.isOnePool;
  memory.query = takeRows(reuse.whole ? copiesRows : reuse.query.snaps(), queryTokens);
  memory.key = takeRows(reuse.key.snaps(), keys ? mergedKeys : keyTokens);
  memory.value = takeRows(keys, mergedKeys);
  memory.replaced = take(!reuse.whole, 2 * pairs);
  memory.queryDonors = take(queries, queryTokens);
  memory.keyDonors = take(keys, keyTokens);
  memory.listed = take(reuse.whole && image.hasRows, queryTokens);
  memory.chosen = copiesRows ? take(true, queryTokens) : memory.queryDonors;
  memory.leaders = copiesRows ? take(true, queryTokens) : memory.queryDonors;
  memory.isPartial = take(reuse.whole, pairs * image.query.count());
  memory.columns = take(reuse.whole, pairs * image.query.count());
  memory.keyFlags = take(reuse.whole, blocks);
  memory.ranks = take(keys, mergedKeys);
  memory.counts = take(keys, blocks);
  memory.starts = take(keys, blocks + pairs);
  memory.sizes = take(keys, blocks);
  memory.keyBlocks = take(keys, 4 * blocks);
  memory.bias = take(keys, mergedKeys);
  memory.keyTokens = take(keys, mergedKeys);
  memory.keyCoordinates = take(keys, mergedKeys * tile.axes);
  memory.ranges = take(keys, 2 * pairs * image.query.count());
  memory.entries = take(keys, blocks * pools);
  memory.newColumns = take(keys, pairs * image.query.count());
  return memory;
}

Status DeviceReuse::set(const Call &call, size_t offset, unsigned value, int64_t count) const {
  return device->driver.check(device->driver.fill32(call.at(offset), value, count, call.stream), "cuMemsetD32Async");
}

/// The last arguments of stages that walk cells: CellGrid's.
template <typename Launch>
static Status withGrid(const Reuse &reuse, const SnapGrid &grid, int64_t tokens, Launch launch) {
  return std::apply(launch, cellArguments(reuse, grid, tokens));
}

Status DeviceReuse::enqueueSnap(const Call &call, const SnapGrid &grid, const Tensor &source, DevicePointer target,
                                DevicePointer replaced) const {
  const Reuse &reuse = *call.image.reuse;
  int64_t tokens = source.shape[2];
  int64_t ctas = ctasForCells(call.image, grid, tokens);
  double bound = boundOf(reuse, call.threshold);
  return withGrid(reuse, grid, tokens, [&](auto... cells) {
    return snap.launch({ctas, pairsOf(source), 1}, RowGroupShape::kThreads, 0, call.stream, source.data,
                       source.strides[0], source.strides[1], source.strides[2], target, replaced, bound, cells...);
  });
}

Status DeviceReuse::snapChannels(const Call &call, AttentionOperands &operands) const {
  const Reuse &reuse = *call.image.reuse;
  int64_t pairs = pairsOf(operands.query);
  Status status = set(call, call.memory.replaced, 0, 2 * pairs);
  struct Side {
    const SnapGrid &grid;
    Tensor &tensor;
    size_t target, replaced;
  };
  size_t replaced = call.memory.replaced;
  for (auto [grid, tensor, target, counter] : {Side{reuse.query, operands.query, call.memory.query, replaced},
                                               Side{reuse.key, operands.key, call.memory.key, replaced + 4 * pairs}})
    if (status && grid.snaps()) {
      status = enqueueSnap(call, grid, tensor, call.at(target), call.at(counter));
      tensor = rowsIn(call.at(target), tensor, tensor.shape[2]);
    }
  return status;
}

Status DeviceReuse::inspectLists(const Call &call, const WorkList &work, const ListRanges &ranges) const {
  Status status = set(call, call.memory.keyFlags, 0, ranges.rangeSets * call.image.key.count());
  if (!status)
    return status;
  return inspect.launch({ctasFor(ranges.pools, ListShape::kLists), ranges.rangeSets, 1}, ListShape::kThreads, 0,
                        call.stream, ranges.ranges, work.entries, call.at(call.memory.isPartial),
                        call.at(call.memory.keyFlags), static_cast<int32_t>(ranges.pools), blockKeys.get(),
                        call.at(call.memory.columns));
}

/// 0 where one set of rows serves all.
static int64_t strideOf(const Tensor &tensor, int64_t axis) {
  return tensor.shape[axis] == 1 ? 0 : tensor.strides[axis];
}

Status DeviceReuse::markRows(const Call &call, int64_t pairs) const {
  Status status = set(call, call.memory.listed, 0, pairs * call.image.query.tokens);
  if (!status)
    return status;
  const Tensor &indices = call.rows->indices, &counts = call.rows->counts;
  return mark.launch({RowShape::kParts, pairs, 1}, RowShape::kThreads, 0, call.stream, indices.data,
                     strideOf(indices, 0), strideOf(indices, 1), indices.strides[2], counts.data, strideOf(counts, 0),
                     strideOf(counts, 1), static_cast<int32_t>(indices.shape[2]), call.at(call.memory.listed));
}

Status DeviceReuse::mergeRows(const Call &call, Tensor &query, const ListRanges &ranges) const {
  const Reuse &reuse = *call.image.reuse;
  const Memory &memory = call.memory;
  int64_t pairs = pairsOf(query), tokens = query.shape[2];
  Status status = enqueueSnap(call, reuse.query, query, call.at(memory.queryDonors), 0);
  if (reuse.isOnePool)
    return status;
  if (status)
    status = withGrid(reuse, reuse.query, tokens, [&](auto... cells) {
      return merge.launch({ctasFor(tokens, RowGroupShape::kThreads), pairs, 1}, RowGroupShape::kThreads,
                          RowGroupShape::kThreads * 4, call.stream, query.data, query.strides[0], query.strides[1], query.strides[2],
                          call.at(memory.query), call.at(memory.queryDonors), call.at(memory.listed),
                          queryBlockOf.get(), ranges.poolOf, static_cast<int32_t>(ranges.poolSets),
                          call.at(memory.isPartial), static_cast<int32_t>(ranges.rangeSets), call.at(memory.chosen),
                          call.at(memory.leaders), cells...);
    });
  query = rowsIn(call.at(memory.query), query, tokens);
  return status;
}

KeyPlaces DeviceReuse::placesOf(const Call &call, const ListRanges &ranges) const {
  int64_t blocks = call.image.key.count();
  return ranges.keyPlaces ? KeyPlaces{ranges.keyPlaces, ranges.keyPlaceSets, blocks}
                          : KeyPlaces{places.get(), 1, blocks};
}

Status DeviceReuse::planKeys(const Call &call, const Tensor &key, const KeyPlaces &places, int64_t listSets) const {
  const Reuse &reuse = *call.image.reuse;
  const Memory &memory = call.memory;
  int64_t pairs = pairsOf(key);
  auto sets = static_cast<int32_t>(places.sets);
  Status status = enqueueSnap(call, reuse.key, key, call.at(memory.keyDonors), 0);
  if (status)
    status = withGrid(reuse, reuse.key, key.shape[2], [&](auto... cells) {
      return count.launch({places.blocks, pairs, 1}, MergeShape::kThreads, MergeShape::kThreads / 32 * 4, call.stream,
                          call.keyTokens, call.at(memory.keyDonors), keyBlockOf.get(), places.baseOf(), sets,
                          call.at(memory.keyFlags), static_cast<int32_t>(listSets), call.at(memory.ranks),
                          call.at(memory.counts), cells...);
    });
  if (status)
    status = plan.launch({1, pairs, 1}, MergeShape::kPlanThreads, MergeShape::kPlanThreads * 4, call.stream,
                         call.at(memory.counts), places.blockAt(), places.baseAt(), places.endAt(), sets,
                         call.at(memory.starts), call.at(memory.sizes), call.at(memory.keyBlocks));
  return status;
}

Status DeviceReuse::fillKeys(const Call &call, AttentionOperands &operands, const KeyPlaces &places,
                             int64_t listSets) const {
  const Reuse &reuse = *call.image.reuse;
  const Memory &memory = call.memory;
  const Tensor &key = operands.key, &value = operands.value;
  int64_t pairs = pairsOf(key), rows = places.blocks * tile.columns;
  Tensor bias = Tensor::contiguous(reinterpret_cast<void *>(call.at(memory.bias)), DType::F32,
                                   {key.shape[0], key.shape[1], rows});
  const Tensor &given = operands.bias ? *operands.bias : bias;
  Status status = withGrid(reuse, reuse.key, key.shape[2], [&](auto... cells) {
    return fill.launch({places.blocks, pairs, 1}, RowGroupShape::kThreads, FillShape{tile.columns}.sharedBytes(),
                       call.stream, key.data, key.strides[0],
                       key.strides[1], key.strides[2], value.data, value.strides[0], value.strides[1], value.strides[2],
                       given.data, given.strides[0], given.strides[1], given.strides[2], call.keyTokens,
                       call.at(memory.keyDonors), keyBlockOf.get(), places.baseOf(), static_cast<int32_t>(places.sets),
                       call.at(memory.keyFlags), static_cast<int32_t>(listSets), places.placeOf(),
                       call.at(memory.ranks), call.at(memory.starts), call.at(memory.sizes), coordinates.get(),
                       call.at(memory.key), call.at(memory.value), call.at(memory.bias), call.at(memory.keyTokens),
                       call.at(memory.keyCoordinates), cells...);
  });
  operands.key = rowsIn(call.at(memory.key), key, rows), operands.value = rowsIn(call.at(memory.value), value, rows);
  operands.bias = bias;
  return status;
}

Status DeviceReuse::mergeLists(const Call &call, int64_t pairs, const KeyPlaces &places, WorkList &work,
                               ListRanges &ranges) const {
  const Memory &memory = call.memory;
  Status status =
      lists.launch({ctasFor(ranges.pools, ListShape::kLists), pairs, 1}, ListShape::kThreads, 0, call.stream,
                   ranges.ranges, static_cast<int32_t>(ranges.rangeSets), work.entries,
                   static_cast<int32_t>(ranges.pools), places.placeOf(), static_cast<int32_t>(places.sets),
                   call.at(memory.sizes), call.at(memory.ranges), call.at(memory.entries), call.at(memory.newColumns));
  work.keyBlocks = call.at(memory.keyBlocks), work.keyTokens = call.at(memory.keyTokens);
  work.keyCoordinates = call.at(memory.keyCoordinates);
  ranges.ranges = call.at(memory.ranges), ranges.rangeSets = pairs;
  work.entries = call.at(memory.entries);
  return status;
}

Status DeviceReuse::planTokens(const Call &call, Tensor &query, const Tensor &key, WorkList &work,
                               ListRanges &ranges) const {
  const Reuse &reuse = *call.image.reuse;
  int64_t pairs = pairsOf(query), blocks = pairs * call.image.key.count();
  if (blocks * std::max(tile.columns * std::max<int64_t>(tile.axes, 1), ranges.pools) > INT32_MAX)
    return Status::error(
        "reuse: expected at most 2^31 coordinates of keys and entries of lists in a call, but got more");
  Status status = reuse.isOnePool ? Status::ok() : inspectLists(call, work, ranges);
  if (status && call.rows)
    status = markRows(call, pairs);
  if (status && reuse.mergesQueries())
    status = mergeRows(call, query, ranges);
  if (!status || !reuse.mergesKeys())
    return status;
  KeyPlaces places = placesOf(call, ranges);
  status = planKeys(call, key, places, ranges.rangeSets);
  return status ? mergeLists(call, pairs, places, work, ranges) : status;
}

Result<std::optional<RowLists>> DeviceReuse::mergeTokens(const Call &call, AttentionOperands &operands, WorkList &work,
                                                         ListRanges &ranges) const {
  const Reuse &reuse = *call.image.reuse;
  ListRanges original = ranges;
  Status status = planTokens(call, operands.query, operands.key, work, ranges);
  if (status && reuse.mergesKeys())
    status = fillKeys(call, operands, placesOf(call, original), original.rangeSets);
  if (!status)
    return status;
  if (!reuse.mergesQueries() && call.rows)
    return std::optional<RowLists>();
  int64_t tokens = call.image.query.tokens;
  auto rows = [&](DevicePointer data, std::vector<int64_t> shape) {
    return Tensor::contiguous(reinterpret_cast<void *>(data), DType::I32, std::move(shape));
  };
  Tensor indices = reuse.mergesQueries()
                       ? rows(call.at(call.memory.chosen), {operands.query.shape[0], call.image.heads, tokens})
                       : rows(allTokens.get(), {1, 1, tokens});
  return std::optional(RowLists{indices, rows(numTokens.get(), {1, 1})});
}

Status DeviceReuse::spread(const Call &call, const Tensor &out, const Tensor *lse) const {
  if (!call.image.reuse->mergesQueries())
    return Status::ok();
  return enqueueSpread(copy, call.image, call.stream, out, lse, call.at(call.memory.leaders));
}
