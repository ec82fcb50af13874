// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Times around the kernels: compiling a new shape, a call of a compiled one, and the block lists of a long video.

#include "bench/Problem.h"
#include "dialect/BlockPartition.h"
#include "passes/BlockClassifier.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <vector>

using namespace mlir;
using namespace weft;
using namespace weft::bench;

namespace {

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Compiles a shape that was never seen before.
void compileCold(benchmark::State &state, const char *example) {
  static int64_t next = 0;
  for (auto _ : state) {
    KernelResult kernel = compileKernel(exampleRequest(example, {13, 30, 45 + next++ % 200, 0, false}));
    if (!kernel)
      return state.SkipWithError(kernel.message().c_str());
    benchmark::DoNotOptimize(kernel);
  }
}

/// The generated code of a kernel with one block of queries and keys, called without the runtime around it.
class BareKernel {
public:
  BareKernel(const rt::Kernel &kernel, const rt::RunArgs &args, const rt::BlockLists &lists)
      : image(kernel.image()), keyTile(image.keyTileBytes / 64 + 1), valueTile(image.valueTileBytes / 64 + 1),
        scratch(image.scratchBytes / 64 + 1) {
    pack = {args.key.data,
            args.key.strides[2],
            args.value.data,
            args.value.strides[2],
            image.key.table.data(),
            0,
            image.key.tokens,
            keyTile.data(),
            valueTile.data()};
    attend.query = args.query.data, attend.queryStride = args.query.strides[2];
    attend.out = args.out.data, attend.outStride = args.out.strides[2];
    attend.lse = static_cast<float *>(args.lse->data), attend.lseStride = 1, attend.wantLse = 1;
    attend.queryTable = image.query.table.data(), attend.queryCount = image.query.tokens;
    attend.keyTable = image.key.table.data(), attend.keyOffsets = image.key.offsets.data();
    attend.packedKey = keyTile.data(), attend.packedValue = valueTile.data();
    attend.entries = lists.entries.data(), attend.end = lists.entries.size();
    attend.scratch = scratch.data();
    for (size_t i = 0; i < image.parameters.size(); ++i)
      attend.parameters[i] = image.parameters[i].defaultValue.value_or(0);
  }

  void operator()() const {
    image.pack(&pack);
    image.attend(&attend);
  }

private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  const rt::KernelImage &image;
  std::vector<Line> keyTile, valueTile, scratch;
  rt::PackArgs pack;
  rt::AttendArgs attend{};
};

/// Looking a kernel up and calling it on one block; `above_kernel_us` is what that costs beyond the generated code.
void callCached(benchmark::State &state, const char *example) {
  CompileRequest request = exampleRequest(example, {1, 4, 8, 0, false});
  Compiler compiler;
  KernelResult compiled = compiler.compile(request);
  if (!compiled)
    return state.SkipWithError(compiled.message().c_str());
  Operands operands((*compiled)->image());
  rt::RunArgs args = operands.args(1);
  auto lists = (*compiled)->resolveLists(args);
  if (!lists)
    return state.SkipWithError(lists.message().c_str());
  BareKernel bare(**compiled, args, **lists);
  auto call = [&] {
    KernelResult kernel = compiler.compile(request);
    return (*kernel)->run(args);
  };
  if (rt::Status status = call(); !status)
    return state.SkipWithError(status.message().c_str());
  constexpr int kCalls = 200;
  double bareSeconds = 0, callSeconds = 0;
  for (auto _ : state) {
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i)
      bare();
    bareSeconds += secondsSince(start);
    start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i)
      if (!call())
        return state.SkipWithError("expected a call that succeeds");
    double once = secondsSince(start) / kCalls;
    callSeconds += once * kCalls;
    state.SetIterationTime(once);
  }
  double calls = kCalls * static_cast<double>(state.iterations());
  state.counters["kernel_us"] = 1e6 * bareSeconds / calls;
  state.counters["above_kernel_us"] = 1e6 * (callSeconds - bareSeconds) / calls;
}

/// HunyuanVideo's 129 frames of 720p: 118 800 video and 256 text tokens.
constexpr GridShape kLong{33, 45, 80, 256, false};

enum class Order { Raster, Tiles };

