// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slots and steps of range evaluation.

#include "passes/RangeEvaluator.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;

RangeEvaluator::RangeEvaluator(Region &body, ArrayRef<Value> results) : body(body) {
  assert(results.size() <= kMaxResults && "a bit set holds the results");
  for (auto [i, result] : llvm::enumerate(results))
    collect(result, uint64_t(1) << i);
  SmallVector<Operation *> ops = llvm::to_vector(llvm::make_first_range(needs));
  llvm::sort(ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  for (Operation *op : ops) {
    Step step{op, dyn_cast<InferIntRangeInterface>(op), {}, 0, needs[op]};
    for (Value operand : op->getOperands())
      step.operands.push_back(slotFor(operand));
    step.firstResult = ranges.size();
    for (Value result : op->getResults())
      slotFor(result);
    steps.push_back(std::move(step));
  }
  for (Value result : results)
    resultSlots.push_back(slotFor(result));
}

/// Marks the ops of the region that `result` depends on.
void RangeEvaluator::collect(Value result, uint64_t bit) {
  SmallVector<Value> worklist = {result};
  while (!worklist.empty()) {
    Operation *op = worklist.pop_back_val().getDefiningOp();
    if (!op || op->getParentRegion() != &body)
      continue;
    uint64_t &marks = needs[op];
    if (marks & bit)
      continue;
    marks |= bit;
    llvm::append_range(worklist, op->getOperands());
  }
}

/// Constants have their range from the start; everything else any value until it is set.
unsigned RangeEvaluator::slotFor(Value value) {
  auto [entry, isNew] = slotOf.try_emplace(value, ranges.size());
  if (isNew) {
    APInt constant;
    bool isConstant = matchPattern(value, m_ConstantInt(&constant));
    ranges.push_back(isConstant ? ConstantIntRanges::constant(constant)
                                : ConstantIntRanges::maxRange(value.getType().getIntOrFloatBitWidth()));
  }
  return entry->second;
}

void RangeEvaluator::set(Value value, const ConstantIntRanges &range) {
  if (auto slot = slotOf.find(value); slot != slotOf.end())
    ranges[slot->second] = range;
}

void RangeEvaluator::setInteger(Value value, int64_t integer) {
  APInt constant(value.getType().getIntOrFloatBitWidth(), static_cast<uint64_t>(integer), /*isSigned=*/true,
                 /*implicitTrunc=*/true);
  set(value, ConstantIntRanges::constant(constant));
}

void RangeEvaluator::evaluate(uint64_t active) {
  SmallVector<ConstantIntRanges, 3> operands;
  for (Step &step : steps) {
    // An op without inference keeps any value.
    if (!(step.neededBy & active) || !step.inference)
      continue;
    operands.clear();
    for (unsigned slot : step.operands)
      operands.push_back(ranges[slot]);
    step.inference.inferResultRanges(operands, [&](Value result, const ConstantIntRanges &range) {
      ranges[step.firstResult + cast<OpResult>(result).getResultNumber()] = range;
    });
  }
}
