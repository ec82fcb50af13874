// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Counting with the interpreter, and timing.

#include "tools/weft-explain/Figures.h"

#include "runtime/Threads.h"
#include "tools/weft-explain/ExplainInputs.h"
#include "tools/weft-run/Measure.h"

#include <cmath>

using namespace weft;

/// The attention without a mask, on the same shape.
static CompileRequest denseRequest(const CompileRequest &request, bool hasBias) {
  CompileRequest dense = request;
  dense.source = hasBias ? "attention dense { bias given }" : "attention dense {}", dense.sourceName = "dense";
  dense.options.attention.clear(), dense.options.values.clear();
  return dense;
}

static Inputs denseInputs(const Inputs &inputs) { return {inputs.query, inputs.key, inputs.value, inputs.bias}; }

/// The sets of the first batch element.
static rt::GivenLists firstSets(rt::GivenLists lists, int64_t heads) {
  if (lists.lists <= heads)
    return lists;
  lists.lists = heads;
  lists.offsets.resize(heads * (lists.queryBlocks + 1));
  lists.keyBlocks.resize(lists.offsets.back());
  return lists;
}

rt::Result<Decided> Decided::make(const Executable &kernel, const std::optional<Inputs> &inputs,
                                  const rt::GivenLists *given, const std::optional<rt::Choices> &choices) {
  int64_t heads = kernel.image().heads;
  Decided decided;
  if (given) {
    decided.lists = firstSets(*given, heads);
  } else if (kernel.image().prediction) {
    auto predicted = kernel.predict(*inputs);
    if (!predicted)
      return predicted.status();
    decided.lists = firstSets(std::move(**predicted), heads);
  }
  decided.choices = choices;
  if (decided.choices)
    decided.choices->candidates.resize(heads);
  return decided;
}

template <typename T> static const T *orNull(const std::optional<T> &value) { return value ? &*value : nullptr; }

/// Views of the first batch element.
static Inputs firstElement(Inputs inputs) {
  for (OwnedTensor *tensor : {&inputs.query, &inputs.key, &inputs.value})
    tensor->view.shape[0] = 1;
  if (inputs.bias)
    inputs.bias->view.shape[0] = 1;
  if (inputs.cache) {
    inputs.cache->out.view.shape[0] = inputs.cache->lse.view.shape[0] = 1;
    if (inputs.cache->age)
      inputs.cache->age->view.shape[0] = 1;
  }
  return inputs;
}

rt::Status weft::countKept(const CompileRequest &request, const Decided &decided, const std::vector<int64_t> &sample,
                           const rt::KernelImage &image, const rt::BlockLists &resolved, explain::Report &report) {
  auto zeros = makeZeros(request, image);
  if (!zeros)
    return zeros.status();
  auto result = runInterpreter(request, *zeros, orNull(decided.lists), sample, orNull(decided.choices));
  if (!result)
    return result.status();
  double all = static_cast<double>(sample.size()) * report.keyTokens;
  for (int64_t head = 0; head < image.heads; ++head) {
    std::vector<int64_t> visited = explain::visitedByQuery(image, resolved, head);
    double kept = 0, visitedSum = 0;
    for (size_t i = 0; i < sample.size(); ++i) {
      kept += std::round(std::exp(result->lse.data[head * sample.size() + i]));
      visitedSum += visited[sample[i]];
    }
    report.heads[head].kept = kept / all, report.heads[head].visitedBySample = visitedSum / all;
  }
  return rt::Status::ok();
}

rt::Status weft::measureRecall(const CompileRequest &request, const Inputs &inputs, const Decided &decided,
                               const std::vector<int64_t> &sample, explain::Report &report) {
  Inputs first = firstElement(inputs);
  CompileRequest dense = denseRequest(request, first.bias.has_value());
  auto masked = runInterpreter(request, first, orNull(decided.lists), sample, orNull(decided.choices),
                               ScoreReuse::LeftOut);
  auto full = masked ? runInterpreter(dense, denseInputs(first), nullptr, sample) : masked;
  if (!full)
    return full.status();
  int64_t count = sample.size();
  for (size_t head = 0; head < report.heads.size(); ++head) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i)
      sum += std::exp(masked->lse.data[head * count + i] - full->lse.data[head * count + i]);
    report.heads[head].recall = sum / count;
  }
  return rt::Status::ok();
}

rt::Status weft::measureTime(const CompileRequest &request, const Executable &kernel, const Inputs &inputs,
                             const rt::GivenLists *lists, const rt::BlockLists &resolved, explain::Report &report) {
  constexpr int calls = 3;
  auto run = kernel.run(inputs, lists, calls);
  if (!run)
    return run.status();
  report.milliseconds = run->milliseconds;
  auto compiled = compileTimed(denseRequest(request, inputs.bias.has_value()), KernelBackend::CPU);
  if (!compiled)
    return compiled.status();
  const Executable &dense = *compiled->executable;
  auto denseRun = dense.run(denseInputs(inputs), nullptr, calls);
  auto denseLists = denseRun ? dense.resolveLists({}, nullptr, nullptr) : denseRun.status();
  if (!denseLists)
    return denseLists.status();
  report.denseMilliseconds = denseRun->milliseconds;
  double share = visitedDensity(kernel.image(), resolved) * (1 - (report.reuse ? report.reuse->work : 0));
  report.predictedMilliseconds =
      denseRun->milliseconds * share *
      explain::imbalanceToDense(kernel.image(), resolved, dense.image(), **denseLists, rt::defaultThreads());
  return rt::Status::ok();
}
