// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse: windows, their deviations and the donors of tokens.

#include "lib/Interpreter/Ops.h"

#include "dialect/Reuse.h"

#include <cmath>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

/// One head's tokens in windows along t, h and w.
class Windows {
public:
  Windows(const SnapWindows &parameters, const Tensor &operand, int64_t batch, int64_t head) : parameters(parameters) {
    for (int64_t token = 0; token < operand.getTokens(); ++token)
      rows.push_back(operand.getRow(batch, head, token));
  }

  Row snap(int64_t token) const {
    Row row = rows[token];
    if (!isVideo(token))
      return row;
    for (size_t c = 0; c < row.size(); ++c)
      row[c] = rows[donor(token, c)][c];
    return row;
  }

private:
  static constexpr int kAxes = 3;

  bool isVideo(int64_t token) const {
    int64_t video = token - parameters.grid.getVideoBegin();
    return video >= 0 && video < parameters.grid.getVideoTokens();
  }

  int64_t extent(int axis) const {
    return axis == 0 ? parameters.grid.getT() : axis == 1 ? parameters.grid.getH() : parameters.grid.getW();
  }
  /// How far apart neighbours are in the sequence.
  int64_t step(int axis) const {
    return axis == 0 ? extent(1) * extent(2) : axis == 1 ? extent(2) : 1;
  }
  int64_t coordinate(int64_t token, int axis) const {
    return (token - parameters.grid.getVideoBegin()) / step(axis) % extent(axis);
  }

  /// Follows windows that fire to the token that gives channel `c`.
  int64_t donor(int64_t token, size_t c) const {
    for (int axis = 0; axis < kAxes; ++axis) {
      if (!parameters.axes[axis])
        continue;
      int64_t at = coordinate(token, axis), place = at % parameters.window, begin = at - place;
      if (place == 0 || begin + parameters.window > extent(axis))
        continue;
      int64_t first = token - place * step(axis);
      if (fires(first, step(axis), c))
        return donor(first, c);
    }
    return token;
  }

  bool fires(int64_t first, int64_t step, size_t c) const {
    if (!parameters.whole)
      return deviation(first, step, c) < parameters.threshold;
    for (size_t channel = 0; channel < rows[first].size(); ++channel)
      if (!(deviation(first, step, channel) < parameters.threshold))
        return false;
    return true;
  }

  /// The population standard deviation of a window in one channel.
  double deviation(int64_t first, int64_t step, size_t c) const {
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < parameters.window; ++i)
      mean += rows[first + i * step][c] / parameters.window;
    for (int64_t i = 0; i < parameters.window; ++i) {
      double difference = rows[first + i * step][c] - mean;
      squares += difference * difference;
    }
    return std::sqrt(squares / parameters.window);
  }

  const SnapWindows &parameters;
  std::vector<Row> rows;
};

} // namespace

Tensor interp::snap(const Tensor &operand, const SnapWindows &windows) {
  const std::vector<int64_t> &shape = operand.getShape();
  auto rows = std::make_shared<std::vector<Row>>();
  for (int64_t batch = 0; batch < shape[0]; ++batch)
    for (int64_t head = 0; head < shape[1]; ++head) {
      Windows tokens(windows, operand, batch, head);
      for (int64_t token = 0; token < shape[2]; ++token)
        rows->push_back(tokens.snap(token));
    }
  return Tensor(shape, [rows, heads = shape[1], count = shape[2]](int64_t batch, int64_t head, int64_t token) {
    return (*rows)[(batch * heads + head) * count + token];
  });
}

LogicalResult interp::evaluate(SnapOp op, Scope &scope) {
  double threshold = scope.get<double>(op.getThreshold());
  if (std::string expected = checkThreshold(threshold); !expected.empty())
    return op.emitOpError("expected a threshold that is ") << expected << ", but got " << threshold;
  SnapWindows windows{op.getGrid(), static_cast<int64_t>(op.getWindow()), op.getAxisFlags(), op.getWhole(), threshold};
  scope.bind(op, snap(scope.getTensor(op.getOperand()), windows));
  return success();
}
