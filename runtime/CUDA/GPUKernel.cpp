// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads GPU kernels and launches them.

#include "runtime/CUDA/GPUKernel.h"

#include "runtime/CUDA/TensorMaps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

using namespace weft::rt;
using namespace weft::rt::cuda;

GPUKernel::GPUKernel(std::shared_ptr<const Device> device, GPUKernelImage image)
    : gpu(std::move(device)), parts(std::move(image)), host(std::move(parts.host)) {}

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
  return uploadTables();
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

Status GPUKernel::checkTensors(const RunArgs &args) const {
  std::pair<const char *, const Tensor *> tensors[] = {
      {"query", &args.query}, {"key", &args.key}, {"value", &args.value}, {"out", &args.out}};
  for (auto [name, tensor] : tensors) {
    if (reinterpret_cast<uintptr_t>(tensor->data) % 16)
      return Status::error(fmt::format("{}: expected an address that is a multiple of 16, but got {}", name,
                                       tensor->data));
    for (int64_t axis = 0; axis < 3; ++axis)
      if (tensor->shape[axis] > 1 && (tensor->strides[axis] < 0 || tensor->strides[axis] % 8))
        return Status::error(fmt::format("{}: expected strides that are multiples of 8 elements and not below 0, since "
                                         "copies take no others, but got [{}]",
                                         name, fmt::join(tensor->strides, ", ")));
  }
  return Status::ok();
}

namespace {

/// A work item as the kernel reads it.
struct Item {
  int32_t block, pair, offset, count;
};

/// Of `batch` elements from `first`; pairs are counted from that.
std::vector<Item> makeItems(const BlockLists &lists, int64_t first, int64_t batch, int64_t heads) {
  std::vector<Item> items;
  items.reserve(batch * heads * lists.queryBlocks);
  for (int64_t pair = 0; pair < batch * heads; ++pair) {
    int64_t set = lists.setOf(first * heads + pair);
    const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1);
    for (int64_t block = 0; block < lists.queryBlocks; ++block)
      items.push_back({static_cast<int32_t>(block), static_cast<int32_t>(pair),
                       static_cast<int32_t>(lists.starts[set] + offsets[block]), offsets[block + 1] - offsets[block]});
  }
  // Of equal lists, those of one head stay together: its keys and values are read from the cache.
  std::sort(items.begin(), items.end(), [](const Item &a, const Item &b) {
    return std::tuple(-a.count, a.pair, a.block) < std::tuple(-b.count, b.pair, b.block);
  });
  return items;
}

} // namespace

Result<std::shared_ptr<const GPUKernel::DeviceLists>>
GPUKernel::uploadLists(std::shared_ptr<const BlockLists> source, int64_t first, int64_t batch,
                       Stream stream) const {
  if (source->entries.size() > INT32_MAX)
    return Status::error(fmt::format("lists: expected at most {} entries, but got {}", INT32_MAX,
                                     source->entries.size()));
  std::vector<Item> items = makeItems(*source, first, batch, host.image().heads);
  auto result = std::make_shared<DeviceLists>();
  auto onDevice = DeviceMemory::upload(gpu, items.data(), items.size() * sizeof(Item), stream);
  if (!onDevice)
    return onDevice.status();
  auto entries = DeviceMemory::upload(gpu, source->entries.data(), source->entries.size() * sizeof(int32_t), stream);
  if (!entries)
    return entries.status();
  result->items = std::move(*onDevice), result->entries = std::move(*entries);
  result->numItems = static_cast<uint32_t>(items.size());
  result->source = std::move(source), result->first = first, result->batch = batch;
  // Another stream may use the lists next.
  if (int code = gpu->driver.streamSynchronize(stream))
    return gpu->driver.check(code, "cuStreamSynchronize");
  return std::shared_ptr<const DeviceLists>(std::move(result));
}

Result<std::shared_ptr<const GPUKernel::DeviceLists>>
GPUKernel::listsOnDevice(std::shared_ptr<const BlockLists> source, int64_t first, int64_t batch,
                         Stream stream) const {
  // Lists that all batch elements share are the same from everywhere.
  first = source->lists > host.image().heads ? first : 0;
  bool captured = isCapturing(stream);
  std::lock_guard lock(mutex);
  auto known = std::find_if(lists.begin(), lists.end(), [&](const auto &entry) {
    return entry->source == source && entry->first == first && entry->batch == batch;
  });
  if (known != lists.end()) {
    lists.splice(lists.begin(), lists, known);
    lists.front()->captured |= captured;
    return lists.front();
  }
  if (captured)
    return Status::error("lists: expected block lists that an earlier launch has copied to the device, since the "
                         "stream is being captured");
  auto made = uploadLists(std::move(source), first, batch, stream);
  if (!made)
    return made.status();
  lists.push_front(*made);
  dropOldLists();
  return *made;
}

