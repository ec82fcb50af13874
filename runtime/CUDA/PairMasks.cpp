// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds the partial pairs of lists and has their bits computed.

#include "runtime/CUDA/PairMasks.h"

#include "runtime/CUDA/StageShapes.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

using namespace weft::rt;
using namespace weft::rt::cuda;

int64_t weft::rt::cuda::mostMaskBytes() {
  constexpr long kMost = 1 << 20;
  int64_t mebibytes = 256;
  if (const char *text = std::getenv("WEFT_MASK_MEMORY")) {
    char *end = nullptr;
    long value = std::strtol(text, &end, 10);
    if (end != text && *end == 0 && value >= 0 && value <= kMost)
      mebibytes = value;
    else
      std::fprintf(stderr, "warning: WEFT_MASK_MEMORY: expected 0 to %ld MiB, but got '%s'\n", kMost, text);
  }
  return mebibytes << 20;
}

Result<PairMasker> PairMasker::load(std::shared_ptr<const Device> device, const Code &code, const std::string &kernel,
                                    const MaskShape &shape, const MaskTables &tables) {
  PairMasker masker;
  auto found = Stage::find(*device, code, "weft_" + kernel + "_mask");
  if (!found)
    return found.status();
  masker.device = std::move(device), masker.stage = *found, masker.shape = shape, masker.tables = tables;
  return masker;
}

MaskPlan::MaskPlan(const MaskShape &shape, const std::vector<const BlockLists *> &lists) {
  int64_t queryBlocks = lists.front()->queryBlocks, keyBlocks = lists.front()->keyBlocks;
  int64_t mostTiles = shape.mostBytes / shape.tileBytes();
  index.assign(shape.givens * shape.heads * queryBlocks * keyBlocks, 0);
  auto add = [&](int64_t block, int64_t head, int32_t entry) {
    int64_t given = shape.givens > 1 && (entry & BlockLists::kGiven);
    int32_t &tile = index[((given * shape.heads + head) * queryBlocks + block) * keyBlocks + (entry >> 2)];
    if (tile || tiles() >= mostTiles)
      return;
    pairs.insert(pairs.end(), {static_cast<int32_t>(block), entry >> 2, static_cast<int32_t>(head),
                               (entry & BlockLists::kGiven) ? 1 : 0});
    tile = static_cast<int32_t>(tiles());
  };
  for (const BlockLists *source : lists)
    for (int64_t pair = 0; pair < std::max(source->lists, shape.heads); ++pair) {
      int64_t set = source->setOf(pair);
      const int32_t *offsets = source->offsets.data() + set * (queryBlocks + 1);
      for (int64_t block = 0; block < queryBlocks; ++block)
        for (int32_t i = offsets[block]; i < offsets[block + 1]; ++i)
          if (int32_t entry = source->entries[source->starts[set] + i]; entry & BlockLists::kPartial)
            add(block, pair % shape.heads, entry);
    }
}

Result<PairMasks> PairMasker::make(const std::vector<const BlockLists *> &lists, std::span<const int32_t> parameters,
                                   Stream stream) const {
  MaskPlan found(shape, lists);
  // Tile 0 is read where there is none, and what it holds is not used.
  PairMasks masks;
  auto bits = DeviceMemory::allocate(device, (found.tiles() + 1) * shape.tileBytes());
  if (!bits)
    return bits.status();
  masks.bits = std::move(*bits), masks.bytes = found.tiles() * shape.tileBytes();
  for (auto [memory, data] : {std::pair{&masks.index, &found.index}, std::pair{&masks.pairs, &found.pairs}}) {
    auto made = DeviceMemory::upload(device, data->data(), data->size() * sizeof(int32_t), stream);
    if (!made)
      return made.status();
    *memory = std::move(*made);
  }
  if (int code = device->driver.fill32(masks.bits.get(), 0, shape.tileBytes() / 4, stream))
    return device->driver.check(code, "cuMemsetD32Async");
  if (Status status = found.pairs.empty() ? Status::ok() : fill(masks, found.tiles(), parameters, stream); !status)
    return status;
  return masks;
}

Status PairMasker::fill(const PairMasks &masks, int64_t tiles, std::span<const int32_t> parameters,
                        Stream stream) const {
  std::vector<int32_t> values(parameters.begin(), parameters.end());
  DevicePointer pointers[] = {masks.pairs.get(), tables.queryCoordinates, tables.keyCoordinates,
                              tables.keyBlocks, tables.columnMasks, masks.bits.get() + shape.tileBytes()};
  std::vector<void *> arguments;
  for (DevicePointer &pointer : pointers)
    arguments.push_back(&pointer);
  for (int32_t &value : values)
    arguments.push_back(&value);
  return stage.launch({tiles, 1, 1}, MaskStageShape::kThreads, 0, stream, arguments);
}
