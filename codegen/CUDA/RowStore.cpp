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

/// A word of four lanes' each, w0 and w1: even lanes take their own and their odd neighbour's half of w0, odd lanes those of
/// w1.
static Value exchangeWords(Emitter &e, Value lane, Value w0, Value w1) {
  Value isOdd = e.notEqual(e.bitAnd(lane, 1), 0);
  Value other = e.exchange(e.select(isOdd, w0, w1), 1);
  Value pair = LLVM::PoisonOp::create(e.b, VectorType::get(2, e.b.getI32Type()));
  pair = LLVM::InsertElementOp::create(e.b, pair, e.select(isOdd, other, w0), e.i32(0));
  return LLVM::InsertElementOp::create(e.b, pair, e.select(isOdd, w1, other), e.i32(1));
}

void RowStore::storeOutput(Value token, ArrayRef<Value> values) {
  Value quad = e.bitAnd(lane, 3), exists = e.less(e.i32(-1), token);
  Value start = e.advance(k.argument(kOut), offsetOf(token, kOutBatchStride), k.element);
  auto at = [&](Value channel) { return e.advance(start, e.extend(channel), k.element); };
  Value two = at(e.shiftLeft(quad, 1));
  auto store = [&](Value part, Value from, size_t offset, unsigned bytes) {
    e.when(exists, [&] { e.store(part, e.advance(from, e.i64(offset)), bytes); });
  };
  if (k.element.isF32()) {
    for (auto [i, pair] : llvm::enumerate(pairUp(e, values)))
      store(pair, two, 32 * i, 8);
    return;
  }
  Values words = packPairs(e, values, ptxType(k.element));
  Value four = at(e.add(e.shiftLeft(e.bitAnd(quad, 1), 3), e.shiftLeft(e.bitAnd(quad, 2), 1)));
  size_t paired = words.size() / 2 * 2;
  for (size_t i = 0; i < paired; i += 2)
    store(exchangeWords(e, lane, words[i], words[i + 1]), four, 16 * i, 8);
  if (paired < words.size())
    store(words[paired], two, 16 * paired, 4);
}

void RowStore::storeLogSumExp(Value token, Value value) {
  Value wanted = e.notEqual(LLVM::PtrToIntOp::create(e.b, e.b.getI64Type(), k.argument(kLse)), 0);
  Value isFirst = e.equal(e.bitAnd(lane, 3), 0), exists = e.less(e.i32(-1), token);
  e.when(e.bitAnd(wanted, e.bitAnd(isFirst, exists)), [&] {
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
    for (auto [i, value] : llvm::enumerate(accumulator))
      if (rowOf(i) == r)
        values.push_back(e.select(isEmpty, e.f32(0), e.mulF(value, inverse)));
    storeOutput(tokens[r], values);
    // Row without keys: the maximum is -inf, and so is the logarithm.
    storeLogSumExp(tokens[r], e.mulF(e.fma(maximum[r], e.f32(factor), e.log2(total)), e.f32(M_LN2)));
  }
}

void RowStore::storeEmpty() {
  RowPair tokens = loadTokens();
  for (int64_t r = 0; r < 2; ++r) {
    storeOutput(tokens[r], Values(k.headDim / 4, e.f32(0)));
    storeLogSumExp(tokens[r], e.f32(-std::numeric_limits<double>::infinity()));
  }
}
