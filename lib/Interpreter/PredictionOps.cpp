// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Predicted block lists: means, scores and selections, the whole of each at once.

#include "lib/Interpreter/Ops.h"

#include "dialect/Prediction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

static LogicalResult verifyChosen(Operation *op, std::initializer_list<OrderAttr> orders) {
  if (llvm::any_of(orders, [](OrderAttr order) { return order.isOpen(); }))
    return op->emitOpError("expected orders with their tile sizes chosen");
  return success();
}

LogicalResult interp::evaluate(BlockMeansOp op, Scope &scope) {
  if (failed(verifyChosen(op, {op.getOrder()})))
    return failure();
  BlockPartition blocks = partitionTokens(op.getGrid(), op.getOrder(), op.getBlock());
  PoolPartition pools = partitionPools(blocks, op.getPool());
  const Tensor &operand = scope.getTensor(op.getOperand());
  std::vector<int64_t> shape = operand.getShape();
  shape[2] = pools.numPools();
  scope.bind(op, computeRows(shape, [&](int64_t batch, int64_t head, int64_t pool) {
               Row mean(operand.getWidth());
               int32_t begin = pools.offsets[pool], end = pools.offsets[pool + 1];
               for (int32_t i = begin; i < end; ++i) {
                 Row row = operand.getRow(batch, head, blocks.tokens[i]);
                 for (size_t c = 0; c < mean.size(); ++c)
                   mean[c] += row[c];
               }
               for (double &sum : mean)
                 sum /= end - begin;
               return mean;
             }));
  return success();
}

LogicalResult interp::evaluate(BlockScoresOp op, Scope &scope) {
  const Tensor &query = scope.getTensor(op.getQuery()), &key = scope.getTensor(op.getKey());
  double scale = op.getScale().convertToDouble();
  std::vector<int64_t> shape = query.getShape();
  shape[3] = key.getTokens();
  scope.bind(op, computeRows(shape, [&](int64_t batch, int64_t head, int64_t i) {
               Row scores, left = query.getRow(batch, head, i);
               for (int64_t j = 0; j < key.getTokens(); ++j) {
                 Row right = key.getRow(batch, head, j);
                 scores.push_back(scale * std::inner_product(left.begin(), left.end(), right.begin(), 0.0));
               }
               return scores;
             }));
  return success();
}

LogicalResult interp::evaluate(MaxScoresOp op, Scope &scope) {
  if (failed(verifyChosen(op, {op.getQueryOrder(), op.getKeyOrder()})))
    return failure();
  auto poolsOf = [&](GridAttr grid, OrderAttr order, int64_t block) {
    return partitionPools(partitionTokens(grid, order, block), op.getPool()).firstPool;
  };
  std::vector<int32_t> queries = poolsOf(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlock());
  std::vector<int32_t> keys = poolsOf(op.getKeyGrid(), op.getKeyOrder(), op.getKeyBlock());
  const Tensor &pools = scope.getTensor(op.getOperand());
  std::vector<int64_t> shape = pools.getShape();
  shape[2] = queries.size() - 1, shape[3] = keys.size() - 1;
  scope.bind(op, computeRows(shape, [&](int64_t batch, int64_t head, int64_t block) {
               Row scores(keys.size() - 1, -kInfinity);
               for (int32_t i = queries[block]; i < queries[block + 1]; ++i) {
                 Row row = pools.getRow(batch, head, i);
                 for (size_t j = 0; j < scores.size(); ++j)
                   for (int32_t pool = keys[j]; pool < keys[j + 1]; ++pool)
                     scores[j] = std::max(scores[j], std::isnan(row[pool]) ? kInfinity : row[pool]);
               }
               return scores;
             }));
  return success();
}

int64_t interp::takeShare(double share, int64_t count) {
  double product = share * count, nearest = std::nearbyint(product);
  return static_cast<int64_t>(std::abs(product - nearest) <= 1e-9 ? nearest : std::ceil(product));
}

namespace {

/// A row of scores, greatest first; of equal ones that with the lower index first.
struct RankedRow {
  explicit RankedRow(Row row) : scores(std::move(row)), order(scores.size()) {
    for (double &score : scores)
      score = std::isnan(score) ? kInfinity : score;
    std::iota(order.begin(), order.end(), 0);
    llvm::sort(order, [&](int32_t a, int32_t b) { return std::pair(-scores[a], a) < std::pair(-scores[b], b); });
  }

  Row scores;
  std::vector<int32_t> order;
};

/// The shortest prefix with `mass` of the softmax.
int64_t countMass(const RankedRow &row, double mass) {
  double greatest = row.scores[row.order.front()], total = 0, sum = 0;
  auto weight = [&](int32_t i) {
    if (std::isinf(greatest))
      return row.scores[i] == greatest ? 1.0 : 0.0;
    return std::exp(row.scores[i] - greatest);
  };
  for (int32_t i : row.order)
    total += weight(i);
  int64_t count = 0;
  for (; count < static_cast<int64_t>(row.order.size()) && sum < mass * total; ++count)
    sum += weight(row.order[count]);
  return count;
}

/// How many of a row a rule takes, `min` aside.
int64_t countSelected(const Selection &selection, double amount, const RankedRow &row) {
  int64_t all = row.order.size();
  if (selection.rule == "threshold")
    return llvm::count_if(row.scores, [&](double score) { return score >= amount; });
  if (amount == 1)
    return all;
  return selection.rule == "topk" ? takeShare(amount, all) : countMass(row, amount);
}

} // namespace

LogicalResult interp::evaluateSelection(Operation *op, Scope &scope) {
  Selection selection = *Selection::from(op->getResult(0));
  double amount = scope.get<double>(selection.amount);
  if (std::string expected = checkAmount(selection.rule, amount); !expected.empty())
    return op->emitOpError("expected ") << expected << ", but got " << amount;
  if (scope.selected) {
    scope.bind(op->getResult(0), scope.selected);
    return success();
  }
  const Tensor &scores = scope.getTensor(selection.scores);
  const std::vector<int64_t> &shape = scores.getShape();
  rt::GivenLists lists;
  lists.lists = shape[0] * shape[1], lists.queryBlocks = shape[2];
  for (int64_t set = 0; set < lists.lists; ++set) {
    lists.offsets.push_back(lists.keyBlocks.size());
    for (int64_t i = 0; i < shape[2]; ++i) {
      RankedRow row(scores.getRow(set / shape[1], set % shape[1], i));
      int64_t count = std::max(countSelected(selection, amount, row), selection.min);
      row.order.resize(std::min<int64_t>(count, row.order.size()));
      llvm::sort(row.order);
      llvm::append_range(lists.keyBlocks, row.order);
      lists.offsets.push_back(lists.keyBlocks.size());
    }
  }
  scope.bind(op->getResult(0), scope.keep(std::move(lists)));
  return success();
}
