// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Exponentials and their bookkeeping.

#include "codegen/CUDA/RegisterSoftmax.h"

#include <limits>

using namespace mlir;
using namespace weft::cuda;

SoftmaxResult weft::cuda::emitSoftmax(Emitter &e, ArrayRef<Value> scores, const RowPair &maximum, double factor) {
  auto greater = [&](Value a, Value b) { return e.maximum(a, b); };
  auto sum = [&](Value a, Value b) { return e.addF(a, b); };
  Value lowest = e.f32(-std::numeric_limits<double>::infinity()), scale = e.f32(factor);
  SoftmaxResult result;
  std::array<Values, 2> rows;
  RowPair shift;
  for (auto [i, score] : llvm::enumerate(scores))
    rows[rowOf(i)].push_back(score);
  for (int64_t r = 0; r < 2; ++r) {
    result.maximum[r] = e.maximum(e.reduceQuad(e.reduce(rows[r], greater), greater), maximum[r]);
    Value reference = e.select(e.equalF(result.maximum[r], lowest), e.f32(0), result.maximum[r]);
    shift[r] = e.negate(e.mulF(reference, scale));
    // The same rounded product as in the shift before: exactly 1 if the maximum stays, whatever stands in other rows.
    result.correction[r] = e.exp2(e.addF(e.mulF(maximum[r], scale), shift[r]));
  }
  for (auto [i, score] : llvm::enumerate(scores))
    result.weights.push_back(e.exp2(e.fma(score, scale, shift[rowOf(i)])));
  std::array<Values, 2> weights;
  for (auto [i, weight] : llvm::enumerate(result.weights))
    weights[rowOf(i)].push_back(weight);
  for (int64_t r = 0; r < 2; ++r)
    result.sum[r] = e.reduce(weights[r], sum);
  return result;
}

Values weft::cuda::packPairs(Emitter &e, ArrayRef<Value> values, StringRef type) {
  Values packed;
  std::string text = "cvt.rn." + type.str() + "x2.f32 $0, $1, $2;";
  for (size_t i = 0; i < values.size(); i += 2)
    packed.push_back(e.convert(text, "=r,f,f", {values[i + 1], values[i]}, e.b.getI32Type()));
  return packed;
}
