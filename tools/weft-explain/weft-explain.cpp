// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-explain: what a program costs on a shape, what its mask keeps, and what it saves.

#include "lib/Explain/Explain.h"
#include "lib/TensorFile/FileIO.h"
#include "runtime/Threads.h"
#include "tools/Version.h"
#include "tools/weft-explain/ExplainInputs.h"
#include "tools/weft-explain/ExplainOptions.h"
#include "tools/weft-explain/Figures.h"
#include "tools/weft-run/Executable.h"
#include "tools/weft-run/Measure.h"

#include "llvm/Support/InitLLVM.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;

namespace {

ExplainOptions options;

rt::Status writePicture(const std::string &path, const explain::Picture &picture, bool asPNG) {
  if (!asPNG)
    return writeFile(path, explain::toSVG(picture));
  auto bytes = explain::toPNG(picture);
  return bytes ? writeFile(path, *bytes) : bytes.status();
}

rt::Status writePictures(const rt::KernelImage &image, const rt::BlockLists &lists,
                         const std::vector<explain::TokenShares> &tokens) {
  for (bool asPNG : {false, true})
    if (const std::string &path = asPNG ? options.png : options.svg; !path.empty()) {
      explain::Picture map =
          options.raster ? explain::rasterMapPicture(image, lists) : explain::blockMapPicture(lists);
      if (rt::Status status = writePicture(path, map, asPNG); !status)
        return status;
    }
  if (options.savings.empty())
    return rt::Status::ok();
  return writePicture(options.savings, explain::savingsPicture(explain::savingsFields(image, tokens)), options.savesPNG());
}

rt::Status writeReport(const explain::Report &report) {
  if (!options.json.empty())
    if (rt::Status status = writeFile(options.json, explain::toJSON(report)); !status)
      return status;
  return options.writesText() ? writeFile("-", explain::toText(report)) : rt::Status::ok();
}

/// The lists of --given, if there are any.
rt::Result<std::optional<GivenMap>> readLists(const rt::KernelImage &image) {
  if (options.given.empty())
    return std::optional<GivenMap>();
  auto map = readGiven(options.given);
  if (!map)
    return map.status();
  if (map->keyBlocks != image.key.count())
    return rt::Status::error(fmt::format("{}: expected {} key blocks, but got {}", options.given.getValue(),
                                         image.key.count(), map->keyBlocks));
  return std::optional<GivenMap>(std::move(*map));
}

using TokenReuses = std::optional<std::vector<rt::TokenReuse>>;

/// What a call on these tensors saves and how long it takes; what each token saves, if scores are reused.
rt::Result<TokenReuses> measureCall(const CompileRequest &request, const Executable &kernel, const Inputs &inputs,
                                    const rt::GivenLists *lists, const rt::BlockLists &resolved,
                                    explain::Report &report) {
  auto saving = kernel.measureReuse(inputs, lists);
  if (!saving)
    return saving.status();
  report.reuse = *saving;
  if (rt::Status status = measureTime(request, kernel, inputs, lists, resolved, report); !status)
    return status;
  return kernel.measureTokenReuse(inputs, lists);
}

rt::Status runTool() {
  auto request = options.tool.request();
  if (!request)
    return request.status();
  if (request->isModule)
    return rt::Status::error(fmt::format("{}: expected a .weft program", options.tool.file.getValue()));
  if (rt::Status status = options.check(); !status)
    return status;
  auto compiled = compileTimed(*request, KernelBackend::CPU);
  if (!compiled)
    return compiled.status();
  const Executable &kernel = *compiled->executable;
  if (!options.bias.empty() && !kernel.image().hasBias)
    return noEffect(options.bias, "on an attention without a bias");
  auto map = readLists(kernel.image());
  if (!map)
    return map.status();
  const rt::GivenLists *lists = *map ? &(*map)->lists : nullptr;
  std::optional<Inputs> inputs;
  if (options.hasTensors()) {
    auto made = makeInputs(options, *request, kernel.image());
    if (!made)
      return made.status();
    inputs = *made;
  }
  bool needsInputs = kernel.image().recognition || (kernel.image().prediction && !lists);
  if (needsInputs && !inputs)
    return rt::Status::error("--input: expected queries and keys, or --measure, since the mask depends on them");
  auto choices = needsInputs ? kernel.recognize(*inputs) : std::optional<rt::Choices>();
  if (!choices)
    return choices.status();
  auto resolved = kernel.resolveLists(inputs.value_or(Inputs{}), lists, *choices ? &**choices : nullptr);
  if (!resolved)
    return resolved.status();
  auto decided = Decided::make(kernel, inputs, lists, *choices);
  if (!decided)
    return decided.status();
  explain::Report report =
      explain::explain(kernel.image(), **resolved, options.workers ? options.workers.getValue() : rt::defaultThreads());
  std::vector<int64_t> sample = sampleRows(report.queryTokens, options.rows);
  report.sampled = sample.size();
  if (rt::Status status = countKept(*request, *decided, sample, kernel.image(), **resolved, report); !status)
    return status;
  if (!options.input.empty())
    if (rt::Status status = measureRecall(*request, *inputs, *decided, sample, report); !status)
      return status;
  auto reused = inputs ? measureCall(*request, kernel, *inputs, lists, **resolved, report) : TokenReuses();
  if (!reused)
    return reused.status();
  auto tokens = explain::sharesOfTokens(kernel.image(), **resolved, *reused ? &**reused : nullptr);
  explain::addSavings(kernel.image(), tokens, report);
  if (rt::Status status = writePictures(kernel.image(), **resolved, tokens); !status)
    return status;
  return writeReport(report);
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(options.category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Explains what a Weft program costs and what its mask keeps\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weft-explain", status.message());
  return 0;
}