bool GPUKernel::isCapturing(Stream stream) const {
  int status = kCaptureNone;
  return gpu->driver.streamIsCapturing(stream, &status) == 0 && status != kCaptureNone;
}

void GPUKernel::dropOldLists() const {
  for (auto entry = lists.end(); lists.size() > kMaxLists && entry != lists.begin();)
    if (!(*--entry)->captured)
      entry = lists.erase(entry);
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

Status GPUKernel::launchBatches(const RunArgs &args, const std::vector<int64_t> &parameters, const DeviceLists &lists,
                                int64_t firstBatch, int64_t numBatches, Stream stream) const {
  Tensor operands[] = {sliceBatches(args.query, firstBatch, numBatches), sliceBatches(args.key, firstBatch, numBatches),
                       sliceBatches(args.value, firstBatch, numBatches)};
  std::vector<void *> arguments;
  std::vector<TensorMap> maps;
  DevicePointer tokens = keyTokens.get();
  if (parts.usesTensorMaps) {
    auto made = makeMaps(operands[0], operands[1], operands[2]);
    if (!made)
      return made.status();
    maps = std::move(*made);
    for (TensorMap &map : maps)
      arguments.push_back(&map);
  } else {
    // In the order of the generator's MMAOperand.
    for (Tensor &tensor : operands)
      arguments.insert(arguments.end(), {&tensor.data, &tensor.strides[0], &tensor.strides[1], &tensor.strides[2]});
    arguments.push_back(&tokens);
  }
  Tensor out = sliceBatches(args.out, firstBatch, numBatches);
  Tensor lse = args.lse ? sliceBatches(*args.lse, firstBatch, numBatches) : Tensor{nullptr, DType::F32, {}, {0, 0, 0}};
  Tensor bias = args.bias ? broadcast(sliceBatches(*args.bias, firstBatch, numBatches))
                          : Tensor{nullptr, DType::F32, {}, {0, 0, 0}};
  void *memory[] = {out.data, lse.data, bias.data};
  int64_t strides[] = {out.strides[0], out.strides[1], out.strides[2], lse.strides[0], lse.strides[1], lse.strides[2],
                       bias.strides[0], bias.strides[1], bias.strides[2]};
  DevicePointer tables[] = {lists.items.get(),    lists.entries.get(), ticketFor(stream),      queryBlocks.get(),
                            keyBlocks.get(),      columnMasks.get(),   rowTokens.get(),        queryCoordinates.get(),
                            keyCoordinates.get(), keyTokens.get()};
  uint32_t numItems = lists.numItems;
  std::array<int32_t, AttendArgs::kMaxParameters> values;

  // In the order of the generator's KernelArg.
  arguments.insert(arguments.end(), {&memory[0],  &strides[0], &strides[1], &strides[2], &memory[1], &strides[3],
                                     &strides[4], &strides[5], &tables[0],  &tables[1],  &tables[2], &numItems,
                                     &tables[3],  &tables[4],  &tables[5],  &tables[6],  &tables[7], &tables[8],
                                     &memory[2],  &strides[6], &strides[7], &strides[8], &tables[9]});
  for (size_t i = 0; i < parameters.size(); ++i) {
    values[i] = static_cast<int32_t>(parameters[i]);
    arguments.push_back(&values[i]);
  }
  unsigned ctas = std::min<int64_t>(numItems * parts.queryParts, gpu->multiprocessors * parts.ctasPerSM);
  return gpu->driver.check(gpu->driver.launch(function, ctas, 1, 1, static_cast<unsigned>(parts.threads), 1, 1,
                                              static_cast<unsigned>(parts.sharedBytes), stream, arguments.data(),
                                              nullptr),
                           "cuLaunchKernel");
}

Status GPUKernel::launch(const RunArgs &args, Stream stream) const {
  if (Status status = host.check(args); !status)
    return status;
  if (Status status = checkTensors(args); !status)
    return status;
  auto parameters = host.bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  auto source = host.resolveLists(args);
  if (!source)
    return source.status();
  Device::Scope scope(*gpu);
  if (!scope.status)
    return scope.status;
  int64_t batch = args.query.shape[0];
  bool joined = !parts.usesTensorMaps || ((!parts.query.tiled || joinsBatchAndHead(args.query)) &&
                (!parts.key.tiled || (joinsBatchAndHead(args.key) && joinsBatchAndHead(args.value))));
  int64_t step = joined ? batch : 1;
  for (int64_t first = 0; first < batch; first += step) {
    auto onDevice = listsOnDevice(*source, first, step, stream);
    if (!onDevice)
      return onDevice.status();
    if (Status status = launchBatches(args, *parameters, **onDevice, first, step, stream); !status)
      return status;
  }
  return Status::ok();
}
