// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small builders of scalar GPU code: arithmetic, memory, shuffles, inline assembly and blocks.

#ifndef WEFT_CODEGEN_CUDA_EMITTER_H
#define WEFT_CODEGEN_CUDA_EMITTER_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"

namespace weft::cuda {

using Values = llvm::SmallVector<mlir::Value>;

/// Emits into one kernel function. Values are i1, i32, i64, f32, f64 and pointers; every op is one of a thread's.
class Emitter {
public:
  /// Works in the block where `b` stands; shared memory is the symbol `sharedName`.
  Emitter(mlir::ImplicitLocOpBuilder builder, llvm::StringRef sharedName);

  mlir::ImplicitLocOpBuilder b;

  mlir::Value i1(bool value);
  mlir::Value i32(int64_t value);
  mlir::Value i64(int64_t value);
  mlir::Value f32(double value);
  mlir::Value f64(double value);

  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value add(mlir::Value lhs, int64_t rhs);
  mlir::Value sub(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, int64_t rhs);
  /// Unsigned.
  mlir::Value divide(mlir::Value lhs, int64_t rhs);
  mlir::Value divide(mlir::Value lhs, mlir::Value rhs);
  mlir::Value remainder(mlir::Value lhs, int64_t rhs);
  mlir::Value remainder(mlir::Value lhs, mlir::Value rhs);
  mlir::Value bitAnd(mlir::Value lhs, int64_t rhs);
  mlir::Value bitAnd(mlir::Value lhs, mlir::Value rhs);
  mlir::Value bitOr(mlir::Value lhs, mlir::Value rhs);
  mlir::Value bitXor(mlir::Value lhs, int64_t rhs);
  mlir::Value bitXor(mlir::Value lhs, mlir::Value rhs);
  mlir::Value shiftLeft(mlir::Value lhs, int64_t rhs);
  mlir::Value shiftLeft(mlir::Value lhs, mlir::Value rhs);
  mlir::Value shiftRight(mlir::Value lhs, int64_t rhs);
  mlir::Value shiftRight(mlir::Value lhs, mlir::Value rhs);
  mlir::Value equal(mlir::Value lhs, mlir::Value rhs);
  mlir::Value equal(mlir::Value lhs, int64_t rhs);
  mlir::Value notEqual(mlir::Value lhs, int64_t rhs);
  /// Unsigned and signed comparison.
  mlir::Value below(mlir::Value lhs, mlir::Value rhs);
  mlir::Value less(mlir::Value lhs, mlir::Value rhs);
  mlir::Value minimum(mlir::Value lhs, mlir::Value rhs);
  mlir::Value greater(mlir::Value lhs, mlir::Value rhs);
  mlir::Value select(mlir::Value condition, mlir::Value ifTrue, mlir::Value ifFalse);
  /// i32 or i1 to a wider integer, without sign and with it.
  mlir::Value extend(mlir::Value value, unsigned width = 64);
  mlir::Value extendSigned(mlir::Value value);

  mlir::Value addF(mlir::Value lhs, mlir::Value rhs);
  mlir::Value subF(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mulF(mlir::Value lhs, mlir::Value rhs);
  mlir::Value divideF(mlir::Value lhs, mlir::Value rhs);
  mlir::Value negate(mlir::Value value);
  mlir::Value fma(mlir::Value a, mlir::Value x, mlir::Value y);
  /// The greater of both, the other if one is NaN.
  mlir::Value maximum(mlir::Value lhs, mlir::Value rhs);
  /// The greater of both, NaN if one is.
  mlir::Value maximumOrNaN(mlir::Value lhs, mlir::Value rhs);
  mlir::Value equalF(mlir::Value lhs, mlir::Value rhs);
  mlir::Value absolute(mlir::Value value);
  mlir::Value squareRoot(mlir::Value value);
  /// An i32 that is not negative as f32.
  mlir::Value countToF32(mlir::Value value);
  /// A float as f32, or as f64.
  mlir::Value toF32(mlir::Value value);
  mlir::Value toF64(mlir::Value value);
  mlir::Value greaterF(mlir::Value lhs, mlir::Value rhs);
  /// The hardware's approximations: ex2, lg2 and rcp, with subnormal numbers as 0.
  mlir::Value exp2(mlir::Value value);
  mlir::Value log2(mlir::Value value);
  mlir::Value reciprocal(mlir::Value value);

  /// Combines values pairwise; `chains` of them are independent of one another.
  using Combine = llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)>;
  mlir::Value reduce(llvm::ArrayRef<mlir::Value> values, Combine combine, size_t chains = 4);
  /// Combines what the four lanes of a quad hold.
  mlir::Value reduceQuad(mlir::Value value, Combine combine);
  /// Combines what neighbouring lanes hold, in groups of `lanes`, a power of two. All lanes of the warp come here.
  mlir::Value reduceLanes(mlir::Value value, int64_t lanes, Combine combine);
  /// Combines what all lanes of a warp hold, in every lane.
  mlir::Value reduceWarp(mlir::Value value, Combine combine);
  /// The sum of an i32 over a warp.
  mlir::Value sumWarp(mlir::Value value);
  /// What the lane holds whose number differs by the bit `distance`: an i32, f32 or f64.
  mlir::Value exchange(mlir::Value value, int64_t distance);
  /// A value of lane 0, or of some lane, in every lane.
  mlir::Value broadcastFirstLane(mlir::Value value);
  mlir::Value broadcastLane(mlir::Value value, mlir::Value lane);
  /// What lane `number` of the lane's own eight holds.
  mlir::Value broadcastOfEight(mlir::Value value, int64_t number);
  /// A bit per lane of the warp: whether the condition holds there.
  mlir::Value ballot(mlir::Value condition);
  /// The lanes that hold the same i32 as this one, a bit each.
  mlir::Value lanesWith(mlir::Value value);
  mlir::Value countBits(mlir::Value value);
  /// The number of the lowest bit that is set.
  mlir::Value lowestBit(mlir::Value value);

