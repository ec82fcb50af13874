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

namespace {

/// Gives tiles to partial pairs, as long as there is memory.
class TileGiver {
public:
  TileGiver(MaskPlan &plan, const MaskShape &shape, const BlockLists &lists)
      : plan(plan), shape(shape), queryBlocks(lists.queryBlocks), keyBlocks(lists.keyBlocks),
        mostTiles(shape.mostBytes / shape.tileBytes()) {}

  int64_t indexSize() const { return shape.givens * shape.choices * shape.heads * queryBlocks * keyBlocks; }

  void add(const MaskSource &source) {
    int64_t first = source.choice == MaskSource::kAllChoices ? 0 : source.choice;
    int64_t last = source.choice == MaskSource::kAllChoices ? shape.choices - 1 : first;
    for (int64_t choice = first; choice <= last; ++choice)
      for (int64_t pair = 0; pair < std::max(source.lists->lists, shape.heads); ++pair)
        add(*source.lists, pair, choice);
  }

private:
  void add(const BlockLists &lists, int64_t pair, int64_t choice) {
    int64_t set = lists.setOf(pair);
    const int32_t *offsets = lists.offsets.data() + set * (queryBlocks + 1);
    for (int64_t block = 0; block < queryBlocks; ++block)
      for (int32_t i = offsets[block]; i < offsets[block + 1]; ++i)
        if (int32_t entry = lists.entries[lists.starts[set] + i]; entry & BlockLists::kPartial)
          add(block, pair % shape.heads, choice, entry);
  }

  void add(int64_t block, int64_t head, int64_t choice, int32_t entry) {
    bool isGiven = entry & BlockLists::kGiven;
    int64_t line = ((shape.givens > 1 && isGiven) * shape.choices + choice) * shape.heads + head;
    int32_t &tile = plan.index[(line * queryBlocks + block) * keyBlocks + (entry >> 2)];
    if (tile || plan.tiles() >= mostTiles)
      return;
    plan.pairs.insert(plan.pairs.end(), {static_cast<int32_t>(block), entry >> 2, static_cast<int32_t>(head),
                                         static_cast<int32_t>(2 * choice + isGiven)});
    tile = static_cast<int32_t>(plan.tiles());
  }

  MaskPlan &plan;
  const MaskShape &shape;
  int64_t queryBlocks, keyBlocks, mostTiles;
};

} // namespace

MaskPlan::MaskPlan(const MaskShape &shape, const std::vector<MaskSource> &sources) {
  TileGiver giver(*this, shape, *sources.front().lists);
  index.assign(giver.indexSize(), 0);
  for (const MaskSource &source : sources)
    giver.add(source);
}

Result<PairMasks> PairMasker::make(const std::vector<MaskSource> &sources, std::span<const int32_t> parameters,
                                   Stream stream) const {
  MaskPlan found(shape, sources);
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
