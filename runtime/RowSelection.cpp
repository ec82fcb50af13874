// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Importance, selection and ages of tokens.

#include "runtime/RowSelection.h"

#include "runtime/Prediction.h"
#include "runtime/TensorChecks.h"
#include "runtime/Threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

using namespace weft::rt;

double Amount::resolve(const std::vector<int64_t> &parameters) const {
  return parameter < 0 ? value : std::bit_cast<double>(parameters[parameter]);
}

std::string RowSelection::expectedAmount(int64_t parameter, double value) const {
  if (keep.parameter == parameter && !(value >= 0 && value <= 1))
    return "a number from 0 to 1";
  if (ageWeight.parameter == parameter && !(std::isfinite(value) && value >= 0))
    return "a finite number of at least 0";
  return "";
}

int64_t RowSelection::count(double share, int64_t tokens) const {
  return std::min(std::max(shareOf(share, tokens), min), tokens);
}

const std::array<double, kMaxAge + 1> &weft::rt::ageExponentials() {
  static const std::array<double, kMaxAge + 1> table = [] {
    std::array<double, kMaxAge + 1> result;
    for (int32_t age = 0; age <= kMaxAge; ++age)
      result[age] = std::exp(static_cast<double>(age));
    return result;
  }();
  return table;
}

RowLists OwnedRowLists::view() const {
  return {Tensor::contiguous(const_cast<int32_t *>(indices.data()), DType::I32, {batch, 1, capacity}),
          Tensor::contiguous(const_cast<int32_t *>(counts.data()), DType::I32, {batch, 1})};
}

namespace {

/// The elements of a tensor behind leading indices.
template <typename T> struct Line {
  T *first;
  int64_t stride;
  Line(const Tensor &tensor, int64_t offset)
      : first(static_cast<T *>(tensor.data) + offset), stride(tensor.strides.back()) {}
  T &operator[](int64_t i) const { return first[i * stride]; }
};

/// The importance of tokens begin .. end - 1 of one batch element.
struct ImportanceScorer {
  const Tensor &lse, &drift, &age;
  double weight;

  void score(int64_t batch, int64_t begin, int64_t end, double *result) const {
    std::vector<double> sums(end - begin, 0), counts(end - begin, 0);
    for (int64_t head = 0; head < lse.shape[1]; ++head) {
      Line<const float> line(lse, batch * lse.strides[0] + head * lse.strides[1]);
      for (int64_t i = begin; i < end; ++i) {
        bool isEmpty = line[i] == -std::numeric_limits<float>::infinity();
        sums[i - begin] += isEmpty ? 0 : line[i];
        counts[i - begin] += isEmpty ? 0 : 1;
      }
    }
    Line<const float> drifts(drift, batch * drift.strides[0]);
    Line<const int32_t> ages(age, batch * age.strides[0]);
    for (int64_t i = begin; i < end; ++i) {
      double mean = counts[i - begin] == 0 ? 0 : sums[i - begin] / counts[i - begin];
      result[i] = mean * drifts[i] + weight * ageExponentials()[ages[i]];
    }
  }
};

/// Whether token a is to be computed before token b.
struct IsMoreImportant {
  const double *importance;
  bool operator()(int32_t a, int32_t b) const {
    bool isNaN = std::isnan(importance[a]), otherIsNaN = std::isnan(importance[b]);
    if (isNaN || otherIsNaN)
      return isNaN != otherIsNaN ? isNaN : a < b;
    return importance[a] != importance[b] ? importance[a] > importance[b] : a < b;
  }
};

/// The `count` most important tokens and those of `always`, ascending.
std::vector<int32_t> selectTokens(const double *importance, int64_t tokens, int64_t count,
                                  const std::vector<int32_t> &always) {
  std::vector<int32_t> order(tokens), selected;
  std::iota(order.begin(), order.end(), 0);
  if (count < tokens)
    std::nth_element(order.begin(), order.begin() + count, order.end(), IsMoreImportant{importance});
  order.resize(count);
  std::sort(order.begin(), order.end());
  std::set_union(order.begin(), order.end(), always.begin(), always.end(), std::back_inserter(selected));
  return selected;
}

} // namespace

Status weft::rt::checkAges(const Tensor &age, int64_t batch, int64_t tokens) {
  if (Status status = checkTensor("age", age, DType::I32, {batch, tokens}); !status)
    return status;
  for (int64_t b = 0; b < batch; ++b) {
    Line<const int32_t> ages(age, b * age.strides[0]);
    for (int64_t i = 0; i < tokens; ++i)
      if (ages[i] < 0 || ages[i] > kMaxAge)
        return Status::error(fmt::format("age: expected ages from 0 to {}, but got {} of batch {} token {}", kMaxAge,
                                         ages[i], b, i));
  }
  return Status::ok();
}

OwnedRowLists weft::rt::selectRows(const RowSelection &selection, double keep, double ageWeight, const Tensor &lse,
                                   const Tensor &drift, const Tensor &age, int threads) {
  constexpr int64_t chunk = 4096;
  int64_t batch = lse.shape[0], tokens = lse.shape[2], chunks = (tokens + chunk - 1) / chunk;
  std::vector<double> importance(batch * tokens);
  ImportanceScorer scorer{lse, drift, age, ageWeight};
  forEachItem(batch * chunks, threads, [&](int64_t item, int) {
    int64_t begin = item % chunks * chunk;
    scorer.score(item / chunks, begin, std::min(begin + chunk, tokens),
                 importance.data() + item / chunks * tokens);
  });
  int64_t count = selection.count(keep, tokens);
  OwnedRowLists rows{batch, tokens, std::vector<int32_t>(batch * tokens), std::vector<int32_t>(batch)};
  forEachItem(batch, threads, [&](int64_t b, int) {
    std::vector<int32_t> selected = selectTokens(importance.data() + b * tokens, tokens, count, selection.always);
    rows.counts[b] = static_cast<int32_t>(selected.size());
    std::copy(selected.begin(), selected.end(), rows.indices.begin() + b * tokens);
  });
  return rows;
}

void weft::rt::advanceAges(const RowLists &rows, const Tensor &age) {
  for (int64_t b = 0; b < age.shape[0]; ++b) {
    Line<int32_t> ages(age, b * age.strides[0]);
    for (int64_t i = 0; i < age.shape[1]; ++i)
      ages[i] = std::min(ages[i] + 1, kMaxAge);
    for (int32_t token : rows.tokensOf(rows.setOf(b, 0)))
      ages[token] = 0;
  }
}
