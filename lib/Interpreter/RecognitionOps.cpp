// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognition of heads: recalls on probes, and the choices that follow from them.

#include "lib/Interpreter/Ops.h"

#include "dialect/Prediction.h"
#include "dialect/Recognition.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

/// The softmax of a row of scores; NaN everywhere if one is NaN or +inf, or all are -inf.
static Row softmax(Row scores) {
  double greatest = *std::max_element(scores.begin(), scores.end()), sum = 0;
  for (double &score : scores)
    sum += score = std::exp(score - greatest);
  for (double &score : scores)
    score /= sum;
  return scores;
}

static double measureRecall(RecallOp op, const Tensor &query, const Tensor &key, const Mask &mask, int64_t batch,
                            int64_t head) {
  std::vector<int32_t> tokens = probeTokens(op.getMask().getType().getQuery(), op.getProbe());
  std::vector<Row> keys;
  for (int32_t token : tokens)
    keys.push_back(key.getRow(batch, head, token));
  double scale = op.getScale().convertToDouble(), kept = 0, all = 0;
  int64_t heads = query.getShape()[1];
  for (int32_t i : tokens) {
    Row row = query.getRow(batch, head, i), scores;
    for (const Row &other : keys)
      scores.push_back(scale * std::inner_product(row.begin(), row.end(), other.begin(), 0.0));
    Row weights = softmax(std::move(scores));
    for (size_t j = 0; j < tokens.size(); ++j)
      all += weights[j], kept += mask.contains(Pair{batch, heads, head, i, tokens[j]}) ? weights[j] : 0;
  }
  return kept / all; // exactly 1 for a mask of all pairs
}

LogicalResult interp::evaluate(RecallOp op, Scope &scope) {
  const Tensor &query = scope.getTensor(op.getQuery()), &key = scope.getTensor(op.getKey());
  const Mask &mask = scope.get<Mask>(op.getMask());
  if (!mask.given.empty())
    return op.emitOpError("expected a mask without block lists");
  const std::vector<int64_t> &shape = query.getShape();
  auto recalls = std::make_shared<std::vector<double>>();
  for (int64_t batch = 0; batch < shape[0]; ++batch)
    for (int64_t head = 0; head < shape[1]; ++head)
      recalls->push_back(measureRecall(op, query, key, mask, batch, head));
  scope.bind(op, Tensor({shape[0], shape[1], 1}, [recalls, heads = shape[1]](int64_t batch, int64_t head, int64_t) {
               return Row{(*recalls)[batch * heads + head]};
             }));
  return success();
}

static int32_t choose(ChooseOp op, std::optional<double> bound, ArrayRef<double> recalls) {
  auto valueOf = [](double recall) { return std::isnan(recall) ? 0 : recall; };
  int32_t best = 0;
  for (auto [i, recall] : llvm::enumerate(recalls)) {
    if (bound && valueOf(recall) >= *bound)
      return i;
    if (valueOf(recall) > valueOf(recalls[best]))
      best = i;
  }
  return op.getFallback() ? recalls.size() : best;
}

LogicalResult interp::evaluate(ChooseOp op, Scope &scope) {
  std::optional<double> bound;
  if (op.getBound())
    bound = scope.get<double>(op.getBound());
  if (std::string expected = bound ? checkAmount("recall", *bound) : ""; !expected.empty())
    return op.emitOpError("expected ") << expected << ", but got " << *bound;
  const std::vector<int64_t> shape = scope.getTensor(op.getRecalls().front()).getShape();
  rt::Choices choices;
  for (int64_t batch = 0; batch < shape[0]; ++batch)
    for (int64_t head = 0; head < shape[1]; ++head) {
      Row recalls;
      for (Value recall : op.getRecalls())
        recalls.push_back(scope.getTensor(recall).getRow(batch, head, 0)[0]);
      choices.candidates.push_back(choose(op, bound, recalls));
      llvm::append_range(choices.recalls, recalls);
    }
  if (scope.choices) {
    if (rt::Status status = scope.choices->validate(shape[1], shape[0], op.numCandidates()); !status)
      return op.emitOpError(status.message());
    choices.candidates = scope.choices->candidates;
  }
  scope.bind(op.getChoice(), scope.keep(std::move(choices)));
  return success();
}
