// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Clones a predicate's ops for one pair.

#include "codegen/CUDA/PairPredicate.h"

#include "codegen/CUDA/AttentionKernel.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

SmallVector<BlockArgument> weft::cuda::predicateParameters(BlockAttentionOp op) {
  SmallVector<BlockArgument> parameters;
  for (BlockArgument argument : op->getParentRegion()->getArguments())
    if (argument.getType().isInteger(32) || argument.getType().isInteger(1))
      parameters.push_back(argument);
  return parameters;
}

bool weft::cuda::readsHead(BlockAttentionOp op) {
  return !op.getBody().empty() && !op.getBody().getArgument(kHead).use_empty();
}

bool weft::cuda::readsGiven(BlockAttentionOp op) {
  return !op.getBody().empty() && op.getBody().getNumArguments() > kGiven &&
         !op.getBody().getArgument(kGiven).use_empty();
}

PairPredicate::PairPredicate(Emitter &e, BlockAttentionOp op, Value head, Value given, ValueRange parameters)
    : e(e), body(op.getBody().front()), queryAxes(usedAxes(op, kQueryT)), keyAxes(usedAxes(op, kKeyT)) {
  common.map(body.getArgument(kHead), head);
  if (body.getNumArguments() > kGiven)
    common.map(body.getArgument(kGiven), given);
  for (auto [argument, value] : llvm::zip_equal(predicateParameters(op), parameters))
    common.map(argument, value);
}

void PairPredicate::mapSide(IRMapping &mapping, unsigned first, ArrayRef<int64_t> axes, ArrayRef<Value> coordinates) {
  for (auto [axis, coordinate] : llvm::zip_equal(axes, coordinates)) {
    mapping.map(body.getArgument(first + axis), coordinate);
    if (axis == 0)
      mapping.map(body.getArgument(first + kNumAxes), e.equal(coordinate, WeftDialect::kTextCoordinate));
  }
}

Value PairPredicate::holds(ArrayRef<Value> query, ArrayRef<Value> key) {
  IRMapping mapping = common;
  mapSide(mapping, kQueryT, queryAxes, query);
  mapSide(mapping, kKeyT, keyAxes, key);
  for (Operation &inner : body.without_terminator())
    e.b.clone(inner, mapping);
  return mapping.lookupOrDefault(cast<YieldOp>(body.getTerminator()).getValue());
}
