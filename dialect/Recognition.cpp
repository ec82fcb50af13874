// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Probes, and verifiers of the ops that recognize heads.

#include "dialect/Recognition.h"

#include "dialect/Prediction.h"
#include "dialect/WeftProgramOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/STLExtras.h"

#include <numeric>

using namespace mlir;
using namespace weft;

/// The least stride of at least one frame's share that visits no place of a frame twice.
static int64_t globalStride(GridAttr grid) {
  int64_t stride = grid.getT(), frame = grid.getH() * grid.getW();
  while (std::gcd(stride, frame) != 1)
    ++stride;
  return stride;
}

std::vector<int32_t> weft::probeTokens(GridAttr grid, Probe probe) {
  int64_t frame = grid.getH() * grid.getW(), begin = 0, end = grid.getVideoTokens(), stride = 1;
  if (probe == Probe::Global)
    stride = globalStride(grid);
  else
    begin = grid.getT() > 1 ? frame : 0, end = begin + frame;
  std::vector<int32_t> tokens;
  for (int64_t token = begin; token < end; token += stride)
    tokens.push_back(grid.getVideoBegin() + token);
  return tokens;
}

SmallVector<ChooseOp> weft::findChoices(Region &body) {
  SmallVector<ChooseOp> choices;
  body.walk([&](Operation *op) {
    for (Value operand : op->getOperands())
      if (auto choice = operand.getDefiningOp<ChooseOp>(); choice && !llvm::is_contained(choices, choice))
        choices.push_back(choice);
  });
  return choices;
}

LogicalResult RecallOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), recall = getRecall().getType();
  if (query.getRank() != 4 || key.getRank() != 4 || query.getElementType() != key.getElementType() ||
      query.getShape().take_front(2) != key.getShape().take_front(2) ||
      query.getDimSize(3) != key.getDimSize(3)) // recall_c1
    return emitOpError("expected q and k as [batch, heads, tokens, head dim] with equal element type, batch, heads and "
                       "head dim, but got ")
           << query << " and " << key;
  GridAttr grid = getMask().getType().getQuery();
  if (getMask().getType().getKey() != grid) // recall_c2
    return emitOpError("expected a mask over two equal grids, but got ") << getMask().getType();
  if (query.getDimSize(2) != grid.getTokens() || key.getDimSize(2) != grid.getTokens())
    return emitOpError("expected ") << grid.getTokens() << " tokens as in " << grid << ", but got "
                                    << query.getDimSize(2) << " queries and " << key.getDimSize(2) << " keys";
  if (recall.getShape() != query.getShape().take_front(2)) // recall_c4
    return emitOpError("expected a recall as [batch, heads] of q, but got ") << recall << " for " << query;
  return verifyScale(*this, getScale().convertToDouble()); // recall_c3
}

LogicalResult ChooseOp::verify() {
  auto isOther = [&](Type type) { return type != getRecalls().getTypes().front(); };
  if (numCandidates() < 2 || numCandidates() > kMaxCandidates) // choose_c1
    return emitOpError("expected 2 to ") << kMaxCandidates << " candidates, but got " << numCandidates();
  if (llvm::any_of(getRecalls().getTypes(), isOther) ||
      cast<RankedTensorType>(getRecalls().getTypes().front()).getRank() != 2)
    return emitOpError("expected recalls of one type [batch, heads], but got ") << getRecalls().getTypes();
  if (getFallback() && !getBound()) // choose_c2
    return emitOpError("expected a bound where there is a fallback");
  APFloat bound(0.0);
  if (getBound() && matchPattern(getBound(), m_ConstantFloat(&bound)))
    if (std::string expected = checkAmount("recall", bound.convertToDouble()); !expected.empty()) // choose_c3
      return emitOpError("expected a bound that is ") << expected << ", but got " << bound.convertToDouble();
  return success();
}
