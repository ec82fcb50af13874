// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The block lists of launches: known ones, those that the device predicts, and those of the heads that it recognizes.

#include "runtime/CUDA/GPUKernel.h"
#include "runtime/CUDA/DeviceArguments.h"
#include "runtime/CUDA/StageShapes.h"

#include <fmt/format.h>

#include <bit>
#include <span>

using namespace weft::rt;
using namespace weft::rt::cuda;

ListCache::Masker GPUKernel::maskerFor(const Batches &batches) const {
  return [this, &batches](const std::vector<MaskSource> &sources, PairMasks &masks) {
    if (!masker)
      return Status::ok();
    auto made = masker->make(sources, valuesOf(batches.parameters), batches.stream);
    if (!made)
      return made.status();
    masks = std::move(*made);
    return Status::ok();
  };
}

Result<GPUKernel::Lists> GPUKernel::knownLists(const Batches &batches) const {
  auto source = host.resolveLists(batches.args);
  if (!source)
    return source.status();
  auto found = lists.get(*source, batches.first, batches.count, batches.stream, batches.isCaptured,
                         maskerFor(batches));
  if (!found)
    return found.status();
  const DeviceLists &known = **found;
  WorkList work{known.items.get(), known.numItems.get(), known.entries.get(), rowTokens.get(), queryCoordinates.get(),
                known.mostItems, known.masks.index.get(), known.masks.bits.get()};
  return Lists{work, known.rangesOf(), *found};
}

Result<ClassifiedCandidates> GPUKernel::classify(const std::vector<int64_t> &parameters) const {
  if (recognition)
    return host.candidateLists(parameters);
  auto classified = host.classifiedLists(parameters);
  return classified ? Result<ClassifiedCandidates>({*classified}) : classified.status();
}

/// Items and ranges from the candidates' lists, which are known, by the choices, which the device alone knows.
Result<GPUKernel::Lists> GPUKernel::chosenLists(const Batches &batches, const ClassifiedCandidates &candidates) const {
  std::vector<std::shared_ptr<const BlockLists>> sources;
  for (const auto &candidate : candidates) {
    auto source = host.withGiven(candidate, batches.args.given);
    if (!source)
      return source.status();
    sources.push_back(std::move(*source));
  }
  auto known = lists.getCandidates(sources, batches.stream, batches.isCaptured, maskerFor(batches));
  if (!known)
    return known.status();
  int64_t heads = host.image().heads, pairs = batches.count * heads;
  ScratchLayout layout;
  auto places = recognition->layOutLists(layout, pairs);
  if (Status status = takeMemory(choiceListScratch, layout.bytes(), batches, batches.memory.choiceLists); !status)
    return status;
  auto made = recognition->chooseLists({**known, batches.ownChoices(heads), batches.first * heads, pairs,
                                        batches.memory.choiceLists, places, batches.stream});
  if (!made)
    return made.status();
  made->work.rowTokens = rowTokens.get(), made->work.queryCoordinates = queryCoordinates.get();
  made->work.maskIndex = (*known)->masks.index.get(), made->work.maskBits = (*known)->masks.bits.get();
  return Lists{made->work, made->ranges, *known};
}

Result<GPUKernel::Lists> GPUKernel::predictLists(const Batches &batches, const ClassifiedCandidates &classified,
                                                 DevicePointer memory) const {
  auto codes = lists.getCodes(classified, batches.stream, batches.isCaptured, maskerFor(batches));
  if (!codes)
    return codes.status();
  const KernelImage &image = host.image();
  Tensor query = sliceBatches(batches.args.query, batches.first, batches.count);
  Tensor key = sliceBatches(batches.args.key, batches.first, batches.count);
  ScratchLayout layout;
  DevicePrediction::Memory places = prediction->layOut(layout, image, batches.count * image.heads);
  auto made = prediction->enqueue(image, {query, key, amountOf(batches.parameters), (*codes)->codes.get(),
                                          (*codes)->sets, batches.ownChoices(image.heads), memory, places,
                                          batches.stream});
  if (!made)
    return made.status();
  made->work.rowTokens = rowTokens.get(), made->work.queryCoordinates = queryCoordinates.get();
  made->work.maskIndex = (*codes)->masks.index.get(), made->work.maskBits = (*codes)->masks.bits.get();
  return Lists{made->work, made->ranges, *codes};
}

