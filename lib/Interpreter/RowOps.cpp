// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that are selected by their importance: the formulas, one token at a time.

#include "lib/Interpreter/Ops.h"

#include "dialect/Prediction.h"
#include "dialect/RowSelection.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

/// The mean of a token's log-sum-exp over the heads that have keys for it; 0 if none has.
static double meanLse(const Tensor &lse, int64_t batch, int64_t token) {
  double sum = 0, count = 0;
  for (int64_t head = 0; head < lse.getShape()[1]; ++head) {
    double value = lse.getRow(batch, head, token)[0];
    if (value == -std::numeric_limits<double>::infinity())
      continue;
    sum += value, ++count;
  }
  return count == 0 ? 0 : sum / count;
}

static LogicalResult verifyAges(Operation *op, const Tensor &ages) {
  for (int64_t batch = 0; batch < ages.getShape()[0]; ++batch)
    for (int64_t token = 0; token < ages.getTokens(); ++token)
      if (double age = ages.getRow(batch, 0, token)[0]; age < 0 || age > rt::kMaxAge)
        return op->emitOpError("expected ages from 0 to ")
               << rt::kMaxAge << ", but got " << static_cast<int64_t>(age) << " of batch " << batch << " token " << token;
  return success();
}

LogicalResult interp::evaluate(ImportanceOp op, Scope &scope) {
  const Tensor &lse = scope.getTensor(op.getLse()), &drift = scope.getTensor(op.getDrift());
  const Tensor &age = scope.getTensor(op.getAge());
  double weight = scope.get<double>(op.getWeight());
  if (std::string expected = checkAgeWeight(weight); !expected.empty())
    return op.emitOpError("expected a weight that is ") << expected << ", but got " << weight;
  if (failed(verifyAges(op, age)))
    return failure();
  scope.bind(op, computeRows(drift.getShape(), [&](int64_t batch, int64_t, int64_t token) -> Row {
               double change = drift.getRow(batch, 0, token)[0], calls = age.getRow(batch, 0, token)[0];
               return {meanLse(lse, batch, token) * change + weight * std::exp(calls)};
             }));
  return success();
}

/// The tokens of one batch element by their importance, greatest first.
static std::vector<int32_t> rankTokens(const Tensor &importance, int64_t batch) {
  std::vector<double> scores;
  for (int64_t token = 0; token < importance.getTokens(); ++token)
    scores.push_back(importance.getRow(batch, 0, token)[0]);
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  auto isNumber = [&](int32_t token) { return !std::isnan(scores[token]); };
  llvm::sort(order, [&](int32_t a, int32_t b) {
    if (isNumber(a) != isNumber(b))
      return isNumber(b);
    return isNumber(a) && scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  return order;
}

LogicalResult interp::evaluate(SelectRowsOp op, Scope &scope) {
  double keep = scope.get<double>(op.getKeep());
  if (std::string expected = checkAmount("topk", keep); !expected.empty())
    return op.emitOpError("expected ") << expected << ", but got " << keep;
  if (scope.selectedRows) {
    scope.bind(op, scope.selectedRows);
    return success();
  }
  const Tensor &importance = scope.getTensor(op.getImportance());
  int64_t batches = importance.getShape()[0], tokens = importance.getTokens();
  int64_t count = std::min(std::max(takeShare(keep, tokens), static_cast<int64_t>(op.getMin())), tokens);
  rt::OwnedRowLists rows{batches, tokens, {}, {}};
  for (int64_t batch = 0; batch < batches; ++batch) {
    std::vector<int32_t> order = rankTokens(importance, batch);
    std::set<int32_t> selected(order.begin(), order.begin() + count);
    selected.insert(op.getAlways().begin(), op.getAlways().end());
    rows.counts.push_back(selected.size());
    rows.indices.insert(rows.indices.end(), selected.begin(), selected.end());
    rows.indices.resize((batch + 1) * tokens);
  }
  scope.bind(op, scope.keep(std::move(rows)));
  return success();
}

LogicalResult interp::evaluate(AdvanceAgeOp op, Scope &scope) {
  const Tensor &age = scope.getTensor(op.getAge());
  if (failed(verifyAges(op, age)))
    return failure();
  const rt::RowLists &rows = *scope.get<const rt::RowLists *>(op.getRows());
  if (rows.counts.shape[1] != 1)
    return op.emitOpError("expected rows of one set for all heads, but got ") << rows.counts.shape[1];
  auto selected = selectRows(op, rows, age.getShape());
  if (failed(selected))
    return failure();
  scope.bind(op, computeRows(age.getShape(), [&](int64_t batch, int64_t, int64_t token) -> Row {
               double older = std::min<double>(age.getRow(batch, 0, token)[0] + 1, rt::kMaxAge);
               return {(*selected)(batch, 0, token) ? 0 : older};
             }));
  return success();
}
