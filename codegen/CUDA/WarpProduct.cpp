// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Emits ldmatrix and mma.sync.

#include "codegen/CUDA/WarpProduct.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace weft::cuda;

Values weft::cuda::loadMatrices(Emitter &e, Value address, int64_t bytes, bool transposed) {
  std::string text = "ldmatrix.sync.aligned.m8n8.x4" + std::string(transposed ? ".trans" : "") +
                     ".shared.b16 {$0, $1, $2, $3}, [$4+" + std::to_string(bytes) + "];";
  return e.assembly(text, "=r,=r,=r,=r,r", address, SmallVector<Type>(4, e.b.getI32Type()));
}

Value weft::cuda::loadShared(Emitter &e, Value address, int64_t bytes) {
  return e.assembly("ld.shared.b32 $0, [$1+" + std::to_string(bytes) + "];", "=r,r", address, e.b.getI32Type())[0];
}

static Value asFloat(Emitter &e, Value bits) { return arith::BitcastOp::create(e.b, e.b.getF32Type(), bits); }
static Value asBits(Emitter &e, Value x) { return arith::BitcastOp::create(e.b, e.b.getI32Type(), x); }

/// What tf32 keeps of a number.
static Value cutToTF32(Emitter &e, Value bits) { return e.bitAnd(bits, static_cast<int32_t>(0xFFFFE000)); }

Fragment WarpProduct::fragment(ArrayRef<Value> registers) {
  Fragment result;
  if (type != "f32") {
    result.high.assign(registers.begin(), registers.end());
    return result;
  }
  // High is to nearest, as by cvt.rna.tf32.f32, which takes four instructions for the sake of NaN. Here high may be any
  // number for NaN, but low is NaN then.
  for (Value value : registers) {
    Value x = value.getType().isF32() ? value : asFloat(e, value);
    Value high = cutToTF32(e, e.add(asBits(e, x), 0x1000));
    result.high.push_back(high);
    result.low.push_back(cutToTF32(e, asBits(e, e.subF(x, asFloat(e, high)))));
  }
  return result;
}

void WarpProduct::multiplyOnce(MutableArrayRef<Value> accumulator, ArrayRef<Value> left, ArrayRef<Value> right) {
  bool isF32 = type == "f32";
  std::string types = isF32 ? "f32.tf32.tf32.f32" : "f32." + type.str() + "." + type.str() + ".f32";
  std::string text = "mma.sync.aligned." + std::string(isF32 ? "m16n8k8" : "m16n8k16") + ".row.col." + types +
                     " {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$0, $1, $2, $3};";
  Values operands(left);
  operands.append(right.begin(), right.end());
  operands.append(accumulator.begin(), accumulator.end());
  Values results = e.assembly(text, "=f,=f,=f,=f,r,r,r,r,r,r,0,1,2,3", operands,
                              SmallVector<Type>(4, e.b.getF32Type()));
  llvm::copy(results, accumulator.begin());
}

void WarpProduct::multiplyPart(int64_t part, MutableArrayRef<Value> accumulator, const Fragment &left,
                               const Fragment &right, size_t first) {
  bool isLast = part + 1 == parts();
  ArrayRef<Value> ofLeft = !isLast && part == 0 ? left.low : left.high;
  ArrayRef<Value> ofRight = !isLast && part == 1 ? right.low : right.high;
  multiplyOnce(accumulator, ofLeft, ofRight.slice(first, 2));
}

void WarpProduct::multiply(MutableArrayRef<Value> accumulator, const Fragment &left, const Fragment &right,
                           size_t first) {
  for (int64_t part = 0; part < parts(); ++part)
    multiplyPart(part, accumulator, left, right, first);
}