size_t GPUKernel::predictionBytes(int64_t batch) const {
  ScratchLayout layout;
  prediction->layOut(layout, host.image(), batch * host.image().heads);
  return layout.bytes();
}

Result<GPUKernel::Lists> GPUKernel::findLists(const Batches &batches, const PredictedLists *kept) const {
  if (kept)
    return kept->steps[batches.first / batches.count];
  bool isPredicted = predicts(batches.args);
  if (batches.args.lists || !(isPredicted || recognition))
    return knownLists(batches);
  auto classified = classify(batches.parameters);
  if (!classified)
    return classified.status();
  if (!isPredicted || classified->front()->size() == 1)
    return recognition ? chosenLists(batches, *classified) : knownLists(batches);
  size_t bytes = predictionBytes(batches.count);
  if (Status status = takeMemory(predictionScratch, bytes, batches, batches.memory.prediction); !status)
    return status;
  return predictLists(batches, *classified, batches.memory.prediction);
}

double GPUKernel::amountOf(const std::vector<int64_t> &parameters) const {
  const Prediction &rule = *host.image().prediction;
  return rule.parameter < 0 ? rule.amount : std::bit_cast<double>(parameters[rule.parameter]);
}

Result<DevicePointer> GPUKernel::findChoices(const RunArgs &args, const std::vector<int64_t> &parameters,
                                             Stream stream, bool isCaptured) const {
  int64_t pairs = args.query.shape[0] * host.image().heads;
  ScratchLayout layout;
  auto places = recognition->layOut(layout, pairs);
  auto memory = recognitionScratch.get(stream, layout.bytes(), isCaptured);
  if (!memory)
    return memory;
  Status status = args.choices ? recognition->store(*args.choices, pairs, *memory, places, stream)
                               : recognition->recognize(args.query, args.key, parameters, *memory, places, stream,
                                                        isCaptured);
  return status ? Result<DevicePointer>(*memory + places.choices) : status;
}

Result<std::shared_ptr<const BlockLists>> GPUKernel::resolveLists(const RunArgs &args) const {
  if (predicts(args))
    return Status::error("lists: expected given lists, since the device predicts them at every launch");
  if (recognition && !args.choices)
    return Status::error("lists: expected choices, since the device recognizes heads at every launch");
  return host.resolveLists(args);
}

Result<Choices> GPUKernel::recognize(const RunArgs &args, Stream stream) const {
  if (!recognition)
    return Status::error(fmt::format("kernel '{}': expected a mask with recognize", host.image().name));
  auto parameters = bindQueryAndKey(args);
  if (!parameters)
    return parameters.status();
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  int64_t pairs = args.query.shape[0] * host.image().heads;
  ScratchLayout layout;
  auto places = recognition->layOut(layout, pairs);
  auto memory = DeviceMemory::allocate(gpu, layout.bytes());
  if (!memory)
    return memory.status();
  Status status = recognition->recognize(args.query, args.key, *parameters, memory->get(), places, stream,
                                         /*isCaptured=*/false);
  if (!status)
    return status;
  Choices result{std::vector<int32_t>(pairs), std::vector<double>(pairs * host.image().recognition->measured())};
  int code = gpu->driver.copyToHost(result.candidates.data(), memory->get() + places.choices, pairs * sizeof(int32_t),
                                    stream);
  if (!code)
    code = gpu->driver.copyToHost(result.recalls.data(), memory->get() + places.recalls,
                                  result.recalls.size() * sizeof(double), stream);
  if (code)
    return gpu->driver.check(code, "cuMemcpyDtoHAsync");
  code = gpu->driver.streamSynchronize(stream);
  return code ? Result<Choices>(gpu->driver.check(code, "cuStreamSynchronize")) : Result<Choices>(std::move(result));
}

Status GPUKernel::keepChoices(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                              PredictedLists &lists) const {
  int64_t pairs = args.query.shape[0] * host.image().heads;
  ScratchLayout layout;
  auto places = recognition->layOut(layout, pairs);
  auto memory = DeviceMemory::allocate(gpu, layout.bytes());
  if (!memory)
    return memory.status();
  lists.choices = memory->get() + places.choices;
  lists.choiceMemory = std::move(*memory);
  DevicePointer scratch = lists.choiceMemory.get();
  return args.choices ? recognition->store(*args.choices, pairs, scratch, places, stream)
                      : recognition->recognize(args.query, args.key, parameters, scratch, places, stream,
                                               /*isCaptured=*/false);
}

