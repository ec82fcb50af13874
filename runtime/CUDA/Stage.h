// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels that run before an attention, and what they leave for it.

#ifndef WEFT_RUNTIME_CUDA_STAGE_H
#define WEFT_RUNTIME_CUDA_STAGE_H

#include "runtime/CUDA/Device.h"

#include <array>
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
};

/// Where each list is: by set and pool the first entry and the number of entries; and by set the pool of each query block.
struct ListRanges {
  DevicePointer ranges = 0, poolOf = 0;
  int64_t rangeSets = 1, poolSets = 1, pools = 0;
};

/// A function of a kernel's module.
class Stage {
public:
  static Result<Stage> find(const Device &device, Module module, const std::string &name);

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
  std::string name;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_STAGE_H
