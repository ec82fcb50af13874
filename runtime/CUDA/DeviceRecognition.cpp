// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages of a recognition.

#include "runtime/CUDA/DeviceRecognition.h"

#include "runtime/CUDA/StageShapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<DeviceRecognition> DeviceRecognition::load(std::shared_ptr<const Device> device, const Code &code,
                                                  const KernelImage &image, RecallLaunch shape) {
  // Stages count words in 32 bits.
  if (shape.words > INT32_MAX)
    return Status::error(fmt::format("kernel '{}': expected probes with at most {} words of bits on a GPU, but got {}",
                                     image.name, INT32_MAX, shape.words));
  DeviceRecognition result;
  result.device = std::move(device), result.image = &image, result.shape = shape;
  Stage probeBits;
  std::vector<std::pair<Stage *, const char *>> stages = {
      {&probeBits, "probe_bits"}, {&result.recall, "recall"}, {&result.choose, "choose"}};
  if (!image.gathersRows())
    stages.push_back({&result.sort, "sort_chosen"});
  if (result.needsRanges())
    stages.push_back({&result.chooseListsStage, "choose_lists"});
  for (auto [stage, suffix] : stages) {
    auto found = Stage::find(*result.device, code, "weft_" + image.name + "_" + suffix);
    if (!found)
      return found.status();
    *stage = *found;
  }
  result.probeBits = std::make_unique<ProbeBits>(result.device, probeBits, image, shape);
  Status status = result.recall.reserveShared(shape.sharedBytes);
  if (status && !image.gathersRows())
    status = result.sort.reserveShared(SortShape::sharedBytes(image.key.count()));
  if (status)
    status = result.uploadTables();
  return status ? Result<DeviceRecognition>(std::move(result)) : Result<DeviceRecognition>(status);
}

bool DeviceRecognition::needsRanges() const {
  return image->gathersRows() || (image->reuse && image->reuse->mergesKeys());
}

Status DeviceRecognition::uploadTables() {
  std::vector<int32_t> tokenTable, coordinateTable;
  for (const Probe &probe : image->recognition->probes) {
    int64_t padded = probe.queryBlocks() * image->recognition->rows;
    pitch = std::max(pitch, padded);
    // The probe's table has rows of all tokens: index, t, h and w.
    auto append = [&](std::vector<int32_t> &table, int64_t row, int32_t otherwise) {
      auto first = probe.table.begin() + row * image->query.tokens;
      table.insert(table.end(), first, first + probe.tokens());
      table.insert(table.end(), padded - probe.tokens(), otherwise);
    };
    append(tokenTable, 0, -1);
    for (int64_t axis = 0; axis < 4; ++axis)
      append(coordinateTable, (axis + 1) % 4, 0);
  }
  for (auto [memory, table] : {std::pair{&tokens, &tokenTable}, std::pair{&coordinates, &coordinateTable}}) {
    auto made = DeviceMemory::upload(device, table->data(), table->size() * sizeof(int32_t), nullptr);
    if (!made)
      return made.status();
    *memory = std::move(*made);
  }
  return Status::ok();
}

DeviceRecognition::Memory DeviceRecognition::layOut(ScratchLayout &layout, int64_t pairs) const {
  Memory memory;
  memory.numbers = layout.add(pairs * shape.lines * pitch);
  memory.recalls = layout.add(2 * pairs * image->recognition->measured());
  memory.choices = layout.add(pairs);
  return memory;
}

Status DeviceRecognition::enqueueRecall(const Tensor &query, const Tensor &key, DevicePointer bits,
                                        DevicePointer numbers, Stream stream) const {
  Tensor tensors[] = {query, key};
  DevicePointer tables[] = {tokens.get(), bits, numbers};
  auto elements = static_cast<int32_t>(pitch);
  std::vector<void *> arguments;
  for (Tensor &tensor : tensors)
    arguments.insert(arguments.end(), {&tensor.data, &tensor.strides[0], &tensor.strides[1], &tensor.strides[2]});
  for (DevicePointer &table : tables)
    arguments.push_back(&table);
  arguments.push_back(&elements);
  return recall.launch({pitch / image->recognition->rows, query.shape[0] * image->heads, shape.parts}, shape.threads,
                       shape.sharedBytes, stream, arguments);
}

