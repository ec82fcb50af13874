// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies the definitions of captured values.

#include "passes/SinkCaptured.h"

#include "dialect/WeftDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

/// Collects the ops outside `body` that define `value`, operands before their users.
static void collect(Region &body, Value value, llvm::SetVector<Operation *> &ops) {
  Operation *op = value.getDefiningOp();
  if (!op || op->getParentRegion() == &body || ops.contains(op) || !isPure(op) || op->getNumRegions() != 0 ||
      isa<weft::ChooseOp>(op)) // not a function of scalars
    return;
  for (Value operand : op->getOperands())
    collect(body, operand, ops);
  ops.insert(op);
}

void weft::sinkCaptured(Region &body) {
  llvm::SetVector<Operation *> ops;
  for (Operation &inner : body.front())
    for (Value operand : inner.getOperands())
      collect(body, operand, ops);
  OpBuilder builder = OpBuilder::atBlockBegin(&body.front());
  IRMapping mapping;
  for (Operation *op : ops) {
    Operation *copy = builder.clone(*op, mapping);
    op->replaceUsesWithIf(copy, [&](OpOperand &use) { return use.getOwner()->getParentRegion() == &body; });
  }
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
}
