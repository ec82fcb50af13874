// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a feature costs on a GPU: each benchmark runs a kernel with the feature and one without in turn, and reports the
// ratio of their times per visited pair of tokens. bench/peers/gpu.py compares with other projects.

#include "bench/Problem.h"
#include "bench/Seconds.h"
#include "bench/SmoothField.h"
#include "runtime/CUDA/StreamTimer.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <random>

using namespace weft;
using namespace weft::bench;

namespace {

constexpr GridShape kGrid{21, 30, 52, 0, false};
/// Cut into boxes of 2 x 8 x 8 tokens without a rest.
constexpr GridShape kEvenGrid{16, 32, 32, 0, false};
constexpr int kRounds = 15;

enum class Lists { None, Even, Uneven };

/// A kernel and how it is called.
struct Side {
  const char *program;
  Lists lists = Lists::None;
  bool wantsLogSumExp = false;
};

rt::Result<std::shared_ptr<const rt::cuda::Device>> device() {
  static auto opened = rt::cuda::Device::open();
  return opened;
}

CompileRequest requestFor(const char *program, GridShape grid, int64_t headDim) {
  CompileRequest request = textRequest(program, grid);
  request.options.heads = 12, request.options.headDim = headDim;
  request.options.elementType = ElementType::BF16;
  return request;
}

/// A kernel with operands on the device.
class Call {
public:
  rt::Status prepare(const CompileRequest &request, const Side &side) {
    auto compiled = compileGPUKernel(request, *device());
    if (!compiled)
      return compiled.status();
    kernel = *compiled;
    Operands operands(kernel->image());
    args = operands.args(/*threads=*/0);
    for (rt::Tensor *tensor : {&args.query, &args.key, &args.value, &args.out, &*args.lse}) {
      size_t bytes = tensor->numElements() * rt::sizeOf(tensor->dtype);
      auto copy = rt::cuda::DeviceMemory::upload(*device(), tensor->data, bytes, nullptr);
      if (!copy)
        return copy.status();
      tensor->data = reinterpret_cast<void *>(copy->get());
      memory.push_back(std::move(*copy));
    }
    if (!side.wantsLogSumExp)
      args.lse.reset();
    if (kernel->image().hasBias) {
      std::vector<float> zeros(kernel->image().key.tokens);
      auto bias = rt::cuda::DeviceMemory::upload(*device(), zeros.data(), zeros.size() * sizeof(float), nullptr);
      if (!bias)
        return bias.status();
      int64_t tokens = zeros.size();
      args.bias = rt::Tensor{reinterpret_cast<void *>(bias->get()), rt::DType::F32, {1, 1, tokens}, {tokens, tokens, 1}};
      memory.push_back(std::move(*bias));
    }
    return resolve(side.lists);
  }

  rt::Status launch() const { return kernel->launch(args, nullptr); }

  double visitedPairs() const { return countVisitedPairs(kernel->image(), *args.lists); }

private:
  rt::Status resolve(Lists kind) {
    rt::GivenLists given;
    if (kind == Lists::Even)
      given = randomLists(kernel->image(), 0.235);
    else if (kind == Lists::Uneven)
      given = unevenLists(kernel->image());
    args.given = kind == Lists::None ? nullptr : &given;
    auto lists = kernel->resolveLists(args);
    if (!lists)
      return lists.status();
    args.lists = *lists, args.given = nullptr;
    return rt::Status::ok();
  }

