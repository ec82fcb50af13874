// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages that merge by cells.

#include "runtime/CUDA/DeviceCells.h"

#include "runtime/CUDA/CellLaunch.h"

#include <algorithm>
#include <tuple>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<DeviceCells> DeviceCells::load(const Device &device, const Code &code, const KernelImage &image, Tile tile) {
  DeviceCells result;
  result.driver = &device.driver, result.tile = tile;
  for (auto [stage, suffix] :
       {std::pair{&result.snapCells, "snap_cells"}, std::pair{&result.planCells, "plan_cells"},
        std::pair{&result.fillCells, "fill_cells"}, std::pair{&result.copy, "spread"}}) {
    auto found = Stage::find(device, code, "weft_" + image.name + "_" + suffix);
    if (!found)
      return found.status();
    *stage = *found;
  }
  return result;
}

DeviceCells::Memory DeviceCells::layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs) const {
  int64_t blocks = pairs * image.key.count(), mergedKeys = blocks * tile.columns;
  int64_t rowWords = image.headDim * static_cast<int64_t>(sizeOf(image.dtype)) / 4;
  auto placeSide = [&](const SnapGrid &grid, int64_t tokens) {
    int64_t warps = ctasForCells(image, grid, tokens) * RowGroupShape::kThreads / 32;
    Memory::Side side{};
    side.donors = layout.add(pairs * tokens), side.counts = layout.add(pairs * warps);
    side.starts = layout.add(pairs * (warps + 1)), side.warps = warps;
    return side;
  };
  Memory memory;
  memory.query = placeSide(image.reuse->query, image.query.tokens);
  memory.key = placeSide(image.reuse->key, image.key.tokens);
  memory.newKey = layout.add(mergedKeys * rowWords), memory.newValue = layout.add(mergedKeys * rowWords);
  memory.bias = layout.add(mergedKeys), memory.keyTokens = layout.add(mergedKeys);
  memory.keyBlocks = layout.add(4 * blocks), memory.entries = layout.add(blocks), memory.ranges = layout.add(2 * pairs);
  memory.pairTiles = ctasFor(image.query.tokens, tile.rows);
  memory.items = layout.add(4 * pairs * memory.pairTiles), memory.numItems = layout.add(1);
  memory.rowTokens = layout.add(pairs * memory.pairTiles * tile.rows);
  return memory;
}

/// Launches with a tuple of arguments.
template <typename Tuple>
static Status launchWith(const Stage &stage, std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes,
                         Stream stream, Tuple arguments) {
  return std::apply([&](auto... all) { return stage.launch(grid, threads, sharedBytes, stream, all...); }, arguments);
}

Status DeviceCells::findDonors(const Call &call, const Tensor &query, const Tensor &key) const {
  const Reuse &reuse = *call.image.reuse;
  auto sideOf = [&](const SnapGrid &grid, const Tensor &tensor, const Memory::Side &side) {
    return std::tuple_cat(std::tuple(tensor.data, tensor.strides[0], tensor.strides[1], tensor.strides[2],
                                     call.at(side.donors), call.at(side.counts), static_cast<int32_t>(side.warps)),
                          cellArguments(reuse, grid, tensor.shape[2]));
  };
  int64_t ctas = std::max(ctasForCells(call.image, reuse.query, query.shape[2]),
                          ctasForCells(call.image, reuse.key, key.shape[2]));
  return launchWith(snapCells, {ctas, pairsOf(query), 2}, RowGroupShape::kThreads, 0, call.stream,
                    std::tuple_cat(sideOf(reuse.query, query, call.memory.query),
                                   sideOf(reuse.key, key, call.memory.key),
                                   std::tuple(boundOf(reuse, call.threshold))));
}

Status DeviceCells::planPlaces(const Call &call, int64_t pairs) const {
  const Memory &memory = call.memory;
  auto warpsOf = [](const Memory::Side &side) { return static_cast<int32_t>(side.warps); };
  return planCells.launch({2, pairs, 1}, MergeShape::kPlanThreads, MergeShape::kPlanThreads * 4, call.stream,
                          call.at(memory.query.counts), warpsOf(memory.query), call.at(memory.query.starts),
                          call.at(memory.key.counts), warpsOf(memory.key), call.at(memory.key.starts),
                          call.at(memory.keyBlocks), call.at(memory.entries), call.at(memory.ranges));
}