/// The single predicate of an example's mask.
struct LongMask {
  std::unique_ptr<MLIRContext> context = createContext();
  OwningOpRef<ModuleOp> module;
  AttentionOp attention;
  PredicateOp predicate;

  rt::Status build(const char *example) {
    CompileRequest request = exampleRequest(example, kLong);
    if (StringRef(example) == "window")
      for (auto [name, size] : {std::pair("tile_t", 2), std::pair("tile_h", 8), std::pair("tile_w", 8)})
        request.options.values.insert_or_assign(name, *StaticValue::parse(std::to_string(size)));
    auto built = buildProgram(*context, request);
    if (!built)
      return built.status();
    module = std::move(*built);
    PassManager manager(context.get());
    for (int i = 0; i < 2; ++i) {
      manager.addPass(createCanonicalizerPass());
      manager.addPass(createCSEPass());
      if (i == 0)
        manager.addPass(createSimplifyMasksPass());
    }
    if (failed(manager.run(*module)))
      return rt::Status::error("expected passes that succeed");
    module->walk([&](AttentionOp op) { attention = op; });
    predicate = attention.getMask().getDefiningOp<PredicateOp>();
    return predicate ? rt::Status::ok() : rt::Status::error("expected a mask of one predicate");
  }

  /// The defaults of the dynamic parameters.
  Bindings bindings() {
    Bindings result;
    auto function = attention->getParentOfType<func::FuncOp>();
    for (BlockArgument argument : function.getArguments())
      if (auto value =
              function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(), WeftDialect::kParameterDefaultAttrName))
        result[argument] = value.getInt();
    return result;
  }
};

/// Classifying all pairs of blocks and writing the lists, as for a new value of a dynamic parameter.
void buildLists(benchmark::State &state, const char *example, Order order) {
  LongMask mask;
  if (rt::Status status = mask.build(example); !status)
    return state.SkipWithError(status.message().c_str());
  OrderAttr box = order == Order::Raster ? OrderAttr::get(mask.context.get(), false, 0, 0, 0)
                                         : OrderAttr::get(mask.context.get(), true, 2, 8, 8);
  BlockPartition blocks = partitionTokens(mask.attention.getKeyGrid(), box, 128);
  Bindings bindings = mask.bindings();
  int64_t numEmpty = 0;
  for (auto _ : state) {
    BlockClassifier classifier(mask.predicate.getBody(), blocks, blocks, bindings);
    ClassifiedLists lists = *classifier.buildLists(/*heads=*/1, /*given=*/false);
    numEmpty = lists.numEmpty;
    auto runtimeLists = rt::BlockLists::fromClassified(lists.lists, blocks.numBlocks(), blocks.numBlocks(),
                                                       lists.offsets, lists.entries);
    benchmark::DoNotOptimize(runtimeLists);
  }
  double count = blocks.numBlocks();
  state.counters["blocks"] = count;
  state.counters["density"] = 1 - numEmpty / (count * count);
}

BENCHMARK_CAPTURE(compileCold, near, "near")->Unit(benchmark::kMillisecond)->Iterations(8)->UseRealTime();
BENCHMARK_CAPTURE(compileCold, window, "window")->Unit(benchmark::kMillisecond)->Iterations(8)->UseRealTime();
BENCHMARK_CAPTURE(compileCold, radial, "radial")->Unit(benchmark::kMillisecond)->Iterations(8)->UseRealTime();
BENCHMARK_CAPTURE(callCached, dense, "dense")->Unit(benchmark::kMicrosecond)->Iterations(200)->UseManualTime();
BENCHMARK_CAPTURE(callCached, near, "near")->Unit(benchmark::kMicrosecond)->Iterations(200)->UseManualTime();
BENCHMARK_CAPTURE(buildLists, near/raster, "near", Order::Raster)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(buildLists, window/raster, "window", Order::Raster)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(buildLists, radial/raster, "radial", Order::Raster)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(buildLists, near/tiles, "near", Order::Tiles)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(buildLists, window/tiles, "window", Order::Tiles)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(buildLists, radial/tiles, "radial", Order::Tiles)->Unit(benchmark::kMillisecond);

} // namespace