  std::shared_ptr<const rt::cuda::GPUKernel> kernel;
  std::vector<rt::cuda::DeviceMemory> memory;
  rt::RunArgs args;
};

/// Times both calls in turn.
rt::Status measure(const Call &with, const Call &without, double &milliseconds, double &other) {
  rt::cuda::Device::Scope scope(**device());
  if (!scope.status)
    return scope.status;
  rt::cuda::StreamTimer timer((*device())->driver);
  std::vector<double> times[2];
  for (int round = -3; round < kRounds; ++round)
    for (int which = 0; which < 2; ++which) {
      timer.start();
      if (rt::Status status = (which ? without : with).launch(); !status)
        return status;
      auto time = timer.stop();
      if (!time)
        return time.status();
      if (round >= 0)
        times[which].push_back(*time);
    }
  milliseconds = medianOf(times[0]), other = medianOf(times[1]);
  return rt::Status::ok();
}

void compare(benchmark::State &state, GridShape grid, Side with, Side without) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  int64_t headDim = state.range(0);
  Call calls[2];
  for (auto [call, side] : {std::pair{&calls[0], &with}, std::pair{&calls[1], &without}})
    if (rt::Status status = call->prepare(requestFor(side->program, grid, headDim), *side); !status)
      return state.SkipWithError(status.message().c_str());
  double milliseconds = 0, other = 0;
  for (auto _ : state) {
    if (rt::Status status = measure(calls[0], calls[1], milliseconds, other); !status)
      return state.SkipWithError(status.message().c_str());
    state.SetIterationTime(milliseconds / 1e3);
  }
  double pairs = calls[0].visitedPairs(), otherPairs = calls[1].visitedPairs();
  state.counters["TFLOP/s"] = 4 * headDim * pairs / milliseconds / 1e9;
  state.counters["without"] = 4 * headDim * otherPairs / other / 1e9;
  state.counters["cost"] = (milliseconds / pairs) / (other / otherPairs);
}

/// A tensor of a call in memory of the device.
rt::Status uploadTensor(rt::Tensor &tensor, std::vector<rt::cuda::DeviceMemory> &memory) {
  size_t bytes = tensor.numElements() * rt::sizeOf(tensor.dtype);
  auto copy = rt::cuda::DeviceMemory::upload(*device(), tensor.data, bytes, nullptr);
  if (!copy)
    return copy.status();
  tensor.data = reinterpret_cast<void *>(copy->get());
  memory.push_back(std::move(*copy));
  return rt::Status::ok();
}

/// The median times of calls on the device, which run in turn.
rt::Result<std::vector<double>> millisecondsOf(const std::vector<std::function<rt::Status()>> &calls) {
  rt::cuda::StreamTimer timer((*device())->driver);
  std::vector<std::vector<double>> times(calls.size());
  for (int round = -3; round < kRounds; ++round)
    for (size_t i = 0; i < calls.size(); ++i) {
      timer.start();
      if (rt::Status status = calls[i](); !status)
        return status;
      auto time = timer.stop();
      if (!time)
        return time.status();
      if (round >= 0)
        times[i].push_back(*time);
    }
  std::vector<double> medians;
  for (std::vector<double> &each : times)
    medians.push_back(medianOf(each));
  return medians;
}

/// A kernel with its operands on the device, whose lists or rows are made there.
class MethodCall {
public:
  using Fill = std::function<void(Operands &)>;
  rt::Status prepare(const CompileRequest &request, double rowShare = 1, const Fill &fill = {}) {
    auto compiled = compileGPUKernel(request, *device());
    if (!compiled)
      return compiled.status();
    kernel = *compiled;
    Operands operands(kernel->image());
    if (kernel->image().hasRows)
      operands.listRows(rowShare);
    if (fill)
      fill(operands);
    args = operands.args(/*threads=*/0);
    std::vector<rt::Tensor *> tensors = {&args.query, &args.key, &args.value, &args.out, &*args.lse};
    if (args.rows) {
      rows = *args.rows, args.rows = &rows;
      tensors.insert(tensors.end(), {&rows.indices, &rows.counts});
    }
    OwnedTensor drift, age;
    if (kernel->image().rowSelection) {
      auto made = keepState(operands.lse.view, drift, age);
      if (!made)
        return made;
      args.rows = nullptr, args.drift = drift.view, args.age = age.view;
      tensors.insert(tensors.end(), {&*args.drift, &*args.age});
    }
    for (rt::Tensor *tensor : tensors)
      if (rt::Status status = uploadTensor(*tensor, memory); !status)
        return status;
    return rt::Status::ok();
  }

  rt::Status launch(const rt::cuda::PredictedLists *kept = nullptr) const {
    return kernel->launch(args, nullptr, kept);
  }

