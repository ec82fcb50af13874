// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tile sizes, warps and shared memory of a kernel of mma.sync.

#ifndef WEFT_CODEGEN_CUDA_MMASCHEDULE_H
#define WEFT_CODEGEN_CUDA_MMASCHEDULE_H

#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <optional>
#include <string>

namespace weft::cuda {

/// What a kernel is asked for, as far as the schedule depends on it.
struct MMAProblem {
  int64_t headDim = 128;
  /// 2 for bf16 and f16, 4 for f32.
  int64_t elementBytes = 2;
  /// Tokens of the largest query and key block.
  int64_t queryTokens = 128, keyTokens = 128;
  /// A number per key is added to its scores.
  bool hasBias = false;
};

/// How the work of one query block is cut.
///
/// A CTA is `warps` warps of `rowTiles` tiles of 16 query rows each, and takes one part of a query block; keys and
/// values pass through `kStages` stages of `columns` keys, so a key block may be several steps.
///
/// A tile of n tokens lies as groups of 128 bytes of channels, each n rows of 128 bytes, where 16-byte chunk c of row r
/// is at chunk c xor (r mod 8): eight rows of one chunk, which ldmatrix reads at once, are in different banks.
struct MMASchedule {
  static constexpr int64_t kStages = 2;
  /// 99 KiB: what a CTA can have on every GPU from sm_80 on.
  static constexpr int64_t kSharedLimit = 101376;
  static constexpr int64_t kRowBytes = 128;
  /// Most tokens of a query block and of a key block.
  static constexpr int64_t kMostQueries = 256, kMostKeys = 128;

  MMAProblem problem;
  int64_t rowTiles = 2, warps = 4, columns = 64;
  /// Parts of a query block and of a key block.
  int64_t queryParts = 1, keyParts = 1;
  /// Groups of 128 bytes of a row, and steps of 32 bytes of the scores' product.
  int64_t channelGroups = 2, depthSteps = 8;
  /// CTAs between which a multiprocessor's registers are divided, and how many its memory takes on the largest GPUs.
  int64_t registerCTAs = 2, ctasPerSM = 2;
  /// Byte offsets in shared memory.
  int64_t queryOffset = 0, keyOffset = 0, valueOffset = 0, biasOffset = 0, ticketOffset = 0, sharedBytes = 0;

  int64_t threads() const { return 32 * warps; }
  int64_t rows() const { return 16 * rowTiles * warps; }
  int64_t blockRows() const { return rows() * queryParts; }
  int64_t blockColumns() const { return columns * keyParts; }
  int64_t queryBytes() const { return rows() * kRowBytes * channelGroups; }
  int64_t keyBytes() const { return columns * kRowBytes * channelGroups; }
  /// An f32 per key.
  int64_t biasBytes() const { return problem.hasBias ? columns * 4 : 0; }
  /// Registers of a thread that live through a step: output, scores, and weights or fragments.
  int64_t liveRegisters() const;

  /// A schedule of these tiles, whether or not an attention's operands fit.
  static MMASchedule of(const MMAProblem &problem, int64_t rowTiles, int64_t warps, int64_t columns);

  /// The schedule for a problem; on failure `error` says which limit it exceeds. `wanted` is a variant to measure:
  /// row tiles, warps and columns as "2x4x64"; empty for the best known.
  static std::optional<MMASchedule> choose(const MMAProblem &problem, llvm::StringRef wanted, std::string &error);
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_MMASCHEDULE_H
