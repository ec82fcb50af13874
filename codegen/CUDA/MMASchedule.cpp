// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses a schedule and lays out shared memory.

#include "codegen/CUDA/MMASchedule.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace weft::cuda;

int64_t MMASchedule::liveRegisters() const { return rowTiles * (problem.headDim / 2 + columns / 2); }

static void layOut(MMASchedule &s) {
  s.channelGroups = llvm::divideCeil(s.problem.headDim * s.problem.elementBytes, MMASchedule::kRowBytes);
  s.depthSteps = llvm::divideCeil(s.problem.headDim * s.problem.elementBytes, 32);
  s.queryParts = llvm::divideCeil(s.problem.queryTokens, s.rows());
  s.keyParts = llvm::divideCeil(s.problem.keyTokens, s.columns);
  s.keyOffset = s.queryBytes();
  s.valueOffset = s.keyOffset + MMASchedule::kStages * s.keyBytes();
  s.biasOffset = s.valueOffset + MMASchedule::kStages * s.keyBytes();
  s.ticketOffset = s.biasOffset + MMASchedule::kStages * s.biasBytes();
  s.sharedBytes = s.ticketOffset + 16;
  // A thread has at most 255 registers, of 65536. More CTAs than a smaller GPU holds only wait for their first ticket.
  s.registerCTAs = std::max<int64_t>(1, 256 / s.threads());
  s.ctasPerSM = std::min<int64_t>(s.registerCTAs, 228 * 1024 / (s.sharedBytes + 1024));
}

/// Copies take 8 lanes per row, so tiles are a multiple of threads / 8 rows.
MMASchedule MMASchedule::of(const MMAProblem &problem, int64_t rowTiles, int64_t warps, int64_t columns) {
  MMASchedule s;
  s.problem = problem, s.rowTiles = rowTiles, s.warps = warps, s.columns = columns;
  layOut(s);
  return s;
}

static bool fits(const MMASchedule &s) {
  // Addresses, sums, and the fragments under way take the rest of 255. At 192 ptxas spills some twenty words, and the
  // kernel is still 15 % faster than one with smaller tiles and none.
  constexpr int64_t mostLive = 192;
  return s.sharedBytes <= MMASchedule::kSharedLimit && s.liveRegisters() <= mostLive &&
         s.columns % (s.threads() / 8) == 0;
}

namespace {
struct Variant {
  int64_t rowTiles, warps, columns;
};
} // namespace

/// The best first. Two row tiles per warp share each fragment of keys and values: with one, shared memory delivers 128
/// bytes a cycle just as fast as the tensor cores of sm_80 take them, and slower than those of sm_90 do.
static constexpr Variant kVariants[] = {{2, 4, 64}, {1, 8, 64}, {1, 4, 64}, {1, 4, 32}, {1, 2, 32}, {1, 2, 16}};

static std::optional<Variant> parseVariant(llvm::StringRef text) {
  llvm::SmallVector<llvm::StringRef> parts;
  text.split(parts, 'x');
  Variant v;
  if (parts.size() != 3 || parts[0].getAsInteger(10, v.rowTiles) || parts[1].getAsInteger(10, v.warps) ||
      parts[2].getAsInteger(10, v.columns))
    return std::nullopt;
  bool isLegal = v.rowTiles >= 1 && v.rowTiles <= 2 && llvm::isPowerOf2_64(v.warps) && v.warps <= 8 &&
                 llvm::isPowerOf2_64(v.columns) && v.columns >= 16 && v.columns <= 128;
  return isLegal ? std::optional(v) : std::nullopt;
}

std::optional<MMASchedule> MMASchedule::choose(const MMAProblem &problem, llvm::StringRef wanted, std::string &error) {
  if (problem.headDim % 8 || problem.headDim < 8 || problem.headDim > 256) {
    error = "expected a head dim that is a multiple of 8 from 8 to 256 for GPUs, but got " +
            std::to_string(problem.headDim);
    return std::nullopt;
  }
  if (problem.queryTokens > kMostQueries || problem.keyTokens > kMostKeys) {
    error = "expected query blocks of at most " + std::to_string(kMostQueries) + " and key blocks of at most " +
            std::to_string(kMostKeys) + " tokens for GPUs, but got " + std::to_string(problem.queryTokens) + " and " +
            std::to_string(problem.keyTokens);
    return std::nullopt;
  }
  auto make = [&](Variant v) { return of(problem, v.rowTiles, v.warps, v.columns); };
  if (!wanted.empty()) {
    auto variant = parseVariant(wanted);
    std::optional<MMASchedule> s = variant ? std::optional(make(*variant)) : std::nullopt;
    if (s && fits(*s))
      return s;
    error = "WEFT_MMA_SCHEDULE: expected row tiles, warps and columns like 2x4x64 that fit registers and shared "
            "memory, but got '" + wanted.str() + "'";
    return std::nullopt;
  }
  for (Variant variant : kVariants) {
    // Small query blocks would leave half of the rows without tokens.
    int64_t rows = 16 * variant.warps * variant.rowTiles;
    if (rows > 64 && problem.queryTokens <= rows / 2)
      continue;
    if (MMASchedule s = make(variant); fits(s))
      return s;
  }
  error = "expected a schedule that fits shared memory, but found none";
  return std::nullopt;
}
