// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled GPU kernel: what it expects, and how it is launched.

#ifndef WEFT_RUNTIME_CUDA_GPUKERNEL_H
#define WEFT_RUNTIME_CUDA_GPUKERNEL_H

#include "runtime/CUDA/Device.h"
#include "runtime/Kernel.h"

#include <array>
#include <map>
#include <mutex>
#include <unordered_map>

namespace weft::rt::cuda {

/// How a sequence of tokens lies in its tensor, and how blocks of it are copied.
struct SequenceLayout {
  int64_t t = 1, h = 1, w = 1, text = 0;
  bool textFirst = false;
  /// The box of a video block, if the order is tiled; else blocks are runs.
  bool tiled = false;
  std::array<int64_t, 3> box = {1, 1, 1};

  int64_t video() const { return t * h * w; }
};

/// Everything a GPU kernel is: the host's part without code, PTX and tables.
struct GPUKernelImage {
  KernelImage host;
  std::string ptx;
  /// Machine code, if there is any; loaded instead of the PTX where the driver takes it.
  std::string cubin;
  /// Compute capability that the code is for: 90 for sm_90a. Unless `isSpecific`, later ones run it too.
  int64_t capability = 0;
  bool isSpecific = false;
  /// Operands are tensor maps; else addresses, strides and `keyTokens`.
  bool usesTensorMaps = true;
  /// Items that each query block of a list is.
  int64_t queryParts = 1;
  /// Query rows and key columns of a tile, threads of a CTA, CTAs of a multiprocessor, and shared memory in bytes.
  int64_t rows = 0, columns = 0, threads = 0, ctasPerSM = 1, sharedBytes = 0;
  SequenceLayout query, key;
  /// Per block four numbers: where its copy begins (w, h, t, or the first token of its segment), and
  /// 2 * column mask + is text.
  std::vector<int32_t> queryBlocks, keyBlocks;
  /// Per class of blocks 128 bits: which columns of the tile hold a token. Class 0 holds all.
  std::vector<int32_t> columnMasks;
  /// The token of each row of each query tile, or -1.
  std::vector<int32_t> rowTokens;
  /// Likewise of each column of each key tile; empty with tensor maps and without a bias.
  std::vector<int32_t> keyTokens;
  /// Coordinates that the predicate reads: per block, axis and row of the tile.
  std::vector<int32_t> queryCoordinates, keyCoordinates;
};

/// A kernel on a device. Thread-safe.
class GPUKernel {
public:
  /// Checks the device, hands the PTX to the driver's compiler and uploads the tables.
  static Result<std::shared_ptr<const GPUKernel>> load(std::shared_ptr<const Device> device, GPUKernelImage image);
  ~GPUKernel();

  const KernelImage &image() const { return host.image(); }
  const Device &device() const { return *gpu; }

  /// Checks every argument, then enqueues the kernel; on error nothing was enqueued. As Kernel::run, but tensors are
  /// memory of the device, their strides multiples of 16 bytes, and their addresses too. Block lists that are new to
  /// the kernel are copied to the device; with known ones a launch neither allocates nor waits, and may be captured, as
  /// long as the kernel outlives the graph. Given lists are known if `args.lists` names what resolveLists() made of them.
  Status launch(const RunArgs &args, Stream stream) const;

  /// The lists that a call with these arguments visits.
  Result<std::shared_ptr<const BlockLists>> resolveLists(const RunArgs &args) const {
    return host.resolveLists(args);
  }

private:
  /// Lists on the device for some batch size.
  struct DeviceLists {
    std::shared_ptr<const BlockLists> source;
    /// Batch elements, from the first on.
    int64_t first, batch;
    DeviceMemory items, entries;
    uint32_t numItems;
    /// A graph may use them at any time: they stay.
    mutable bool captured = false;
  };

  GPUKernel(std::shared_ptr<const Device> device, GPUKernelImage image);
  Status initialize();
  Status loadCode();
  Status loadModule();
  Status uploadTables();
  Status checkTensors(const RunArgs &args) const;
  Result<std::shared_ptr<const DeviceLists>> listsOnDevice(std::shared_ptr<const BlockLists> lists, int64_t first,
                                                           int64_t batch, Stream stream) const;
  bool isCapturing(Stream stream) const;
  void dropOldLists() const;
  Result<std::shared_ptr<const DeviceLists>> uploadLists(std::shared_ptr<const BlockLists> lists, int64_t first,
                                                         int64_t batch, Stream stream) const;
  DevicePointer ticketFor(Stream stream) const;
  /// The first arguments of a kernel that takes tensor maps.
  Result<std::vector<TensorMap>> makeMaps(const Tensor &query, const Tensor &key, const Tensor &value) const;
  Status launchBatches(const RunArgs &args, const std::vector<int64_t> &parameters, const DeviceLists &lists,
                       int64_t firstBatch, int64_t numBatches, Stream stream) const;

  std::shared_ptr<const Device> gpu;
  GPUKernelImage parts;
  Kernel host;
  Module module = nullptr;
  Function function = nullptr;
  DeviceMemory queryBlocks, keyBlocks, columnMasks, rowTokens, keyTokens, queryCoordinates, keyCoordinates,
      tickets;

  static constexpr size_t kMaxLists = 64;
  static constexpr size_t kNumTickets = 1024;
  mutable std::mutex mutex;
  mutable std::list<std::shared_ptr<const DeviceLists>> lists;
  mutable std::unordered_map<Stream, size_t> ticketOfStream;
  mutable size_t nextTicket = 0;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_GPUKERNEL_H
