// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Emits cp.async.

#include "codegen/CUDA/TileCopy.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

TileCopy::TileCopy(Emitter &e, Value thread, int64_t threads, int64_t headDim, int64_t elementBytes)
    : e(e), headDim(headDim), elementBytes(elementBytes), rowStep(threads / 8), row(e.shiftRight(thread, 3)),
      chunk(e.bitAnd(thread, 7)) {
  // Rows of a thread are multiples of 8 apart: its chunk is swizzled alike in all of them.
  Value swizzled = e.bitAnd(e.bitXor(chunk, row), 7);
  offset = e.add(e.mul(row, kRowBytes), e.shiftLeft(swizzled, 4));
}

Values TileCopy::loadTokens(Value table, int64_t rows) {
  Value first = e.advance(table, e.extend(row), e.b.getI32Type());
  Values tokens;
  for (int64_t i = 0; i < rows; i += rowStep)
    tokens.push_back(e.load(e.b.getI32Type(), e.advance(first, e.i64(4 * i)), 4));
  return tokens;
}

Value TileCopy::headAddress(const TokenTensor &tensor, Value pair, int64_t heads) {
  Value batch = e.divide(pair, heads), head = e.sub(pair, e.mul(batch, heads));
  Value elements = e.add(e.mul(e.extend(batch), tensor.batchStride), e.mul(e.extend(head), tensor.headStride));
  Value base = LLVM::PtrToIntOp::create(e.b, e.b.getI64Type(), tensor.address);
  Value bytes = e.add(e.mul(elements, elementBytes), e.shiftLeft(e.extend(chunk), 4));
  return e.add(base, bytes);
}

void TileCopy::copy(Value shared, int64_t pitch, const TokenTensor &tensor, Value headAddress,
                    ArrayRef<Value> tokens) {
  Value stride = e.mul(tensor.tokenStride, elementBytes), to = e.add(shared, offset);
  for (auto [i, token] : llvm::enumerate(tokens)) {
    Value exists = e.less(e.i32(-1), token);
    Value from = e.add(headAddress, e.mul(e.extend(e.select(exists, token, e.i32(0))), stride));
    Value all = e.select(exists, e.i32(16), e.i32(0));
    int64_t offset = static_cast<int64_t>(i) * rowStep * kRowBytes;
    copyRow(e, {to, offset, pitch * kRowBytes, from, all}, chunk, headDim, elementBytes);
  }
}

void TileCopy::copyNumbers(Value shared, Value numbers, Value stride, ArrayRef<Value> tokens) {
  // One of a row's eight threads.
  e.when(e.equal(chunk, 0), [&] {
    Value to = e.add(shared, e.shiftLeft(row, 2));
    for (auto [i, token] : llvm::enumerate(tokens)) {
      Value exists = e.less(e.i32(-1), token);
      Value from = e.advance(numbers, e.mul(e.extend(e.select(exists, token, e.i32(0))), stride), e.b.getF32Type());
      Value bytes = e.select(exists, e.i32(4), e.i32(0));
      std::string place = std::to_string(4 * static_cast<int64_t>(i) * rowStep);
      e.assembly("cp.async.ca.shared.global [$0+" + place + "], [$1], 4, $2;", "r,l,r", {to, from, bytes}, {});
    }
  });
}

void weft::cuda::copyRow(Emitter &e, const RowCopy &row, Value chunk, int64_t headDim, int64_t elementBytes) {
  int64_t chunks = headDim * elementBytes / 16;
  for (int64_t group = 0; 8 * group < chunks; ++group) {
    int64_t left = chunks - 8 * group;
    Value bytes = left >= 8 ? row.size : e.select(e.less(chunk, e.i32(left)), row.size, e.i32(0));
    std::string text = "cp.async.cg.shared.global [$0+" + std::to_string(row.offset + group * row.groupBytes) + "], [$1+" +
                       std::to_string(TileCopy::kRowBytes * group) + "], 16, $2;";
    e.assembly(text, "r,l,r", {row.shared, row.address, bytes}, {});
  }
}

void weft::cuda::waitForCopies(Emitter &e) { e.assembly("cp.async.wait_all;", "", {}, {}); }
