// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Stores rows.

#include "codegen/CUDA/RowStore.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

RowPair RowStore::loadTokens() {
  Value at = e.add(e.mul(block, k.rows), row);
  Value tokens = e.advance(k.argument(kRowTokens), e.extend(at), e.b.getI32Type());
  return {e.load(e.b.getI32Type(), tokens, 4), e.load(e.b.getI32Type(), e.advance(tokens, e.i64(32)), 4)};
}

/// Elements from the tensor's begin to the token's row.
Value RowStore::offsetOf(Value token, unsigned batchStride) {
  Value batch = e.divide(pair, k.heads), head = e.sub(pair, e.mul(batch, k.heads));
  Value outer = e.add(e.mul(e.extend(batch), k.argument(batchStride)),
                      e.mul(e.extend(head), k.argument(batchStride + 1)));
  return e.add(outer, e.mul(e.extend(token), k.argument(batchStride + 2)));
}

/// Neighbouring f32 as vectors of two.
static Values pairUp(Emitter &e, ArrayRef<Value> values) {
  Values pairs;
  for (size_t i = 0; i < values.size(); i += 2) {
    Value pair = LLVM::PoisonOp::create(e.b, VectorType::get(2, e.b.getF32Type()));
    for (int64_t j = 0; j < 2; ++j)
      pair = LLVM::InsertElementOp::create(e.b, pair, values[i + j], e.i32(j));
    pairs.push_back(pair);
  }
  return pairs;
}

void RowStore::storeOutput(Value token, int64_t r, ArrayRef<Value> values) {
  Values own;
  for (auto [i, value] : llvm::enumerate(values))
    if (rowOf(i) == r)
      own.push_back(value);
  int64_t bytes = k.element.isF32() ? 4 : 2;
  Values pairs = bytes == 4 ? pairUp(e, own) : packPairs(e, own, ptxType(k.element));
  Value channel = e.shiftLeft(e.bitAnd(k.lane, 3), 1);
  Value to = e.advance(k.argument(kOut), e.add(offsetOf(token, kOutBatchStride), e.extend(channel)), k.element);
  for (auto [group, pair] : llvm::enumerate(pairs))
    e.store(pair, e.advance(to, e.i64(8 * bytes * group)), 2 * bytes);
}

void RowStore::storeLogSumExp(Value token, Value value) {
  Value wanted = e.notEqual(LLVM::PtrToIntOp::create(e.b, e.b.getI64Type(), k.argument(kLse)), 0);
  e.when(e.bitAnd(wanted, e.equal(e.bitAnd(k.lane, 3), 0)), [&] {
    e.store(value, e.advance(k.argument(kLse), offsetOf(token, kLseBatchStride), e.b.getF32Type()), 4);
  });
}

void RowStore::storeRows(const RowPair &tokens, ArrayRef<Value> accumulator, const RowPair &maximum,
                         const RowPair &sum, double factor) {
  for (int64_t r = 0; r < 2; ++r) {
    Value total = e.reduceQuad(sum[r], [&](Value a, Value b) { return e.addF(a, b); });
    Value isEmpty = e.equalF(total, e.f32(0));
    Value inverse = e.reciprocal(total);
    Values values;
    for (Value value : accumulator)
      values.push_back(e.select(isEmpty, e.f32(0), e.mulF(value, inverse)));
    // Row without keys: the maximum is -inf, and so is the logarithm.
    Value logarithm = e.mulF(e.fma(maximum[r], e.f32(factor), e.log2(total)), e.f32(M_LN2));
    e.when(e.less(e.i32(-1), tokens[r]), [&] {
      storeOutput(tokens[r], r, values);
      storeLogSumExp(tokens[r], logarithm);
    });
  }
}

void RowStore::storeEmpty() {
  RowPair tokens = loadTokens();
  Values zeros(k.headDim / 2, e.f32(0));
  for (int64_t r = 0; r < 2; ++r)
    e.when(e.less(e.i32(-1), tokens[r]), [&] {
      storeOutput(tokens[r], r, zeros);
      storeLogSumExp(tokens[r], e.f32(-std::numeric_limits<double>::infinity()));
    });
}
