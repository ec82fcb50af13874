// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What single tokens and frames save.

#include "lib/Explain/Explain.h"
#include "lib/Explain/Frames.h"

#include <algorithm>

using namespace weft;
using namespace weft::explain;

/// Text tokens lie far from every frame.
constexpr int32_t kTextFrame = 1 << 20;

std::vector<Place> explain::placesOf(const rt::TokenBlocks &blocks) {
  std::vector<Place> places;
  for (int64_t i = 0; i < blocks.tokens; ++i) {
    auto row = [&](int64_t number) { return blocks.table[number * blocks.tokens + i]; };
    if (row(1) < kTextFrame)
      places.push_back({row(0), row(1), row(2), row(3)});
  }
  return places;
}

FrameMeans explain::meansByFrame(const rt::TokenBlocks &blocks, const std::vector<double> &shares) {
  std::vector<Place> places = placesOf(blocks);
  std::vector<double> sums, counts;
  double all = 0, video = 0;
  for (double share : shares)
    all += share;
  for (const Place &place : places) {
    if (static_cast<size_t>(place.t) >= sums.size())
      sums.resize(place.t + 1), counts.resize(place.t + 1);
    sums[place.t] += shares[place.token], ++counts[place.t];
    video += shares[place.token];
  }
  FrameMeans means;
  for (size_t frame = 0; frame < sums.size(); ++frame)
    means.frames.push_back(sums[frame] / counts[frame]);
  if (shares.size() > places.size())
    means.text = std::max(0.0, all - video) / (shares.size() - places.size());
  return means;
}

std::vector<TokenShares> explain::sharesOfTokens(const rt::KernelImage &image, const rt::BlockLists &lists,
                                                 const std::vector<rt::TokenReuse> *reuse) {
  std::vector<TokenShares> result(image.heads);
  double keys = static_cast<double>(image.key.tokens), channels = static_cast<double>(image.headDim);
  for (int64_t head = 0; head < image.heads; ++head) {
    TokenShares &shares = result[head];
    std::vector<int64_t> computed = reuse ? (*reuse)[head].computedKeys : visitedByQuery(image, lists, head);
    for (int64_t count : computed)
      shares.saved.push_back(1 - count / keys);
    if (!reuse)
      continue;
    for (int32_t values : (*reuse)[head].queryValues)
      shares.queryReuse.push_back(values / channels);
    for (int32_t values : (*reuse)[head].keyValues)
      shares.keyReuse.push_back(values / channels);
  }
  return result;
}

void explain::addSavings(const rt::KernelImage &image, const std::vector<TokenShares> &tokens, Report &report) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    Head &head = report.heads[i];
    FrameMeans saved = meansByFrame(image.query, tokens[i].saved);
    head.savedFrames = saved.frames, head.savedText = saved.text;
    if (tokens[i].queryReuse.empty())
      continue;
    head.queryReuseFrames = meansByFrame(image.query, tokens[i].queryReuse).frames;
    head.keyReuseFrames = meansByFrame(image.key, tokens[i].keyReuse).frames;
  }
}

static TokenField fieldOf(const rt::TokenBlocks &blocks, const std::vector<double> &shares) {
  std::vector<Place> places = placesOf(blocks);
  TokenField field;
  for (const Place &place : places) {
    std::array<int64_t, 3> coordinates = {place.t, place.h, place.w};
    for (int axis = 0; axis < 3; ++axis)
      field.extents[axis] = std::max(field.extents[axis], coordinates[axis] + 1);
  }
  field.shares.resize(field.extents[0] * field.extents[1] * field.extents[2]);
  for (const Place &place : places)
    field.shares[(place.t * field.extents[1] + place.h) * field.extents[2] + place.w] = shares[place.token];
  return field;
}

std::vector<TokenField> explain::savingsFields(const rt::KernelImage &image, const std::vector<TokenShares> &tokens) {
  std::vector<TokenField> fields;
  for (const TokenShares &head : tokens) {
    if (head.queryReuse.empty()) {
      fields.push_back(fieldOf(image.query, head.saved));
      continue;
    }
    fields.push_back(fieldOf(image.query, head.queryReuse));
    fields.push_back(fieldOf(image.key, head.keyReuse));
  }
  return fields;
}
