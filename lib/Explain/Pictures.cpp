// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pictures of block lists and of what tokens save.

#include "lib/Explain/Explain.h"

#include <algorithm>

using namespace weft;
using namespace weft::explain;

/// Maps of all sets side by side, with a gap of a tenth between them.
static Picture sideBySide(const rt::BlockLists &lists, std::vector<Kind> kinds,
                          const std::function<void(Picture &, int64_t set, int64_t left)> &draw) {
  int64_t gap = 1 + lists.keyBlocks / 10;
  Picture picture{std::move(kinds), lists.lists * (lists.keyBlocks + gap) - gap, lists.queryBlocks, {}};
  for (int64_t set = 0; set < lists.lists; ++set)
    draw(picture, set, set * (lists.keyBlocks + gap));
  return picture;
}

Picture explain::blockMapPicture(const rt::BlockLists &lists) {
  enum { Empty, Partial, Full };
  std::vector<Kind> kinds = {{"empty", {238, 238, 238}}, {"partial", {136, 170, 187}}, {"full", {17, 51, 85}}};
  return sideBySide(lists, kinds, [&](Picture &picture, int64_t set, int64_t left) {
    std::vector<size_t> map(lists.queryBlocks * lists.keyBlocks, Empty);
    for (int64_t block = 0; block < lists.queryBlocks; ++block) {
      const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + block;
      for (int32_t e = offsets[0]; e < offsets[1]; ++e) {
        int32_t entry = lists.entries[lists.starts[set] + e];
        map[block * lists.keyBlocks + (entry >> 2)] = entry & rt::BlockLists::kPartial ? Partial : Full;
      }
    }
    picture.addCells(left, 0, lists.keyBlocks, lists.queryBlocks,
                     [&](int64_t column, int64_t row) { return map[row * lists.keyBlocks + column]; });
  });
}

namespace {

/// How many tokens of a block of the kernel's lie in each run of the sequence, for those runs that have any.
struct Overlap {
  int64_t run;
  double tokens;
};

/// Runs of the sequence, as many as there are blocks.
struct Runs {
  int64_t count, tokens;

  explicit Runs(const rt::TokenBlocks &blocks) : count(blocks.count()), tokens(blocks.tokens) {}

  int64_t runOf(int64_t token) const { return token * count / tokens; }
  double sizeOf(int64_t run) const {
    auto begin = [&](int64_t i) { return (i * tokens + count - 1) / count; };
    return static_cast<double>(begin(run + 1) - begin(run));
  }
  std::vector<Overlap> overlapsOf(const rt::TokenBlocks &blocks, int64_t block) const {
    std::vector<double> counts(count);
    for (int32_t i = blocks.offsets[block]; i < blocks.offsets[block + 1]; ++i)
      ++counts[runOf(blocks.table[i])];
    std::vector<Overlap> overlaps;
    for (int64_t run = 0; run < count; ++run)
      if (counts[run] > 0)
        overlaps.push_back({run, counts[run]});
    return overlaps;
  }
};

} // namespace

/// Shares [query runs, key runs] of the pairs of one set that are visited.
static std::vector<double> rasterShares(const rt::KernelImage &image, const rt::BlockLists &lists, int64_t set) {
  Runs queries(image.query), keys(image.key);
  std::vector<std::vector<Overlap>> keyOverlaps;
  for (int64_t block = 0; block < image.key.count(); ++block)
    keyOverlaps.push_back(keys.overlapsOf(image.key, block));
  std::vector<double> shares(queries.count * keys.count);
  for (int64_t block = 0; block < lists.queryBlocks; ++block) {
    std::vector<double> visited(keys.count);
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + block;
    for (int32_t e = offsets[0]; e < offsets[1]; ++e)
      for (Overlap overlap : keyOverlaps[lists.entries[lists.starts[set] + e] >> 2])
        visited[overlap.run] += overlap.tokens;
    for (Overlap overlap : queries.overlapsOf(image.query, block))
      for (int64_t run = 0; run < keys.count; ++run)
        shares[overlap.run * keys.count + run] +=
            overlap.tokens * visited[run] / (queries.sizeOf(overlap.run) * keys.sizeOf(run));
  }
  return shares;
}

Picture explain::rasterMapPicture(const rt::KernelImage &image, const rt::BlockLists &lists) {
  return sideBySide(lists, shades(), [&](Picture &picture, int64_t set, int64_t left) {
    std::vector<double> shares = rasterShares(image, lists, set);
    picture.addCells(left, 0, lists.keyBlocks, lists.queryBlocks,
                     [&](int64_t column, int64_t row) { return shadeOf(shares[row * lists.keyBlocks + column]); });
  });
}

Picture explain::savingsPicture(const std::vector<TokenField> &fields) {
  constexpr int64_t gap = 2;
  Picture picture{shades(), 0, 0, {}};
  for (const TokenField &field : fields) {
    const auto [frames, height, width] = field.extents;
    for (int64_t frame = 0; frame < frames; ++frame) {
      int64_t left = frame * (width + gap);
      const double *shares = field.shares.data() + frame * height * width;
      picture.addCells(left, picture.height, width, height, [&, width = width](int64_t column, int64_t row) {
        return shadeOf(shares[row * width + column]);
      });
      picture.width = std::max(picture.width, left + width);
    }
    picture.height += height + gap;
  }
  picture.height -= gap;
  return picture;
}