Status DeviceRecognition::recognize(const Tensor &query, const Tensor &key, const std::vector<int64_t> &parameters,
                                    DevicePointer scratch, const Memory &memory, Stream stream,
                                    bool isCaptured) const {
  const Recognition &recognition = *image->recognition;
  auto bits = probeBits->get(parameters, coordinates.get(), stream, isCaptured);
  if (!bits)
    return bits.status();
  DevicePointer numbers = scratch + memory.numbers;
  if (Status status = enqueueRecall(query, key, (*bits)->get(), numbers, stream); !status)
    return status;
  double bound = recognition.bound;
  if (recognition.parameter >= 0)
    bound = std::bit_cast<double>(parameters[recognition.parameter]);
  return choose.launch({query.shape[0] * image->heads, 1, 1}, RecognitionShape::kChooseThreads,
                       RecognitionShape::kChooseBytes, stream, numbers, static_cast<int32_t>(pitch), bound,
                       scratch + memory.recalls, scratch + memory.choices);
}

/// By fills, which a graph may repeat when the caller's memory is gone: one for each run of equal choices.
Status DeviceRecognition::store(const Choices &choices, int64_t pairs, DevicePointer scratch, const Memory &memory,
                                Stream stream) const {
  for (int64_t begin = 0, end = 0; begin < pairs; begin = end) {
    while (end < pairs && choices.of(end) == choices.of(begin))
      ++end;
    DevicePointer at = scratch + memory.choices + begin * sizeof(int32_t);
    if (int code = device->driver.fill32(at, static_cast<unsigned>(choices.of(begin)), end - begin, stream))
      return device->driver.check(code, "cuMemsetD32Async");
  }
  return Status::ok();
}

DeviceRecognition::ListMemory DeviceRecognition::layOutLists(ScratchLayout &layout, int64_t pairs) const {
  int64_t rows = pairs * image->query.count();
  ListMemory memory;
  memory.ranges = layout.add(needsRanges() ? 2 * rows : 0);
  memory.pools = layout.add(image->gathersRows() ? rows : 0);
  memory.items = layout.add(image->gathersRows() ? 0 : 4 * rows);
  memory.numItems = layout.add(1);
  return memory;
}

Result<DeviceRecognition::Lists> DeviceRecognition::chooseLists(const Call &call) const {
  auto at = [&](size_t offset) { return call.scratch + offset; };
  auto rows = static_cast<int32_t>(call.pairs * image->query.count());
  auto sets = static_cast<int32_t>(call.candidates.sets), firstPair = static_cast<int32_t>(call.firstPair);
  DevicePointer sources = call.candidates.ranges.get();
  Status status = Status::ok();
  if (needsRanges()) {
    int64_t ctas = (rows + RecognitionShape::kListThreads - 1) / RecognitionShape::kListThreads;
    status = chooseListsStage.launch({ctas, 1, 1}, RecognitionShape::kListThreads, 0, call.stream, call.choices, sources,
                                     call.candidates.poolOf.get(), sets, firstPair, rows, at(call.memory.ranges),
                                     at(call.memory.pools));
  }
  if (status && !image->gathersRows())
    status = sort.launch({1, 1, 1}, SortShape::kThreads, SortShape::sharedBytes(image->key.count()), call.stream,
                         at(call.memory.items), at(call.memory.numItems), rows, call.choices, sources, sets, firstPair);
  if (!status)
    return status;
  Lists lists;
  lists.work.items = at(call.memory.items), lists.work.numItems = at(call.memory.numItems);
  lists.work.entries = call.candidates.entries.get(), lists.work.mostItems = rows;
  if (needsRanges())
    lists.ranges = {at(call.memory.ranges), at(call.memory.pools), call.pairs, call.pairs, call.candidates.pools};
  return lists;
}
