// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention: the formulas of weft.attention, one query at a time.

#include "lib/Interpreter/Ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

struct QueryResult {
  Row out;
  double lse = -std::numeric_limits<double>::infinity();
};

/// One head's keys or values.
using HeadRows = std::vector<Row>;

/// In four sums that do not wait for each other. Head dims are multiples of 8.
double dot(const Row &a, const Row &b) {
  std::array<double, 4> sums = {};
  for (size_t c = 0; c < a.size(); c += 4)
    for (size_t lane = 0; lane < 4; ++lane)
      sums[lane] += a[c + lane] * b[c + lane];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// log sum_j exp s_j, NaN if a score is +inf. The shift keeps exp in range; it is 0 where there is nothing to keep.
double logSumExp(const std::vector<double> &scores) {
  double largest = scores.front();
  for (double score : scores)
    largest = std::max(largest, score);
  if (largest == std::numeric_limits<double>::infinity())
    return std::numeric_limits<double>::quiet_NaN();
  double shift = std::isfinite(largest) ? largest : 0;
  double sum = 0;
  for (double score : scores)
    sum += std::exp(score - shift);
  return shift + std::log(sum);
}

/// One head's keys.
struct HeadKeys {
  HeadRows keys, values;
  /// By key, 0 without a bias.
  Row bias;
};

QueryResult attendQuery(const Row &query, const HeadKeys &head, const std::vector<int32_t> &visible, double scale) {
  QueryResult result;
  result.out.assign(query.size(), 0);
  if (visible.empty())
    return result;
  std::vector<double> scores;
  for (int32_t j : visible)
    scores.push_back(scale * dot(query, head.keys[j]) + head.bias[j]);
  result.lse = logSumExp(scores);
  if (result.lse == -std::numeric_limits<double>::infinity())
    return result;
  for (size_t i = 0; i < visible.size(); ++i) {
    double weight = std::exp(scores[i] - result.lse);
    const Row &value = head.values[visible[i]];
    for (size_t c = 0; c < value.size(); ++c)
      result.out[c] += weight * value[c];
  }
  return result;
}

/// The rows of one attention that were asked for so far: `out` and `lse` share them.
class AttentionRows {
public:
  AttentionRows(AttentionTensors tensors, double scale, VisibleKeys visible)
      : tensors(std::move(tensors)), scale(scale), visible(std::move(visible)) {}

  const QueryResult &get(int64_t batch, int64_t head, int64_t token) {
    auto [entry, isNew] = rows.try_emplace({batch, head, token});
    if (isNew) {
      loadHead(batch, head);
      entry->second = attendQuery(tensors.query.getRow(batch, head, token), keys, visible(batch, head, token), scale);
    }
    return entry->second;
  }

private:
  void loadHead(int64_t batch, int64_t head) {
    if (loaded == std::pair(batch, head))
      return;
    loaded = {batch, head};
    keys = {};
    for (int64_t token = 0; token < tensors.key.getTokens(); ++token) {
      keys.keys.push_back(tensors.key.getRow(batch, head, token));
      keys.values.push_back(tensors.value.getRow(batch, head, token));
      keys.bias.push_back(biasOf(batch, head, token));
    }
  }

  double biasOf(int64_t batch, int64_t head, int64_t token) const {
    if (!tensors.bias)
      return 0;
    const std::vector<int64_t> &shape = tensors.bias->getShape();
    return tensors.bias->getRow(shape[0] == 1 ? 0 : batch, shape[1] == 1 ? 0 : head, token)[0];
  }

  AttentionTensors tensors;
  double scale;
  VisibleKeys visible;
  std::map<std::array<int64_t, 3>, QueryResult> rows;
  std::pair<int64_t, int64_t> loaded = {-1, -1};
  HeadKeys keys;
};

} // namespace

AttentionResult interp::attend(const AttentionTensors &tensors, double scale, VisibleKeys visible) {
  auto rows = std::make_shared<AttentionRows>(tensors, scale, std::move(visible));
  std::vector<int64_t> shape = tensors.query.getShape();
  Tensor out(shape, [rows](int64_t batch, int64_t head, int64_t token) { return rows->get(batch, head, token).out; });
  shape.pop_back();
  Tensor lse(shape, [rows](int64_t batch, int64_t head, int64_t token) -> Row {
    return {rows->get(batch, head, token).lse};
  });
  return {out, lse};
}

