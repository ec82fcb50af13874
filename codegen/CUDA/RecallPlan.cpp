// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cuts probes into tiles and parts.

#include "codegen/CUDA/RecallPlan.h"

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/ChooseGenerator.h"
#include "dialect/Recognition.h"
#include "passes/KernelFunction.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

/// A part's queries and first keys are waited for: fewer steps make more of that, and more do not fill the last turn.
static constexpr int64_t kMostPartSteps = 7;

/// Tiles of 128 queries: those of warpgroups read keys from memory half as often as they would with 64.
static MMASchedule scheduleOf(BlockAttentionOp op, bool usesWarpgroups) {
  RankedTensorType type = op.getQuery().getType();
  MMAProblem problem;
  problem.headDim = type.getDimSize(3), problem.elementBytes = type.getElementTypeBitWidth() / 8;
  problem.queryTokens = 128, problem.keyTokens = 16;
  if (usesWarpgroups)
    return MMASchedule::of(problem, /*rowTiles=*/1, /*warps=*/8, /*columns=*/64);
  std::string error;
  std::optional<MMASchedule> schedule = MMASchedule::choose(problem, "", error);
  assert(schedule && "the attention has one, by now");
  return *schedule;
}

static MeasuredCandidate measuredCandidate(ChooseOp choose, int64_t number, int64_t heads) {
  Operation *mask = choose.getRecalls()[number].getDefiningOp<RecallOp>().getMask().getDefiningOp();
  MeasuredCandidate candidate;
  candidate.number = number, candidate.predicate = dyn_cast<PredicateOp>(mask);
  if (auto constant = dyn_cast<ConstantMaskOp>(mask))
    candidate.holdsAll = constant.getValue();
  if (candidate.predicate) {
    Region &body = candidate.predicate.getBody();
    candidate.queryAxes = usedAxes(body, kQueryT), candidate.keyAxes = usedAxes(body, kKeyT);
    candidate.heads = body.getArgument(kHead).use_empty() ? 1 : heads;
  }
  return candidate;
}

RecallPlan RecallPlan::of(BlockAttentionOp op) {
  RecallPlan plan;
  plan.usesWarpgroups = isGenerator(op->getParentOfType<ModuleOp>(), kHopperGenerator);
  plan.schedule = scheduleOf(op, plan.usesWarpgroups);
  ChooseOp choose = recognitionOf(op);
  int64_t rows = 0;
  for (const ProbeCandidates &group : groupByProbe(choose)) {
    ProbePlan probe;
    probe.probe = group.probe;
    probe.tokens = static_cast<int64_t>(probeTokens(op.getQueryGrid(), group.probe).size());
    probe.rows = llvm::alignTo(probe.tokens, plan.schedule.rows()), probe.rowsBefore = rows;
    probe.steps = llvm::divideCeil(probe.tokens, plan.schedule.columns);
    probe.partSteps = llvm::divideCeil(probe.steps, llvm::divideCeil(probe.steps, kMostPartSteps));
    probe.parts = llvm::divideCeil(probe.steps, probe.partSteps), probe.partsBefore = plan.parts;
    probe.linesBefore = plan.lines;
    for (int64_t number : group.numbers) {
      MeasuredCandidate candidate = measuredCandidate(choose, number, op.getQuery().getType().getDimSize(1));
      candidate.firstWord = plan.words;
      if (candidate.predicate) {
        plan.words += candidate.heads * probe.words();
        plan.mostWords = std::max(plan.mostWords, probe.words()), plan.heads = std::max(plan.heads, candidate.heads);
      }
      probe.candidates.push_back(candidate);
    }
    plan.parts += probe.parts, plan.lines += probe.parts * probe.linesOfPart(), rows += probe.rows;
    plan.probes.push_back(probe);
  }
  return plan;
}

int64_t RecallPlan::ctasPerSM() const {
  int64_t most = 0;
  for (const ProbePlan &probe : probes)
    most = std::max(most, static_cast<int64_t>(probe.candidates.size()));
  return std::clamp<int64_t>(228 * 1024 / (sharedBytes() + 1024), 1, most > 2 ? 2 : 3);
}

int64_t RecallPlan::numMeasured() const {
  int64_t count = 0;
  for (const ProbePlan &probe : probes)
    count += static_cast<int64_t>(probe.candidates.size());
  return count;
}
