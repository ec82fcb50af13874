// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages of a prediction.

#include "runtime/CUDA/DevicePrediction.h"

#include "runtime/CUDA/StageShapes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

using namespace weft::rt;
using namespace weft::rt::cuda;

int64_t weft::rt::cuda::setsOf(const ClassifiedCandidates &candidates) {
  int64_t sets = 1;
  for (const auto &candidate : candidates)
    for (const BlockLists &lists : *candidate)
      sets = std::max(sets, lists.lists);
  return sets;
}

std::vector<uint8_t> weft::rt::cuda::makeCodes(const ClassifiedCandidates &candidates) {
  const BlockLists &first = candidates.front()->front();
  int64_t sets = setsOf(candidates), rows = first.queryBlocks, columns = first.keyBlocks;
  std::vector<uint8_t> all(candidates.size() * sets * rows * columns, 0);
  uint8_t *codes = all.data();
  auto mark = [&](const BlockLists &lists, int shift) {
    for (int64_t set = 0; set < sets; ++set)
      for (int64_t row = 0; row < rows; ++row) {
        int64_t own = lists.setOf(set);
        const int32_t *offsets = lists.offsets.data() + own * (rows + 1) + row;
        for (int32_t i = offsets[0]; i < offsets[1]; ++i) {
          int32_t entry = lists.entries[lists.starts[own] + i];
          int code = entry & BlockLists::kPartial ? 2 : 1;
          codes[(set * rows + row) * columns + (entry >> 2)] |= static_cast<uint8_t>(code << shift);
        }
      }
  };
  for (const auto &candidate : candidates) {
    mark((*candidate)[0], 0), mark((*candidate)[1], 2);
    codes += sets * rows * columns;
  }
  return all;
}

/// The block of each pool.
static std::vector<int32_t> blocksOf(const TokenPools &pools) {
  std::vector<int32_t> blocks;
  for (size_t block = 0; block + 1 < pools.firstPool.size(); ++block)
    blocks.resize(pools.firstPool[block + 1], static_cast<int32_t>(block));
  return blocks;
}

Result<DevicePrediction> DevicePrediction::load(std::shared_ptr<const Device> device, const Code &code,
                                                const KernelImage &image) {
  DevicePrediction result;
  std::string name = "weft_" + image.name + "_";
  for (auto [stage, suffix] : {std::pair{&result.pool, "pool"}, std::pair{&result.score, "score"},
                               std::pair{&result.select, "select"}, std::pair{&result.sort, "sort"}}) {
    auto found = Stage::find(*device, code, name + suffix);
    if (!found)
      return found.status();
    *stage = *found;
  }
  result.device = std::move(device);
  Status status = result.sort.reserveShared(SortShape::sharedBytes(image.key.count()));
  if (status)
    status = result.uploadTables(image);
  return status ? Result<DevicePrediction>(std::move(result)) : Result<DevicePrediction>(status);
}

