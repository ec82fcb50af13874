// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages of rows.

#include "runtime/CUDA/DeviceRows.h"

#include "runtime/CUDA/StageShapes.h"

#include <algorithm>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<DeviceRows> DeviceRows::load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image,
                                    int64_t tileRows, int64_t numAxes) {
  DeviceRows result;
  result.tileRows = tileRows, result.numAxes = numAxes;
  std::string name = "weft_" + image.name + "_";
  for (auto [stage, suffix] : {std::pair{&result.count, "count_rows"}, std::pair{&result.plan, "plan_rows"},
                               std::pair{&result.scatter, "scatter_rows"}}) {
    auto found = Stage::find(*device, code, name + suffix);
    if (!found)
      return found.status();
    *stage = *found;
  }
  std::vector<int32_t> blockOf = image.query.blockByToken(), coordinates = image.query.coordinatesByToken();
  for (auto [memory, table] : {std::pair{&result.blockOf, &blockOf}, std::pair{&result.coordinates, &coordinates}}) {
    auto made = DeviceMemory::upload(device, table->data(), table->size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    *memory = std::move(*made);
  }
  result.device = std::move(device);
  return result;
}

DeviceRows::Memory DeviceRows::layOut(ScratchLayout &layout, int64_t pairs, int64_t pools, int64_t capacity) const {
  Memory memory;
  // Every pool may have a tile that is not full.
  memory.mostTiles = pairs * (capacity / tileRows + std::min(pools, capacity));
  memory.numbers = layout.add(pools * pairs);
  memory.tiles = layout.add(pools * pairs);
  memory.items = layout.add(4 * memory.mostTiles);
  memory.numItems = layout.add(1);
  memory.rowTokens = layout.add(memory.mostTiles * tileRows);
  memory.coordinates = layout.add(memory.mostTiles * tileRows * numAxes);
  return memory;
}

Status DeviceRows::enqueue(const Call &call, WorkList &work) const {
  const Driver &driver = device->driver;
  auto at = [&](size_t offset) { return call.scratch + offset; };
  const Memory &memory = call.memory;
  int64_t counters = call.lists.pools * call.pairs;
  struct Fill {
    size_t offset;
    unsigned value;
    int64_t count;
  };
  for (auto [offset, value, count] : {Fill{memory.numbers, 0, counters},
                                      Fill{memory.rowTokens, 0xFFFFFFFFu, memory.mostTiles * tileRows},
                                      Fill{memory.coordinates, 0, memory.mostTiles * tileRows * numAxes}})
    if (int code = count ? driver.fill32(at(offset), value, count, call.stream) : 0)
      return driver.check(code, "cuMemsetD32Async");

  // Strides of 0 where one set of rows serves all.
  auto strideOf = [](const Tensor &tensor, int64_t axis) { return tensor.shape[axis] == 1 ? 0 : tensor.strides[axis]; };
  const Tensor &indices = call.rows.indices, &counts = call.rows.counts;
  auto placeOf = [&](const Tensor &tensor) {
    return static_cast<std::byte *>(tensor.data) + call.firstBatch * strideOf(tensor, 0) * 4;
  };
  auto launch = [&](const Stage &stage, auto... more) {
    return stage.launch({RowShape::kParts, call.pairs, 1}, RowShape::kThreads, 0, call.stream, placeOf(indices),
                        strideOf(indices, 0), strideOf(indices, 1), indices.strides[2], placeOf(counts),
                        strideOf(counts, 0), strideOf(counts, 1), static_cast<int32_t>(indices.shape[2]),
                        call.lists.poolOf, static_cast<int32_t>(call.lists.poolSets), blockOf.get(), at(memory.numbers),
                        static_cast<int32_t>(call.pairs), more...);
  };
  Status status = launch(count);
  if (status)
    status = plan.launch({1, 1, 1}, RowShape::kPlanThreads, RowShape::kPlanThreads * 4, call.stream,
                         at(memory.numbers), at(memory.tiles), static_cast<int32_t>(counters), at(memory.numItems));
  if (status)
    status = launch(scatter, at(memory.tiles), call.lists.ranges,
                    static_cast<int32_t>(call.lists.rangeSets), at(memory.items), at(memory.rowTokens),
                    at(memory.coordinates), coordinates.get());
  work.items = at(memory.items), work.numItems = at(memory.numItems), work.mostItems = memory.mostTiles;
  work.rowTokens = at(memory.rowTokens), work.queryCoordinates = at(memory.coordinates);
  return status;
}
