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

/// In each lane of 128 bits four rows of four numbers become one row of four results; then the lanes are combined.
Value TileEmitter::reduceRows(ArrayRef<Value> rows, function_ref<Value(Value, Value)> combine) {
  auto lanes = cast<VectorType>(rows[0].getType()).getNumElements();
  auto shuffle = [&](Value left, Value right, ArrayRef<int64_t> quad) -> Value {
    SmallVector<int64_t> indices;
    for (int64_t lane = 0; lane < lanes; lane += kReducedRows)
      for (int64_t index : quad)
        indices.push_back(lane + index % kReducedRows + index / kReducedRows * lanes);
    return vector::ShuffleOp::create(b, left, right, indices);
  };
  // Columns 0 and 1 of two rows, then 2 and 3.
  auto zip = [&](Value left, Value right) {
    return combine(shuffle(left, right, {0, 4, 1, 5}), shuffle(left, right, {2, 6, 3, 7}));
  };
  Value upper = zip(rows[0], rows[1]), lower = zip(rows[2], rows[3]);
  Value result = combine(shuffle(upper, lower, {0, 1, 4, 5}), shuffle(upper, lower, {2, 3, 6, 7}));
  for (int64_t half = lanes / 2; half >= kReducedRows; half /= 2) {
    auto first = llvm::to_vector(llvm::seq<int64_t>(0, half)), second = llvm::to_vector(llvm::seq(half, 2 * half));
    Value left = vector::ShuffleOp::create(b, result, result, first);
    result = combine(left, vector::ShuffleOp::create(b, result, result, second));
  }
  return result;
}

/// Minimax polynomials of 2^f among those with the constant term 1: on [-1/2, 1/2] and on [0, 1].
static ArrayRef<double> exp2Coefficients(int degree, bool isFloor) {
  static constexpr double five[] = {1.0,
                                    0.693146977598717,
                                    0.24022242084635068,
                                    0.055507337435742383,
                                    0.009671512688149978,
                                    0.0013264727247089482};
  static constexpr double three[] = {1.0, 0.6932829273885207, 0.24221096221649288, 0.0550089314229813};
  static constexpr double fiveFloor[] = {1.0,
                                         0.6931514934782482,
                                         0.24016265745299914,
                                         0.055805493996068524,
                                         0.009010184398068711,
                                         0.0018700151437780787};
  static constexpr double threeFloor[] = {1.0, 0.695116786411201, 0.22764499121162643, 0.0770670419881968};
  if (degree == 3)
    return isFloor ? ArrayRef<double>(threeFloor) : ArrayRef<double>(three);
  return isFloor ? ArrayRef<double>(fiveFloor) : ArrayRef<double>(five);
}

Value TileEmitter::callIntrinsic(StringRef name, Type type, ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr(name), operands).getResult(0);
}

Value TileEmitter::polynomial(Value f, ArrayRef<double> coefficients) {
  auto type = cast<VectorType>(f.getType());
  Value p = splat(coefficients.back(), type);
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    p = fma(p, f, splat(coefficient, type));
  return p;
}

/// x = n + f with n = floor(x): AVX-512 has an instruction for f, which is 0 for an infinite x, and one that multiplies
/// by 2^floor(x).
Value TileEmitter::exp2ByScalef(Value x, int degree) {
  constexpr int64_t towardsLower = 1, noExceptions = 8;
  Value all = integer(-1, 16), current = integer(4);
  Value f = callIntrinsic("llvm.x86.avx512.mask.reduce.ps.512", x.getType(),
                          {x, integer(towardsLower | noExceptions), x, all, current});
  Value p = polynomial(f, exp2Coefficients(degree, /*isFloor=*/true));
  // The op hands its operands to the intrinsic in this order, whose first two are the value and the exponent.
  return x86vector::MaskScaleFOp::create(b, x.getType(), /*src=*/p, /*a=*/x, /*b=*/p, all, current);
}

/// x = n + f with n the nearest integer: adding 1.5 * 2^23 rounds x, and leaves n in the low bits of the sum, where the
/// bias of 127 makes it the exponent field of 2^n. These adds must not be reassociated.
Value TileEmitter::exp2(Value x, int degree) {
  auto type = cast<VectorType>(x.getType());
  if (target.scalef && type.getNumElements() == 16)
    return exp2ByScalef(x, degree);
  Value underflow = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, splat(-126.0, type));
  Value magic = splat(12582912.0 + 127, type);
  Value biased = arith::AddFOp::create(b, x, magic);
  Value n = arith::SubFOp::create(b, biased, magic);
  Value p = polynomial(arith::SubFOp::create(b, x, n), exp2Coefficients(degree, /*isFloor=*/false));
  auto bitsType = VectorType::get(type.getShape(), b.getI32Type());
  Value bits = vector::BitCastOp::create(b, bitsType, biased);
  Value shift = arith::ConstantOp::create(b, DenseElementsAttr::get(bitsType, b.getI32IntegerAttr(23)));
  Value power = vector::BitCastOp::create(b, type, arith::ShLIOp::create(b, bits, shift));
  return arith::SelectOp::create(b, underflow, splat(0.0, type), arith::MulFOp::create(b, p, power));
}

Value TileEmitter::roundToBF16(Value low, Value high) {
  return callIntrinsic("llvm.x86.avx512bf16.cvtne2ps2bf16.512", vector(32, b.getBF16Type()), {high, low});
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