  std::shared_ptr<const rt::cuda::GPUKernel> kernel;
  rt::RunArgs args;

private:
  /// What an attention that selects rows keeps between calls, after a few of them.
  static rt::Status keepState(const rt::Tensor &lse, OwnedTensor &drift, OwnedTensor &age) {
    int64_t tokens = lse.shape[2];
    auto drifts = OwnedTensor::allocate(rt::DType::F32, {1, tokens});
    auto ages = OwnedTensor::allocate(rt::DType::I32, {1, tokens});
    if (!drifts || !ages)
      return drifts ? ages.status() : drifts.status();
    std::mt19937_64 generator(7);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < lse.numElements(); ++i)
      static_cast<float *>(lse.data)[i] = 10 + normal(generator);
    for (int64_t i = 0; i < tokens; ++i) {
      static_cast<float *>(drifts->view.data)[i] = std::abs(normal(generator));
      static_cast<int32_t *>(ages->view.data)[i] = static_cast<int32_t>(generator() % 4);
    }
    drift = std::move(*drifts), age = std::move(*ages);
    return rt::Status::ok();
  }

  rt::RowLists rows;
  std::vector<rt::cuda::DeviceMemory> memory;
};

/// A predicted mask: what the prediction costs beside the dense kernel and beside one read of queries and keys, and what
/// the whole call gains.
void predict(benchmark::State &state, const CompileRequest &request, double copyRate) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  CompileRequest denseProgram = textRequest("attention dense {}", request.options.queryGrid);
  denseProgram.options.heads = request.options.heads, denseProgram.options.headDim = request.options.headDim;
  denseProgram.options.elementType = request.options.elementType;
  MethodCall call, dense;
  rt::Status status = call.prepare(request);
  if (status)
    status = dense.prepare(denseProgram);
  if (!status)
    return state.SkipWithError(status.message().c_str());
  rt::cuda::Device::Scope scope(**device());
  auto kept = call.kernel->predict(call.args, nullptr);
  auto selection = kept ? call.kernel->download(**kept, nullptr) : rt::Result<rt::GivenLists>(kept.status());
  if (!selection)
    return state.SkipWithError(selection.message().c_str());
  call.args.given = &*selection;
  auto lists = call.kernel->resolveLists(call.args);
  call.args.given = nullptr;
  auto times = millisecondsOf({[&] { return dense.launch(); }, [&] { return call.launch(kept->get()); },
                               [&] { return call.launch(); },
                               [&] { return call.kernel->launchStages(call.args, nullptr); }});
  if (!lists || !times)
    return state.SkipWithError((times ? lists.message() : times.message()).c_str());
  double denseTime = (*times)[0], keptTime = (*times)[1], time = (*times)[2];
  for (auto _ : state)
    state.SetIterationTime(time / 1e3);
  const rt::KernelImage &image = call.kernel->image();
  double pairs = double(image.query.tokens) * image.key.tokens * image.heads;
  double density = countVisitedPairs(image, **lists) * (lists->get()->lists == image.heads ? 1 : image.heads) / pairs;
  double bytes = 2.0 * image.heads * (image.query.tokens + image.key.tokens) * image.headDim;
  state.counters["density"] = density;
  state.counters["dense_ms"] = denseTime;
  state.counters["predict_us"] = (time - keptTime) * 1e3;
  state.counters["of_dense_%"] = 100 * (time - keptTime) / denseTime;
  state.counters["of_read"] = (time - keptTime) / (bytes / copyRate / 1e6);
  state.counters["stages_us"] = (*times)[3] * 1e3;
  state.counters["stages_of_read"] = (*times)[3] / (bytes / copyRate / 1e6);
  state.counters["speedup"] = denseTime / time;
  state.counters["kept_efficiency"] = denseTime * density / keptTime;
  state.counters["efficiency"] = denseTime * density / time;
}

/// Listed rows against all of them: the share of the dense kernel's time.
void listRows(benchmark::State &state) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  double share = state.range(0) / 100.0;
  MethodCall call, dense;
  rt::Status status = call.prepare(requestFor("attention rows { rows given }", kGrid, 128), share);
  if (status)
    status = dense.prepare(requestFor("attention dense {}", kGrid, 128));
  if (!status)
    return state.SkipWithError(status.message().c_str());
  rt::cuda::Device::Scope scope(**device());
  auto times = millisecondsOf({[&] { return dense.launch(); }, [&] { return call.launch(); }});
  if (!times)
    return state.SkipWithError(times.message().c_str());
  for (auto _ : state)
    state.SetIterationTime((*times)[1] / 1e3);
  state.counters["dense_ms"] = (*times)[0];
  state.counters["of_dense"] = (*times)[1] / (*times)[0];
}

