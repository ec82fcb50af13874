// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The time of a call, by two clocks.

#ifndef WEFT_BENCH_SECONDS_H
#define WEFT_BENCH_SECONDS_H

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <limits>
#include <vector>

namespace weft::bench {

/// By the clock, and of the processors by all threads: the latter tells also while other programs run.
struct Seconds {
  double wall = std::numeric_limits<double>::infinity(), processor = wall;

  /// Keeps the shorter times.
  void include(const Seconds &other) {
    wall = std::min(wall, other.wall), processor = std::min(processor, other.processor);
  }
};

/// One call; 0 if it fails.
inline Seconds secondsOf(const std::function<bool()> &call) {
  auto start = std::chrono::steady_clock::now();
  std::clock_t processorStart = std::clock();
  if (!call())
    return {0, 0};
  double processor = static_cast<double>(std::clock() - processorStart) / CLOCKS_PER_SEC;
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), processor};
}

/// The shortest of some calls.
inline Seconds shortestOf(const std::function<bool()> &call, int repeat = 6) {
  Seconds shortest;
  for (int i = 0; i < repeat; ++i)
    shortest.include(secondsOf(call));
  return shortest;
}

/// Of an odd number of values the middle one.
inline double medianOf(std::vector<double> values) {
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

} // namespace weft::bench

#endif // WEFT_BENCH_SECONDS_H
