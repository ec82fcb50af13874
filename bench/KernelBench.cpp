// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention kernels against the machine's measured peaks: masks and lists on one shape, then dense ones on others.

#include "bench/Peak.h"
#include "bench/Problem.h"
#include "runtime/Threads.h"
#include "runtime/Workspace.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <set>

using namespace weft;
using namespace weft::bench;

namespace {

constexpr GridShape kGrid{13, 30, 45, 0, false};

enum class Lists { None, Even, Uneven, Rows };

/// Query blocks of a benchmark of many keys: enough for packing to be a few per cent.
constexpr int64_t kStreamedRows = 48;

/// What one benchmark runs.
struct Case {
  std::string name;
  CompileRequest request;
  Lists lists = Lists::None;
  /// Share of the key blocks that random even lists name.
  double density = 1;
  /// Share of the rows that are listed, for a program that takes rows.
  double rows = 1;
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
  dense.options.headDim = request.options.headDim;
  dense.options.queryGrid = dense.options.keyGrid = request.options.queryGrid;
  return compileKernel(dense);
}

/// Median of three calls.
double measureDense(const rt::Kernel &kernel, int threads) {
  Operands operands(kernel.image());
  rt::RunArgs args = operands.args(threads);
  secondsOf(kernel, args);
  double seconds[3];
  for (double &second : seconds)
    second = secondsOf(kernel, args);
  std::sort(std::begin(seconds), std::end(seconds));
  return seconds[1];
}

/// The unit that a kernel for this machine computes its products with.
Unit unitFor(const rt::KernelImage &image) {
  if (image.usesTiles)
    return Unit::BF16Tile;
  return image.dtype == rt::DType::BF16 && hasUnit(Unit::BF16Dot) ? Unit::BF16Dot : Unit::F32FMA;
}

void runKernel(benchmark::State &state, const Case &what) {
  int threads = state.range(0);
  KernelResult compiled = compileKernel(what.request);
  if (!compiled)
    return state.SkipWithError(compiled.message().c_str());
  const rt::Kernel &kernel = **compiled;
  rt::GivenLists lists;
  if (what.lists == Lists::Even)
    lists = randomLists(kernel.image(), what.density);
  else if (what.lists == Lists::Uneven)
    lists = unevenLists(kernel.image());
  else if (what.lists == Lists::Rows)
    lists = sparseRows(kernel.image(), kStreamedRows);
  Operands operands(kernel.image());
  if (kernel.image().hasRows)
    operands.listRows(what.rows);
  rt::RunArgs args = operands.args(threads, what.lists == Lists::None ? nullptr : &lists);
  auto resolved = kernel.resolveLists(args);
  if (!resolved)
    return state.SkipWithError(resolved.message().c_str());
  rt::Workspace::trim();
  if (rt::Status status = kernel.run(args); !status)
    return state.SkipWithError(status.message().c_str());
  double workspace = rt::Workspace::pooledBytes();

  // The dense kernel on as many tokens as rows are streamed from would take minutes.
  bool comparesWithDense = what.lists != Lists::Rows;
  double denseSeconds = 0;
  if (comparesWithDense) {
    KernelResult dense = compileDense(what.request);
    if (!dense)
      return state.SkipWithError(dense.message().c_str());
    denseSeconds = measureDense(**dense, threads);
  }
  double peak = measurePeak(unitFor(kernel.image()), threads);
  double seconds = 0;
  for (auto _ : state) {
    double once = secondsOf(kernel, args);
    state.SetIterationTime(once);
    seconds += once;
  }
  seconds /= state.iterations();
  // Rows are random, so that each block has its share of them.
  double pairs = countVisitedPairs(kernel.image(), **resolved) * what.rows;
  double all = double(kernel.image().query.tokens) * kernel.image().key.tokens;
  double rate = 4 * kernel.image().headDim * pairs / seconds;
  state.counters["GFLOP/s"] = rate / 1e9;
  state.counters["of_peak"] = rate / peak;
  state.counters["density"] = pairs / all;
  if (comparesWithDense)
    state.counters["speedup"] = denseSeconds / seconds;
  state.counters["workspace_MiB"] = workspace / (1 << 20);
}

/// 1, 2 and all threads of the machine.
void addThreads(benchmark::internal::Benchmark *benchmark) {
  for (int threads : std::set<int>{1, 2, rt::defaultThreads()})
    benchmark->Arg(threads);
}

void addCase(Case what) {
  benchmark::RegisterBenchmark(what.name.c_str(), [what](benchmark::State &state) { runKernel(state, what); })
      ->ArgName("threads")
      ->Apply(addThreads)
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
    benchmark::RegisterBenchmark(name, runPeak, unit)->ArgName("threads")->Apply(addThreads)->Iterations(5);
}

void addTypes(const Case &what) {
  addCase(withType(what, ElementType::F32, "/f32"));
  addCase(withType(what, ElementType::BF16, "/bf16"));
}

/// The dense kernel on one grid with one head dim.
void addShape(const char *name, GridShape grid, int64_t headDim) {
  Case what{"shape/" + std::string(name) + "/d" + std::to_string(headDim), textRequest("attention dense {}", grid)};
  what.request.options.headDim = headDim;
  addTypes(what);
}

/// A few query blocks against all keys of a long video: keys and values come from memory for each of them.
void addStream(const char *name, GridShape grid, int64_t headDim) {
  Case what{"stream/" + std::string(name) + "/d" + std::to_string(headDim),
            textRequest("attention lists { mask given }", grid), Lists::Rows};
  what.request.options.headDim = headDim;
  addTypes(what);
}

bool addAll() {
  addPeak("peak/f32_fma", Unit::F32FMA);
  addPeak("peak/bf16_dot", Unit::BF16Dot);
  addPeak("peak/bf16_tile", Unit::BF16Tile);
  CompileRequest lists = textRequest("attention lists { mask given }", kGrid);
  // Always true, which ranges cannot tell: factors are equal, and every block has tokens of all columns.
  CompileRequest partial = textRequest("let t = q.t - k.t let h = q.h - k.h let w = q.w - k.w "
                                       "attention partial { mask t * t + h * h + w * w >= 0 }",
                                       kGrid);
  for (const Case &what : {Case{"dense", textRequest("attention dense {}", kGrid)},
                           Case{"given_20", lists, Lists::Even, 0.2},
                           Case{"given_10", lists, Lists::Even, 0.1},
                           Case{"given_uneven", lists, Lists::Uneven},
                           Case{"partial", partial},
                           Case{"near", exampleRequest("near", kGrid)},
                           Case{"window", exampleRequest("window", kGrid)},
                           Case{"radial", exampleRequest("radial", kGrid)}})
    addTypes(what);
  addTypes({"bias", textRequest("attention biased { bias given }", kGrid)});
  for (double rows : {0.3, 0.5, 0.7}) {
    std::string share = std::to_string(std::lround(100 * rows));
    addTypes({"rows_" + share + "/dense", textRequest("attention some { rows given }", kGrid), Lists::None, 1, rows});
    CompileRequest window = exampleRequest("window", kGrid);
    window.source.insert(window.source.rfind('}'), "  rows given\n");
    addTypes({"rows_" + share + "/window", window, Lists::None, 1, rows});
  }
  for (int64_t headDim : {64, 96, 128}) {
    addShape("4096", {4, 32, 32, 0, false}, headDim);
    addShape("17776", {13, 30, 45, 226, false}, headDim);
    addShape("32760", {21, 30, 52, 0, false}, headDim);
  }
  for (int64_t headDim : {64, 128})
    addStream("118800", {33, 45, 80, 0, false}, headDim);
  for (int64_t headDim : {32, 40, 72, 80, 88, 104, 192, 256})
    addShape("4096", {4, 32, 32, 0, false}, headDim);
  return true;
}

[[maybe_unused]] const bool added = addAll();

} // namespace
