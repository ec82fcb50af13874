// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention kernels on 13 frames of 30 x 45 tokens, one head of 64 channels, against the machine's measured peaks.

#include "bench/Peak.h"
#include "bench/Problem.h"

#include <benchmark/benchmark.h>

#include <chrono>

using namespace weft;
using namespace weft::bench;

namespace {

constexpr GridShape kGrid{13, 30, 45, 0, false};

/// What one benchmark runs.
struct Case {
  std::string name;
  CompileRequest request;
  /// Share of the key blocks that random given lists name; 0 without lists.
  double givenDensity = 0;
};

void runPeak(benchmark::State &state, Unit unit) {
  double peak = 0;
  for (auto _ : state)
    peak = std::max(peak, measurePeak(unit, state.range(0)));
  state.counters["GFLOP/s"] = peak / 1e9;
}

double secondsOf(const rt::Kernel &kernel, const rt::RunArgs &args) {
  auto start = std::chrono::steady_clock::now();
  if (!kernel.run(args))
    return 0;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The same element type without a mask.
KernelResult compileDense(const CompileRequest &request) {
  CompileRequest dense = textRequest("attention dense {}", kGrid);
  dense.options.elementType = request.options.elementType;
  return compileKernel(dense);
}

/// Median of three calls.
double measureDense(const rt::Kernel &kernel, int threads) {
  Operands operands(kernel);
  rt::RunArgs args = operands.args(threads);
  secondsOf(kernel, args);
  double seconds[3];
  for (double &second : seconds)
    second = secondsOf(kernel, args);
  std::sort(std::begin(seconds), std::end(seconds));
  return seconds[1];
}

void runKernel(benchmark::State &state, const Case &what) {
  int threads = state.range(0);
  KernelResult compiled = compileKernel(what.request), dense = compileDense(what.request);
  if (!compiled || !dense)
    return state.SkipWithError((compiled ? dense : compiled).message().c_str());
  const rt::Kernel &kernel = **compiled;
  rt::GivenLists lists;
  if (what.givenDensity)
    lists = randomLists(kernel, what.givenDensity);
  Operands operands(kernel);
  rt::RunArgs args = operands.args(threads, what.givenDensity ? &lists : nullptr);
  auto resolved = kernel.resolveLists(args);
  if (!resolved)
    return state.SkipWithError(resolved.message().c_str());
  if (rt::Status status = kernel.run(args); !status)
    return state.SkipWithError(status.message().c_str());

  Unit unit = kernel.image().dtype == rt::DType::BF16 && hasUnit(Unit::BF16Dot) ? Unit::BF16Dot : Unit::F32FMA;
  double peak = measurePeak(unit, threads), denseSeconds = measureDense(**dense, threads);
  double seconds = 0;
  for (auto _ : state) {
    double once = secondsOf(kernel, args);
    state.SetIterationTime(once);
    seconds += once;
  }
  seconds /= state.iterations();
  double pairs = countVisitedPairs(kernel, **resolved), all = double(kGrid.tokens()) * kGrid.tokens();
  double rate = 4 * kernel.image().headDim * pairs / seconds;
  state.counters["GFLOP/s"] = rate / 1e9;
  state.counters["of_peak"] = rate / peak;
  state.counters["density"] = pairs / all;
  state.counters["speedup"] = denseSeconds / seconds;
}

void addCase(Case what) {
  benchmark::RegisterBenchmark(what.name.c_str(), [what](benchmark::State &state) { runKernel(state, what); })
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(2)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

Case withType(Case what, ElementType type, const char *suffix) {
  what.name += suffix;
  what.request.options.elementType = type;
  return what;
}

void addPeak(const char *name, Unit unit) {
  if (hasUnit(unit))
    benchmark::RegisterBenchmark(name, runPeak, unit)->ArgName("threads")->Arg(1)->Arg(2)->Iterations(5);
}

bool addAll() {
  addPeak("peak/f32_fma", Unit::F32FMA);
  addPeak("peak/bf16_dot", Unit::BF16Dot);
  Case cases[] = {{"dense", textRequest("attention dense {}", kGrid)},
                  {"given_20", textRequest("attention lists { mask given }", kGrid), 0.2},
                  {"given_10", textRequest("attention lists { mask given }", kGrid), 0.1},
                  {"near", exampleRequest("near", kGrid)},
                  {"window", exampleRequest("window", kGrid)},
                  {"radial", exampleRequest("radial", kGrid)}};
  for (const Case &what : cases) {
    addCase(withType(what, ElementType::F32, "/f32"));
    addCase(withType(what, ElementType::BF16, "/bf16"));
  }
  return true;
}

[[maybe_unused]] const bool added = addAll();

} // namespace
