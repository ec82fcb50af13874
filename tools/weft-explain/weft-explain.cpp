// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-explain: what a program costs on a shape, and what its mask keeps.

#include "lib/Explain/Explain.h"
#include "lib/TensorFile/FileIO.h"
#include "runtime/Threads.h"
#include "tools/ToolOptions.h"
#include "tools/Version.h"
#include "tools/weft-run/Cache.h"
#include "tools/weft-run/Executable.h"
#include "tools/weft-run/Measure.h"

#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

using namespace llvm;
using namespace weft;

namespace {

cl::OptionCategory category("weft-explain options");
ToolOptions tool("weft-explain", category);
cl::opt<std::string> input("input", cl::desc(".safetensors with q, k and v, or Q.npy,K.npy,V.npy: adds the recall"),
                           cl::value_desc("FILE"), cl::cat(category));
cl::opt<bool> bshd("bshd", cl::desc("the file's tensors are [batch, tokens, heads, head dim]"), cl::cat(category));
cl::opt<std::string> given("given", cl::desc(".npy with the block lists of a mask that uses `given`"),
                           cl::value_desc("FILE"), cl::cat(category));
cl::opt<std::string> json("json", cl::desc("write the figures as JSON; - is standard output"),
                          cl::value_desc("FILE"), cl::cat(category));
cl::opt<std::string> svg("svg", cl::desc("write the block map as a picture"), cl::value_desc("FILE"),
                         cl::cat(category));
cl::opt<bool> measure("measure", cl::desc("run the kernel, with random tensors unless --input is given"),
                      cl::cat(category));
NumberOption<int64_t> rows("rows", "queries that kept pairs and recall are counted for", 256, category);
NumberOption<int64_t> workers("workers", "threads that the balance is about; 0: those of this machine", 0, category);

rt::Status checkOptions() {
  if (rt::Status status = checkAtLeast(rows, rows, 1); !status)
    return status;
  if (workers < 0 || workers > 1 << 20)
    return rt::Status::error(fmt::format("--workers: expected 0 to {}, but got {}", 1 << 20, workers.getValue()));
  if (bshd && input.empty())
    return noEffect(bshd, "without --input");
  for (const std::string &path : {json.getValue(), svg.getValue()}) {
    if (path.empty() || path == "-")
      continue;
    for (const std::string &other : {tool.file.getValue(), input.getValue(), given.getValue()})
      if (!other.empty() && isSameFile(path, other))
        return rt::Status::error(fmt::format("{}: expected another file than {}", path, other));
    if (rt::Status status = checkWritable(path); !status)
      return status;
  }
  if (!json.empty() && !svg.empty() && json != "-" && isSameFile(json, svg))
    return rt::Status::error("--svg: expected another file than --json");
  return rt::Status::ok();
}

ExpectedShape shapeOf(const CompileRequest &request) {
  const GenerateOptions &wanted = request.options;
  return {wanted.heads, wanted.queryGrid.tokens(), wanted.keyGrid.tokens(), wanted.headDim, tool.elementType(),
          fmt::format("{}x{}x{}", wanted.queryGrid.t, wanted.queryGrid.h, wanted.queryGrid.w)};
}

/// Queries, keys and values of zeros: each log-sum-exp is the logarithm of the number of keys that a query sees.
rt::Result<Inputs> zeroInputs(const ExpectedShape &shape) {
  auto make = [&](int64_t tokens) {
    auto tensor = OwnedTensor::allocate(shape.dtype, {1, shape.heads, tokens, shape.headDim});
    if (tensor)
      std::memset(tensor->view.data, 0, tensor->view.numElements() * rt::sizeOf(shape.dtype));
    return tensor;
  };
  auto query = make(shape.queryTokens), key = make(shape.keyTokens);
  if (!query || !key)
    return query ? key.status() : query.status();
  return Inputs{*query, *key, *key};
}

/// What is explained is the mask of all queries: an attention with rows gets all of them.
rt::Status listAllRows(const CompileRequest &request, const rt::KernelImage &image, Inputs &inputs) {
  if (!image.hasRows)
    return rt::Status::ok();
  auto rows = randomRows(/*seed=*/1, /*share=*/1, shapeOf(request));
  auto cache = rows ? emptyCache(inputs, image.rowSelection.has_value()) : rt::Result<Results>(rows.status());
  if (!cache)
    return cache.status();
  inputs.rows = *rows, inputs.cache = *cache;
  return rt::Status::ok();
}

/// What decides the mask beside its parameters; null for what it does not use.
struct Decided {
  const rt::GivenLists *lists;
  const rt::Choices *choices;
};

/// Exact pairs of the mask over the sampled queries.
rt::Status countKept(const CompileRequest &request, const Decided &decided, const std::vector<int64_t> &sample,
                     const rt::KernelImage &image, const rt::BlockLists &resolved, explain::Report &report) {
  auto zeros = zeroInputs(shapeOf(request));
  if (!zeros)
    return zeros.status();
  if (rt::Status status = listAllRows(request, image, *zeros); !status)
    return status;
  std::optional<rt::Choices> choices; // of the first batch element
  if (decided.choices) {
    choices = *decided.choices;
    choices->candidates.resize(image.heads);
  }
  auto result = runInterpreter(request, *zeros, decided.lists, sample, choices ? &*choices : nullptr);
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

/// The share of the mass that is left is exp(lse of the mask - lse of all keys).
rt::Status measureRecall(const CompileRequest &request, const Inputs &inputs, const Decided &decided,
                         const std::vector<int64_t> &sample, explain::Report &report) {
  CompileRequest dense = request;
  dense.source = "attention dense {}", dense.sourceName = "dense";
  dense.options.attention.clear(), dense.options.values.clear();
  auto masked = runInterpreter(request, inputs, decided.lists, sample, decided.choices);
  auto full = masked ? runInterpreter(dense, {inputs.query, inputs.key, inputs.value}, nullptr, sample) : masked;
  if (!full)
    return full.status();
  int64_t heads = report.heads.size(), batch = inputs.query.view.shape[0], count = sample.size();
  for (int64_t head = 0; head < heads; ++head) {
    double sum = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t i = 0; i < count; ++i) {
        int64_t at = (b * heads + head) * count + i;
        sum += std::exp(masked->lse.data[at] - full->lse.data[at]);
      }
    report.heads[head].recall = sum / (batch * count);
  }
  return rt::Status::ok();
}

rt::Status writeReport(const explain::Report &report, const rt::BlockLists &lists) {
  if (!svg.empty())
    if (rt::Status status = writeFile(svg, explain::toSVG(lists)); !status)
      return status;
  if (!json.empty())
    if (rt::Status status = writeFile(json, explain::toJSON(report)); !status)
      return status;
  return json == "-" || svg == "-" ? rt::Status::ok() : writeFile("-", explain::toText(report));
}

rt::Status runTool() {
  auto request = tool.request();
  if (!request)
    return request.status();
  if (request->isModule)
    return rt::Status::error(fmt::format("{}: expected a .weft program", tool.file.getValue()));
  if (rt::Status status = checkOptions(); !status)
    return status;
  auto compiled = compileTimed(*request, KernelBackend::CPU);
  if (!compiled)
    return compiled.status();
  const Executable &kernel = *compiled->executable;
  std::optional<GivenMap> map;
  if (!given.empty()) {
    auto read = readGiven(given);
    if (!read)
      return read.status();
    map = std::move(*read);
    if (map->keyBlocks != kernel.image().key.count())
      return rt::Status::error(fmt::format("{}: expected {} key blocks, but got {}", given.getValue(),
                                           kernel.image().key.count(), map->keyBlocks));
  }
  const rt::GivenLists *lists = map ? &map->lists : nullptr;
  std::optional<Inputs> inputs;
  if (!input.empty() || measure) {
    auto read = input.empty() ? randomInputs(1, 1, shapeOf(*request)) : readInputs(input, bshd, shapeOf(*request));
    if (!read)
      return read.status();
    inputs = *read;
    if (rt::Status status = listAllRows(*request, kernel.image(), *inputs); !status)
      return status;
  }
  bool needsInputs = kernel.image().recognition || (kernel.image().prediction && !lists);
  if (needsInputs && !inputs)
    return rt::Status::error("--input: expected queries and keys, or --measure, since the mask depends on them");
  std::optional<rt::Choices> choices;
  if (kernel.image().recognition) {
    auto recognized = kernel.recognize(*inputs);
    if (!recognized)
      return recognized.status();
    choices = std::move(*recognized);
  }
  Decided decided{lists, choices ? &*choices : nullptr};
  auto resolved = kernel.resolveLists(inputs.value_or(Inputs{}), lists, nullptr);
  if (!resolved)
    return resolved.status();
  explain::Report report =
      explain::explain(kernel.image(), **resolved, workers ? workers.getValue() : rt::defaultThreads());
  std::vector<int64_t> sample = sampleRows(report.queryTokens, rows);
  report.sampled = sample.size();
  if (rt::Status status = countKept(*request, decided, sample, kernel.image(), **resolved, report); !status)
    return status;
  if (!input.empty())
    if (rt::Status status = measureRecall(*request, *inputs, decided, sample, report); !status)
      return status;
  if (inputs) {
    auto saving = kernel.measureReuse(*inputs, lists);
    if (!saving)
      return saving.status();
    report.reuse = *saving;
  }
  if (measure) {
    auto run = kernel.run(*inputs, lists, 3);
    if (!run)
      return run.status();
    report.milliseconds = run->milliseconds;
  }
  return writeReport(report, **resolved);
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Explains what a Weft program costs and what its mask keeps\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weft-explain", status.message());
  return 0;
}
