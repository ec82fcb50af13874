// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognized heads: what the recognition costs beside the dense kernel, and what each candidate gains in an order.

#include "bench/Problem.h"
#include "bench/Seconds.h"

#include <benchmark/benchmark.h>

using namespace weft;
using namespace weft::bench;

namespace {

struct Case {
  std::string name, attention, order;
  GridShape grid;
  int64_t headDim;
  ElementType type;
  int32_t candidate;
};

CompileRequest withTypes(CompileRequest request, const Case &what) {
  request.options.headDim = what.headDim, request.options.elementType = what.type;
  return request;
}

/// The method's attention, with the order in the place of its own.
CompileRequest requestOf(const Case &what) {
  CompileRequest request = withTypes(methodRequest("rainfusion", what.grid), what);
  request.options.attention = what.attention;
  std::string &source = request.source;
  size_t begin = source.find("{\n", source.find("attention " + what.attention)) + 2;
  source.replace(begin, source.find("  mask", begin) - begin, "  order " + what.order + "\n");
  return request;
}

/// All heads take one candidate; what recognizing them would take is measured beside.
void run(benchmark::State &state, const Case &what) {
  int threads = state.range(0);
  KernelResult recognized = compileKernel(requestOf(what));
  KernelResult dense = compileKernel(withTypes(textRequest("attention dense {}", what.grid), what));
  if (!recognized || !dense)
    return state.SkipWithError((recognized ? dense : recognized).message().c_str());
  Operands operands((*recognized)->image()), denseOperands((*dense)->image());
  rt::RunArgs args = operands.args(threads), denseArgs = denseOperands.args(threads);
  rt::Choices choices{{what.candidate}, {}};
  args.choices = &choices;
  auto lists = (*recognized)->resolveLists(args);
  if (!lists)
    return state.SkipWithError(lists.message().c_str());
  Seconds denseSeconds = shortestOf([&] { return bool((*dense)->run(denseArgs)); });
  Seconds recognition = shortestOf([&] { return bool((*recognized)->recognize(args)); });
  Seconds seconds;
  for (auto _ : state) {
    Seconds once = secondsOf([&] { return bool((*recognized)->run(args)); });
    state.SetIterationTime(once.wall);
    seconds.include(once);
  }
  const rt::KernelImage &image = (*recognized)->image();
  double density = countVisitedPairs(image, **lists) / (double(image.query.tokens) * image.key.tokens);
  double partial = 0;
  for (int32_t entry : (*lists)->entries)
    partial += entry & rt::BlockLists::kPartial;
  state.counters["density"] = density;
  state.counters["partial"] = partial / (*lists)->entries.size();
  state.counters["dense_ms"] = denseSeconds.wall * 1e3;
  state.counters["recognize_ms"] = recognition.wall * 1e3;
  state.counters["of_dense"] = recognition.wall / denseSeconds.wall;
  state.counters["speedup"] = denseSeconds.wall / seconds.wall;
  state.counters["cpu_dense_ms"] = denseSeconds.processor * 1e3;
  state.counters["cpu_of_dense"] = recognition.processor / denseSeconds.processor;
  state.counters["cpu_speedup"] = denseSeconds.processor / seconds.processor;
}

bool addAll() {
  struct Method {
    const char *attention;
    int32_t candidates;
    std::vector<const char *> orders;
  };
  const char *raster = "raster", *windows = "tiles(t: 1, h: 8, w: 16)", *fitting = "tiles(t: 1, h: 6, w: 15)";
  const GridShape grid = {13, 30, 45, 226, false};
  for (const Method &method : {Method{"rainfusion", 3, {raster, windows, fitting}}, Method{"two_types", 2, {raster}},
                               Method{"lattice", 3, {"by(first: 1, (token.h - token.w) mod size)"}},
                               Method{"columns", 2, {"tiles(first: 1, t: 12, h: 2, w: 5)"}},
                               Method{"nested_widths", 6, {raster}}})
    for (const char *order : method.orders)
      for (auto [type, name] : {std::pair(ElementType::F32, "f32"), {ElementType::BF16, "bf16"}})
        for (int32_t candidate = 0; candidate < method.candidates; ++candidate) {
          Case what{std::string(method.attention) + "/" + order + "/" + name + "/candidate_" +
                        std::to_string(candidate),
                    method.attention, order, grid, 64, type, candidate};
          benchmark::RegisterBenchmark(what.name.c_str(), [what](benchmark::State &state) { run(state, what); })
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