  /// A pointer some bytes or elements further.
  mlir::Value advance(mlir::Value pointer, mlir::Value bytes);
  mlir::Value advance(mlir::Value pointer, mlir::Value count, mlir::Type element);
  mlir::Value load(mlir::Type type, mlir::Value pointer, unsigned alignment);
  void store(mlir::Value value, mlir::Value pointer, unsigned alignment);
  /// Whether a pointer is not null.
  mlir::Value isGiven(mlir::Value pointer);
  /// Four neighbouring i32 from an address that is a multiple of 16.
  Values load4(mlir::Value pointer);
  void store4(llvm::ArrayRef<mlir::Value> values, mlir::Value pointer);
  /// Element `index` of an array of i32 or f32.
  mlir::Value loadAt(mlir::Type type, mlir::Value array, mlir::Value index);
  void storeAt(mlir::Value value, mlir::Value array, mlir::Value index);
  /// Adds to an i32 that all threads of the device share; returns what was there.
  mlir::Value atomicAdd(mlir::Value pointer, mlir::Value value);
  /// Each lane of a warp takes the next number of counter `index` of an array; -1 takes none. Of lanes with one counter,
  /// the lower gets the lower number.
  mlir::Value takeNumber(mlir::Value array, mlir::Value index, mlir::Value lane);

  /// Shared memory at `offset` bytes: a pointer, and the 32-bit address that assembly takes.
  mlir::Value shared(mlir::Value offset);
  mlir::Value sharedAddress(mlir::Value offset);

  /// Inline assembly with side effects. Operands are $n after the results.
  Values assembly(llvm::StringRef text, llvm::StringRef constraints, mlir::ValueRange operands,
                  llvm::ArrayRef<mlir::Type> results);
  /// Inline assembly of one result without side effects.
  mlir::Value convert(llvm::StringRef text, llvm::StringRef constraints, mlir::ValueRange operands, mlir::Type result);
  /// Assembly that takes and returns every given register, so that no use of them moves across it.
  void tie(llvm::StringRef text, llvm::ArrayRef<Values *> registers);

  mlir::Block *createBlock(llvm::ArrayRef<mlir::Type> arguments = {});
  /// Goes on in a block, which comes to stand where it is entered.
  void enter(mlir::Block *block);
  void branch(mlir::Block *target, mlir::ValueRange arguments = {});
  void branchIf(mlir::Value condition, mlir::Block *ifTrue, mlir::ValueRange trueArguments, mlir::Block *ifFalse,
                mlir::ValueRange falseArguments);
  void branchIf(mlir::Value condition, mlir::Block *ifTrue, mlir::Block *ifFalse) {
    branchIf(condition, ifTrue, {}, ifFalse, {});
  }
  /// Emits a loop over begin, begin + step, ... below `end`, which are unsigned i32, and goes on behind it. What `body`
  /// returns is carried to its next turn, and out of the loop.
  using LoopBody = llvm::function_ref<Values(mlir::Value index, mlir::ValueRange carried)>;
  Values loop(mlir::Value begin, mlir::Value end, mlir::Value step, mlir::ValueRange carried, LoopBody body);
  /// The same without carried values.
  void loop(mlir::Value begin, mlir::Value end, mlir::Value step, llvm::function_ref<void(mlir::Value)> body);
  /// Emits `body` under a condition and goes on behind it.
  void when(mlir::Value condition, llvm::function_ref<void()> body);
  /// What `body` returns where the condition holds, else `otherwise`.
  mlir::Value valueWhen(mlir::Value condition, llvm::function_ref<mlir::Value()> body, mlir::Value otherwise);
  Values valuesWhen(mlir::Value condition, llvm::function_ref<Values()> body, mlir::ValueRange otherwise);

private:
  mlir::Value constant(mlir::Type type, mlir::Attribute value);

  mlir::Region *region;
  mlir::Value sharedBase, sharedBaseAddress;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_EMITTER_H