Result<std::shared_ptr<const PredictedLists>> GPUKernel::predict(const RunArgs &args, Stream stream) const {
  if (!prediction)
    return Status::error(fmt::format("kernel '{}': expected a mask with topk, topp or threshold", host.image().name));
  auto parameters = bindCall(args);
  if (!parameters)
    return parameters.status();
  auto classified = classify(*parameters);
  if (!classified)
    return classified.status();
  if (classified->front()->size() == 1)
    return Status::error(fmt::format("kernel '{}': expected a mask that depends on its prediction", host.image().name));
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  int64_t batch = args.query.shape[0], step = batchStep(args);
  auto result = std::make_shared<PredictedLists>();
  result->kernel = this, result->classified = *classified, result->stepPairs = step * host.image().heads;
  if (recognition)
    if (Status status = keepChoices(args, *parameters, stream, *result); !status)
      return status;
  for (int64_t first = 0; first < batch; first += step) {
    auto memory = DeviceMemory::allocate(gpu, predictionBytes(step));
    if (!memory)
      return memory.status();
    LaunchMemory unused;
    auto made = predictLists({args, *parameters, first, step, stream, false, result->choices, unused}, *classified,
                             memory->get());
    if (!made)
      return made.status();
    result->memory.push_back(std::move(*memory)), result->steps.push_back(*made);
  }
  return std::shared_ptr<const PredictedLists>(std::move(result));
}

namespace {

/// The selection behind lists: what visited pairs say, and that a pair which only the selection excludes is in it.
void appendSelection(GivenLists &selection, const std::vector<uint8_t> &codes, int64_t codeRow, int64_t keyBlocks,
                     std::span<const int32_t> entries) {
  auto next = entries.begin();
  for (int32_t key = 0; key < keyBlocks; ++key) {
    bool isVisited = next != entries.end() && *next >> 2 == key;
    int code = codes[codeRow * keyBlocks + key];
    bool isSelected = isVisited ? *next & BlockLists::kGiven : (code >> 2) == 0 && (code & 3) != 0;
    if (isSelected)
      selection.keyBlocks.push_back(key);
    next += isVisited;
  }
}

} // namespace

Result<GivenLists> GPUKernel::download(const PredictedLists &kept, Stream stream) const {
  const BlockLists &first = kept.classified.front()->front();
  std::vector<uint8_t> codes = makeCodes(kept.classified);
  int64_t queryBlocks = first.queryBlocks, keyBlocks = first.keyBlocks, rows = kept.stepPairs * queryBlocks;
  int64_t sets = setsOf(kept.classified);
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  std::vector<int32_t> choices(kept.steps.size() * kept.stepPairs);
  if (kept.choices)
    if (int code = gpu->driver.copyToHost(choices.data(), kept.choices, choices.size() * sizeof(int32_t), stream))
      return gpu->driver.check(code, "cuMemcpyDtoHAsync");
  GivenLists selection;
  selection.lists = 0, selection.queryBlocks = queryBlocks;
  for (const Lists &step : kept.steps) {
    std::vector<int32_t> entries(rows * ScoreShape::rowPitch(keyBlocks)), ranges(2 * rows);
    for (auto [to, from] : {std::pair{&entries, step.work.entries}, std::pair{&ranges, step.ranges.ranges}})
      if (int code = gpu->driver.copyToHost(to->data(), from, to->size() * sizeof(int32_t), stream))
        return gpu->driver.check(code, "cuMemcpyDtoHAsync");
    if (int code = gpu->driver.streamSynchronize(stream))
      return gpu->driver.check(code, "cuStreamSynchronize");
    for (int64_t row = 0; row < rows; ++row) {
      if (row % queryBlocks == 0)
        selection.offsets.push_back(static_cast<int64_t>(selection.keyBlocks.size()));
      int64_t pair = row / queryBlocks, set = choices[selection.lists + pair] * sets + pair % sets;
      appendSelection(selection, codes, set * queryBlocks + row % queryBlocks, keyBlocks,
                      std::span(entries).subspan(ranges[2 * row], ranges[2 * row + 1]));
      selection.offsets.push_back(static_cast<int64_t>(selection.keyBlocks.size()));
    }
    selection.lists += kept.stepPairs;
  }
  return selection;
}
