// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The verifier and the fold of weft.snap.

#include "dialect/Reuse.h"

#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace weft;

Value weft::originalTokens(Value tokens) {
  auto snap = tokens.getDefiningOp<SnapOp>();
  return snap ? snap.getOperand() : tokens;
}

std::string weft::checkThreshold(double threshold) {
  return std::isfinite(threshold) && threshold >= 0 ? "" : "a finite number of at least 0";
}

static constexpr StringRef kAxes = "thw";

std::array<bool, 3> SnapOp::getAxisFlags() {
  std::array<bool, 3> flags;
  for (size_t axis = 0; axis < kAxes.size(); ++axis)
    flags[axis] = getAxes().contains(kAxes[axis]);
  return flags;
}

static bool areAxes(StringRef axes) {
  for (char axis : kAxes)
    axes.consume_front(StringRef(&axis, 1));
  return axes.empty();
}

LogicalResult SnapOp::verify() {
  RankedTensorType operand = getOperand().getType();
  if (operand.getRank() != 4 || operand.getDimSize(2) != getGrid().getTokens()) // snap_c1
    return emitOpError("expected [batch, heads, ")
           << getGrid().getTokens() << " tokens, channels], but got " << operand;
  if (getAxes().empty() || !areAxes(getAxes())) // snap_c2
    return emitOpError("expected axes of the letters t, h and w in this order, but got '") << getAxes() << "'";
  int64_t window = getWindow(), extents[] = {getGrid().getT(), getGrid().getH(), getGrid().getW()};
  for (size_t axis = 0; axis < kAxes.size(); ++axis) // snap_c3
    if (getAxisFlags()[axis] && (window < 2 || window > extents[axis]))
      return emitOpError("expected a window from 2 to ")
             << extents[axis] << ", the grid's extent in " << kAxes[axis] << ", but got " << window;
  APFloat threshold(0.0);
  if (!matchPattern(getThreshold(), m_ConstantFloat(&threshold)))
    return success();
  if (std::string expected = checkThreshold(threshold.convertToDouble()); !expected.empty()) // snap_c4
    return emitOpError("expected a threshold that is ") << expected << ", but got " << threshold.convertToDouble();
  return success();
}

OpFoldResult SnapOp::fold(FoldAdaptor adaptor) {
  auto threshold = dyn_cast_or_null<FloatAttr>(adaptor.getThreshold());
  return threshold && threshold.getValue().isZero() ? OpFoldResult(getOperand()) : OpFoldResult();
}
