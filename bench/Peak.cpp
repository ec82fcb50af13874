// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops of independent multiply-adds.

#include "bench/Peak.h"

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

struct Loop {
  float (*run)(int64_t steps);
  double operationsPerInstruction;
};

Loop loopOf(Unit unit) {
  if (unit == Unit::BF16Dot)
    return {runDot512, 64};
  return __builtin_cpu_supports("avx512f") ? Loop{runFMA512, 32} : Loop{runFMA256, 16};
}

/// Seconds until all threads have run the loop once.
double timeOnce(const Loop &loop, int threads) {
  auto start = std::chrono::steady_clock::now();
  std::vector<float> results(threads);
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i)
    others.emplace_back([&, i] { results[i] = loop.run(kSteps); });
  results[0] = loop.run(kSteps);
  for (std::thread &other : others)
    other.join();
  [[maybe_unused]] volatile float keep = results[0];
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

bool weft::bench::hasUnit(Unit unit) {
  return unit == Unit::BF16Dot ? __builtin_cpu_supports("avx512bf16")
                               : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

double weft::bench::measurePeak(Unit unit, int threads) {
  Loop loop = loopOf(unit);
  double seconds = timeOnce(loop, threads);
  for (int i = 0; i < 20; ++i)
    seconds = std::min(seconds, timeOnce(loop, threads));
  return threads * kSteps * kChains * loop.operationsPerInstruction / seconds;
}
