// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Working memory of kernel calls, kept for the next call.

#ifndef WEFT_RUNTIME_WORKSPACE_H
#define WEFT_RUNTIME_WORKSPACE_H

#include <cstddef>
#include <cstdint>
#include <memory>

namespace weft::rt {

/// A 64-byte aligned buffer that goes back to a pool when it dies: fresh memory would cost a page fault every 4 KiB.
class Workspace {
public:
  /// At least `bytes` bytes, of unspecified content; null data if there is no memory.
  explicit Workspace(size_t bytes);
  ~Workspace();
  Workspace(const Workspace &) = delete;
  Workspace &operator=(const Workspace &) = delete;

  std::byte *data() const { return memory; }

  /// Bytes that the pool holds for later calls.
  static size_t pooledBytes();
  /// Frees them.
  static void trim();

private:
  std::byte *memory = nullptr;
  size_t capacity = 0;
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_WORKSPACE_H
