// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Selection of key blocks, and the prediction of a call's lists.

#include "runtime/Prediction.h"

#include "runtime/Kernel.h"
#include "runtime/Threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

using namespace weft::rt;

std::string Prediction::expectedAmount(double value) const {
  if (rule == SelectionRule::Threshold)
    return std::isfinite(value) ? "" : "a finite score";
  return value >= 0 && value <= 1 ? "" : "a number from 0 to 1";
}

int64_t weft::rt::shareOf(double share, int64_t count) {
  double product = share * count, nearest = std::nearbyint(product);
  return static_cast<int64_t>(std::abs(product - nearest) <= 1e-9 ? nearest : std::ceil(product));
}

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Whether block a stands before block b.
struct IsGreater {
  std::span<const float> scores;
  bool operator()(int32_t a, int32_t b) const {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  }
};

/// Moves the `count` greatest blocks to the front and sorts these by index.
void keepGreatest(std::vector<int32_t> &order, int64_t count, IsGreater isGreater) {
  if (count < static_cast<int64_t>(order.size())) {
    std::nth_element(order.begin(), order.begin() + count, order.end(), isGreater);
    order.resize(count);
  }
  std::sort(order.begin(), order.end());
}

/// The shortest prefix of the blocks, which it sorts, that has `mass` of the softmax.
int64_t countMass(std::vector<int32_t> &order, double mass, IsGreater isGreater) {
  std::sort(order.begin(), order.end(), isGreater);
  float greatest = isGreater.scores[order.front()];
  auto weight = [&](int32_t block) {
    float score = isGreater.scores[block];
    if (std::isinf(greatest))
      return score == greatest ? 1.0 : 0.0;
    return std::exp(static_cast<double>(score) - greatest);
  };
  double total = 0, sum = 0;
  for (int32_t block : order)
    total += weight(block);
  int64_t count = 0;
  for (; count < static_cast<int64_t>(order.size()) && sum < mass * total; ++count)
    sum += weight(order[count]);
  return count;
}

} // namespace

void weft::rt::selectBlocks(const Prediction &prediction, double amount, std::span<float> scores,
                            std::vector<int32_t> &blocks) {
  int64_t all = static_cast<int64_t>(scores.size()), count = 0;
  for (float &score : scores)
    score = std::isnan(score) ? kInfinity : score;
  std::vector<int32_t> order(all);
  std::iota(order.begin(), order.end(), 0);
  switch (prediction.rule) {
  case SelectionRule::TopK:
    count = shareOf(amount, all);
    break;
  case SelectionRule::TopP:
    count = amount == 1 ? all : countMass(order, amount, {scores});
    break;
  case SelectionRule::Threshold:
    count = std::count_if(scores.begin(), scores.end(), [&](float score) { return score >= amount; });
    break;
  }
  keepGreatest(order, std::min(std::max(count, prediction.min), all), {scores});
  blocks.insert(blocks.end(), order.begin(), order.end());
}

namespace {

/// One call's prediction in progress. A pair is batch element * heads + head.
struct Predictor {
  const KernelImage &parts;
  const Prediction &prediction;
  const Tensor &query, &key;
  double amount;
  int threads;
  int64_t pairs = query.shape[0] * parts.heads;
  /// The means of all pools, pair by pair.
  std::vector<float> queryMeans = std::vector<float>(pairs * prediction.query.count() * parts.headDim);
  std::vector<float> keyMeans = std::vector<float>(pairs * prediction.key.count() * parts.headDim);
  std::vector<std::vector<int32_t>> rows = std::vector<std::vector<int32_t>>(pairs * parts.query.count());

  void pool(const Tensor &tensor, const TokenBlocks &blocks, const TokenPools &pools,
            void (*function)(const PoolArgs *), std::vector<float> &means) const {
    int64_t count = pools.count();
    forEachItem(pairs * count, threads, [&](int64_t item, int) {
      int64_t pair = item / count, pool = item % count, first = pools.offsets[pool];
      int64_t offset = pair / parts.heads * tensor.strides[0] + pair % parts.heads * tensor.strides[1];
      PoolArgs args{static_cast<const std::byte *>(tensor.data) + offset * static_cast<int64_t>(sizeOf(tensor.dtype)),
                    tensor.strides[2], blocks.table.data(), first, pools.offsets[pool + 1] - first,
                    means.data() + item * parts.headDim};
      function(&args);
    });
  }

  /// A row of scores of pools, rounded up as kernels write it, and one of blocks.
  struct Scratch {
    std::vector<float> pools, blocks;
  };

  void selectRow(int64_t item, Scratch &scratch) {
    int64_t pair = item / parts.query.count(), block = item % parts.query.count();
    const TokenPools &queries = prediction.query, &keys = prediction.key;
    std::fill(scratch.blocks.begin(), scratch.blocks.end(), -kInfinity);
    for (int32_t pool = queries.firstPool[block]; pool < queries.firstPool[block + 1]; ++pool) {
      ScoreArgs args{queryMeans.data() + (pair * queries.count() + pool) * parts.headDim,
                     keyMeans.data() + pair * keys.count() * parts.headDim, scratch.pools.data()};
      prediction.score(&args);
      for (size_t j = 0; j < scratch.blocks.size(); ++j)
        for (int32_t k = keys.firstPool[j]; k < keys.firstPool[j + 1]; ++k) {
          float score = scratch.pools[k];
          scratch.blocks[j] = std::max(scratch.blocks[j], std::isnan(score) ? kInfinity : score);
        }
    }
    selectBlocks(prediction, amount, scratch.blocks, rows[item]);
  }

  GivenLists run() {
    pool(query, parts.query, prediction.query, prediction.poolQueries, queryMeans);
    pool(key, parts.key, prediction.key, prediction.poolKeys, keyMeans);
    std::vector<Scratch> scratch(threads);
    forEachItem(static_cast<int64_t>(rows.size()), threads, [&](int64_t item, int worker) {
      Scratch &mine = scratch[worker];
      mine.pools.resize((prediction.key.count() + 3) / 4 * 4);
      mine.blocks.resize(parts.key.count());
      selectRow(item, mine);
    });
    return collect();
  }

  GivenLists collect() const {
    GivenLists lists;
    lists.lists = pairs, lists.queryBlocks = parts.query.count();
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i % lists.queryBlocks == 0)
        lists.offsets.push_back(lists.keyBlocks.size());
      lists.keyBlocks.insert(lists.keyBlocks.end(), rows[i].begin(), rows[i].end());
      lists.offsets.push_back(lists.keyBlocks.size());
    }
    return lists;
  }
};

} // namespace

Result<GivenLists> Kernel::predict(const RunArgs &args) const {
  if (!parts.prediction)
    return Status::error(fmt::format("kernel '{}': expected a mask with topk, topp or threshold", parts.name));
  if (Status status = checkQueryAndKey(args); !status)
    return status;
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  const Prediction &prediction = *parts.prediction;
  double amount = prediction.amount;
  if (prediction.parameter >= 0)
    amount = std::bit_cast<double>((*parameters)[prediction.parameter]);
  int threads = args.threads ? args.threads : defaultThreads();
  return Predictor{parts, prediction, args.query, args.key, amount, threads}.run();
}
