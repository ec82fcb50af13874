// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checking, pooling and cutting of rows.

#include "runtime/Rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>

using namespace weft::rt;

namespace {

Status checkShape(const char *name, const Tensor &tensor, int64_t rank, int64_t batch, int64_t heads) {
  if (tensor.dtype != DType::I32)
    return Status::error(fmt::format("rows: expected {} of dtype i32, but got {}", name, weft::rt::name(tensor.dtype)));
  bool fits = tensor.rank() == rank && tensor.strides.size() == tensor.shape.size() &&
              (tensor.shape[0] == 1 || tensor.shape[0] == batch) && (tensor.shape[1] == 1 || tensor.shape[1] == heads);
  if (!fits)
    return Status::error(fmt::format("rows: expected {} of shape [1 or {}, 1 or {}{}], but got [{}]", name, batch, heads,
                                     rank == 3 ? ", capacity" : "", fmt::join(tensor.shape, ", ")));
  if (!tensor.data && tensor.numElements() != 0)
    return Status::error(fmt::format("rows: expected memory for {}, but got a null pointer", name));
  if (reinterpret_cast<uintptr_t>(tensor.data) % sizeof(int32_t) != 0)
    return Status::error(fmt::format("rows: expected {} at an address aligned to 4 bytes, but got {}", name, tensor.data));
  return Status::ok();
}

int32_t countOf(const RowLists &rows, int64_t set) {
  int64_t batch = set / rows.counts.shape[1], head = set % rows.counts.shape[1];
  return static_cast<const int32_t *>(
      rows.counts.data)[batch * rows.counts.strides[0] + head * rows.counts.strides[1]];
}

/// A set's name in messages; nothing if there is one alone.
std::string place(const RowLists &rows, int64_t set) {
  if (rows.sets() == 1)
    return "";
  return fmt::format(" of batch {} head {}", set / rows.counts.shape[1], set % rows.counts.shape[1]);
}

/// `seen` holds, by token, the last set that named it.
Status checkSet(const RowLists &rows, int64_t set, std::vector<int64_t> &seen) {
  int32_t count = countOf(rows, set);
  if (count < 0 || count > rows.indices.shape[2])
    return Status::error(fmt::format("rows: expected a count{} from 0 to {}, but got {}", place(rows, set),
                                     rows.indices.shape[2], count));
  auto tokens = static_cast<int64_t>(seen.size());
  for (int32_t token : rows.tokensOf(set)) {
    if (token < 0 || token >= tokens)
      return Status::error(
          fmt::format("rows: expected indices{} from 0 to {}, but got {}", place(rows, set), tokens - 1, token));
    if (seen[token] == set)
      return Status::error(
          fmt::format("rows: expected different indices{}, but got {} twice", place(rows, set), token));
    seen[token] = set;
  }
  return Status::ok();
}

} // namespace

Status RowLists::validateShapes(int64_t batch, int64_t heads) const {
  if (Status status = checkShape("indices", indices, 3, batch, heads); !status)
    return status;
  if (Status status = checkShape("counts", counts, 2, batch, heads); !status)
    return status;
  if (indices.shape[0] != counts.shape[0] || indices.shape[1] != counts.shape[1])
    return Status::error(fmt::format("rows: expected counts of shape [{}, {}] for indices [{}], but got [{}]",
                                     indices.shape[0], indices.shape[1], fmt::join(indices.shape, ", "),
                                     fmt::join(counts.shape, ", ")));
  return Status::ok();
}

Status RowLists::validate(int64_t batch, int64_t heads, int64_t tokens) const {
  if (Status status = validateShapes(batch, heads); !status)
    return status;
  std::vector<int64_t> seen(tokens, -1);
  for (int64_t set = 0; set < sets(); ++set)
    if (Status status = checkSet(*this, set, seen); !status)
      return status;
  return Status::ok();
}

std::vector<int32_t> RowLists::tokensOf(int64_t set) const {
  int64_t batch = set / counts.shape[1], head = set % counts.shape[1];
  const int32_t *first =
      static_cast<const int32_t *>(indices.data) + batch * indices.strides[0] + head * indices.strides[1];
  std::vector<int32_t> tokens(countOf(*this, set));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = first[static_cast<int64_t>(i) * indices.strides[2]];
  return tokens;
}

QueryPlaces::QueryPlaces(std::span<const int32_t> offsets, std::span<const int32_t> tokens)
    : offsets(offsets.begin(), offsets.end()), positionOf(tokens.size()) {
  for (size_t position = 0; position < tokens.size(); ++position)
    positionOf[tokens[position]] = static_cast<int32_t>(position);
}

int64_t QueryPlaces::largestBlock() const {
  int32_t largest = 0;
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    largest = std::max(largest, offsets[i + 1] - offsets[i]);
  return largest;
}

PooledRows::PooledRows(const BlockLists &lists, int64_t set, const QueryPlaces &places,
                       std::span<const int32_t> tokens)
    : offsets(lists.queryBlocks + 1, 0), positions(tokens.size()) {
  assert(!lists.poolOf.empty() && "expected lists that found their pools");
  std::vector<uint8_t> selected(places.positionOf.size(), 0);
  for (int32_t token : tokens)
    selected[places.positionOf[token]] = 1;
  const int32_t *poolOf = lists.poolOf.data() + set * lists.queryBlocks;
  auto forEachRow = [&](auto body) {
    for (int64_t block = 0; block < lists.queryBlocks; ++block)
      for (int32_t position = places.offsets[block]; position < places.offsets[block + 1]; ++position)
        if (selected[position])
          body(poolOf[block], position);
  };
  forEachRow([&](int32_t pool, int32_t) { ++offsets[pool + 1]; });
  for (int64_t block = 0; block < lists.queryBlocks; ++block)
    offsets[block + 1] += offsets[block];
  std::vector<int32_t> next(offsets.begin(), offsets.end() - 1);
  forEachRow([&](int32_t pool, int32_t position) { positions[next[pool]++] = position; });
}

std::vector<RowChunk> PooledRows::cut(int64_t most) const {
  std::vector<RowChunk> chunks;
  for (size_t pool = 0; pool + 1 < offsets.size(); ++pool)
    for (int32_t begin = offsets[pool]; begin < offsets[pool + 1]; begin += static_cast<int32_t>(most))
      chunks.push_back({static_cast<int32_t>(pool), begin,
                        std::min(static_cast<int32_t>(most), offsets[pool + 1] - begin)});
  return chunks;
}

RowPlan::RowPlan(const BlockLists &lists, int64_t set, const QueryPlaces &places, PooledRows pooled)
    : rows(std::move(pooled)), chunks(rows.cut(places.largestBlock())), visited(lists.keyBlocks, 0) {
  const int32_t *listOffsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
  auto workOf = [&](const RowChunk &chunk) {
    return int64_t{listOffsets[chunk.block + 1] - listOffsets[chunk.block]} * chunk.count;
  };
  std::sort(chunks.begin(), chunks.end(), [&](const RowChunk &a, const RowChunk &b) {
    int64_t workOfA = workOf(a), workOfB = workOf(b);
    return workOfA != workOfB ? workOfA > workOfB : a.begin < b.begin;
  });
  for (const RowChunk &chunk : chunks)
    for (int32_t i = listOffsets[chunk.block]; i < listOffsets[chunk.block + 1]; ++i)
      visited[lists.entries[lists.starts[set] + i] >> 2] = 1;
}
