// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse on a smooth random field with noise: what the whole call gains at equal savings, what snapping costs
// beside the dense kernel, and the errors of both granularities.

#include "bench/Problem.h"
#include "bench/SmoothField.h"
#include "runtime/Threads.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <limits>

using namespace weft;
using namespace weft::bench;

namespace {

/// By the clock, and of the processors by all threads: the latter tells also while other programs run.
struct Seconds {
  double wall = std::numeric_limits<double>::infinity(), processor = wall;

  void include(const Seconds &other) {
    wall = std::min(wall, other.wall), processor = std::min(processor, other.processor);
  }
};

Seconds secondsOf(const std::function<bool()> &call) {
  auto start = std::chrono::steady_clock::now();
  std::clock_t processorStart = std::clock();
  if (!call())
    return {0, 0};
  double processor = static_cast<double>(std::clock() - processorStart) / CLOCKS_PER_SEC;
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), processor};
}

/// The shortest of six calls.
Seconds shortestOf(const std::function<bool()> &call) {
  Seconds shortest;
  for (int i = 0; i < 6; ++i)
    shortest.include(secondsOf(call));
  return shortest;
}

double relativeError(const rt::Tensor &a, const rt::Tensor &b) {
  double difference = 0, reference = 0;
  for (int64_t i = 0; i < a.numElements(); ++i) {
    double x = rt::loadAsDouble(a.data, a.dtype, i), y = rt::loadAsDouble(b.data, b.dtype, i);
    difference += (x - y) * (x - y), reference += y * y;
  }
  return std::sqrt(difference / reference);
}

/// What the paper counts for channels: products of which both factors are a token's own.
double savingOf(const rt::ReuseSaving &saving, bool whole) {
  return whole ? saving.work : 1 - (1 - saving.queries) * (1 - saving.keys);
}

/// Sets the threshold of a call so that it saves `target`.
rt::ReuseSaving findThreshold(const rt::Kernel &kernel, rt::RunArgs &args, double target) {
  double low = 0, high = 4;
  rt::ReuseSaving saving;
  for (int i = 0; i < 24; ++i) {
    double middle = (low + high) / 2;
    args.parameters = {std::bit_cast<int64_t>(middle)};
    saving = *kernel.measureReuse(args);
    (savingOf(saving, kernel.image().reuse->whole) < target ? low : high) = middle;
  }
  return saving;
}

struct Case {
  std::string name;
  GridShape grid;
  ElementType type;
  double saving;
};

CompileRequest withTypes(CompileRequest request, const Case &what) {
  request.options.headDim = 64, request.options.elementType = what.type;
  return request;
}

CompileRequest reuseRequest(const char *attention, const Case &what) {
  CompileRequest request = withTypes(methodRequest("timeripple", what.grid), what);
  request.options.attention = attention;
  return request;
}

void run(benchmark::State &state, const Case &what) {
  int threads = state.range(0);
  KernelResult dense = compileKernel(withTypes(textRequest("attention dense {}", what.grid), what));
  KernelResult token = compileKernel(reuseRequest("timeripple_token", what));
  KernelResult channel = compileKernel(reuseRequest("timeripple", what));
  for (const KernelResult *kernel : {&dense, &token, &channel})
    if (!*kernel)
      return state.SkipWithError(kernel->message().c_str());
  Operands operands((*dense)->image()), results((*dense)->image());
  fillField(operands.query.view, what.grid, 1);
  fillField(operands.key.view, what.grid, 2);
  rt::RunArgs denseArgs = operands.args(threads), args = denseArgs;
  args.out = results.out.view, args.lse = results.lse.view;
  Seconds denseSeconds = shortestOf([&] { return bool((*dense)->run(denseArgs)); });

  findThreshold(**channel, args, what.saving);
  double channelThreshold = std::bit_cast<double>(args.parameters[0]);
  Seconds snapSeconds = shortestOf([&] { return bool((*channel)->measureReuse(args)); });
  Seconds channelSeconds = shortestOf([&] { return bool((*channel)->run(args)); });
  double channelError = relativeError(args.out, denseArgs.out);

  rt::ReuseSaving saving = findThreshold(**token, args, what.saving);
  Seconds mergeSeconds = shortestOf([&] { return bool((*token)->measureReuse(args)); });
  Seconds seconds;
  for (auto _ : state) {
    Seconds once = secondsOf([&] { return bool((*token)->run(args)); });
    state.SetIterationTime(once.wall);
    seconds.include(once);
  }
  state.counters["threshold"] = std::bit_cast<double>(args.parameters[0]);
  state.counters["queries"] = saving.queries;
  state.counters["keys"] = saving.keys;
  state.counters["work_saved"] = saving.work;
  state.counters["dense_ms"] = denseSeconds.wall * 1e3;
  state.counters["speedup"] = denseSeconds.wall / seconds.wall;
  state.counters["efficiency"] = denseSeconds.wall * (1 - saving.work) / seconds.wall;
  state.counters["cpu_efficiency"] = denseSeconds.processor * (1 - saving.work) / seconds.processor;
  state.counters["merge_of_dense"] = mergeSeconds.processor / denseSeconds.processor;
  state.counters["snap_of_dense"] = snapSeconds.processor / denseSeconds.processor;
  state.counters["channel_of_dense"] = channelSeconds.processor / denseSeconds.processor;
  state.counters["error"] = relativeError(args.out, denseArgs.out);
  state.counters["channel_error"] = channelError;
  state.counters["channel_threshold"] = channelThreshold;
}

bool addAll() {
  for (auto [type, name] : {std::pair(ElementType::F32, "f32"), {ElementType::BF16, "bf16"}})
    for (int percent : {50, 75, 85}) {
      Case what{std::string("timeripple/13x30x45/d64/") + name + "/saving_" + std::to_string(percent),
                {13, 30, 45, 0, false}, type, percent / 100.0};
      benchmark::RegisterBenchmark(what.name.c_str(), [what](benchmark::State &state) { run(state, what); })
          ->ArgName("threads")
          ->Arg(2)
          ->UseManualTime()
          ->Iterations(6)
          ->Unit(benchmark::kMillisecond);
    }
  return true;
}

[[maybe_unused]] const bool added = addAll();

} // namespace
