// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Predicted masks: what the prediction costs beside the dense kernel, and what the whole call gains.

#include "bench/Problem.h"
#include "bench/Seconds.h"
#include "runtime/Threads.h"

#include <benchmark/benchmark.h>

#include <bit>

using namespace weft;
using namespace weft::bench;

namespace {

/// The same mask without windows: blocks are whole, but no regions of the video.
constexpr char kRaster[] = "attention raster(dynamic keep: float = 0.2) "
                           "{ mask topk(block_mean, keep: keep) or q.t == 0 or k.t == 0 or q.text or k.text }";

struct Case {
  std::string name;
  GridShape grid;
  int64_t headDim;
  ElementType type;
  double keep;
  /// The window: what wastes least of the grid when blocks are rounded up to 32 tokens; 0x0: strips, 1x0: raster.
  int32_t windowT, windowH, windowW;

  CompileRequest request() const;
};

CompileRequest withTypes(CompileRequest request, const Case &what) {
  request.options.headDim = what.headDim, request.options.elementType = what.type;
  return request;
}

CompileRequest Case::request() const {
  if (!windowH)
    return withTypes(windowT ? textRequest(kRaster, grid) : methodRequest("rainfusion2_strips", grid), *this);
  CompileRequest request = withTypes(methodRequest("rainfusion2", grid), *this);
  request.options.values["window_t"] = {Kind::Int, windowT, 0};
  request.options.values["window_h"] = {Kind::Int, windowH, 0};
  request.options.values["window_w"] = {Kind::Int, windowW, 0};
  return request;
}

void run(benchmark::State &state, const Case &what) {
  int threads = state.range(0);
  KernelResult predicted = compileKernel(what.request());
  KernelResult dense = compileKernel(withTypes(textRequest("attention dense {}", what.grid), what));
  if (!predicted || !dense)
    return state.SkipWithError((predicted ? dense : predicted).message().c_str());
  Operands operands((*predicted)->image()), denseOperands((*dense)->image());
  rt::RunArgs args = operands.args(threads), denseArgs = denseOperands.args(threads);
  args.parameters = {std::bit_cast<int64_t>(what.keep)};
  auto lists = (*predicted)->resolveLists(args);
  if (!lists)
    return state.SkipWithError(lists.message().c_str());
  // In turns, so that what else the machine does slows both.
  std::vector<double> walls, processors, ratios, cpuRatios;
  for (auto _ : state) {
    Seconds whole = secondsOf([&] { return bool((*dense)->run(denseArgs)); });
    Seconds once = secondsOf([&] { return bool((*predicted)->run(args)); });
    state.SetIterationTime(once.wall);
    walls.push_back(whole.wall), processors.push_back(whole.processor);
    ratios.push_back(whole.wall / once.wall), cpuRatios.push_back(whole.processor / once.processor);
  }
  Seconds predictSeconds = shortestOf([&] { return bool((*predicted)->predict(args)); });
  Seconds resolveSeconds = shortestOf([&] { return bool((*predicted)->resolveLists(args)); });
  const rt::KernelImage &image = (*predicted)->image();
  double density = countVisitedPairs(image, **lists) / (double(image.query.tokens) * image.key.tokens);
  double denseWall = medianOf(walls);
  state.counters["density"] = density;
  state.counters["dense_ms"] = denseWall * 1e3;
  state.counters["predict_ms"] = predictSeconds.wall * 1e3;
  state.counters["lists_ms"] = (resolveSeconds.wall - predictSeconds.wall) * 1e3;
  state.counters["of_dense"] = resolveSeconds.wall / denseWall;
  state.counters["speedup"] = medianOf(ratios);
  state.counters["efficiency"] = medianOf(ratios) * density;
  state.counters["cpu_of_dense"] = resolveSeconds.processor / medianOf(processors);
  state.counters["cpu_efficiency"] = medianOf(cpuRatios) * density;
}

bool addAll() {
  struct Shape {
    const char *name;
    GridShape grid;
    int64_t headDim;
    int32_t windowT, windowH, windowW;
  };
  for (const Shape &shape : {Shape{"13x30x45/d64", {13, 30, 45, 226, false}, 64, 1, 6, 15},
                             {"13x30x45/d64/joined", {13, 30, 45, 226, false}, 64, 0, 14, 9},
                             {"13x30x45/d64/strips", {13, 30, 45, 226, false}, 64, 0, 0, 0},
                             {"13x30x45/d64/raster", {13, 30, 45, 226, false}, 64, 1, 0, 0},
                             {"4x32x32/d128", {4, 32, 32, 0, false}, 128, 1, 8, 16}})
    for (auto [type, name] : {std::pair(ElementType::F32, "f32"), {ElementType::BF16, "bf16"}})
      for (double keep : {0.2, 0.1}) {
        Case what{"rainfusion2/" + std::string(shape.name) + "/" + name + (keep == 0.2 ? "/keep_20" : "/keep_10"),
                  shape.grid, shape.headDim, type, keep, shape.windowT, shape.windowH, shape.windowW};
        benchmark::RegisterBenchmark(what.name.c_str(), [what](benchmark::State &state) { run(state, what); })
            ->ArgName("threads")
            ->Arg(2)
            ->UseManualTime()
            ->Iterations(11)
            ->Unit(benchmark::kMillisecond);
      }
  return true;
}

[[maybe_unused]] const bool added = addAll();

} // namespace
