// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops of independent multiply-adds.

#include "bench/Peak.h"

#include "runtime/Tiles.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <immintrin.h>
#include <thread>
#include <vector>

using namespace weft::bench;

namespace {

/// More chains than latency times issue rate of any current core.
constexpr int kChains = 12;
constexpr int64_t kSteps = 400000;

__attribute__((target("avx512f"))) float runFMA512(int64_t steps) {
  __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f), sums[kChains];
  for (__m512 &sum : sums)
    sum = y;
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i)
      sums[i] = _mm512_fmadd_ps(sums[i], x, y);
  }
  for (int i = 1; i < kChains; ++i)
    sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx2,fma"))) float runFMA256(int64_t steps) {
  __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f), sums[kChains];
  for (__m256 &sum : sums)
    sum = y;
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i)
      sums[i] = _mm256_fmadd_ps(sums[i], x, y);
  }
  for (int i = 1; i < kChains; ++i)
    sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512bf16"))) float runDot512(int64_t steps) {
  __m512 y = _mm512_set1_ps(0.001f), sums[kChains];
  __m512bh x = _mm512_cvtne2ps_pbh(y, y);
  for (__m512 &sum : sums)
    sum = y;
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i)
      sums[i] = _mm512_dpbf16_ps(sums[i], x, x);
  }
  for (int i = 1; i < kChains; ++i)
    sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

/// Layout of the tile configuration in Intel's manual: palette 1, then bytes per row and rows of each tile.
struct alignas(64) TileConfig {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Two by two sums, as a product of matrices has them.
__attribute__((target("amx-tile,amx-bf16"))) float runTiles(int64_t steps) {
  TileConfig config;
  _tile_loadconfig(&config);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  _tile_zero(4), _tile_zero(5), _tile_zero(6), _tile_zero(7);
  for (int64_t step = 0; step < steps; ++step) {
    for (int i = 0; i < kChains / 4; ++i) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  alignas(64) float sums[256];
  _tile_stored(0, sums, 64);
  _tile_release();
  return sums[0];
}

struct Loop {
  float (*run)(int64_t steps);
  double operationsPerInstruction;
  int64_t steps;
};

Loop loopOf(Unit unit) {
  if (unit == Unit::BF16Tile)
    return {runTiles, 2 * 16 * 16 * 32, kSteps / 16};
  if (unit == Unit::BF16Dot)
    return {runDot512, 64, kSteps};
  return __builtin_cpu_supports("avx512f") ? Loop{runFMA512, 32, kSteps} : Loop{runFMA256, 16, kSteps};
}

/// Seconds until all threads have run the loop once.
double timeOnce(const Loop &loop, int threads) {
  auto start = std::chrono::steady_clock::now();
  std::vector<float> results(threads);
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i)
    others.emplace_back([&, i] { results[i] = loop.run(loop.steps); });
  results[0] = loop.run(loop.steps);
  for (std::thread &other : others)
    other.join();
  [[maybe_unused]] volatile float keep = results[0];
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

bool weft::bench::hasUnit(Unit unit) {
  switch (unit) {
  case Unit::F32FMA:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  case Unit::BF16Dot:
    return __builtin_cpu_supports("avx512bf16");
  case Unit::BF16Tile:
    return __builtin_cpu_supports("amx-bf16") && rt::requestTiles();
  }
  return false;
}

double weft::bench::measurePeak(Unit unit, int threads) {
  Loop loop = loopOf(unit);
  double seconds = timeOnce(loop, threads);
  for (int i = 0; i < 20; ++i)
    seconds = std::min(seconds, timeOnce(loop, threads));
  return threads * loop.steps * kChains * loop.operationsPerInstruction / seconds;
}
