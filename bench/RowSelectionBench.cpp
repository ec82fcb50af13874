// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Astraea: the whole call beside the dense kernel, and what selecting rows and measuring drift take of it.

#include "bench/Problem.h"
#include "bench/Seconds.h"
#include "runtime/Drift.h"

#include <benchmark/benchmark.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

using namespace weft;
using namespace weft::bench;

namespace {

constexpr GridShape kGrid{13, 30, 45, 0, false};
constexpr int64_t kHeads = 24, kHeadDim = 64;

OwnedTensor allocate(rt::DType dtype, std::vector<int64_t> shape) {
  auto tensor = OwnedTensor::allocate(dtype, std::move(shape));
  if (!tensor) {
    std::fprintf(stderr, "%s\n", tensor.message().c_str());
    std::exit(1);
  }
  return *tensor;
}

/// What is kept between calls, the same before each of them.
struct State {
  OwnedTensor drift = allocate(rt::DType::F32, {1, kGrid.tokens()});
  OwnedTensor age = allocate(rt::DType::I32, {1, kGrid.tokens()});

  void restore(const OwnedTensor &lse) {
    std::mt19937_64 generator(7);
    std::normal_distribution<float> normal;
    auto *lses = static_cast<float *>(lse.view.data);
    for (int64_t i = 0; i < lse.view.numElements(); ++i)
      lses[i] = 10 + normal(generator);
    for (int64_t i = 0; i < kGrid.tokens(); ++i) {
      static_cast<float *>(drift.view.data)[i] = std::abs(normal(generator));
      static_cast<int32_t *>(age.view.data)[i] = static_cast<int32_t>(generator() % 4);
    }
  }
};

CompileRequest withTypes(CompileRequest request, ElementType type) {
  request.options.heads = kHeads, request.options.headDim = kHeadDim, request.options.elementType = type;
  return request;
}

/// The time to measure the drift of inputs as wide as all heads, and to keep those of the selected rows.
Seconds measureDriftSeconds(rt::DType dtype, const rt::RowLists &rows, const OwnedTensor &drift, int threads) {
  OwnedTensor x = allocate(dtype, {1, kGrid.tokens(), kHeads * kHeadDim});
  OwnedTensor last = allocate(dtype, {1, kGrid.tokens(), kHeads * kHeadDim});
  return shortestOf([&] {
    return bool(rt::measureDrift(x.view, last.view, drift.view, threads)) &&
           bool(rt::keepInputs(x.view, rows, last.view));
  });
}

void run(benchmark::State &state, ElementType type, double budget) {
  int threads = state.range(0);
  KernelResult selecting = compileKernel(withTypes(methodRequest("astraea", kGrid), type));
  KernelResult dense = compileKernel(withTypes(textRequest("attention dense {}", kGrid), type));
  if (!selecting || !dense)
    return state.SkipWithError((selecting ? dense : selecting).message().c_str());
  Operands operands((*selecting)->image()), denseOperands((*dense)->image());
  State kept;
  kept.restore(operands.lse);
  rt::RunArgs args = operands.args(threads), denseArgs = denseOperands.args(threads);
  args.rows = nullptr, args.drift = kept.drift.view, args.age = kept.age.view;
  args.parameters = {std::bit_cast<int64_t>(budget)};
  auto rows = (*selecting)->selectRows(args);
  if (!rows)
    return state.SkipWithError(rows.message().c_str());
  Seconds selectSeconds = shortestOf([&] { return bool((*selecting)->selectRows(args)); });
  Seconds driftSeconds =
      measureDriftSeconds((*selecting)->image().dtype, rows->view(), allocate(rt::DType::F32, {1, kGrid.tokens()}),
                          threads);
  // In turns, so that what else the machine does slows both.
  Seconds seconds, denseSeconds;
  for (auto _ : state) {
    denseSeconds.include(secondsOf([&] { return bool((*dense)->run(denseArgs)); }));
    kept.restore(operands.lse);
    Seconds once = secondsOf([&] { return bool((*selecting)->run(args)); });
    state.SetIterationTime(once.wall);
    seconds.include(once);
  }
  state.counters["rows"] = rows->counts.front();
  state.counters["dense_ms"] = denseSeconds.wall * 1e3;
  state.counters["of_dense"] = seconds.wall / denseSeconds.wall;
  state.counters["select_ms"] = selectSeconds.wall * 1e3;
  state.counters["select_of_dense"] = selectSeconds.wall / denseSeconds.wall;
  state.counters["drift_ms"] = driftSeconds.wall * 1e3;
  state.counters["cpu_of_dense"] = seconds.processor / denseSeconds.processor;
  state.counters["cpu_select_of_dense"] = selectSeconds.processor / denseSeconds.processor;
  state.counters["cpu_drift_of_dense"] = driftSeconds.processor / denseSeconds.processor;
}

bool addAll() {
  for (auto [type, name] : {std::pair(ElementType::F32, "f32"), {ElementType::BF16, "bf16"}})
    for (int percent : {30, 50, 70}) {
      std::string title = std::string("astraea/13x30x45/24xd64/") + name + "/budget_" + std::to_string(percent);
      benchmark::RegisterBenchmark(title.c_str(),
                                   [type, percent](benchmark::State &state) { run(state, type, percent / 100.0); })
          ->ArgName("threads")
          ->Arg(2)
          ->UseManualTime()
          ->Iterations(3)
          ->Unit(benchmark::kMillisecond);
    }
  return true;
}

[[maybe_unused]] const bool added = addAll();

} // namespace
