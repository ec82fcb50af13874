// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluation of a region's integers on ranges instead of numbers, by MLIR's integer-range inference.

#ifndef WEFT_PASSES_RANGEEVALUATOR_H
#define WEFT_PASSES_RANGEEVALUATOR_H

#include "mlir/IR/Region.h"
#include "mlir/Interfaces/InferIntRangeInterface.h"
#include "llvm/ADT/DenseMap.h"

#include <vector>

namespace weft {

/// Computes the ranges of some values of a region from ranges of its arguments. Prepared once, evaluated often: every
/// value has a slot, and each result knows the ops that it needs.
class RangeEvaluator {
public:
  static constexpr unsigned kMaxResults = 64;

  /// `results` are at most kMaxResults values of `body`.
  RangeEvaluator(mlir::Region &body, llvm::ArrayRef<mlir::Value> results);

  /// Arguments that the results depend on.
  const llvm::DenseMap<mlir::Value, unsigned> &slots() const { return slotOf; }
  /// Sets an argument, or a value from above the region, if a result depends on it.
  void set(mlir::Value value, const mlir::ConstantIntRanges &range);
  void setInteger(mlir::Value value, int64_t integer);

  /// Runs the ops that the results in the bit set `active` need.
  void evaluate(uint64_t active);
  /// The range of one result after evaluate().
  const mlir::ConstantIntRanges &get(unsigned result) const { return ranges[resultSlots[result]]; }

private:
  /// An op of the region, in order.
  struct Step {
    mlir::Operation *op;
    mlir::InferIntRangeInterface inference;
    llvm::SmallVector<unsigned, 3> operands;
    unsigned firstResult;
    uint64_t neededBy;
  };

  unsigned slotFor(mlir::Value value);
  void collect(mlir::Value result, uint64_t bit);

  mlir::Region &body;
  llvm::DenseMap<mlir::Value, unsigned> slotOf;
  std::vector<mlir::ConstantIntRanges> ranges;
  std::vector<Step> steps;
  llvm::SmallVector<unsigned> resultSlots;
  llvm::DenseMap<mlir::Operation *, uint64_t> needs;
};

} // namespace weft

#endif // WEFT_PASSES_RANGEEVALUATOR_H
