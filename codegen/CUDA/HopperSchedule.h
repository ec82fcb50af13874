// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tile sizes, stages, warpgroups, registers and shared memory of a Hopper kernel.

#ifndef WEFT_CODEGEN_CUDA_HOPPERSCHEDULE_H
#define WEFT_CODEGEN_CUDA_HOPPERSCHEDULE_H

#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <optional>
#include <string>

namespace weft::cuda {

/// What a kernel is asked for, as far as the schedule depends on it.
struct HopperProblem {
  int64_t headDim = 128;
  /// Tokens of the largest query and key block.
  int64_t queryTokens = 128, keyTokens = 128;
  /// Coordinates of a token that the predicate reads: 0 without a predicate, at most 4.
  int64_t queryAxes = 0, keyAxes = 0;
  /// A number per key is added to its scores.
  bool hasBias = false;
  /// Tokens of a key block that nothing cuts short.
  int64_t usualKeyTokens = 128;
  /// Partial blocks come with bits.
  bool readsMaskBits = false;
  /// What a whole turn of all CTAs leaves is cut into pieces: see ItemPieces.h.
  bool cutsItems = true;
};

/// Barriers of the pipeline: the first of each kind, in units of 8 bytes. Two of each.
enum class Barrier : int64_t { FullQuery = 0, EmptyQuery = 2, FullKey = 4, FullValue = 6, EmptyKey = 8, EmptyValue = 10, FullItem = 12,
  Count = 14 };

/// How the work of one query block is cut.
///
/// A CTA has one producer warpgroup, which asks for the copies, and `consumers` warpgroups of 64 query rows each. Keys
/// and values pass through `kStages` stages, queries through one or two buffers, so that the next query block's first
/// scores run under this one's last product.
///
/// A tile of n tokens lies as groups of 64 channels, each n rows of 128 bytes with the 128-byte swizzle: 16-byte chunk
/// c of row r is at chunk c xor (r mod 8). Groups begin at multiples of 1024 bytes. Channels beyond the head dim are
/// zeros that the copy engine writes.
struct HopperSchedule {
  static constexpr int64_t kStages = 2;
  static constexpr int64_t kSharedLimit = 232448;
  static constexpr int64_t kRowBytes = 128;

  HopperProblem problem;
  int64_t consumers = 2;
  /// Buffers of a tile of queries: with one, the next item's queries are asked for when this one's last scores are there.
  int64_t queryBuffers = 2;
  /// Query rows and key columns of a tile.
  int64_t rows = 128, columns = 128;
  /// Groups of 64 channels, steps of 16 channels of the scores' product, channels of the output's.
  int64_t channelGroups = 2, depthSteps = 8, valueChannels = 128;
  /// Of the producer's and a consumer's threads.
  int64_t producerRegisters = 40, consumerRegisters = 232;
  /// Whether a warp looks first if a maximum has changed before it corrects its accumulator. It pays where the rest of a
  /// step is short.
  bool correctsRarely = false;
  /// CTAs of a multiprocessor between which its registers are divided, and how many run there: shared memory may allow
  /// fewer.
  int64_t registerCTAs = 1, ctasPerSM = 1;

  /// Byte offsets in shared memory.
  int64_t queryOffset = 0, keyOffset = 0, valueOffset = 0, queryCoordinatesOffset = 0, keyCoordinatesOffset = 0,
          biasOffset = 0, onesOffset = 0, maskBitsOffset = 0, maskOffset = 0, flagOffset = 0, itemOffset = 0, shareOffset = 0, notesOffset = 0, barrierOffset = 0, sharedBytes = 0;

  int64_t threads() const { return 128 * (consumers + 1); }
  /// Columns that hold a token in a usual block; 0 if these are all.
  int64_t usualColumns() const { return problem.usualKeyTokens < columns ? problem.usualKeyTokens : 0; }
  int64_t queryBytes() const { return rows * kRowBytes * channelGroups; }
  int64_t keyBytes() const { return columns * kRowBytes * channelGroups; }
  /// Coordinates of one tile, axis by axis.
  int64_t queryCoordinateBytes() const { return problem.queryAxes * rows * 4; }
  int64_t keyCoordinateBytes() const { return problem.keyAxes * columns * 4; }
  /// A bit per pair of a tile, of which each row has room for 128.
  int64_t maskBitsBytes() const { return problem.readsMaskBits ? rows * 16 : 0; }
  /// A tile of 16 channels of bf16 beside the keys' own: see KeyBias.h.
  int64_t biasBytes() const { return problem.hasBias ? columns * 32 : 0; }
  /// The same beside the queries'.
  int64_t onesBytes() const { return problem.hasBias ? 64 * 32 : 0; }
  /// What warps note of pieces: see PieceStore.
  int64_t notesBytes() const { return problem.cutsItems ? rows / 16 * 128 : 0; }

  /// Most tokens of a query block for a head dim, and most of a key block beside query blocks of that size.
  static int64_t mostQueries(int64_t headDim) { return headDim <= 128 ? 192 : 128; }
  static int64_t mostKeys(int64_t headDim, int64_t queryTokens);

  /// The schedule for a problem; on failure `error` says which limit it exceeds.
  static std::optional<HopperSchedule> choose(const HopperProblem &problem, std::string &error);
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_HOPPERSCHEDULE_H
