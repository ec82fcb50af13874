// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches GPU kernels: the stages of a call, then its attention.

#include "runtime/CUDA/GPUKernel.h"
#include "runtime/CUDA/DeviceArguments.h"
#include "runtime/CUDA/StageShapes.h"
#include "runtime/CUDA/TensorMaps.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::rt;
using namespace weft::rt::cuda;

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

Result<std::vector<TensorMap>> GPUKernel::makeMaps(const Tensor &query, const Tensor &key, const Tensor &value) const {
  struct Operand {
    const Tensor &tensor;
    const SequenceLayout &layout;
    int64_t rows;
  } operands[] = {{query, parts.query, parts.rows}, {key, parts.key, parts.columns}, {value, parts.key, parts.columns}};
  // By segments; who has no such tokens takes the video's map, which is never read for them.
  std::vector<TensorMap> maps(9);
  for (int i = 0; i < 3; ++i) {
    auto [tensor, layout, rows] = operands[i];
    auto video = mapVideo(gpu->driver, tensor, layout, rows);
    auto text = layout.text ? mapText(gpu->driver, tensor, layout, rows) : video;
    auto apart = layout.apart ? mapApart(gpu->driver, tensor, layout, rows) : video;
    for (auto *map : {&video, &text, &apart})
      if (!*map)
        return map->status();
    maps[i] = *video, maps[3 + i] = *text, maps[6 + i] = *apart;
  }
  return maps;
}

/// A bias that serves all batches or heads has a stride of 0 there.
static Tensor broadcast(Tensor bias) {
  for (int axis : {0, 1})
    if (bias.shape[axis] == 1)
      bias.strides[axis] = 0;
  return bias;
}

AttentionOperands GPUKernel::operandsOf(const Batches &batches) const {
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  const RunArgs &args = batches.args;
  AttentionOperands operands{slice(args.query), slice(args.key), slice(args.value), {}};
  if (args.bias)
    operands.bias = broadcast(slice(*args.bias));
  return operands;
}

DevicePointer GPUKernel::findPieces(const Batches &batches, int64_t ctas) const {
  if (!parts.cutsItems)
    return 0;
  size_t bytes = PieceShape{parts.rows / parts.queryParts / 16, host.image().headDim}.bytes(ctas);
  auto memory = pieceScratch.get(batches.stream, bytes, batches.isCaptured);
  return memory ? *memory : 0;
}

Status GPUKernel::launchAttention(const Batches &batches, AttentionOperands &operands,
                                  const WorkList &work) const {
  if (!batches.attends)
    return Status::ok();
  const RunArgs &args = batches.args;
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  std::vector<void *> arguments;
  auto addTensor = [&](Tensor &tensor) {
    arguments.insert(arguments.end(), {&tensor.data, &tensor.strides[0], &tensor.strides[1], &tensor.strides[2]});
  };
  std::vector<TensorMap> maps;
  DevicePointer tokens = work.keyTokens ? work.keyTokens : keyTokens.get();
  if (parts.usesTensorMaps) {
    auto made = makeMaps(operands.query, operands.key, operands.value);
    if (!made)
      return made.status();
    maps = std::move(*made);
    for (TensorMap &map : maps)
      arguments.push_back(&map);
    if (parts.gathersQueries)
      addTensor(operands.query);
    if (parts.gathersKeys)
      addTensor(operands.key), addTensor(operands.value);
  } else {
    // In the order of the generator's MMAOperand.
    for (Tensor *tensor : {&operands.query, &operands.key, &operands.value})
      addTensor(*tensor);
    arguments.push_back(&tokens);
  }
  const Tensor none{nullptr, DType::F32, {}, {0, 0, 0}};
  Tensor out = slice(args.out), lse = args.lse ? slice(*args.lse) : none;
  Tensor bias = operands.bias ? *operands.bias : none;
  void *memory[] = {out.data, lse.data, bias.data};
  int64_t strides[] = {out.strides[0], out.strides[1], out.strides[2], lse.strides[0], lse.strides[1], lse.strides[2],
                       bias.strides[0], bias.strides[1], bias.strides[2]};
  int64_t ctas = gpu->multiprocessors * parts.ctasPerSM;
  DevicePointer pieces = findPieces(batches, ctas);
  if (!pieces)
    ctas = std::min(ctas, work.mostItems * parts.queryParts);
  DevicePointer blocks = work.keyBlocks ? work.keyBlocks : keyBlocks.get();
  DevicePointer coordinates = work.keyCoordinates ? work.keyCoordinates : keyCoordinates.get();
  DevicePointer tables[] = {work.items,         work.entries,      ticketFor(batches.stream),
                            work.numItems,      queryBlocks.get(), blocks,
                            columnMasks.get(),  work.rowTokens,    work.queryCoordinates,
                            coordinates,        tokens,            work.maskIndex,
                            work.maskBits,      batches.ownChoices(host.image().heads),
                            pieces};
  std::vector<int32_t> values = valuesOf(batches.parameters);

  // In the order of the generator's KernelArg.
  arguments.insert(arguments.end(), {&memory[0],  &strides[0], &strides[1], &strides[2], &memory[1], &strides[3],
                                     &strides[4], &strides[5], &tables[0],  &tables[1],  &tables[2], &tables[3],
                                     &tables[4],  &tables[5],  &tables[6],  &tables[7],  &tables[8], &tables[9],
                                     &memory[2],  &strides[6], &strides[7], &strides[8], &tables[10], &tables[11],
                                     &tables[12], &tables[13], &tables[14]});
  for (int32_t &value : values)
    arguments.push_back(&value);
  return attention.launch({ctas, 1, 1}, parts.threads, parts.sharedBytes, batches.stream, arguments);
}

