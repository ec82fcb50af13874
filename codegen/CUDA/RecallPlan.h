// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How recalls are measured: what the stages `probe_bits`, `recall` and `choose` agree on.
//
// A probe's queries are cut into tiles and its keys into parts of a few steps, so that there are enough CTAs to fill a
// large GPU evenly. Which pairs a candidate holds is one for all heads, unless it asks for the head: `probe_bits` finds it
// once, a bit for each pair, and `recall` reads words where it would evaluate predicates. For each row and part it leaves
// the maximum of the scores, the sum of their exponentials and each candidate's share of that sum; `choose` adds them up.

#ifndef WEFT_CODEGEN_CUDA_RECALLPLAN_H
#define WEFT_CODEGEN_CUDA_RECALLPLAN_H

#include "codegen/CUDA/MMASchedule.h"
#include "dialect/WeftDialect.h"
#include "passes/FormRecognition.h"

namespace weft::cuda {

/// A candidate that a probe measures.
struct MeasuredCandidate {
  int64_t number;
  /// Null if it holds every pair, or none.
  PredicateOp predicate;
  bool holdsAll = false;
  /// What the predicate reads of tokens.
  llvm::SmallVector<int64_t> queryAxes, keyAxes;
  /// Heads that have bits of their own, and the first of the words of head 0.
  int64_t heads = 1, firstWord = 0;
};

/// The tiles and parts of one probe.
struct ProbePlan {
  Probe probe;
  /// Of the probe; rounded up to whole query tiles; and of the probes before it, rounded up.
  int64_t tokens = 0, rows = 0, rowsBefore = 0;
  /// Steps of all keys, and of a part, but for the last.
  int64_t steps = 0, partSteps = 0;
  int64_t parts = 0, partsBefore = 0;
  /// Lines of numbers before the probe's: a line has one for each row.
  int64_t linesBefore = 0;
  llvm::SmallVector<MeasuredCandidate> candidates;

  /// Words of one candidate and head: four for each step and row, whose bit 2 g + i of word q is of column 8 g + 2 q + i.
  int64_t words() const { return steps * rows * 4; }
  /// Of a part: maxima, sums, and each candidate's.
  int64_t linesOfPart() const { return 2 + static_cast<int64_t>(candidates.size()); }
  int64_t lineOf(int64_t part, int64_t line) const { return linesBefore + part * linesOfPart() + line; }
};

struct RecallPlan {
  /// Tiles of queries and of keys; there are no values.
  MMASchedule schedule;
  /// Whether warpgroups multiply.
  bool usesWarpgroups = false;
  llvm::SmallVector<ProbePlan, 2> probes;
  /// Of all probes: parts, lines of a pair, words of bits; and of one candidate the most words.
  int64_t parts = 0, lines = 0, words = 0, mostWords = 0;
  /// The most heads that have bits of their own.
  int64_t heads = 1;

  static RecallPlan of(BlockAttentionOp op);

  int64_t numMeasured() const;
  /// CTAs of warpgroups of a multiprocessor, between which registers are divided: as many as its memory takes and as leave
  /// enough for the sums of the candidates.
  int64_t ctasPerSM() const;
  int64_t sharedBytes() const { return schedule.valueOffset; }
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_RECALLPLAN_H
