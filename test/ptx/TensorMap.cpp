// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The rules of tensor maps, and the geometry of boxes.

#include "test/ptx/TensorMap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

using namespace weft::ptx;

constexpr uint32_t kDataTypes = 13;

uint32_t TensorMap::elementBytes() const {
  // U8 U16 U32 S32 U64 S64 F16 F32 F64 BF16 F32_FTZ TF32 TF32_FTZ.
  constexpr uint8_t kSizes[kDataTypes] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return kSizes[dataType];
}

uint32_t TensorMap::boxBytes() const {
  uint32_t bytes = elementBytes();
  for (uint32_t dimension = 0; dimension < rank; ++dimension)
    bytes *= box[dimension];
  return bytes;
}

static std::string invalidDimension(const TensorMap &map, uint32_t at) {
  if (map.extents[at] == 0 || map.extents[at] > uint64_t(1) << 32)
    return fmt::format("expected an extent from 1 to 2^32 in dimension {}, but got {}", at, map.extents[at]);
  if (map.box[at] == 0 || map.box[at] > 256)
    return fmt::format("expected a box extent from 1 to 256 in dimension {}, but got {}", at, map.box[at]);
  if (map.elementStrides[at] == 0 || map.elementStrides[at] > 8)
    return fmt::format("expected an element stride from 1 to 8 in dimension {}, but got {}", at,
                       map.elementStrides[at]);
  if (at && (map.strides[at] % (map.interleave == 2 ? 32 : 16) || map.strides[at] >= uint64_t(1) << 40))
    return fmt::format("expected a stride that is a multiple of {} below 2^40 in dimension {}, but got {}",
                       map.interleave == 2 ? 32 : 16, at, map.strides[at]);
  return {};
}

std::string TensorMap::invalid() const {
  if (dataType >= kDataTypes)
    return fmt::format("unknown data type {}", dataType);
  if (rank < 1 || rank > 5)
    return fmt::format("expected a rank from 1 to 5, but got {}", rank);
  if (interleave > 2 || static_cast<uint32_t>(swizzle) > 3 || promotion > 3 || fill > 1)
    return "unknown interleave, swizzle, promotion or fill";
  if (interleave && rank < 3)
    return "an interleaved layout needs a rank of at least 3";
  if (!base || base % (interleave == 2 ? 32 : 16))
    return fmt::format("expected an address that is a multiple of {}, but got {:#x}", interleave == 2 ? 32 : 16, base);
  for (uint32_t at = 0; at < rank; ++at)
    if (std::string problem = invalidDimension(*this, at); !problem.empty())
      return problem;
  uint32_t inner = box[0] * elementBytes();
  if (!interleave && inner % 16)
    return fmt::format("expected a box whose rows are a multiple of 16 bytes, but got {}", inner);
  constexpr uint32_t kSpans[] = {~0u, 32, 64, 128};
  if (!interleave && inner > kSpans[static_cast<uint32_t>(swizzle)])
    return fmt::format("expected box rows of at most {} bytes with this swizzle, but got {}",
                       kSpans[static_cast<uint32_t>(swizzle)], inner);
  if (interleave == 2 && swizzle != Swizzle::Span32)
    return "the 32-byte interleaved layout needs the 32-byte swizzle";
  bool isFloat = dataType == 6 || dataType >= 7;
  if (fill && !isFloat)
    return "only floating-point elements can be filled with NaN";
  if (boxBytes() > 232448)
    return fmt::format("a box of {} bytes does not fit into shared memory", boxBytes());
  return {};
}

/// How the opaque bytes are laid out here.
namespace {
struct Encoded {
  uint64_t magic, base, extents[5], strides[4];
  uint16_t box[5];
  uint8_t dataType, rank, swizzle, interleave, fill, unused;
  uint64_t check;
};
} // namespace
static_assert(sizeof(Encoded) <= TensorMap::kBytes);
constexpr uint64_t kMagic = 0x50414d5446455754;

static uint64_t checksum(const Encoded &encoded) {
  uint64_t sum = 0xcbf29ce484222325;
  for (size_t at = 0; at < offsetof(Encoded, check); ++at)
    sum = (sum ^ reinterpret_cast<const uint8_t *>(&encoded)[at]) * 0x100000001b3;
  return sum;
}

void TensorMap::encode(uint8_t *bytes) const {
  Encoded encoded;
  std::memset(&encoded, 0, sizeof encoded);
  encoded.magic = kMagic;
  encoded.base = base;
  for (uint32_t at = 0; at < rank; ++at) {
    encoded.extents[at] = extents[at];
    encoded.box[at] = static_cast<uint16_t>(box[at]);
    if (at)
      encoded.strides[at - 1] = strides[at];
  }
  encoded.dataType = static_cast<uint8_t>(dataType);
  encoded.rank = static_cast<uint8_t>(rank);
  encoded.swizzle = static_cast<uint8_t>(swizzle);
  encoded.interleave = static_cast<uint8_t>(interleave);
  encoded.fill = static_cast<uint8_t>(fill);
  encoded.check = checksum(encoded);
  std::memset(bytes, 0, kBytes);
  std::memcpy(bytes, &encoded, sizeof encoded);
}

std::optional<TensorMap> TensorMap::decode(const uint8_t *bytes) {
  Encoded encoded;
  std::memcpy(&encoded, bytes, sizeof encoded);
  if (encoded.magic != kMagic || encoded.check != checksum(encoded))
    return std::nullopt;
  TensorMap map;
  map.dataType = encoded.dataType;
  map.rank = encoded.rank;
  map.base = encoded.base;
  map.swizzle = static_cast<Swizzle>(encoded.swizzle);
  map.interleave = encoded.interleave;
  map.fill = encoded.fill;
  for (uint32_t at = 0; at < map.rank; ++at) {
    map.extents[at] = encoded.extents[at];
    map.box[at] = encoded.box[at];
    map.strides[at] = at ? encoded.strides[at - 1] : map.elementBytes();
  }
  return map;
}

std::vector<Piece> TensorMap::pieces(uint32_t shared, const std::array<int32_t, 5> &coordinates) const {
  std::vector<Piece> result;
  uint32_t size = elementBytes(), perChunk = 16 / size, rows = boxBytes() / (box[0] * size);
  result.reserve(boxBytes() / 16);
  uint32_t place = shared;
  for (uint32_t row = 0; row < rows; ++row) {
    uint64_t global = base;
    bool inside = true;
    for (uint32_t dimension = 1, rest = row; dimension < rank; rest /= box[dimension++]) {
      int64_t at = int64_t(coordinates[dimension]) + rest % box[dimension];
      inside &= at >= 0 && at < static_cast<int64_t>(extents[dimension]);
      global += static_cast<uint64_t>(at) * strides[dimension];
    }
    for (uint32_t first = 0; first < box[0]; first += perChunk, place += 16) {
      int64_t begin = int64_t(coordinates[0]) + first, end = begin + perChunk;
      int64_t from = std::max<int64_t>(begin, 0), to = std::min<int64_t>(end, static_cast<int64_t>(extents[0]));
      Piece piece;
      piece.shared = weft::ptx::swizzle(place, swizzle);
      piece.span = 16;
      if (inside && from < to) {
        piece.first = static_cast<uint16_t>((from - begin) * size);
        piece.bytes = static_cast<uint16_t>((to - from) * size);
        piece.global = global + static_cast<uint64_t>(from) * size;
      }
      result.push_back(piece);
    }
  }
  return result;
}
