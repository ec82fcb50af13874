// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels that run before an attention, and what they leave for it.

#ifndef WEFT_RUNTIME_CUDA_STAGE_H
#define WEFT_RUNTIME_CUDA_STAGE_H

#include "runtime/CUDA/Device.h"
#include "runtime/Tensor.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace weft::rt::cuda {

/// What an attention kernel walks: in memory of the device.
struct WorkList {
  /// Per item the tile of queries, batch * heads + head, the first entry of its list and their number.
  DevicePointer items = 0, numItems = 0, entries = 0;
  /// Tokens of the rows of each tile, and their coordinates.
  DevicePointer rowTokens = 0, queryCoordinates = 0;
  /// Items at most.
  int64_t mostItems = 0;
  /// Bits of partial blocks, where the kernel reads some.
  DevicePointer maskIndex = 0, maskBits = 0;
  /// Of merged keys: what the kernel has tables for itself otherwise.
  DevicePointer keyBlocks = 0, keyTokens = 0, keyCoordinates = 0;
};

/// What an attention reads: a call's tensors, or what reuse made of them.
struct AttentionOperands {
  Tensor query, key, value;
  std::optional<Tensor> bias;
};

/// Where each list is: by set and pool the first entry and the number of entries; and by set the pool of each query block.
struct ListRanges {
  DevicePointer ranges = 0, poolOf = 0;
  int64_t rangeSets = 1, poolSets = 1, pools = 0;
  /// How key blocks form pools, see KeyPlaces; 0 if each is one.
  DevicePointer keyPlaces = 0;
  int64_t keyPlaceSets = 1;
};

/// Places of key blocks, in which those of a pool are neighbours: five tables [sets, key blocks].
struct KeyPlaces {
  DevicePointer tables = 0;
  int64_t sets = 1, blocks = 0;

  /// By block: its place, and the first place of its pool.
  DevicePointer placeOf() const { return tables; }
  DevicePointer baseOf() const { return table(1); }
  /// By place: its block, the first place of its pool, and the first one behind it.
  DevicePointer blockAt() const { return table(2); }
  DevicePointer baseAt() const { return table(3); }
  DevicePointer endAt() const { return table(4); }

private:
  DevicePointer table(int64_t number) const { return tables + 4 * number * sets * blocks; }
};

/// A kernel's code on a device.
struct Code {
  Module module = nullptr;
  /// Whether every function waits for those launched before it, so that it may start while they end.
  bool waits = false;
};

/// A function of a kernel's code.
class Stage {
public:
  static Result<Stage> find(const Device &device, const Code &code, const std::string &name);

  /// Enqueues it with arguments of the types that the function has.
  template <typename... Args>
  Status launch(std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes, Stream stream, Args... args) const {
    void *pointers[] = {&args...};
    return launch(grid, threads, sharedBytes, stream, pointers);
  }
  /// The same with their addresses.
  Status launch(std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes, Stream stream,
                std::vector<void *> &arguments) const {
    return launch(grid, threads, sharedBytes, stream, arguments.data());
  }

  /// Must be called once for more than 48 KiB of shared memory.
  Status reserveShared(int64_t bytes) const;

private:
  Status launch(std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes, Stream stream,
                void **arguments) const;

  const Driver *driver = nullptr;
  Function function = nullptr;
  bool mayOverlap = false;
  std::string name;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_STAGE_H