/// Astraea's selected rows: the whole call beside the dense kernel, and what selecting and ages take of it.
void selectRows(benchmark::State &state) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  CompileRequest request = methodRequest("astraea", kGrid);
  request.options.heads = 12, request.options.headDim = 128, request.options.elementType = ElementType::BF16;
  MethodCall call, listed, dense;
  rt::Status status = call.prepare(request);
  if (status)
    status = listed.prepare(requestFor("attention rows { rows given }", kGrid, 128), state.range(0) / 100.0);
  if (status)
    status = dense.prepare(requestFor("attention dense {}", kGrid, 128));
  if (!status)
    return state.SkipWithError(status.message().c_str());
  call.args.parameters = {std::bit_cast<int64_t>(state.range(0) / 100.0)};
  rt::cuda::Device::Scope scope(**device());
  auto times = millisecondsOf({[&] { return dense.launch(); }, [&] { return listed.launch(); },
                               [&] { return call.launch(); }});
  if (!times)
    return state.SkipWithError(times.message().c_str());
  for (auto _ : state)
    state.SetIterationTime((*times)[2] / 1e3);
  state.counters["dense_ms"] = (*times)[0];
  state.counters["of_dense"] = (*times)[2] / (*times)[0];
  state.counters["select_us"] = ((*times)[2] - (*times)[1]) * 1e3;
  state.counters["select_of_dense_%"] = 100 * ((*times)[2] - (*times)[1]) / (*times)[0];
}

/// RainFusion's recognized heads, all of which take one candidate: the whole call beside the dense kernel, and what it
/// takes to recognize them.
void recognize(benchmark::State &state, const char *attention) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  CompileRequest request = methodRequest("rainfusion", kGrid);
  request.options.attention = attention;
  request.options.heads = 12, request.options.headDim = 128, request.options.elementType = ElementType::BF16;
  MethodCall call, chosen, dense;
  rt::Status status = call.prepare(request);
  if (status)
    status = chosen.prepare(request);
  if (status)
    status = dense.prepare(requestFor("attention dense {}", kGrid, 128));
  if (!status)
    return state.SkipWithError(status.message().c_str());
  // Everything has some of the mass, of these tensors only near frames more than 0.2, and nothing all: the first, second or
  // last candidate, as is checked below.
  rt::Choices choices{{static_cast<int32_t>(state.range(0))}, {}};
  bool hasFrames = request.options.attention != "columns";
  double recall = state.range(0) == 0 ? 0.0 : state.range(0) == 1 && hasFrames ? 0.2 : 1.0;
  int64_t bound = std::bit_cast<int64_t>(recall), radius = 4, frames = 4;
  call.args.parameters = hasFrames ? std::vector<int64_t>{radius, frames, bound} : std::vector<int64_t>{radius, bound};
  chosen.args.parameters = call.args.parameters;
  chosen.args.choices = &choices;
  rt::cuda::Device::Scope scope(**device());
  auto recognized = call.kernel->recognize(call.args, nullptr);
  auto lists = chosen.kernel->resolveLists(chosen.args);
  if (!recognized || !lists)
    return state.SkipWithError((recognized ? lists.message() : recognized.message()).c_str());
  if (std::ranges::count(recognized->candidates, choices.candidates.front()) != 12)
    return state.SkipWithError("expected all heads to take the candidate");
  auto times = millisecondsOf({[&] { return dense.launch(); }, [&] { return chosen.launch(); },
                               [&] { return call.launch(); },
                               [&] { return call.kernel->launchStages(call.args, nullptr); }});
  if (!times)
    return state.SkipWithError(times.message().c_str());
  for (auto _ : state)
    state.SetIterationTime((*times)[2] / 1e3);
  const rt::KernelImage &image = call.kernel->image();
  double pairs = double(image.query.tokens) * image.key.tokens * image.heads;
  state.counters["density"] = countVisitedPairs(image, **lists) / pairs;
  state.counters["dense_ms"] = (*times)[0];
  state.counters["recognize_us"] = ((*times)[2] - (*times)[1]) * 1e3;
  state.counters["of_dense_%"] = 100 * ((*times)[2] - (*times)[1]) / (*times)[0];
  state.counters["stages_us"] = (*times)[3] * 1e3;
  state.counters["stages_%"] = 100 * (*times)[3] / (*times)[0];
  state.counters["speedup"] = (*times)[0] / (*times)[2];
}

