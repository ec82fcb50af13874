// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Snapping of tokens.

#include "runtime/Reuse.h"

#include "runtime/Elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace weft::rt;

std::string Reuse::expectedThreshold(double value) {
  return std::isfinite(value) && value >= 0 ? "" : "a finite number of at least 0";
}

std::string ReuseSaving::describe() const {
  if (whole)
    return fmt::format("{:.2f} % of queries, {:.2f} % of keys merged, {:.2f} % of the work saved", 100 * queries,
                       100 * keys, 100 * work);
  return fmt::format("{:.2f} % of query values, {:.2f} % of key values taken from neighbours, no work saved",
                     100 * queries, 100 * keys);
}

static double portionOf(double part, double whole) { return whole > 0 ? part / whole : 0; }

ReuseSaving ReuseCounts::share(bool whole) const {
  return {whole, portionOf(mergedQueries, queries), portionOf(mergedKeys, keys), portionOf(pairs - computedPairs, pairs)};
}

namespace {

/// Differences of floats are exact in double, as the interpreter has them.
template <typename Element> double load(Element element) { return element.load(); }

constexpr int64_t kMaxChannels = 256;

/// One window in some channels: `tokens` rows that lie `step` elements apart.
template <typename Element> struct Window {
  const Element *first;
  int64_t step, tokens;
};

/// Whether the window's deviation is below the threshold, channel by channel. Of two tokens it is half the distance.
template <typename Element>
void testPair(Window<Element> window, int64_t channels, double threshold, uint8_t *fires) {
  const Element *first = window.first, *second = window.first + window.step;
  double most = 2 * threshold;
  for (int64_t c = 0; c < channels; ++c)
    fires[c] = std::abs(load(first[c]) - load(second[c])) < most;
}

template <typename Element>
void testWindow(Window<Element> window, int64_t channels, double threshold, uint8_t *fires) {
  if (window.tokens == 2)
    return testPair(window, channels, threshold, fires);
  double mean[kMaxChannels] = {}, squares[kMaxChannels] = {};
  auto forEachValue = [&](auto body) {
    for (int64_t i = 0; i < window.tokens; ++i)
      for (int64_t c = 0; c < channels; ++c)
        body(c, load(window.first[i * window.step + c]));
  };
  forEachValue([&](int64_t c, double value) { mean[c] += value; });
  for (int64_t c = 0; c < channels; ++c)
    mean[c] /= window.tokens;
  forEachValue([&](int64_t c, double value) { squares[c] += (value - mean[c]) * (value - mean[c]); });
  for (int64_t c = 0; c < channels; ++c)
    fires[c] = std::sqrt(squares[c] / window.tokens) < threshold;
}

/// Whether it is so in every channel. Most windows differ in the first channels already.
template <typename Element> bool firesWhole(Window<Element> window, int64_t channels, double threshold) {
  constexpr int64_t part = 16;
  uint8_t fires[part];
  for (int64_t begin = 0; begin < channels; begin += part) {
    int64_t count = std::min(part, channels - begin);
    testWindow(Window<Element>{window.first + begin, window.step, window.tokens}, count, threshold, fires);
    if (!std::all_of(fires, fires + count, [](uint8_t fire) { return fire != 0; }))
      return false;
  }
  return true;
}

/// Snaps tokens of one head, which the caller walks in raster order.
template <typename Element> class Snapper {
public:
  explicit Snapper(const SnapTask &task)
      : task(task), source(reinterpret_cast<const Element *>(task.source.data)),
        target(reinterpret_cast<Element *>(task.target)), extents(task.grid.extents),
        steps{extents[1] * extents[2], extents[2], 1} {}

  int64_t snapStrip(int64_t item) const {
    int64_t strips = (extents[1] + task.window - 1) / task.window;
    int64_t firstT = item / strips * task.window, firstH = item % strips * task.window, replaced = 0;
    for (int64_t t = firstT; t < std::min(firstT + task.window, extents[0]); ++t)
      for (int64_t h = firstH; h < std::min(firstH + task.window, extents[1]); ++h)
        for (int64_t w = 0; w < extents[2]; ++w)
          replaced += snapToken({t, h, w});
    return replaced;
  }

  void keep(int64_t token) const {
    copyRow(token, rowOf(token));
    if (task.whole)
      task.donors[token] = static_cast<int32_t>(token);
  }

private:
  using Place = std::array<int64_t, 3>;

  const Element *rowOf(int64_t token) const { return source + token * task.source.stride; }
  Element *resultOf(int64_t token) const { return target + token * task.channels; }
  void copyRow(int64_t token, const Element *row) const {
    std::memcpy(resultOf(token), row, task.channels * sizeof(Element));
  }

  int64_t snapToken(const Place &place) const {
    int64_t token = task.grid.begin + place[0] * steps[0] + place[1] * steps[1] + place[2];
    int64_t count = task.whole ? snapWhole(token, place) : snapChannels(token, place);
    if (task.replaced)
      task.replaced[token] = static_cast<int32_t>(count);
    return count;
  }

  /// The first token of the window along an axis; the token itself if there is none, or none that it could leave.
  int64_t firstOf(int64_t token, const Place &place, int axis) const {
    int64_t offset = place[axis] % task.window;
    bool isWhole = place[axis] - offset + task.window <= extents[axis];
    return task.grid.axes[axis] && isWhole ? token - offset * steps[axis] : token;
  }
  Window<Element> windowFrom(int64_t first, int axis) const {
    return {rowOf(first), steps[axis] * task.source.stride, task.window};
  }

  /// The axis that counts is written last.
  int64_t snapChannels(int64_t token, const Place &place) const {
    copyRow(token, rowOf(token));
    uint8_t fires[kMaxChannels], replaced[kMaxChannels] = {};
    Element *result = resultOf(token);
    for (int axis : {2, 1, 0}) {
      int64_t first = firstOf(token, place, axis);
      if (first == token)
        continue;
      testWindow(windowFrom(first, axis), task.channels, task.threshold, fires);
      const Element *donor = resultOf(first);
      for (int64_t c = 0; c < task.channels; ++c) {
        result[c].bits = fires[c] ? donor[c].bits : result[c].bits;
        replaced[c] |= fires[c];
      }
    }
    int64_t count = 0;
    for (int64_t c = 0; c < task.channels; ++c)
      count += replaced[c];
    return count;
  }

  int64_t snapWhole(int64_t token, const Place &place) const {
    int32_t donor = static_cast<int32_t>(token);
    for (int axis : {0, 1, 2}) {
      int64_t first = firstOf(token, place, axis);
      if (first == token || !firesWhole(windowFrom(first, axis), task.channels, task.threshold))
        continue;
      donor = task.donors[first];
      break;
    }
    task.donors[token] = donor;
    copyRow(token, rowOf(donor));
    return donor == token ? 0 : task.channels;
  }

  const SnapTask &task;
  const Element *source;
  Element *target;
  const std::array<int64_t, 3> &extents;
  /// Tokens from one to the next along an axis.
  std::array<int64_t, 3> steps;
};

/// The last part has the text tokens.
template <typename Element> int64_t runItem(const SnapTask &task, int64_t item) {
  Snapper<Element> snapper(task);
  if (item + 1 < task.countItems())
    return snapper.snapStrip(item);
  int64_t video = task.grid.begin, end = video + task.grid.videoTokens();
  for (int64_t token = 0; token < task.tokens; ++token)
    if (token < video || token >= end)
      snapper.keep(token);
  return 0;
}

} // namespace

int64_t SnapTask::countItems() const {
  auto windows = [&](int64_t extent) { return (extent + window - 1) / window; };
  return windows(grid.extents[0]) * windows(grid.extents[1]) + 1;
}

int64_t SnapTask::run(int64_t item) const {
  return withElement(dtype, [&](auto element) { return runItem<decltype(element)>(*this, item); });
}
