// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Emits cp.async.

#include "codegen/CUDA/TileCopy.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

TileCopy::TileCopy(MMAKernel &kernel)
    : k(kernel), e(kernel.e), rowStep(kernel.s.threads() / 8), row(e.shiftRight(k.thread, 3)),
      chunk(e.bitAnd(k.thread, 7)) {
  // Rows of a thread are multiples of 8 apart: its chunk is swizzled alike in all of them.
  Value swizzled = e.bitAnd(e.bitXor(chunk, row), 7);
  offset = e.add(e.mul(row, MMASchedule::kRowBytes), e.shiftLeft(swizzled, 4));
}

Values TileCopy::loadTokens(Value table, int64_t rows) {
  Value first = e.advance(table, e.extend(row), e.b.getI32Type());
  Values tokens;
  for (int64_t i = 0; i < rows; i += rowStep)
    tokens.push_back(e.load(e.b.getI32Type(), e.advance(first, e.i64(4 * i)), 4));
  return tokens;
}

Value TileCopy::headAddress(unsigned tensor, Value pair) {
  Value batch = e.divide(pair, k.heads), head = e.sub(pair, e.mul(batch, k.heads));
  Value elements = e.add(e.mul(e.extend(batch), k.operand(tensor + 1)), e.mul(e.extend(head), k.operand(tensor + 2)));
  Value base = LLVM::PtrToIntOp::create(e.b, e.b.getI64Type(), k.operand(tensor));
  Value bytes = e.add(e.mul(elements, k.s.problem.elementBytes), e.shiftLeft(e.extend(chunk), 4));
  return e.add(base, bytes);
}

void TileCopy::copy(Value shared, int64_t rows, unsigned tensor, Value headAddress, ArrayRef<Value> tokens) {
  int64_t chunks = k.s.problem.headDim * k.s.problem.elementBytes / 16;
  Value stride = e.mul(k.operand(tensor + 3), k.s.problem.elementBytes), to = e.add(shared, offset);
  for (auto [i, token] : llvm::enumerate(tokens)) {
    Value exists = e.less(e.i32(-1), token);
    Value from = e.add(headAddress, e.mul(e.extend(e.select(exists, token, e.i32(0))), stride));
    Value all = e.select(exists, e.i32(16), e.i32(0));
    for (int64_t group = 0; group < k.s.channelGroups; ++group) {
      int64_t left = chunks - 8 * group;
      Value bytes = left >= 8 ? all : e.select(e.less(chunk, e.i32(left)), all, e.i32(0));
      std::string text = "cp.async.cg.shared.global [$0+" +
                         std::to_string((group * rows + static_cast<int64_t>(i) * rowStep) * MMASchedule::kRowBytes) +
                         "], [$1+" + std::to_string(128 * group) + "], 16, $2;";
      e.assembly(text, "r,l,r", {to, from, bytes}, {});
    }
  }
}

void weft::cuda::waitForCopies(Emitter &e) { e.assembly("cp.async.wait_all;", "", {}, {}); }
