// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Predicate: a predicate region made ready for evaluation on many pairs.

#ifndef WEFT_LIB_INTERPRETER_PREDICATE_H
#define WEFT_LIB_INTERPRETER_PREDICATE_H

#include "lib/Interpreter/ScalarOps.h"

#include "dialect/BlockPartition.h"

namespace weft::interp {

/// A predicate region as a list of steps on numbered slots.
///
/// The first slots are the region's arguments; constants, captured integers and whatever depends on these alone have
/// their values from the start; every other op is one step that fills one slot.
class Predicate {
public:
  /// Gives the integer that the region uses from above it.
  using Captured = llvm::function_ref<mlir::FailureOr<int64_t>(mlir::Value)>;

  static mlir::FailureOr<Predicate> prepare(mlir::Region &body, Captured captured);

  bool holds(int64_t head, const TokenCoordinates &query, const TokenCoordinates &key, bool given) const;

private:
  struct Step {
    ScalarOp op;
    unsigned operands[3] = {0, 0, 0};
    unsigned result = 0;
  };
  class Builder;

  std::vector<Step> steps;
  /// The slots before any step.
  std::vector<int64_t> initial;
  unsigned yielded = 0;
  bool asksGiven = false;
};

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_PREDICATE_H