FailureOr<SelectedRows> interp::selectRows(Operation *op, const rt::RowLists &rows,
                                          const std::vector<int64_t> &shape) {
  if (rt::Status status = rows.validate(shape[0], shape[1], shape[2]); !status)
    return op->emitOpError(status.message());
  auto selected = std::make_shared<std::vector<std::vector<bool>>>();
  for (int64_t set = 0; set < rows.sets(); ++set) {
    selected->emplace_back(shape[2], false);
    for (int32_t token : rows.tokensOf(set))
      selected->back()[token] = true;
  }
  SelectedRows select = [selected, rows](int64_t batch, int64_t head, int64_t token) -> bool {
    return (*selected)[rows.setOf(batch, head)][token];
  };
  return select;
}

AttentionResult interp::writeRows(const AttentionResult &result, const AttentionResult &into, SelectedRows selected,
                                  std::function<int64_t(int64_t)> tokenOf) {
  auto write = [&](const Tensor &computed, const Tensor &kept) {
    return Tensor(kept.getShape(), [=](int64_t batch, int64_t head, int64_t row) {
      return (selected(batch, head, tokenOf(row)) ? computed : kept).getRow(batch, head, row);
    });
  };
  return {write(result.out, into.out), write(result.lse, into.lse)};
}

static VisibleKeys seeAll(int64_t tokens) {
  std::vector<int32_t> all(tokens);
  for (int64_t i = 0; i < tokens; ++i)
    all[i] = i;
  return [all](int64_t, int64_t, int64_t) { return all; };
}

static VisibleKeys seeMask(Mask mask, int64_t heads, int64_t tokens) {
  return [mask = std::move(mask), heads, tokens](int64_t batch, int64_t head, int64_t query) {
    std::vector<int32_t> visible;
    for (int32_t key = 0; key < tokens; ++key)
      if (mask.contains(Pair{batch, heads, head, static_cast<int32_t>(query), key}))
        visible.push_back(key);
    return visible;
  };
}

/// As seeMask, for a mask that asks for the pair's blocks in the attention's partition.
static FailureOr<VisibleKeys> seeGivenMask(AttentionOp op, const Mask &mask, const Scope &scope) {
  if (op.getQueryOrder().isOpen() || op.getKeyOrder().isOpen())
    return op.emitOpError("expected orders with their tile sizes chosen, since the mask depends on given block lists");
  auto queries = std::make_shared<TokenBlocks>(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
  auto keys = std::make_shared<TokenBlocks>(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
  for (const rt::GivenLists *lists : mask.given)
    if (failed(verifyGiven(op, *lists, scope.getTensor(op.getQuery()), queries->partition.numBlocks(),
                           keys->partition.numBlocks())))
      return failure();
  int64_t heads = op.getQuery().getType().getDimSize(1);
  VisibleKeys see = [mask, queries, keys, heads](int64_t batch, int64_t head, int64_t query) {
    std::vector<int32_t> visible;
    Pair pair{batch, heads, head, static_cast<int32_t>(query), 0, queries->blockOf[query], 0};
    for (; pair.key < static_cast<int32_t>(keys->blockOf.size()); ++pair.key) {
      pair.keyBlock = keys->blockOf[pair.key];
      if (mask.contains(pair))
        visible.push_back(pair.key);
    }
    return visible;
  };
  return see;
}

static FailureOr<VisibleKeys> getVisibleKeys(AttentionOp op, const Scope &scope) {
  int64_t tokens = op.getKeyGrid().getTokens();
  if (!op.getMask())
    return seeAll(tokens);
  const Mask &mask = scope.get<Mask>(op.getMask());
  if (mask.given.empty())
    return seeMask(mask, op.getQuery().getType().getDimSize(1), tokens);
  return seeGivenMask(op, mask, scope);
}

LogicalResult interp::evaluate(AttentionOp op, Scope &scope) {
  FailureOr<VisibleKeys> visible = getVisibleKeys(op, scope);
  if (failed(visible))
    return failure();
  return bindAttention(op, scope, std::move(*visible), [](int64_t row) { return row; });
}
