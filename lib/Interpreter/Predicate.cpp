// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns predicate regions into steps, and runs these.

#include "lib/Interpreter/Predicate.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

/// Assigns slots to the values of a region.
class Predicate::Builder {
public:
  Builder(Region &body, Captured captured) : body(body), captured(captured) {}

  FailureOr<Predicate> build() {
    Block &block = body.front();
    for (BlockArgument argument : block.getArguments())
      addSlot(argument, 0, /*known=*/false);
    for (Operation &op : block.without_terminator())
      if (failed(addOp(op)))
        return failure();
    FailureOr<unsigned> yielded = getSlot(block.getTerminator()->getOperand(0));
    if (failed(yielded))
      return failure();
    predicate.yielded = *yielded;
    predicate.asksGiven = block.getNumArguments() > kGiven;
    return std::move(predicate);
  }

private:
  unsigned addSlot(Value value, int64_t content, bool known) {
    unsigned slot = predicate.initial.size();
    slots[value] = slot;
    predicate.initial.push_back(content);
    isKnown.push_back(known);
    return slot;
  }

  FailureOr<unsigned> getSlot(Value value) {
    if (auto known = slots.find(value); known != slots.end())
      return known->second;
    APInt constant;
    if (matchPattern(value, m_ConstantInt(&constant)))
      return addSlot(value, constant.getSExtValue(), /*known=*/true);
    FailureOr<int64_t> content = captured(value);
    if (failed(content))
      return failure();
    return addSlot(value, *content, /*known=*/true);
  }

  LogicalResult addOp(Operation &op) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      return success();
    FailureOr<ScalarOp> scalar = getScalarOp(&op);
    if (failed(scalar))
      return failure();
    Step step{*scalar};
    bool known = true;
    for (auto [i, operand] : llvm::enumerate(op.getOperands())) {
      FailureOr<unsigned> slot = getSlot(operand);
      if (failed(slot))
        return failure();
      step.operands[i] = *slot;
      known &= isKnown[*slot];
    }
    if (step.op.divides && (!isKnown[step.operands[1]] || predicate.initial[step.operands[1]] == 0))
      return op.emitOpError("expected a divisor other than 0 that is the same for every pair");
    step.result = addSlot(op.getResult(0), 0, known);
    if (known)
      run(step, predicate.initial);
    else
      predicate.steps.push_back(step);
    return success();
  }

  Region &body;
  Captured captured;
  Predicate predicate;
  DenseMap<Value, unsigned> slots;
  std::vector<bool> isKnown;

public:
  static void run(const Step &step, MutableArrayRef<int64_t> slots) {
    slots[step.result] = step.op.apply(slots[step.operands[0]], slots[step.operands[1]], slots[step.operands[2]]);
  }
};

FailureOr<Predicate> Predicate::prepare(Region &body, Captured captured) { return Builder(body, captured).build(); }

static void setToken(MutableArrayRef<int64_t> slots, const TokenCoordinates &token) {
  slots[0] = token.t;
  slots[1] = token.h;
  slots[2] = token.w;
  slots[3] = token.index;
  slots[4] = wrap(token.text, 1);
}

bool Predicate::holds(int64_t head, const TokenCoordinates &query, const TokenCoordinates &key, bool given) const {
  SmallVector<int64_t, 64> slots{ArrayRef(initial)};
  slots[kHead] = head;
  setToken(MutableArrayRef(slots).drop_front(kQueryT), query);
  setToken(MutableArrayRef(slots).drop_front(kKeyT), key);
  if (asksGiven)
    slots[kGiven] = wrap(given, 1);
  for (const Step &step : steps)
    Builder::run(step, slots);
  return slots[yielded] != 0;
}
