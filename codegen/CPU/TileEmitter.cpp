// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small builders, and the exponential.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

Value TileEmitter::index(int64_t value) { return arith::ConstantIndexOp::create(b, value); }
Value TileEmitter::integer(int64_t value, unsigned width) { return arith::ConstantIntOp::create(b, value, width); }
Value TileEmitter::add(Value lhs, Value rhs) { return arith::AddIOp::create(b, lhs, rhs); }
Value TileEmitter::add(Value lhs, int64_t rhs) { return rhs ? add(lhs, index(rhs)) : lhs; }
Value TileEmitter::mul(Value lhs, Value rhs) { return arith::MulIOp::create(b, lhs, rhs); }

Value TileEmitter::alignUp(Value value, int64_t multiple) {
  return arith::AndIOp::create(b, add(value, multiple - 1), index(-multiple));
}

Value TileEmitter::less(Value lhs, Value rhs) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, lhs, rhs);
}

VectorType TileEmitter::vector(int64_t lanes, Type type) { return VectorType::get({lanes}, type); }

Value TileEmitter::splat(double value) { return splat(value, floats()); }

Value TileEmitter::splat(double value, VectorType type) {
  auto element = FloatAttr::get(type.getElementType(), value);
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, Attribute(element)));
}

Value TileEmitter::broadcast(Value scalar) {
  return vector::BroadcastOp::create(b, vector(target.lanes, scalar.getType()), scalar);
}

Value TileEmitter::load(VectorType type, Value memory, ValueRange indices) {
  return vector::LoadOp::create(b, type, memory, indices);
}

void TileEmitter::store(Value value, Value memory, ValueRange indices) {
  if (isa<VectorType>(value.getType()))
    vector::StoreOp::create(b, value, memory, indices);
  else
    memref::StoreOp::create(b, value, memory, indices);
}

Value TileEmitter::loadScalar(Value memory, ValueRange indices) {
  return memref::LoadOp::create(b, memory, indices);
}

Value TileEmitter::maximum(Value lhs, Value rhs) {
  Value greater = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, lhs, rhs);
  return arith::SelectOp::create(b, greater, lhs, rhs);
}

Value TileEmitter::fma(Value a, Value x, Value y) { return vector::FMAOp::create(b, a, x, y); }

Value TileEmitter::reduce(Value value, function_ref<Value(Value, Value)> combine) {
  for (int64_t half = cast<VectorType>(value.getType()).getNumElements() / 2; half >= 1; half /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < half; ++i)
      low.push_back(i), high.push_back(half + i);
    Value left = vector::ShuffleOp::create(b, value, value, low);
    Value right = vector::ShuffleOp::create(b, value, value, high);
    value = combine(left, right);
  }
  return vector::ExtractOp::create(b, value, 0);
}

/// Minimax polynomials of 2^f on [-1/2, 1/2] among those with the constant term 1: equal scores have equal weights of 1.
static ArrayRef<double> exp2Coefficients(int degree) {
  static constexpr double five[] = {1.0,
                                    0.693146977598717,
                                    0.24022242084635068,
                                    0.055507337435742383,
                                    0.009671512688149978,
                                    0.0013264727247089482};
  static constexpr double three[] = {1.0, 0.6932829273885207, 0.24221096221649288, 0.0550089314229813};
  return degree == 3 ? ArrayRef<double>(three) : ArrayRef<double>(five);
}

/// x = n + f with n the nearest integer: adding 1.5 * 2^23 rounds x, and leaves n in the low bits of the sum, where the
/// bias of 127 makes it the exponent field of 2^n. These adds must not be reassociated.
Value TileEmitter::exp2(Value x, int degree) {
  auto type = cast<VectorType>(x.getType());
  bool useScalef = target.scalef && type.getNumElements() == 16;
  Value underflow;
  if (useScalef) // 2^-200 is 0 in f32, and -200 keeps -inf out of f.
    x = maximum(splat(-200.0, type), x);
  else
    underflow = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, splat(-126.0, type));
  Value magic = splat(12582912.0 + (useScalef ? 0 : 127), type);
  Value biased = arith::AddFOp::create(b, x, magic);
  Value n = arith::SubFOp::create(b, biased, magic);
  Value f = arith::SubFOp::create(b, x, n);
  ArrayRef<double> coefficients = exp2Coefficients(degree);
  Value p = splat(coefficients.back(), type);
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    p = fma(p, f, splat(coefficient, type));
  if (useScalef) {
    Value all = integer(-1, 16), current = integer(4);
    // The op hands its operands to the intrinsic in this order, whose first two are the value and the exponent.
    return x86vector::MaskScaleFOp::create(b, type, /*src=*/p, /*a=*/n, /*b=*/p, all, current);
  }
  auto bitsType = VectorType::get(type.getShape(), b.getI32Type());
  Value bits = vector::BitCastOp::create(b, bitsType, biased);
  Value shift = arith::ConstantOp::create(b, DenseElementsAttr::get(bitsType, b.getI32IntegerAttr(23)));
  Value power = vector::BitCastOp::create(b, type, arith::ShLIOp::create(b, bits, shift));
  Value result = arith::MulFOp::create(b, p, power);
  return arith::SelectOp::create(b, underflow, splat(0.0, type), result);
}

SmallVector<Value> TileEmitter::loop(Value begin, Value end, int64_t step, ArrayRef<Value> carried, LoopBody body) {
  auto loop = scf::ForOp::create(b, begin, end, index(step), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next = body(loop.getInductionVar(), llvm::to_vector_of<Value>(loop.getRegionIterArgs()));
  if (!carried.empty())
    scf::YieldOp::create(b, next);
  return llvm::to_vector_of<Value>(loop.getResults());
}

void TileEmitter::loop(Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  loop(begin, end, step, {}, [&](Value i, SmallVector<Value>) {
    body(i);
    return SmallVector<Value>();
  });
}

void TileEmitter::prefetchShare(Value tile, Value number, int64_t shares) {
  auto type = cast<MemRefType>(tile.getType());
  constexpr int64_t kLineBits = 64 * 8;
  int64_t perLine = kLineBits / type.getElementTypeBitWidth();
  int64_t lines = llvm::divideCeil(llvm::divideCeil(type.getNumElements(), perLine), shares);
  Value first = mul(number, index(lines * perLine));
  SmallVector<Value> place(type.getRank(), index(0));
  for (int64_t line = 0; line < lines; ++line) {
    place.back() = add(first, line * perLine);
    memref::PrefetchOp::create(b, tile, place, /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
  }
}

Value TileEmitter::rowAt(Value source, Value offset, int64_t size) {
  auto layout = StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, {1});
  auto type = MemRefType::get({size}, cast<MemRefType>(source.getType()).getElementType(), layout);
  return memref::ReinterpretCastOp::create(b, type, source, OpFoldResult(offset),
                                           ArrayRef<OpFoldResult>{b.getIndexAttr(size)},
                                           ArrayRef<OpFoldResult>{b.getIndexAttr(1)});
}