/// Gigabytes per second that an H200's memory moves.
constexpr double kCopyRate = 4300;

/// Sets the threshold of a call so that it saves `target`; returns the saving.
rt::Result<rt::ReuseSaving> findThreshold(MethodCall &call, double target) {
  double low = 0, high = 4;
  auto saving = rt::Result<rt::ReuseSaving>(rt::ReuseSaving());
  for (int i = 0; i < 16 && saving; ++i) {
    double middle = (low + high) / 2;
    call.args.parameters = {std::bit_cast<int64_t>(middle)};
    saving = call.kernel->measureReuse(call.args, nullptr);
    if (saving)
      (saving->work < target ? low : high) = middle;
  }
  return saving;
}

/// A smooth field, which is made once.
void fillOnce(const rt::Tensor &tensor, uint64_t seed) {
  static std::map<uint64_t, std::vector<std::byte>> fields;
  std::vector<std::byte> &field = fields[seed];
  auto *data = static_cast<std::byte *>(tensor.data);
  if (!field.empty()) {
    std::copy(field.begin(), field.end(), data);
    return;
  }
  fillField(tensor, kGrid, seed);
  field.assign(data, data + tensor.numElements() * rt::sizeOf(tensor.dtype));
}

/// Merged tokens on smooth queries and keys: what the whole call gains at a saving in percent, and what stages cost.
void reuseTokens(benchmark::State &state) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  CompileRequest request = requestFor(
      "attention token(dynamic threshold: float) { reuse neighbours(token, threshold: threshold) }", kGrid, 128);
  MethodCall call, dense;
  rt::Status status = call.prepare(request, 1, [](Operands &operands) {
    fillOnce(operands.query.view, 1), fillOnce(operands.key.view, 2);
  });
  if (status)
    status = dense.prepare(requestFor("attention dense {}", kGrid, 128));
  if (!status)
    return state.SkipWithError(status.message().c_str());
  rt::cuda::Device::Scope scope(**device());
  auto saving = findThreshold(call, state.range(0) / 100.0);
  auto times = millisecondsOf({[&] { return dense.launch(); }, [&] { return call.launch(); },
                               [&] { return call.kernel->launchStages(call.args, nullptr); }});
  if (!saving || !times)
    return state.SkipWithError((saving ? times.message() : saving.message()).c_str());
  double denseTime = (*times)[0], time = (*times)[1], stages = (*times)[2];
  for (auto _ : state)
    state.SetIterationTime(time / 1e3);
  double bytes = 2.0 * 12 * 3 * kGrid.t * kGrid.h * kGrid.w * 128;
  state.counters["queries"] = saving->queries, state.counters["keys"] = saving->keys;
  state.counters["saved"] = saving->work;
  state.counters["dense_ms"] = denseTime;
  state.counters["stages_us"] = stages * 1e3;
  state.counters["stages_%"] = 100 * stages / denseTime;
  state.counters["stages_of_read"] = stages / (bytes / kCopyRate / 1e6);
  state.counters["speedup"] = denseTime / time;
  state.counters["of_ideal"] = denseTime / time * (1 - saving->work);
}

/// Host time of a launch with lists that are on the device.
void launch(benchmark::State &state) {
  if (!device())
    return state.SkipWithError(device().message().c_str());
  Call call;
  CompileRequest request = requestFor("attention dense {}", {1, 8, 16, 0, false}, 64);
  if (rt::Status status = call.prepare(request, {"", Lists::None, true}); !status)
    return state.SkipWithError(status.message().c_str());
  rt::cuda::Device::Scope scope(**device());
  // Few enough at once for the driver's queue.
  constexpr int kLaunches = 200;
  for (auto _ : state) {
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kLaunches; ++i)
      if (rt::Status status = call.launch(); !status)
        return state.SkipWithError(status.message().c_str());
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kLaunches);
    (*device())->driver.streamSynchronize(nullptr);
  }
}

