// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor maps: how a box of a tensor in device memory lies in shared memory.
//
// A box is dense in shared memory, its first dimension fastest. A swizzle then exchanges 16-byte chunks within groups
// of eight rows so that a column of chunks meets all banks: bits 4.. of the address are exclusive-or'ed with as many
// bits from 7 on, three for 128-byte rows, two for 64, one for 32. It acts on the address itself, not on the offset.

#ifndef WEFT_TEST_PTX_TENSORMAP_H
#define WEFT_TEST_PTX_TENSORMAP_H

#include "test/ptx/Async.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace weft::ptx {

enum class Swizzle : uint32_t { None, Span32, Span64, Span128 };

/// The swizzled place of a shared address.
inline uint32_t swizzle(uint32_t address, Swizzle mode) {
  uint32_t mask = (1u << static_cast<uint32_t>(mode)) - 1;
  return address ^ (address >> 7 & mask) << 4;
}

/// What cuTensorMapEncodeTiled is told; numbers as the driver defines them.
struct TensorMap {
  uint32_t dataType = 0, rank = 0;
  uint64_t base = 0;
  /// In elements, and in bytes from the second dimension on.
  std::array<uint64_t, 5> extents = {}, strides = {};
  std::array<uint32_t, 5> box = {}, elementStrides = {};
  uint32_t interleave = 0;
  Swizzle swizzle = Swizzle::None;
  uint32_t promotion = 0, fill = 0;

  static constexpr uint32_t kBytes = 128;

  uint32_t elementBytes() const;
  uint32_t boxBytes() const;
  /// The documented rule that these values break, or empty.
  std::string invalid() const;
  /// To and from the 128 opaque bytes; nothing if they are no tensor map.
  void encode(uint8_t *bytes) const;
  static std::optional<TensorMap> decode(const uint8_t *bytes);
  /// The pieces of a copy of the box at these coordinates.
  std::vector<Piece> pieces(uint32_t shared, const std::array<int32_t, 5> &coordinates) const;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_TENSORMAP_H
