// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads GPU kernels and launches them.

#include "runtime/CUDA/GPUKernel.h"

#include "runtime/CUDA/TensorMaps.h"
#include "runtime/Drift.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <span>

using namespace weft::rt;
using namespace weft::rt::cuda;

GPUKernel::GPUKernel(std::shared_ptr<const Device> device, GPUKernelImage image)
    : gpu(std::move(device)), parts(std::move(image)), host(std::move(parts.host)), lists(gpu, host.image().heads),
      predictionScratch(gpu), rowScratch(gpu), reuseScratch(gpu), selectionScratch(gpu), recognitionScratch(gpu),
      choiceListScratch(gpu) {}

Result<std::shared_ptr<const GPUKernel>> GPUKernel::load(std::shared_ptr<const Device> device, GPUKernelImage image) {
  if (image.isSpecific ? device->capability != image.capability : device->capability < image.capability)
    return Status::error(fmt::format("cuda: expected a GPU of compute capability {}.{}{} for kernel '{}', but {} has "
                                     "{}.{}", image.capability / 10, image.capability % 10,
                                     image.isSpecific ? "" : " or later", image.host.name, device->name,
                                     device->capability / 10, device->capability % 10));
  if (device->sharedLimit < image.sharedBytes)
    return Status::error(fmt::format("cuda: expected {} bytes of shared memory per CTA for kernel '{}', but {} has {}",
                                     image.sharedBytes, image.host.name, device->name, device->sharedLimit));
  std::shared_ptr<GPUKernel> kernel(new GPUKernel(std::move(device), std::move(image)));
  if (Status status = kernel->initialize(); !status)
    return status;
  return std::shared_ptr<const GPUKernel>(std::move(kernel));
}

GPUKernel::~GPUKernel() {
  if (!module)
    return;
  Device::Scope scope(*gpu);
  gpu->driver.moduleUnload(module);
}

Status GPUKernel::initialize() {
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  if (Status status = loadModule(); !status)
    return status;
  if (Status status = loadStages(); !status)
    return status;
  if (Status status = uploadTables(); !status)
    return status;
  return parts.maskHeads ? loadMasker() : Status::ok();
}

Status GPUKernel::loadMasker() {
  auto loaded = PairMasker::load(
      gpu, module, host.image().name, {parts.maskGivens, parts.maskHeads, parts.rows, mostMaskBytes()},
      {queryCoordinates.get(), keyCoordinates.get(), keyBlocks.get(), columnMasks.get()});
  if (!loaded)
    return loaded.status();
  masker = std::move(*loaded);
  return Status::ok();
}

Status GPUKernel::loadStages() {
  if (host.image().prediction) {
    auto loaded = DevicePrediction::load(gpu, module, host.image());
    if (!loaded)
      return loaded.status();
    prediction = std::move(*loaded);
  }
  bool merges = host.image().reuse && host.image().reuse->whole;
  if (host.image().hasRows || merges) {
    auto loaded = DeviceRows::load(gpu, module, host.image(), parts.rows, parts.queryAxes);
    if (!loaded)
      return loaded.status();
    rows = std::move(*loaded);
  }
  if (host.image().reuse) {
    auto loaded = DeviceReuse::load(gpu, module, host.image(), {parts.columns, parts.keyAxes});
    if (!loaded)
      return loaded.status();
    reuse = std::move(*loaded);
  }
  if (host.image().rowSelection) {
    auto loaded = DeviceRowSelection::load(gpu, module, host.image());
    if (!loaded)
      return loaded.status();
    rowSelection = std::move(*loaded);
  }
  if (host.image().recognition) {
    auto loaded = DeviceRecognition::load(gpu, module, host.image(), parts.recall);
    if (!loaded)
      return loaded.status();
    recognition = std::move(*loaded);
  }
  return Status::ok();
}

