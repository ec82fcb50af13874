// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operands of one call, in memory of many layouts. Depends on the runtime's core alone.

#ifndef WEFT_TEST_UNIT_OPERANDS_H
#define WEFT_TEST_UNIT_OPERANDS_H

#include "runtime/Kernel.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace weft::test {

enum class TensorLayout { BHSD, BSHD, Padded, Packed, Reversed, Broadcast };

/// A tensor inside a larger piece of memory, which it owns.
struct TestTensor {
  std::vector<std::byte> storage;
  rt::Tensor view;

  static constexpr std::byte kUntouched{0xa5};

  TestTensor() = default;
  /// [batch, heads, tokens, width], or without the last axis. Where the view begins and what pads its rows is a multiple
  /// of `granule` elements.
  TestTensor(rt::DType dtype, std::vector<int64_t> shape, TensorLayout layout, int64_t granule = 1);
  TestTensor(const TestTensor &other) : TestTensor() { *this = other; }
  TestTensor &operator=(const TestTensor &other);
  TestTensor(TestTensor &&) = default;
  TestTensor &operator=(TestTensor &&) = default;

  /// Where the view's first element lies, in bytes.
  int64_t start() const { return static_cast<std::byte *>(view.data) - storage.data(); }
  int64_t offset(int64_t b, int64_t h, int64_t s, int64_t c = 0) const {
    return b * view.strides[0] + h * view.strides[1] + s * view.strides[2] + c;
  }
  double at(int64_t b, int64_t h, int64_t s, int64_t c = 0) const {
    return rt::loadAsDouble(view.data, view.dtype, offset(b, h, s, c));
  }
  void set(int64_t b, int64_t h, int64_t s, int64_t c, double value) {
    rt::storeFromDouble(view.data, view.dtype, offset(b, h, s, c), value);
  }
  int64_t width() const { return view.rank() == 4 ? view.shape[3] : 1; }

  template <typename Function> void forEach(const Function &function) const {
    for (int64_t b = 0; b < view.shape[0]; ++b)
      for (int64_t h = 0; h < view.shape[1]; ++h)
        for (int64_t s = 0; s < view.shape[2]; ++s)
          for (int64_t c = 0; c < width(); ++c)
            function(b, h, s, c);
  }

  template <typename Function> void fill(const Function &value) {
    forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) { set(b, h, s, c, value(b, h, s, c)); });
  }

  /// Whether nothing but the view's elements was written. Forgets these.
  bool isUntouchedAround();
};

/// The view [batch, tokens] of a tensor [batch, 1, tokens].
rt::Tensor perToken(const TestTensor &tensor);

/// Row lists that own their numbers.
struct TestRows {
  /// Of the sets: [batch or 1, heads or 1].
  std::vector<int64_t> shape;
  /// Room for as many rows in every set.
  int64_t capacity = 0;
  std::vector<int32_t> indices, counts;

  rt::RowLists view() const;
};

/// Everything that a call reads and writes.
struct Operands {
  TestTensor query, key, value, out, lse;
  std::optional<TestTensor> bias;
  std::optional<rt::GivenLists> given;
  std::optional<TestRows> rows;
  /// Of query tokens, [batch, 1, tokens].
  std::optional<TestTensor> drift, age;

  /// The result refers to this.
  rt::RunArgs args(int threads) const;

private:
  mutable rt::RowLists rowView;
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_OPERANDS_H
