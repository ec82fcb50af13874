// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Counts what the stages of reuse left.

#include "runtime/CUDA/CellLaunch.h"
#include "runtime/CUDA/DeviceReuse.h"

#include <numeric>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<std::vector<int32_t>> DeviceReuse::download(const Call &call, DevicePointer from, int64_t count) const {
  std::vector<int32_t> numbers(count);
  if (int code = device->driver.copyToHost(numbers.data(), from, count * sizeof(int32_t), call.stream))
    return device->driver.check(code, "cuMemcpyDtoHAsync");
  if (int code = device->driver.streamSynchronize(call.stream))
    return device->driver.check(code, "cuStreamSynchronize");
  return numbers;
}

Status DeviceReuse::countChannels(const Call &call, int64_t pairs, ReuseCounts &counts) const {
  auto replaced = download(call, call.at(call.memory.replaced), 2 * pairs);
  if (!replaced)
    return replaced.status();
  counts.queries += static_cast<double>(pairs * call.image.query.tokens * call.image.headDim);
  counts.keys += static_cast<double>(pairs * call.image.key.tokens * call.image.headDim);
  counts.mergedQueries += std::accumulate(replaced->begin(), replaced->begin() + pairs, 0.0);
  counts.mergedKeys += std::accumulate(replaced->begin() + pairs, replaced->end(), 0.0);
  return Status::ok();
}

Status DeviceReuse::countKeys(const Call &call, int64_t pairs, const ListRanges &ranges, ReuseCounts &counts) const {
  int64_t blocks = call.image.key.count();
  auto stay = download(call, call.at(call.memory.counts), pairs * blocks);
  auto flags = download(call, call.at(call.memory.keyFlags), ranges.rangeSets * blocks);
  if (!stay || !flags)
    return stay ? flags.status() : stay.status();
  const std::vector<int32_t> &offsets = call.image.key.offsets;
  for (int64_t pair = 0; pair < pairs; ++pair)
    for (int64_t block = 0; block < blocks; ++block)
      if ((*flags)[pair % ranges.rangeSets * blocks + block] != 0) {
        double all = offsets[block + 1] - offsets[block];
        counts.keys += all, counts.mergedKeys += all - (*stay)[pair * blocks + block];
      }
  return Status::ok();
}

Status DeviceReuse::countRows(const Call &call, int64_t pairs, const ListRanges &ranges, ReuseCounts &counts) const {
  const KernelImage &image = call.image;
  const Reuse &reuse = *image.reuse;
  int64_t tokens = image.query.tokens, blocks = image.query.count();
  auto pools = download(call, ranges.poolOf, ranges.poolSets * blocks);
  auto before = download(call, call.at(call.memory.columns), ranges.rangeSets * blocks);
  auto after = reuse.mergesKeys() ? download(call, call.at(call.memory.newColumns), pairs * blocks) : before;
  if (!pools || !before || !after)
    return !pools ? pools.status() : before ? after.status() : before.status();
  Result<std::vector<int32_t>> rows = std::vector<int32_t>();
  if (reuse.mergesQueries() || call.rows)
    rows = download(call, call.at(reuse.mergesQueries() ? call.memory.leaders : call.memory.listed), pairs * tokens);
  if (!rows)
    return rows.status();
  std::vector<int32_t> blockOf = image.query.blockByToken();
  for (int64_t pair = 0; pair < pairs; ++pair)
    for (int64_t token = 0; token < tokens; ++token) {
      int32_t row = rows->empty() ? 1 : (*rows)[pair * tokens + token];
      if (reuse.mergesQueries() ? row < 0 : row == 0)
        continue;
      bool stays = !reuse.mergesQueries() || row == token;
      int64_t pool = (*pools)[pair % ranges.poolSets * blocks + blockOf[token]];
      int64_t afterSet = reuse.mergesKeys() ? pair : pair % ranges.rangeSets;
      counts.queries += 1, counts.mergedQueries += !stays;
      counts.pairs += (*before)[pair % ranges.rangeSets * blocks + pool];
      counts.computedPairs += stays ? (*after)[afterSet * blocks + pool] : 0;
    }
  return Status::ok();
}

Status DeviceReuse::measure(const Call &call, const Tensor &query, const Tensor &key, const WorkList &work,
                            const ListRanges &ranges, ReuseCounts &counts) const {
  AttentionOperands operands{query, key, {}, {}};
  int64_t pairs = pairsOf(query);
  if (!call.image.reuse->whole) {
    Status status = snapChannels(call, operands);
    return status ? countChannels(call, pairs, counts) : status;
  }
  WorkList changedWork = work;
  ListRanges changedRanges = ranges;
  // Only pools get numbers of columns, and there may be fewer than blocks.
  int64_t blocks = call.image.query.count();
  Status status = set(call, call.memory.columns, 0, ranges.rangeSets * blocks);
  if (status && call.image.reuse->mergesKeys())
    status = set(call, call.memory.newColumns, 0, pairs * blocks);
  if (status && call.image.reuse->isOnePool)
    status = inspectLists(call, work, ranges);
  if (status)
    status = planTokens(call, operands.query, key, changedWork, changedRanges);
  if (status && call.image.reuse->mergesKeys())
    status = countKeys(call, pairs, ranges, counts);
  return status ? countRows(call, pairs, ranges, counts) : status;
}