benchmark::internal::Benchmark *compareAll(const char *name, GridShape grid, Side with, Side without) {
  return benchmark::RegisterBenchmark(name, compare, grid, with, without)
      ->ArgName("head_dim")
      ->Arg(128)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

[[maybe_unused]] const bool registered = [] {
  // Of the time of an iteration most is the device's, which does not count.
  benchmark::RegisterBenchmark("launch", launch)->Iterations(20)->UseManualTime()->Unit(benchmark::kMicrosecond);
  constexpr const char *kDense = "attention a {}", *kGiven = "attention a { mask given }";
  compareAll("log_sum_exp", kGrid, {kDense, Lists::None, true}, {kDense});
  compareAll("bias", kGrid, {"attention a { bias given }"}, {kDense});
  compareAll("boxes", kEvenGrid, {"attention a { order tiles(t: 2, h: 8, w: 8) mask given }", Lists::Even},
             {kGiven, Lists::Even});
  // Every block of 128 tokens has pairs on both sides of this band of columns.
  compareAll("partial", kGrid, {"attention a { mask given and abs(q.w - k.w) <= 50 }", Lists::Even},
             {kGiven, Lists::Even})
      ->Arg(64);
  struct Shape {
    const char *name;
    GridShape grid;
    int64_t heads;
    const char *program;
    std::map<std::string, int32_t> values;
  };
  auto windows = [](int32_t t, int32_t h, int32_t w) {
    return std::map<std::string, int32_t>{{"window_t", t}, {"window_h", h}, {"window_w", w}};
  };
  constexpr GridShape kWan{21, 30, 52, 0, false}, kWide{21, 45, 80, 0, false}, kHunyuan{33, 45, 80, 256, false};
  for (const Shape &shape : {Shape{"rainfusion2/21x30x52", kWan, 12, "rainfusion2", windows(1, 30, 4)},
                             Shape{"rainfusion2/21x45x80", kWide, 4, "rainfusion2", windows(1, 9, 14)},
                             Shape{"rainfusion2/33x45x80", kHunyuan, 4, "rainfusion2", windows(1, 9, 14)},
                             Shape{"rainfusion2/21x30x52/joined", kWan, 12, "rainfusion2", windows(0, 32, 4)},
                             Shape{"rainfusion2/21x45x80/joined", kWide, 4, "rainfusion2", windows(0, 8, 16)},
                             Shape{"rainfusion2/33x45x80/joined", kHunyuan, 4, "rainfusion2", windows(0, 8, 16)},
                             Shape{"rainfusion2/21x30x52/columns", kWan, 12, "rainfusion2_columns", {{"columns", 4}}},
                             Shape{"rainfusion2/21x45x80/columns", kWide, 4, "rainfusion2_columns", {{"columns", 16}}},
                             Shape{"rainfusion2/33x45x80/columns", kHunyuan, 4, "rainfusion2_columns", {{"columns", 16}}},
                             Shape{"rainfusion2/21x30x52/strips", kWan, 12, "rainfusion2_strips", {}},
                             Shape{"rainfusion2/21x45x80/strips", kWide, 4, "rainfusion2_strips", {}},
                             Shape{"rainfusion2/33x45x80/strips", kHunyuan, 4, "rainfusion2_strips", {}}}) {
    CompileRequest request = methodRequest(shape.program, shape.grid);
    request.options.heads = shape.heads, request.options.headDim = 128;
    request.options.elementType = ElementType::BF16;
    for (const auto &[name, value] : shape.values)
      request.options.values[name] = {Kind::Int, value, 0};
    benchmark::RegisterBenchmark(shape.name, [request](benchmark::State &state) { predict(state, request, kCopyRate); })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RegisterBenchmark("rows", listRows)
      ->ArgName("percent")
      ->Arg(30)
      ->Arg(50)
      ->Arg(70)
      ->Arg(100)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("reuse/token", reuseTokens)
      ->ArgName("percent")
      ->Arg(50)
      ->Arg(75)
      ->Arg(85)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("astraea", selectRows)
      ->ArgName("percent")
      ->Arg(30)
      ->Arg(50)
      ->Arg(70)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
  using Candidates = std::vector<int>;
  for (auto [name, candidates] : {std::pair("rainfusion", Candidates{0, 1, 2}), std::pair("lattice", Candidates{0, 1, 2}),
                                  std::pair("columns", Candidates{0, 1})})
    for (int candidate : candidates)
      benchmark::RegisterBenchmark(fmt::format("rainfusion/{}", name).c_str(), recognize, name)
          ->ArgName("candidate")
          ->Arg(candidate)
          ->Iterations(1)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
  compareAll("uneven", kGrid, {kGiven, Lists::Uneven}, {kGiven, Lists::Even});
  return true;
}();

} // namespace
