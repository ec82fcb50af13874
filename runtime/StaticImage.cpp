// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Makes a kernel from a linked image.

#include "runtime/StaticImage.h"

#include <fmt/format.h>

using namespace weft::rt;

static TokenBlocks loadBlocks(const StaticBlocks &blocks) {
  TokenBlocks result;
  result.tokens = blocks.tokens;
  result.offsets.assign(blocks.offsets, blocks.offsets + blocks.blocks + 1);
  result.table.assign(blocks.table, blocks.table + 4 * blocks.tokens + TokenBlocks::kTablePadding);
  return result;
}

Result<std::shared_ptr<const Kernel>> weft::rt::loadStatic(const StaticImage &image) {
  if (image.version != StaticImage::kVersion)
    return Status::error(fmt::format("kernel image: expected version {}, but got {}", StaticImage::kVersion,
                                     image.version));
  KernelImage parts;
  parts.name = image.name;
  parts.heads = image.heads, parts.headDim = image.headDim;
  parts.dtype = static_cast<DType>(image.dtype);
  parts.query = loadBlocks(image.query), parts.key = loadBlocks(image.key);
  parts.keyTileBytes = image.keyTileBytes, parts.valueTileBytes = image.valueTileBytes;
  parts.biasTileBytes = image.biasTileBytes, parts.scratchBytes = image.scratchBytes;
  parts.hasGiven = image.hasGiven, parts.hasBias = image.hasBias, parts.hasRows = image.hasRows;
  parts.usesTiles = image.usesTiles;
  for (int64_t i = 0; i < image.numParameters; ++i) {
    const StaticParameter &parameter = image.parameters[i];
    parts.parameters.push_back({parameter.name, parameter.isBool != 0,
                                parameter.hasDefault ? std::optional(parameter.defaultValue) : std::nullopt});
  }
  for (int64_t i = 0; i < image.numLists; ++i) {
    const StaticLists &lists = image.lists[i];
    std::vector<int32_t> offsets(lists.offsets, lists.offsets + lists.lists * (parts.query.count() + 1));
    std::vector<int32_t> entries(lists.entries, lists.entries + lists.numEntries);
    parts.lists.push_back(BlockLists::fromClassified(lists.lists, parts.query.count(), parts.key.count(), offsets,
                                                     entries, /*given=*/i == 1));
  }
  parts.pack = image.pack, parts.attend = image.attend;
  return std::make_shared<const Kernel>(std::move(parts));
}
