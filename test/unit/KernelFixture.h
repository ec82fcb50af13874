// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small kernels and the operands of their calls, for the tests of kernels.

#ifndef WEFT_TEST_UNIT_KERNELFIXTURE_H
#define WEFT_TEST_UNIT_KERNELFIXTURE_H

#include "lib/Compiler/Compiler.h"

#include "llvm/Support/ErrorHandling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>

namespace weft::test {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kHeads = 2, kTokens = 62, kDim = 32;
/// A value that no kernel computes.
constexpr float kUntouched = -12345;

inline std::shared_ptr<const rt::Kernel> compile(const std::string &attention) {
  CompileRequest request;
  request.source = "attention a" + attention;
  request.options.queryGrid = request.options.keyGrid = {3, 4, 5, 2, false};
  request.options.heads = kHeads, request.options.headDim = kDim, request.options.block = 32;
  KernelResult kernel = compileKernel(request);
  if (!kernel)
    llvm::report_fatal_error(kernel.message().c_str());
  return *kernel;
}

/// Operands of one call, f32 and contiguous.
struct Operands {
  int64_t batch;
  std::vector<float> query, key, value, out, lse;
  rt::RunArgs args;

  explicit Operands(int64_t batch = 1) : batch(batch) {
    int64_t count = batch * kHeads * kTokens * kDim;
    uint32_t state = 1;
    auto random = [&](auto &) {
      std::vector<float> values(count);
      for (float &value : values)
        value = static_cast<int32_t>(state = state * 1664525 + 1013904223) / 2147483648.0f;
      return values;
    };
    query = random(query), key = random(key), value = random(value);
    out.assign(count, kUntouched), lse.assign(count / kDim, kUntouched);
    args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
    args.lse = rt::Tensor::contiguous(lse.data(), rt::DType::F32, {batch, kHeads, kTokens});
  }
  Operands(const Operands &) = delete;

  rt::Tensor view(std::vector<float> &data) const {
    return rt::Tensor::contiguous(data.data(), rt::DType::F32, {batch, kHeads, kTokens, kDim});
  }
  float &at(std::vector<float> &data, int64_t head, int64_t token, int64_t channel) {
    return data[(head * kTokens + token) * kDim + channel];
  }
  bool isUntouched() const {
    auto untouched = [](float value) { return value == kUntouched; };
    return std::all_of(out.begin(), out.end(), untouched) && std::all_of(lse.begin(), lse.end(), untouched);
  }
};

inline const rt::Kernel &dense() {
  static auto kernel = compile(" {}");
  return *kernel;
}
inline const rt::Kernel &withGiven() {
  static auto kernel = compile(" { mask given }");
  return *kernel;
}
/// One block per frame; a frame sees itself, but frame 0 sees nothing. Text sees text.
inline const rt::Kernel &frames() {
  static auto kernel = compile(" { order tiles(t: 1, h: 4, w: 5) mask q.t == k.t and q.t > 0 }");
  return *kernel;
}
inline const rt::Kernel &withParameters() {
  static auto kernel = compile("(dynamic first: int, dynamic on: bool = true) { mask abs(q.t - k.t) <= first and on }");
  return *kernel;
}

inline void run(const rt::Kernel &kernel, Operands &operands) {
  rt::Status status = kernel.run(operands.args);
  ASSERT_TRUE(status) << status.message();
}

/// Query block 0 names key blocks 0 and 1, block 1 names 2. Blocks: two of video, one of text.
inline rt::GivenLists makeLists() {
  rt::GivenLists lists;
  lists.queryBlocks = 3;
  lists.offsets = {0, 2, 3, 3};
  lists.keyBlocks = {0, 1, 2};
  return lists;
}

inline const rt::Kernel &withBias() {
  static auto kernel = compile(" { bias given }");
  return *kernel;
}
inline const rt::Kernel &withRows() {
  static auto kernel = compile(" { mask abs(q.t - k.t) <= 1 or q.text rows given }");
  return *kernel;
}

/// Rows of all batches and heads, or of each head of one batch.
struct TestRows {
  /// The indices, the counts, and room for a tensor that begins at any of them: it overlaps nothing else.
  std::vector<int32_t> memory;
  std::span<int32_t> indices, counts;
  rt::RowLists lists;

  explicit TestRows(const std::vector<std::vector<int32_t>> &sets)
      : memory(sets.size() * (kTokens + 1) + kHeads * kTokens * kDim, -1),
        indices(std::span(memory).first(sets.size() * kTokens)),
        counts(std::span(memory).subspan(indices.size(), sets.size())) {
    for (size_t i = 0; i < sets.size(); ++i) {
      counts[i] = static_cast<int32_t>(sets[i].size());
      std::copy(sets[i].begin(), sets[i].end(), indices.begin() + i * kTokens);
    }
    auto heads = static_cast<int64_t>(sets.size());
    lists.indices = rt::Tensor::contiguous(indices.data(), rt::DType::I32, {1, heads, kTokens});
    lists.counts = rt::Tensor::contiguous(counts.data(), rt::DType::I32, {1, heads});
  }
  TestRows(const TestRows &) = delete;
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_KERNELFIXTURE_H
