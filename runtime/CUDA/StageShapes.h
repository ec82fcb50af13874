// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the kernels beside the attention are launched: what their code and the runtime agree on.

#ifndef WEFT_RUNTIME_CUDA_STAGESHAPES_H
#define WEFT_RUNTIME_CUDA_STAGESHAPES_H

#include <cstdint>

namespace weft::rt::cuda {

/// A CTA per pool and pair; 16-byte chunks of a row are of one thread each, and the rows are dealt to groups of threads.
struct PoolShape {
  static constexpr int64_t kThreads = 256;
  /// CTAs between which a multiprocessor's registers are divided: enough for what a thread waits for at once.
  static constexpr int64_t kCTAs = 4;
  int64_t headDim, elementBytes;

  int64_t chunks() const { return headDim * elementBytes / 16; }
  int64_t groups() const { return kThreads / chunks(); }
  int64_t sharedBytes() const { return groups() * headDim * 4; }
};

/// A CTA per tile of the scores of a pair's query pools and key pools.
struct ScoreShape {
  static constexpr int64_t kThreads = 128, kTile = 64;
  /// CTAs between which a multiprocessor's registers are divided.
  static constexpr int64_t kCTAs = 4;
  /// Channels of a step. A side of a tile has them in shared memory for two steps.
  static constexpr int64_t kChannels = 32, kSideBytes = kTile * kChannels * 4, kSharedBytes = 4 * kSideBytes;

  static constexpr int64_t tilesOf(int64_t pools) { return (pools + kTile - 1) / kTile; }
  /// Numbers from one row of all scores to the next: two are stored at once.
  static constexpr int64_t rowPitch(int64_t keyBlocks) { return (keyBlocks + 1) / 2 * 2; }
};

/// A warp per row of scores.
struct SelectShape {
  static constexpr int64_t kThreads = 128, kRows = 4;
};

/// One CTA that sorts items by the lengths of their lists.
struct SortShape {
  static constexpr int64_t kThreads = 1024;
  /// Shared memory: for sums over the threads, and behind it a counter for each length.
  static constexpr int64_t kScanBytes = 4 * 32;
  static constexpr int64_t sharedBytes(int64_t keyBlocks) { return kScanBytes + 4 * (keyBlocks + 1); }
};

/// CTAs that share the rows of a pair, and one that plans their tiles.
struct RowShape {
  static constexpr int64_t kThreads = 256, kParts = 64, kPlanThreads = 1024;
};

/// Pieces of items in memory: a counter per item that is cut and tile; then tiles of 16 rows, of which each lane of a warp
/// has `headDim` / 2 numbers and four for its two rows.
struct PieceShape {
  /// Most items that are cut, and most pieces for each of a launch's CTAs.
  static constexpr int64_t kMostItems = 1024, kPiecesPerCTA = 2;
  /// Four numbers of each lane.
  static constexpr int64_t kQuadBytes = 32 * 16;
  int64_t tiles, headDim;

  int64_t tileBytes() const { return (headDim / 8 + 1) * kQuadBytes; }
  int64_t pieceBytes() const { return tiles * tileBytes(); }
  int64_t counterBytes() const { return kMostItems * tiles * 4; }
  int64_t bytes(int64_t ctas) const { return counterBytes() + ctas * kPiecesPerCTA * pieceBytes(); }
};

/// A CTA per tile of bits.
struct MaskStageShape {
  static constexpr int64_t kThreads = 256;
};

/// Stages that read rows of channels: a CTA has groups of neighbouring lanes, each lane of a group takes 16 bytes of its
/// row, and more than 32 such chunks in two passes.
struct RowGroupShape {
  static constexpr int64_t kThreads = 256;
  int64_t headDim, elementBytes;

  int64_t chunks() const { return headDim * elementBytes / 16; }
  int64_t lanes() const {
    int64_t lanes = 1;
    while (lanes < chunks() && lanes < 32)
      lanes *= 2;
    return lanes;
  }
  int64_t passes() const { return (chunks() + lanes() - 1) / lanes(); }
  int64_t groups() const { return kThreads / lanes(); }
};

/// A group of lanes for each few tokens, whose rows it copies.
struct SpreadShape {
  static constexpr int64_t kEach = 4;
};

/// A CTA per key block and pair that fills merged keys: in shared memory, numbers of each that stays; where they go, and how
/// many they are.
struct FillShape {
  static constexpr int64_t kNotes = 3;
  int64_t columns;

  int64_t placeOffset() const { return kNotes * columns * 4; }
  int64_t sharedBytes() const { return placeOffset() + 8; }
};

/// A warp per list of a pool.
struct ListShape {
  static constexpr int64_t kThreads = 256, kLists = 8;
};

/// A CTA per key block and pair, a thread per key; one per pair that plans its merged blocks.
struct MergeShape {
  static constexpr int64_t kThreads = 128, kPlanThreads = 1024;
};

/// A thread per word of bits; a CTA per pair that adds up recalls, and a thread per list of a chosen candidate.
struct RecognitionShape {
  static constexpr int64_t kBitThreads = 256, kChooseThreads = 1024, kListThreads = 256;
  /// An f64 of each warp.
  static constexpr int64_t kChooseBytes = kChooseThreads / 32 * 8;
};

/// A thread per token; then one CTA for each batch element selects, each warp in tokens of its own.
struct RowSelectionShape {
  static constexpr int64_t kThreads = 256, kSelectThreads = 1024, kWarps = kSelectThreads / 32;
  /// Tokens that a lane looks at together.
  static constexpr int64_t kEach = 4;
  /// A counter per digit.
  static constexpr int64_t kSelectBytes = 256 * 4;
  int64_t tokens;

  /// A multiple of what a warp looks at together.
  int64_t tokensPerWarp() const {
    constexpr int64_t step = 32 * kEach;
    return (tokens + kWarps * step - 1) / (kWarps * step) * step;
  }
  /// Tokens with those that are there for the last warps alone.
  int64_t padded() const { return kWarps * tokensPerWarp(); }
};

/// A warp per token or row.
struct DriftShape {
  static constexpr int64_t kThreads = 256, kWarps = kThreads / 32;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_STAGESHAPES_H
