// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The pool of working memory.

#include "runtime/Workspace.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

using namespace weft::rt;

namespace {

struct Buffer {
  std::byte *memory;
  size_t capacity;
};

/// Free buffers; the smallest are dropped beyond a few.
struct Pool {
  std::mutex mutex;
  std::vector<Buffer> free;
  static constexpr size_t kMaxBuffers = 4;
};

Pool &pool() {
  static Pool *instance = new Pool; // never destroyed: kernels may run in other threads at exit
  return *instance;
}

} // namespace

Workspace::Workspace(size_t bytes) {
  {
    std::lock_guard lock(pool().mutex);
    auto &free = pool().free;
    auto best = free.end();
    for (auto it = free.begin(); it != free.end(); ++it)
      if (it->capacity >= bytes && (best == free.end() || it->capacity < best->capacity))
        best = it;
    if (best != free.end()) {
      memory = best->memory, capacity = best->capacity;
      free.erase(best);
      return;
    }
  }
  capacity = (std::max<size_t>(bytes, 1) + 4095) / 4096 * 4096;
  memory = static_cast<std::byte *>(std::aligned_alloc(4096, capacity));
}

Workspace::~Workspace() {
  if (!memory)
    return;
  Buffer dropped{memory, capacity};
  {
    std::lock_guard lock(pool().mutex);
    auto &free = pool().free;
    free.push_back(dropped);
    if (free.size() <= Pool::kMaxBuffers)
      return;
    auto smallest =
        std::min_element(free.begin(), free.end(), [](auto &a, auto &b) { return a.capacity < b.capacity; });
    dropped = *smallest;
    free.erase(smallest);
  }
  std::free(dropped.memory);
}

size_t Workspace::pooledBytes() {
  std::lock_guard lock(pool().mutex);
  size_t bytes = 0;
  for (const Buffer &buffer : pool().free)
    bytes += buffer.capacity;
  return bytes;
}

void Workspace::trim() {
  std::lock_guard lock(pool().mutex);
  for (const Buffer &buffer : pool().free)
    std::free(buffer.memory);
  pool().free.clear();
}
