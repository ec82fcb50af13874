// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Norms of differences, and copies of rows.

#include "runtime/Drift.h"

#include "runtime/TensorChecks.h"
#include "runtime/Threads.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

using namespace weft::rt;

namespace {

struct F32 {
  float value;
  float get() const { return value; }
};

struct BF16 {
  uint16_t bits;
  float get() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

struct F16 {
  uint16_t bits;
  /// The exponent's offset is 112 less than that of f32; a product with 2^112 also normalises what is subnormal.
  float get() const {
    uint32_t magnitude = uint32_t{bits} & 0x7fff, sign = (uint32_t{bits} & 0x8000) << 16;
    uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f);
    return std::bit_cast<float>((magnitude >= 0x7c00 ? scaled | 0x7f800000 : scaled) | sign);
  }
};

/// In eight sums that do not wait for each other.
template <typename Element> double distance(const Element *a, const Element *b, int64_t width) {
  constexpr int64_t lanes = 8;
  std::array<double, lanes> sums = {};
  auto add = [&](int64_t i, int64_t lane) {
    double difference = static_cast<double>(a[i].get()) - b[i].get();
    sums[lane] += difference * difference;
  };
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes)
    for (int64_t lane = 0; lane < lanes; ++lane)
      add(i + lane, lane);
  for (; i < width; ++i)
    add(i, 0);
  double sum = 0;
  for (double part : sums)
    sum += part;
  return std::sqrt(sum);
}

template <typename Element>
void measure(const Tensor &x, const Tensor &last, const Tensor &drift, int threads) {
  constexpr int64_t chunk = 64;
  int64_t tokens = x.shape[1], chunks = (tokens + chunk - 1) / chunk;
  auto rowOf = [](const Tensor &tensor, int64_t batch, int64_t token) {
    return static_cast<const Element *>(tensor.data) + batch * tensor.strides[0] + token * tensor.strides[1];
  };
  forEachItem(x.shape[0] * chunks, threads, [&](int64_t item, int) {
    int64_t batch = item / chunks, begin = item % chunks * chunk;
    for (int64_t token = begin; token < std::min(begin + chunk, tokens); ++token)
      static_cast<float *>(drift.data)[batch * drift.strides[0] + token * drift.strides[1]] = static_cast<float>(
          distance(rowOf(x, batch, token), rowOf(last, batch, token), x.shape[2]));
  });
}

Status checkInputs(const Tensor &x, const Tensor &last) {
  if (x.dtype != DType::F32 && x.dtype != DType::BF16 && x.dtype != DType::F16)
    return Status::error(fmt::format("x: expected dtype f32, bf16 or f16, but got {}", name(x.dtype)));
  if (x.rank() != 3)
    return Status::error(
        fmt::format("x: expected [batch, tokens, width], but got [{}]", fmt::join(x.shape, ", ")));
  for (auto [name, tensor] : {std::pair("x", &x), {"last", &last}}) {
    if (Status status = checkTensor(name, *tensor, x.dtype, x.shape); !status)
      return status;
    if (Status status = checkContiguousRows(name, *tensor); !status)
      return status;
  }
  return Status::ok();
}

Status checkApart(const char *name, const Tensor &result, const char *otherName, const Tensor &operand) {
  if (result.numElements() == 0 || operand.numElements() == 0 || !shareMemory(result, operand))
    return Status::ok();
  return Status::error(fmt::format("{}: expected memory apart from {}", name, otherName));
}

} // namespace

Status weft::rt::checkDrift(const Tensor &x, const Tensor &last, const Tensor &drift) {
  if (Status status = checkInputs(x, last); !status)
    return status;
  if (Status status = checkTensor("drift", drift, DType::F32, {x.shape[0], x.shape[1]}); !status)
    return status;
  if (Status status = checkDistinctElements("drift", drift); !status)
    return status;
  for (auto [name, operand] : {std::pair("x", &x), {"last", &last}})
    if (Status status = checkApart("drift", drift, name, *operand); !status)
      return status;
  return Status::ok();
}

Status weft::rt::checkKeptInputs(const Tensor &x, const Tensor &last) {
  if (Status status = checkInputs(x, last); !status)
    return status;
  if (Status status = checkDistinctElements("last", last); !status)
    return status;
  return checkApart("last", last, "x", x);
}

Status weft::rt::measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, int threads) {
  if (Status status = checkDrift(x, last, drift); !status)
    return status;
  if (threads < 0)
    return Status::error(fmt::format("threads: expected 0 or more, but got {}", threads));
  auto *function = x.dtype == DType::F32 ? measure<F32> : x.dtype == DType::BF16 ? measure<BF16> : measure<F16>;
  function(x, last, drift, threads ? threads : defaultThreads());
  return Status::ok();
}

Status weft::rt::keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last) {
  if (Status status = checkKeptInputs(x, last); !status)
    return status;
  if (Status status = rows.validate(x.shape[0], /*heads=*/1, x.shape[1]); !status)
    return status;
  auto size = static_cast<int64_t>(sizeOf(x.dtype));
  auto rowOf = [&](const Tensor &tensor, int64_t batch, int64_t token) {
    return static_cast<std::byte *>(tensor.data) + (batch * tensor.strides[0] + token * tensor.strides[1]) * size;
  };
  for (int64_t batch = 0; batch < x.shape[0]; ++batch)
    for (int32_t token : rows.tokensOf(rows.setOf(batch, 0)))
      std::memcpy(rowOf(last, batch, token), rowOf(x, batch, token), x.shape[2] * size);
  return Status::ok();
}
