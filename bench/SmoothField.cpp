// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Waves and noise.

#include "bench/SmoothField.h"

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

using namespace weft;

void weft::bench::fillField(const rt::Tensor &tensor, const GridShape &grid, uint64_t seed) {
  constexpr int waves = 4;
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::normal_distribution<double> normal;
  struct Wave {
    double t, h, w, phase;
  };
  auto makeWave = [&](double length) {
    auto number = [&] { return (uniform(generator) - 0.5) * 2 * std::numbers::pi / length; };
    return Wave{number(), number(), number(), 2 * std::numbers::pi * uniform(generator)};
  };
  auto at = [](const Wave &wave, int64_t t, int64_t h, int64_t w) {
    return std::sin(wave.t * t + wave.h * h + wave.w * w + wave.phase);
  };
  int64_t channels = tensor.shape[3];
  for (int64_t head = 0; head < tensor.shape[1]; ++head) {
    std::vector<Wave> field, regions = {makeWave(8), makeWave(12)};
    for (int64_t i = 0; i < channels * waves; ++i)
      field.push_back(makeWave(20));
    for (int64_t token = 0; token < grid.t * grid.h * grid.w; ++token) {
      int64_t t = token / (grid.h * grid.w), h = token / grid.w % grid.h, w = token % grid.w;
      double strength = 0.02 + 0.12 * std::abs(at(regions[0], t, h, w) + at(regions[1], t, h, w));
      int64_t row = head * tensor.strides[1] + token * tensor.strides[2];
      for (int64_t c = 0; c < channels; ++c) {
        double value = strength * normal(generator);
        for (int i = 0; i < waves; ++i)
          value += at(field[c * waves + i], t, h, w) * std::sqrt(2.0 / waves);
        rt::storeFromDouble(tensor.data, tensor.dtype, row + c, value);
      }
    }
  }
}
