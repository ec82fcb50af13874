// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Working memory of launches on a device.

#ifndef WEFT_RUNTIME_CUDA_SCRATCH_H
#define WEFT_RUNTIME_CUDA_SCRATCH_H

#include "runtime/CUDA/Device.h"

#include <list>
#include <mutex>

namespace weft::rt::cuda {

/// Arrays in one piece of memory, each at a multiple of 256 bytes.
class ScratchLayout {
public:
  /// Room for `count` numbers of 32 bits; returns its offset in bytes.
  size_t add(size_t count);
  size_t bytes() const { return end; }

private:
  size_t end = 0;
};

/// A piece of memory per stream: launches of one stream follow one another. Thread-safe.
class ScratchPool {
public:
  /// What new memory holds: anything, or zeros.
  enum Contents { kAnything, kZeros };
  explicit ScratchPool(std::shared_ptr<const Device> device, Contents contents = kAnything)
      : device(std::move(device)), contents(contents) {}

  /// At least `bytes` bytes for launches on `stream`. A stream that is being captured takes what its last launch used
  /// away with it, since its graph may run at any time; then nothing is allocated, and there must be such memory.
  Result<DevicePointer> get(Stream stream, size_t bytes, bool isCaptured);

private:
  struct Piece {
    Stream stream;
    size_t bytes;
    DeviceMemory memory;
    bool isCaptured;
  };
  static constexpr size_t kMaxPieces = 16;

  void dropOldest();

  std::shared_ptr<const Device> device;
  Contents contents;
  std::mutex mutex;
  /// The latest first.
  std::list<Piece> pieces;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_SCRATCH_H