Status DevicePrediction::uploadTables(const KernelImage &image) {
  const Prediction &prediction = *image.prediction;
  std::vector<int32_t> blocks(image.query.count());
  std::iota(blocks.begin(), blocks.end(), 0);
  auto tokens = [](const TokenBlocks &blocks) {
    return std::vector<int32_t>(blocks.table.begin(), blocks.table.begin() + blocks.tokens);
  };
  struct Upload {
    DeviceMemory &memory;
    std::vector<int32_t> table;
  };
  for (auto &[memory, table] : {Upload{queryTokens, tokens(image.query)}, Upload{keyTokens, tokens(image.key)},
                                Upload{queryOffsets, prediction.query.offsets},
                                Upload{keyOffsets, prediction.key.offsets},
                                Upload{queryBlocks, blocksOf(prediction.query)},
                                Upload{keyBlocks, blocksOf(prediction.key)}, Upload{identity, blocks}}) {
    auto made = DeviceMemory::upload(device, table.data(), table.size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    memory = std::move(*made);
  }
  return Status::ok();
}

DevicePrediction::Memory DevicePrediction::layOut(ScratchLayout &layout, const KernelImage &image,
                                                  int64_t pairs) const {
  const Prediction &prediction = *image.prediction;
  int64_t rows = pairs * image.query.count();
  Memory memory;
  memory.queryMeans = layout.add(pairs * prediction.query.count() * image.headDim);
  memory.keyMeans = layout.add(pairs * prediction.key.count() * image.headDim);
  memory.scores = layout.add(rows * ScoreShape::rowPitch(image.key.count()));
  memory.ranges = layout.add(2 * rows);
  memory.items = layout.add(4 * rows);
  memory.numItems = layout.add(1);
  return memory;
}

Status DevicePrediction::clearScores(const KernelImage &image, const Call &call) const {
  const TokenPools &query = image.prediction->query, &key = image.prediction->key;
  int64_t rows = call.query.shape[0] * image.heads * image.query.count();
  int64_t scores = rows * ScoreShape::rowPitch(image.key.count());
  bool isWhole = query.count() == image.query.count() && key.count() == image.key.count();
  if (isWhole)
    return Status::ok();
  int code = device->driver.fill32(call.scratch + call.memory.scores, 0x80000000u, scores, call.stream);
  return device->driver.check(code, "cuMemsetD32Async");
}

Status DevicePrediction::enqueuePools(const KernelImage &image, const Call &call) const {
  PoolShape shape{image.headDim, static_cast<int64_t>(sizeOf(image.dtype))};
  int64_t queries = image.prediction->query.count(), keys = image.prediction->key.count();
  const Tensor &query = call.query, &key = call.key;
  return pool.launch({std::max(queries, keys), query.shape[0] * image.heads, 2}, PoolShape::kThreads,
                     shape.sharedBytes(), call.stream, query.data, query.strides[0], query.strides[1],
                     query.strides[2], queryTokens.get(), queryOffsets.get(), call.scratch + call.memory.queryMeans,
                     static_cast<int32_t>(queries), key.data, key.strides[0], key.strides[1], key.strides[2],
                     keyTokens.get(), keyOffsets.get(), call.scratch + call.memory.keyMeans,
                     static_cast<int32_t>(keys));
}

Status DevicePrediction::enqueueScore(const KernelImage &image, const Call &call) const {
  const TokenPools &query = image.prediction->query, &key = image.prediction->key;
  int64_t pairs = call.query.shape[0] * image.heads;
  DevicePointer scores = call.scratch + call.memory.scores;
  return score.launch({ScoreShape::tilesOf(key.count()), ScoreShape::tilesOf(query.count()), pairs},
                      ScoreShape::kThreads, ScoreShape::kSharedBytes, call.stream,
                      call.scratch + call.memory.queryMeans, call.scratch + call.memory.keyMeans, queryBlocks.get(),
                      keyBlocks.get(), scores);
}

/// The least f32 that is not below a number, as an integer in the order of scores.
static int32_t orderOfBound(double bound) {
  auto rounded = static_cast<float>(bound);
  if (rounded < bound)
    rounded = std::nextafter(rounded, std::numeric_limits<float>::infinity());
  auto bits = std::bit_cast<int32_t>(rounded);
  return bits ^ (bits >> 31 & INT32_MAX);
}

Status DevicePrediction::enqueueSelect(const KernelImage &image, const Call &call) const {
  int64_t rows = call.query.shape[0] * image.heads * image.query.count(), all = image.key.count();
  const Prediction &prediction = *image.prediction;
  int32_t limit = 0;
  if (prediction.rule == SelectionRule::TopK)
    limit = static_cast<int32_t>(shareOf(call.amount, all));
  else if (prediction.rule == SelectionRule::Threshold)
    limit = orderOfBound(call.amount);
  int64_t ctas = (rows + SelectShape::kRows - 1) / SelectShape::kRows;
  return select.launch({ctas, 1, 1}, SelectShape::kThreads, 0, call.stream, call.scratch + call.memory.scores,
                       call.codes, static_cast<int32_t>(call.sets), call.scratch + call.memory.ranges,
                       static_cast<int32_t>(rows), limit, static_cast<float>(call.amount),
                       static_cast<int32_t>(std::min(prediction.min, all)), call.choices);
}

Result<DevicePrediction::Lists> DevicePrediction::enqueue(const KernelImage &image, const Call &call) const {
  int64_t pairs = call.query.shape[0] * image.heads, rows = pairs * image.query.count();
  if (rows * ScoreShape::rowPitch(image.key.count()) > INT32_MAX)
    return Status::error("prediction: expected at most 2^31 pairs of blocks in a call, but got more");
  Status status = clearScores(image, call);
  if (status)
    status = enqueuePools(image, call);
  if (status)
    status = enqueueScore(image, call);
  if (status)
    status = enqueueSelect(image, call);
  DevicePointer ranges = call.scratch + call.memory.ranges, items = call.scratch + call.memory.items;
  DevicePointer numItems = call.scratch + call.memory.numItems;
  if (status)
    status = sort.launch({1, 1, 1}, SortShape::kThreads, SortShape::sharedBytes(image.key.count()), call.stream, items,
                         numItems, static_cast<int32_t>(rows), ranges);
  if (!status)
    return status;
  Lists lists;
  lists.work.items = items, lists.work.numItems = numItems;
  lists.work.entries = call.scratch + call.memory.scores, lists.work.mostItems = rows;
  lists.ranges = {ranges, identity.get(), pairs, 1, image.query.count()};
  return lists;
}