Status DeviceCells::fill(const Call &call, const Tensor &key, const Tensor &value) const {
  const Reuse &reuse = *call.image.reuse;
  const Memory &memory = call.memory;
  auto sideOf = [&](const SnapGrid &grid, const Memory::Side &side, int64_t tokens) {
    return std::tuple_cat(
        std::tuple(call.at(side.donors), call.at(side.starts), static_cast<int32_t>(side.warps)),
        cellArguments(reuse, grid, tokens));
  };
  auto rowsOf = [](const Tensor &tensor) {
    return std::tuple(tensor.data, tensor.strides[0], tensor.strides[1], tensor.strides[2]);
  };
  int64_t keyCTAs = ctasForCells(call.image, reuse.key, call.image.key.tokens);
  int64_t rowCTAs = ctasFor(ctasForCells(call.image, reuse.query, call.image.query.tokens), rowGroupsOf(call.image).lanes());
  return launchWith(
      fillCells, {keyCTAs + 1 + rowCTAs, pairsOf(key), 2}, RowGroupShape::kThreads, 0, call.stream,
      std::tuple_cat(sideOf(reuse.query, memory.query, call.image.query.tokens),
                     sideOf(reuse.key, memory.key, call.image.key.tokens), rowsOf(key), rowsOf(value),
                     std::tuple(call.at(memory.newKey), call.at(memory.newValue), call.at(memory.bias),
                                call.at(memory.keyTokens), call.at(memory.ranges), call.at(memory.items),
                                call.at(memory.numItems), call.at(memory.rowTokens),
                                static_cast<int32_t>(memory.pairTiles), static_cast<int32_t>(keyCTAs))));
}

Status DeviceCells::merge(const Call &call, AttentionOperands &operands, WorkList &work) const {
  const Memory &memory = call.memory;
  int64_t pairs = pairsOf(operands.query), rows = call.image.key.count() * tile.columns;
  if (pairs * std::max(rows, memory.pairTiles * tile.rows) > INT32_MAX)
    return Status::error("reuse: expected at most 2^31 rows and keys in a call, but got more");
  Status status = findDonors(call, operands.query, operands.key);
  if (status)
    status = planPlaces(call, pairs);
  if (status)
    status = fill(call, operands.key, operands.value);
  operands.bias = Tensor::contiguous(reinterpret_cast<void *>(call.at(memory.bias)), DType::F32,
                                     {operands.key.shape[0], operands.key.shape[1], rows});
  operands.key = rowsIn(call.at(memory.newKey), operands.key, rows);
  operands.value = rowsIn(call.at(memory.newValue), operands.value, rows);
  work.keyBlocks = call.at(memory.keyBlocks), work.keyTokens = call.at(memory.keyTokens);
  work.entries = call.at(memory.entries);
  work.items = call.at(memory.items), work.numItems = call.at(memory.numItems);
  work.mostItems = pairs * memory.pairTiles, work.rowTokens = call.at(memory.rowTokens);
  return status;
}

Status DeviceCells::spread(const Call &call, const Tensor &out, const Tensor *lse) const {
  return enqueueSpread(copy, call.image, call.stream, out, lse, call.at(call.memory.query.donors));
}

/// How many stay, by pair.
Result<std::vector<int32_t>> DeviceCells::download(const Call &call, const Memory::Side &side, int64_t pairs) const {
  std::vector<int32_t> starts(pairs * (side.warps + 1)), result;
  int code = driver->copyToHost(starts.data(), call.at(side.starts), starts.size() * sizeof(int32_t), call.stream);
  if (code)
    return driver->check(code, "cuMemcpyDtoHAsync");
  code = driver->streamSynchronize(call.stream);
  if (code)
    return driver->check(code, "cuStreamSynchronize");
  for (int64_t pair = 0; pair < pairs; ++pair)
    result.push_back(starts[pair * (side.warps + 1) + side.warps]);
  return result;
}

Status DeviceCells::measure(const Call &call, const Tensor &query, const Tensor &key, ReuseCounts &counts) const {
  int64_t pairs = pairsOf(query);
  Status status = findDonors(call, query, key);
  if (status)
    status = planPlaces(call, pairs);
  if (!status)
    return status;
  auto rows = download(call, call.memory.query, pairs), keys = download(call, call.memory.key, pairs);
  if (!rows || !keys)
    return rows ? keys.status() : rows.status();
  double queryTokens = call.image.query.tokens, keyTokens = call.image.key.tokens;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    double queriesLeft = (*rows)[pair], keysLeft = (*keys)[pair];
    counts.queries += queryTokens, counts.mergedQueries += queryTokens - queriesLeft;
    counts.keys += keyTokens, counts.mergedKeys += keyTokens - keysLeft;
    counts.pairs += queryTokens * keyTokens, counts.computedPairs += queriesLeft * keysLeft;
  }
  return Status::ok();
}

Status weft::rt::cuda::enqueueSpread(const Stage &stage, const KernelImage &image, Stream stream, const Tensor &out,
                                     const Tensor *lse, DevicePointer leaders) {
  const Tensor none{nullptr, DType::F32, {}, {0, 0, 0}};
  const Tensor &sums = lse ? *lse : none;
  int64_t tokens = out.shape[2], ctas = ctasFor(tokens, SpreadShape::kEach * rowGroupsOf(image).groups());
  return stage.launch({ctas, pairsOf(out), 1}, RowGroupShape::kThreads, 0, stream, out.data, out.strides[0],
                      out.strides[1], out.strides[2], sums.data, sums.strides[0], sums.strides[1], sums.strides[2],
                      leaders, static_cast<int32_t>(tokens));
}