Status GPUKernel::loadCode() {
  const Driver &driver = gpu->driver;
  std::string log(8192, '\0');
  int options[] = {kErrorLogBuffer, kErrorLogBufferBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  if (!parts.cubin.empty() && driver.moduleLoad(&module, parts.cubin.data(), 2, options, values) == 0)
    return Status::ok();
  // The call above may have changed how much it wrote.
  values[1] = reinterpret_cast<void *>(log.size());
  if (int code = driver.moduleLoad(&module, parts.ptx.c_str(), 2, options, values)) {
    module = nullptr;
    log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
    return Status::error(driver.check(code, "cuModuleLoadDataEx").message() + (log.empty() ? "" : ": " + log));
  }
  return Status::ok();
}

Status GPUKernel::loadModule() {
  if (Status status = loadCode(); !status)
    return status;
  const Driver &driver = gpu->driver;
  std::string name = "weft_" + host.image().name;
  if (int code = driver.moduleGetFunction(&function, module, name.c_str()))
    return driver.check(code, "cuModuleGetFunction");
  return driver.check(driver.functionSetAttribute(function, kMaxDynamicShared, static_cast<int>(parts.sharedBytes)),
                      "cuFuncSetAttribute");
}

Status GPUKernel::uploadTables() {
  struct Upload {
    DeviceMemory &memory;
    const std::vector<int32_t> &table;
  };
  const std::vector<int32_t> zeros(kNumTickets, 0);
  for (auto [memory, table] : {Upload{queryBlocks, parts.queryBlocks}, Upload{keyBlocks, parts.keyBlocks},
                               Upload{columnMasks, parts.columnMasks}, Upload{rowTokens, parts.rowTokens},
                               Upload{keyTokens, parts.keyTokens}, Upload{queryCoordinates, parts.queryCoordinates},
                               Upload{keyCoordinates, parts.keyCoordinates}, Upload{tickets, zeros}}) {
    auto made = DeviceMemory::upload(gpu, table.data(), table.size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    memory = std::move(*made);
  }
  return gpu->driver.check(gpu->driver.streamSynchronize(nullptr), "cuStreamSynchronize");
}

namespace {

using NamedTensor = std::pair<const char *, const Tensor *>;

/// What copies of 16 bytes need.
Status checkAlignment(std::initializer_list<NamedTensor> tensors) {
  for (auto [name, tensor] : tensors) {
    if (reinterpret_cast<uintptr_t>(tensor->data) % 16)
      return Status::error(fmt::format("{}: expected an address that is a multiple of 16, but got {}", name,
                                       tensor->data));
    for (int64_t axis = 0; axis + 1 < tensor->rank(); ++axis)
      if (tensor->shape[axis] > 1 && (tensor->strides[axis] < 0 || tensor->strides[axis] % 8))
        return Status::error(fmt::format("{}: expected strides that are multiples of 8 elements and not below 0, since "
                                         "copies take no others, but got [{}]",
                                         name, fmt::join(tensor->strides, ", ")));
  }
  return Status::ok();
}

} // namespace

static Status checkTensors(const RunArgs &args) {
  return checkAlignment({{"query", &args.query}, {"key", &args.key}, {"value", &args.value}, {"out", &args.out}});
}

bool GPUKernel::isCapturing(Stream stream) const {
  int status = kCaptureNone;
  return gpu->driver.streamIsCapturing(stream, &status) == 0 && status != kCaptureNone;
}

/// A ticket of its own for each stream: launches of one stream follow one another. One that is captured gets a new one,
/// since nobody knows beside which others its graph will run.
DevicePointer GPUKernel::ticketFor(Stream stream) const {
  bool captured = isCapturing(stream);
  std::lock_guard lock(mutex);
  size_t number;
  if (auto known = ticketOfStream.find(stream); !captured && known != ticketOfStream.end()) {
    number = known->second;
  } else {
    number = nextTicket++ % kNumTickets;
    if (!captured)
      ticketOfStream[stream] = number;
  }
  return tickets.get() + 4 * number;
}

/// A view of some batches; of the one that there is, if it serves all.
static Tensor sliceBatches(const Tensor &tensor, int64_t first, int64_t count) {
  if (tensor.shape[0] == 1)
    return tensor;
  Tensor slice = tensor;
  slice.data = static_cast<std::byte *>(tensor.data) +
               first * tensor.strides[0] * static_cast<int64_t>(sizeOf(tensor.dtype));
  slice.shape[0] = count;
  return slice;
}

/// A bias that serves all batches or heads has a stride of 0 there.
static Tensor broadcast(Tensor bias) {
  for (int axis : {0, 1})
    if (bias.shape[axis] == 1)
      bias.strides[axis] = 0;
  return bias;
}

Result<std::vector<TensorMap>> GPUKernel::makeMaps(const Tensor &query, const Tensor &key, const Tensor &value) const {
  struct Operand {
    const Tensor &tensor;
    const SequenceLayout &layout;
    int64_t rows;
  } operands[] = {{query, parts.query, parts.rows}, {key, parts.key, parts.columns}, {value, parts.key, parts.columns}};
  std::vector<TensorMap> maps(6);
  for (int i = 0; i < 3; ++i) {
    auto [tensor, layout, rows] = operands[i];
    auto video = mapVideo(gpu->driver, tensor, layout, rows);
    if (!video)
      return video.status();
    maps[i] = maps[3 + i] = *video;
    if (layout.text == 0)
      continue;
    auto text = mapText(gpu->driver, tensor, layout, rows);
    if (!text)
      return text.status();
    maps[3 + i] = *text;
  }
  return maps;
}

AttentionOperands GPUKernel::operandsOf(const Batches &batches) const {
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  const RunArgs &args = batches.args;
  AttentionOperands operands{slice(args.query), slice(args.key), slice(args.value), {}};
  if (args.bias)
    operands.bias = broadcast(slice(*args.bias));
  return operands;
}

Status GPUKernel::launchAttention(const Batches &batches, AttentionOperands &operands,
                                  const WorkList &work) const {
  if (!batches.attends)
    return Status::ok();
  const RunArgs &args = batches.args;
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  std::vector<void *> arguments;
  std::vector<TensorMap> maps;
  DevicePointer tokens = work.keyTokens ? work.keyTokens : keyTokens.get();
  if (parts.usesTensorMaps) {
    auto made = makeMaps(operands.query, operands.key, operands.value);
    if (!made)
      return made.status();
    maps = std::move(*made);
    for (TensorMap &map : maps)
      arguments.push_back(&map);
    // Queries that are gathered.
    if (rows)
      arguments.insert(arguments.end(), {&operands.query.data, &operands.query.strides[0],
                                         &operands.query.strides[1], &operands.query.strides[2]});
  } else {
    // In the order of the generator's MMAOperand.
    for (Tensor *tensor : {&operands.query, &operands.key, &operands.value})
      arguments.insert(arguments.end(),
                       {&tensor->data, &tensor->strides[0], &tensor->strides[1], &tensor->strides[2]});
    arguments.push_back(&tokens);
  }
  const Tensor none{nullptr, DType::F32, {}, {0, 0, 0}};
  Tensor out = slice(args.out), lse = args.lse ? slice(*args.lse) : none;
  Tensor bias = operands.bias ? *operands.bias : none;
  void *memory[] = {out.data, lse.data, bias.data};
  int64_t strides[] = {out.strides[0], out.strides[1], out.strides[2], lse.strides[0], lse.strides[1], lse.strides[2],
                       bias.strides[0], bias.strides[1], bias.strides[2]};
  DevicePointer blocks = work.keyBlocks ? work.keyBlocks : keyBlocks.get();
  DevicePointer coordinates = work.keyCoordinates ? work.keyCoordinates : keyCoordinates.get();
  DevicePointer tables[] = {work.items,         work.entries,      ticketFor(batches.stream),
                            work.numItems,      queryBlocks.get(), blocks,
                            columnMasks.get(),  work.rowTokens,    work.queryCoordinates,
                            coordinates,        tokens,            work.maskIndex,
                            work.maskBits,      batches.ownChoices(host.image().heads)};
  std::vector<int32_t> values = valuesOf(batches.parameters);

  // In the order of the generator's KernelArg.
  arguments.insert(arguments.end(), {&memory[0],  &strides[0], &strides[1], &strides[2], &memory[1], &strides[3],
                                     &strides[4], &strides[5], &tables[0],  &tables[1],  &tables[2], &tables[3],
                                     &tables[4],  &tables[5],  &tables[6],  &tables[7],  &tables[8], &tables[9],
                                     &memory[2],  &strides[6], &strides[7], &strides[8], &tables[10], &tables[11],
                                     &tables[12], &tables[13]});
  for (int32_t &value : values)
    arguments.push_back(&value);
  unsigned ctas = std::min<int64_t>(work.mostItems * parts.queryParts, gpu->multiprocessors * parts.ctasPerSM);
  return gpu->driver.check(gpu->driver.launch(function, ctas, 1, 1, static_cast<unsigned>(parts.threads), 1, 1,
                                              static_cast<unsigned>(parts.sharedBytes), batches.stream,
                                              arguments.data(), nullptr),
                           "cuLaunchKernel");
}

std::vector<int32_t> GPUKernel::valuesOf(const std::vector<int64_t> &parameters) const {
  std::vector<int32_t> values;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!host.image().parameters[i].isFloat)
      values.push_back(static_cast<int32_t>(parameters[i]));
  return values;
}

ListCache::Masker GPUKernel::maskerFor(const Batches &batches) const {
  return [this, &batches](const std::vector<const BlockLists *> &lists, PairMasks &masks) {
    if (!masker)
      return Status::ok();
    auto made = masker->make(lists, valuesOf(batches.parameters), batches.stream);
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
  auto known = lists.getCandidates(sources, batches.stream, batches.isCaptured);
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

Status GPUKernel::takeMemory(ScratchPool &pool, size_t bytes, const Batches &batches, DevicePointer &memory) const {
  if (memory)
    return Status::ok();
  auto found = pool.get(batches.stream, bytes, batches.isCaptured);
  if (found)
    memory = *found;
  return found ? Status::ok() : found.status();
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

Status GPUKernel::gatherRows(const Batches &batches, const RowLists &rowLists, int64_t first, Lists &lists) const {
  int64_t pairs = batches.count * host.image().heads;
  ScratchLayout layout;
  auto places = rows->layOut(layout, pairs, lists.ranges.pools, rowLists.indices.shape[2]);
  if (Status status = takeMemory(rowScratch, layout.bytes(), batches, batches.memory.rows); !status)
    return status;
  return rows->enqueue({rowLists, first, pairs, lists.ranges, batches.memory.rows, places, batches.stream}, lists.work);
}

Result<DeviceReuse::Call> GPUKernel::prepareReuse(const Batches &batches, const Lists &lists,
                                                  const RowLists *rows) const {
  const KernelImage &image = host.image();
  ScratchLayout layout;
  auto places = reuse->layOut(layout, image, batches.count * image.heads, lists.ranges.pools);
  if (Status status = takeMemory(reuseScratch, layout.bytes(), batches, batches.memory.reuse); !status)
    return status;
  return DeviceReuse::Call{image, host.thresholdOf(batches.parameters), batches.memory.reuse, places, batches.stream,
                           rows, keyTokens.get()};
}

/// A view of the call's rows for some batches.
static std::optional<RowLists> sliceRows(const RunArgs &args, int64_t first, int64_t count) {
  if (!args.rows)
    return std::nullopt;
  return RowLists{sliceBatches(args.rows->indices, first, count), sliceBatches(args.rows->counts, first, count)};
}

/// An attention whose tokens are merged: what is left is gathered as listed rows are.
Status GPUKernel::launchMerged(const Batches &batches, Lists &lists) const {
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  std::optional<RowLists> listed = sliceRows(batches.args, batches.first, batches.count);
  auto call = prepareReuse(batches, lists, listed ? &*listed : nullptr);
  if (!call)
    return call.status();
  AttentionOperands operands = operandsOf(batches);
  auto chosen = reuse->mergeTokens(*call, operands, lists.work, lists.ranges);
  if (!chosen)
    return chosen.status();
  Status status = gatherRows(batches, *chosen ? **chosen : *listed, 0, lists);
  if (status && lists.work.mostItems != 0)
    status = launchAttention(batches, operands, lists.work);
  if (!status)
    return status;
  std::optional<Tensor> lse;
  if (batches.args.lse)
    lse = slice(*batches.args.lse);
  return reuse->spread(*call, slice(batches.args.out), lse ? &*lse : nullptr);
}

Status GPUKernel::launchBatches(const Batches &batches, const PredictedLists *kept) const {
  auto found = findLists(batches, kept);
  if (!found)
    return found.status();
  if (reuse && host.image().reuse->whole)
    return launchMerged(batches, *found);
  AttentionOperands operands = operandsOf(batches);
  if (reuse) {
    auto call = prepareReuse(batches, *found, nullptr);
    if (!call)
      return call.status();
    if (Status status = reuse->snapChannels(*call, operands); !status)
      return status;
  }
  if (rows)
    if (Status status = gatherRows(batches, *batches.args.rows, batches.first, *found); !status)
      return status;
  return found->work.mostItems == 0 ? Status::ok() : launchAttention(batches, operands, found->work);
}

double GPUKernel::amountOf(const std::vector<int64_t> &parameters) const {
  const Prediction &rule = *host.image().prediction;
  return rule.parameter < 0 ? rule.amount : std::bit_cast<double>(parameters[rule.parameter]);
}

int64_t GPUKernel::batchStep(const RunArgs &args) const {
  bool joined = !parts.usesTensorMaps || ((!parts.query.tiled || rows || joinsBatchAndHead(args.query)) &&
                (!parts.key.tiled || (joinsBatchAndHead(args.key) && joinsBatchAndHead(args.value))));
  return joined ? args.query.shape[0] : 1;
}

Status GPUKernel::launch(const RunArgs &args, Stream stream, const PredictedLists *kept) const {
  return enqueue(args, stream, kept, /*attends=*/true);
}

Status GPUKernel::launchStages(const RunArgs &args, Stream stream) const {
  return enqueue(args, stream, nullptr, /*attends=*/false);
}

Status GPUKernel::enqueue(const RunArgs &args, Stream stream, const PredictedLists *kept, bool attends) const {
  if (Status status = host.check(args, MemoryKind::Device); !status)
    return status;
  if (Status status = checkTensors(args); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  int64_t batch = args.query.shape[0], step = batchStep(args);
  if (kept && (kept->kernel != this || static_cast<int64_t>(kept->steps.size()) * step != batch))
    return Status::error("lists: expected lists that this kernel predicted, for a batch of this size and layout");
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  std::unique_lock lock(enqueuing, std::defer_lock);
  if (prediction || rows || reuse || recognition)
    lock.lock();
  bool isCaptured = isCapturing(stream);
  if (!rowSelection)
    return launchAll(args, *parameters, stream, isCaptured, kept, attends);
  RunArgs call = args;
  RowLists selected;
  if (!args.rows) {
    auto found = selectRows(args, *parameters, stream, isCaptured);
    if (!found)
      return found.status();
    selected = *found, call.rows = &selected;
  }
  Status status = launchAll(call, *parameters, stream, isCaptured, kept, attends);
  return status ? rowSelection->advanceAges(*call.rows, *args.age, stream) : status;
}

Status GPUKernel::launchAll(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                            bool isCaptured, const PredictedLists *kept, bool attends) const {
  int64_t batch = args.query.shape[0], step = batchStep(args);
  LaunchMemory memory;
  DevicePointer choices = kept ? kept->choices : 0;
  if (recognition && !choices) {
    auto found = findChoices(args, parameters, stream, isCaptured);
    if (!found)
      return found.status();
    choices = *found;
  }
  for (int64_t first = 0; first < batch; first += step)
    if (Status status =
            launchBatches({args, parameters, first, step, stream, isCaptured, choices, memory, attends}, kept);
        !status)
      return status;
  return Status::ok();
}

Status GPUKernel::measureBatches(const Batches &batches, ReuseCounts &counts) const {
  auto found = findLists(batches, nullptr);
  if (!found)
    return found.status();
  std::optional<RowLists> listed = sliceRows(batches.args, batches.first, batches.count);
  auto call = prepareReuse(batches, *found, listed ? &*listed : nullptr);
  if (!call)
    return call.status();
  Tensor query = sliceBatches(batches.args.query, batches.first, batches.count);
  Tensor key = sliceBatches(batches.args.key, batches.first, batches.count);
  return reuse->measure(*call, query, key, found->work, found->ranges, counts);
}

Result<ReuseSaving> GPUKernel::measureReuse(const RunArgs &args, Stream stream) const {
  if (!reuse)
    return Status::error(fmt::format("kernel '{}': expected an attention with reuse", host.image().name));
  if (Status status = host.checkQueryAndKey(args); !status)
    return status;
  if (Status status = host.checkRows(args, MemoryKind::Device); !status)
    return status;
  if (Status status = checkAlignment({{"query", &args.query}, {"key", &args.key}}); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  std::lock_guard lock(enqueuing);
  LaunchMemory memory;
  DevicePointer choices = 0;
  if (recognition) {
    auto found = findChoices(args, *parameters, stream, /*isCaptured=*/false);
    if (!found)
      return found.status();
    choices = *found;
  }
  ReuseCounts counts;
  // One batch element after another: how they lie in memory does not matter then.
  for (int64_t first = 0; first < args.query.shape[0]; ++first)
    if (Status status = measureBatches({args, *parameters, first, 1, stream, false, choices, memory}, counts); !status)
      return status;
  return counts.share(host.image().reuse->whole);
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
                               : recognition->recognize(args.query, args.key, parameters, *memory, places, stream);
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
  if (Status status = host.checkQueryAndKey(args); !status)
    return status;
  if (Status status = checkAlignment({{"query", &args.query}, {"key", &args.key}}); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
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
  if (Status status = recognition->recognize(args.query, args.key, *parameters, memory->get(), places, stream); !status)
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

Result<RowLists> GPUKernel::selectRows(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                                       bool isCaptured) const {
  ScratchLayout layout;
  auto places = rowSelection->layOut(layout, args.lse->shape[0]);
  auto memory = selectionScratch.get(stream, layout.bytes(), isCaptured);
  if (!memory)
    return memory.status();
  return rowSelection->select(args, parameters, *memory, places, stream);
}

Result<std::shared_ptr<const SelectedRows>> GPUKernel::selectRows(const RunArgs &args, Stream stream) const {
  if (Status status = host.checkImportance(args, MemoryKind::Device); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  ScratchLayout layout;
  auto places = rowSelection->layOut(layout, args.lse->shape[0]);
  auto memory = DeviceMemory::allocate(gpu, layout.bytes());
  if (!memory)
    return memory.status();
  auto rows = rowSelection->select(args, *parameters, memory->get(), places, stream);
  if (!rows)
    return rows.status();
  return std::shared_ptr<const SelectedRows>(std::make_shared<SelectedRows>(std::move(*memory), std::move(*rows)));
}

Status GPUKernel::checkInputs(const Tensor &x, const Tensor &last) const {
  const KernelImage &image = host.image();
  if (!rowSelection)
    return Status::error(fmt::format("kernel '{}': expected an attention with rows topk(importance, ..)", image.name));
  if (x.dtype != image.dtype)
    return Status::error(fmt::format("x: expected dtype {}, which the kernel has, but got {}", name(image.dtype),
                                     name(x.dtype)));
  if (x.shape[2] * sizeOf(x.dtype) % 16)
    return Status::error(fmt::format("x: expected a width of whole 16 bytes, but got {}", x.shape[2]));
  return checkAlignment({{"x", &x}, {"last", &last}});
}

Status GPUKernel::measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, Stream stream) const {
  Status status = checkDrift(x, last, drift);
  if (status)
    status = checkInputs(x, last);
  if (!status)
    return status;
  Device::Scope scope(*gpu);
  return scope.status ? rowSelection->measureDrift(x, last, drift, stream) : scope.status;
}

Status GPUKernel::keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last, Stream stream) const {
  Status status = checkKeptInputs(x, last);
  if (status)
    status = checkInputs(x, last);
  if (status)
    status = rows.validateShapes(x.shape[0], /*heads=*/1);
  if (!status)
    return status;
  Device::Scope scope(*gpu);
  return scope.status ? rowSelection->keepInputs(x, rows, last, stream) : scope.status;
}

Result<OwnedRowLists> GPUKernel::download(const SelectedRows &selected, Stream stream) const {
  const Tensor &indices = selected.rows.indices, &counts = selected.rows.counts;
  OwnedRowLists result{indices.shape[0], indices.shape[2], std::vector<int32_t>(indices.numElements()),
                       std::vector<int32_t>(counts.numElements())};
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  auto fetch = [&](int32_t *to, DevicePointer from, int64_t count) {
    int code = count ? gpu->driver.copyToHost(to, from, count * sizeof(int32_t), stream) : 0;
    return gpu->driver.check(code, "cuMemcpyDtoHAsync");
  };
  auto wait = [&] { return gpu->driver.check(gpu->driver.streamSynchronize(stream), "cuStreamSynchronize"); };
  Status status = fetch(result.counts.data(), reinterpret_cast<DevicePointer>(counts.data), result.batch);
  if (status)
    status = wait();
  // What is behind a batch element's rows was never written.
  for (int64_t b = 0; status && b < result.batch; ++b) {
    int64_t first = b * result.capacity;
    status = fetch(result.indices.data() + first, reinterpret_cast<DevicePointer>(indices.data) + first * sizeof(int32_t),
                   result.counts[b]);
  }
  if (status)
    status = wait();
  if (!status)
    return status;
  return result;
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
                      : recognition->recognize(args.query, args.key, parameters, scratch, places, stream);
}

Result<std::shared_ptr<const PredictedLists>> GPUKernel::predict(const RunArgs &args, Stream stream) const {
  if (!prediction)
    return Status::error(fmt::format("kernel '{}': expected a mask with topk, topp or threshold", host.image().name));
  if (Status status = host.check(args, MemoryKind::Device); !status)
    return status;
  if (Status status = checkTensors(args); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
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
    std::vector<int32_t> entries(rows * keyBlocks), ranges(2 * rows);
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
