// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Keeps memory by stream.

#include "runtime/CUDA/Scratch.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::rt;
using namespace weft::rt::cuda;

size_t ScratchLayout::add(size_t count) {
  constexpr size_t kAlignment = 256;
  size_t begin = end;
  end = (begin + count * sizeof(int32_t) + kAlignment - 1) / kAlignment * kAlignment;
  return begin;
}

Result<DevicePointer> ScratchPool::get(Stream stream, size_t bytes, bool isCaptured) {
  std::lock_guard lock(mutex);
  auto own = std::find_if(pieces.begin(), pieces.end(),
                          [&](const Piece &piece) { return piece.stream == stream && !piece.isCaptured; });
  if (own != pieces.end() && own->bytes >= bytes) {
    pieces.splice(pieces.begin(), pieces, own);
    own->isCaptured = isCaptured;
    return own->memory.get();
  }
  if (isCaptured)
    return Status::error(fmt::format("launch: expected {} bytes of working memory from an earlier launch on the stream, "
                                     "since it is being captured", bytes));
  auto made = DeviceMemory::allocate(device, bytes);
  if (!made)
    return made.status();
  if (contents == kZeros)
    if (int code = device->driver.fill32(made->get(), 0, (bytes + 3) / 4, stream))
      return device->driver.check(code, "cuMemsetD32Async");
  if (own != pieces.end())
    pieces.erase(own);
  pieces.push_front({stream, bytes, std::move(*made), false});
  dropOldest();
  return pieces.front().memory.get();
}

void ScratchPool::dropOldest() {
  for (auto piece = pieces.end(); pieces.size() > kMaxPieces && piece != pieces.begin();)
    if (!(--piece)->isCaptured)
      piece = pieces.erase(piece);
}