std::vector<int32_t> GPUKernel::valuesOf(const std::vector<int64_t> &parameters) const {
  std::vector<int32_t> values;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!host.image().parameters[i].isFloat)
      values.push_back(static_cast<int32_t>(parameters[i]));
  return values;
}

Status GPUKernel::takeMemory(ScratchPool &pool, size_t bytes, const Batches &batches, DevicePointer &memory) const {
  if (memory)
    return Status::ok();
  auto found = pool.get(batches.stream, bytes, batches.isCaptured);
  if (found)
    memory = *found;
  return found ? Status::ok() : found.status();
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

template <typename Merger>
Status GPUKernel::attendAndSpread(const Merger &merger, const typename Merger::Call &call, const Batches &batches,
                                  AttentionOperands &operands, const WorkList &work) const {
  auto slice = [&](const Tensor &tensor) { return sliceBatches(tensor, batches.first, batches.count); };
  if (work.mostItems != 0)
    if (Status status = launchAttention(batches, operands, work); !status)
      return status;
  std::optional<Tensor> lse;
  if (batches.args.lse)
    lse = slice(*batches.args.lse);
  return merger.spread(call, slice(batches.args.out), lse ? &*lse : nullptr);
}

/// An attention whose tokens are merged: what is left is gathered as listed rows are.
Status GPUKernel::launchMerged(const Batches &batches, Lists &lists) const {
  std::optional<RowLists> listed = sliceRows(batches.args, batches.first, batches.count);
  auto call = prepareReuse(batches, lists, listed ? &*listed : nullptr);
  if (!call)
    return call.status();
  AttentionOperands operands = operandsOf(batches);
  auto chosen = reuse->mergeTokens(*call, operands, lists.work, lists.ranges);
  if (!chosen)
    return chosen.status();
  Status status = gatherRows(batches, *chosen ? **chosen : *listed, 0, lists);
  return status ? attendAndSpread(*reuse, *call, batches, operands, lists.work) : status;
}

Result<DeviceCells::Call> GPUKernel::prepareCells(const Batches &batches) const {
  const KernelImage &image = host.image();
  ScratchLayout layout;
  auto places = cells->layOut(layout, image, batches.count * image.heads);
  if (Status status = takeMemory(reuseScratch, layout.bytes(), batches, batches.memory.reuse); !status)
    return status;
  return DeviceCells::Call{image, host.thresholdOf(batches.parameters), batches.memory.reuse, places, batches.stream};
}

Status GPUKernel::launchCells(const Batches &batches, Lists &lists) const {
  auto call = prepareCells(batches);
  if (!call)
    return call.status();
  AttentionOperands operands = operandsOf(batches);
  Status status = cells->merge(*call, operands, lists.work);
  return status ? attendAndSpread(*cells, *call, batches, operands, lists.work) : status;
}

Status GPUKernel::launchBatches(const Batches &batches, const PredictedLists *kept) const {
  auto found = findLists(batches, kept);
  if (!found)
    return found.status();
  if (cells)
    return launchCells(batches, *found);
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

int64_t GPUKernel::batchStep(const RunArgs &args) const {
  bool joined = !parts.usesTensorMaps || ((!parts.query.tiled || host.image().gathersRows() || joinsBatchAndHead(args.query)) &&
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
  auto parameters = bindCall(args);
  if (!parameters)
    return parameters.status();
  int64_t batch = args.query.shape[0], step = batchStep(args);
  if (kept && (kept->kernel != this || static_cast<int64_t>(kept->steps.size()) * step != batch))
    return Status::error("lists: expected lists that this kernel predicted, for a batch of this size and layout");
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  std::unique_lock lock(enqueuing, std::defer_lock);
  if (prediction || rows || reuse || cells || recognition)
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

Result<std::vector<int64_t>> GPUKernel::bindCall(const RunArgs &args) const {
  Status status = host.check(args, MemoryKind::Device);
  if (status)
    status = checkTensors(args);
  if (status && parts.gathersKeys)
    status = checkGathered({{"key", &args.key}, {"value", &args.value}});
  return status ? host.bindParameters(args.parameters) : status;
}

Result<std::vector<int64_t>> GPUKernel::bindQueryAndKey(const RunArgs &args) const {
  Status status = host.checkQueryAndKey(args);
  if (status)
    status = checkAlignment({{"query", &args.query}, {"key", &args.key}});
  return status ? host.bindParameters(args.parameters) : status;
}

Status GPUKernel::measureBatches(const Batches &batches, ReuseCounts &counts) const {
  Tensor query = sliceBatches(batches.args.query, batches.first, batches.count);
  Tensor key = sliceBatches(batches.args.key, batches.first, batches.count);
  if (cells) {
    auto call = prepareCells(batches);
    return call ? cells->measure(*call, query, key, counts) : call.status();
  }
  auto found = findLists(batches, nullptr);
  if (!found)
    return found.status();
  std::optional<RowLists> listed = sliceRows(batches.args, batches.first, batches.count);
  auto call = prepareReuse(batches, *found, listed ? &*listed : nullptr);
  if (!call)
    return call.status();
  return reuse->measure(*call, query, key, found->work, found->ranges, counts);
}

Result<ReuseSaving> GPUKernel::measureReuse(const RunArgs &args, Stream stream) const {
  if (!reuse && !cells)
    return Status::error(fmt::format("kernel '{}': expected an attention with reuse", host.image().name));
  if (Status status = host.checkRows(args, MemoryKind::Device); !status)
    return status;
  auto parameters = bindQueryAndKey(args);
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
