// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluates a predicate for the pairs of a thread.

#include "codegen/CUDA/RegisterMask.h"

#include "codegen/CUDA/PairPredicate.h"
#include "codegen/CUDA/RegisterSoftmax.h"
#include "passes/FormRecognition.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

RegisterMask::RegisterMask(AttentionKernel &kernel, MaskTables tables, llvm::function_ref<Value()> emitPair, Value flag)
    : k(kernel), e(kernel.e), tables(std::move(tables)), emitPair(emitPair), flag(flag),
      firstColumn(e.shiftLeft(e.bitAnd(k.readThread(), 3), 1)) {}

static Value replaceUnless(Emitter &e, Value condition, Value score) {
  return e.select(condition, score, e.f32(-std::numeric_limits<double>::infinity()));
}

Values RegisterMask::apply(ArrayRef<Value> scores) {
  if (tables.pairBits.empty())
    return evaluate(scores);
  Block *bits = e.createBlock(), *others = e.createBlock();
  Block *done = e.createBlock(SmallVector<Type>(scores.size(), e.b.getF32Type()));
  e.branchIf(e.notEqual(e.bitAnd(flag, kBitsFlag), 0), bits, others);
  e.enter(bits);
  Values masked(scores);
  maskByBits(masked);
  e.branch(done, masked);
  e.enter(others);
  e.branch(done, evaluate(scores));
  e.enter(done);
  return Values(done->args_begin(), done->args_end());
}

Values RegisterMask::evaluate(ArrayRef<Value> scores) {
  SmallVector<Type> types(scores.size(), e.b.getF32Type());
  Values masked(scores);
  if (tables.usualColumns) {
    Block *shorter = e.createBlock(), *tail = e.createBlock(), *done = e.createBlock(types);
    e.branchIf(e.equal(e.bitAnd(flag, kShortFlag), 0), tail, shorter);
    e.enter(tail);
    Values others(scores);
    maskTail(others);
    e.branch(done, others);
    e.enter(shorter);
    maskColumns(masked);
    e.branch(done, masked);
    e.enter(done);
    masked.assign(done->args_begin(), done->args_end());
  } else {
    maskColumns(masked);
  }
  if (!k.isMasked())
    return masked;
  Block *partial = e.createBlock(), *done = e.createBlock(types);
  e.branchIf(e.equal(e.bitAnd(flag, kPartialFlag), 0), done, masked, partial, {});
  e.enter(partial);
  maskPairs(masked);
  e.branch(done, masked);
  e.enter(done);
  return Values(done->args_begin(), done->args_end());
}

void RegisterMask::maskColumns(Values &scores) {
  Values words = tables.columnWords;
  for (Value &word : words)
    word = e.shiftRight(word, firstColumn);
  for (auto [i, score] : llvm::enumerate(scores)) {
    int64_t group = i / 4, bit = 8 * (group % 4) + i % 2;
    Value counts = e.notEqual(e.bitAnd(words[group / 4], int64_t{1} << bit), 0);
    score = replaceUnless(e, counts, score);
  }
}

/// Where the flag says so: few columns, which are known here.
void RegisterMask::maskTail(Values &scores) {
  Value isWhole = e.equal(e.bitAnd(flag, kTailFlag), 0);
  for (auto [i, score] : llvm::enumerate(scores)) {
    int64_t column = 8 * (static_cast<int64_t>(i) / 4) + i % 2;
    if (column + 6 >= tables.usualColumns) {
      Value counts = e.less(firstColumn, e.i32(tables.usualColumns - column));
      score = replaceUnless(e, e.bitOr(isWhole, counts), score);
    }
  }
}

Value RegisterMask::queryCoordinate(int64_t axis, int64_t r) {
  Value at = e.advance(tables.queryCoordinates, e.i64((axis * tables.queryPitch + 8 * r) * 4));
  return e.load(e.b.getI32Type(), at, 4);
}

/// Of the thread's two columns in a group of eight.
Values RegisterMask::keyCoordinates(int64_t axis, int64_t group) {
  Value at = e.advance(tables.keyCoordinates, e.shiftLeft(firstColumn, 2));
  Value packed = e.load(VectorType::get(2, e.b.getI32Type()),
                        e.advance(at, e.i64((axis * tables.keyPitch + 8 * group) * 4)), 8);
  Values columns;
  for (int64_t i = 0; i < 2; ++i)
    columns.push_back(LLVM::ExtractElementOp::create(e.b, packed, e.i32(i)));
  return columns;
}

void RegisterMask::maskPairs(Values &scores) {
  Value pair = emitPair();
  PairPredicate predicate(e, k.op, e.remainder(pair, k.heads), e.notEqual(e.bitAnd(flag, kGivenFlag), 0),
                          k.predicateArguments());
  if (ChooseOp choose = recognitionOf(k.op))
    maskChosenPairs(scores, pair, choose, predicate);
  else
    maskPairs(scores, predicate);
}

/// Code for each candidate, in which the choice is a constant: a pair costs what that candidate alone costs.
void RegisterMask::maskChosenPairs(Values &scores, Value pair, ChooseOp choose, PairPredicate &predicate) {
  Value choice = e.loadAt(e.b.getI32Type(), k.argument(kChoices), pair);
  Block *done = e.createBlock(SmallVector<Type>(scores.size(), e.b.getF32Type()));
  int64_t last = choose.numCandidates() - 1;
  for (int64_t candidate = 0; candidate <= last; ++candidate) {
    Block *own = e.createBlock(), *others = candidate < last ? e.createBlock() : nullptr;
    if (others)
      e.branchIf(e.equal(choice, candidate), own, others);
    else
      e.branch(own);
    e.enter(own);
    predicate.set(choose.getChoice(), e.i32(candidate));
    Values masked(scores);
    maskPairs(masked, predicate);
    e.branch(done, masked);
    if (others)
      e.enter(others);
  }
  e.enter(done);
  scores.assign(done->args_begin(), done->args_end());
}

void RegisterMask::maskPairs(Values &scores, PairPredicate &predicate) {
  std::array<Values, 2> queries;
  for (int64_t r = 0; r < 2; ++r)
    for (size_t axis = 0; axis < k.queryAxes.size(); ++axis)
      queries[r].push_back(queryCoordinate(axis, r));
  for (int64_t group = 0; group < static_cast<int64_t>(scores.size()) / 4; ++group) {
    std::array<Values, 2> keys;
    for (size_t axis = 0; axis < k.keyAxes.size(); ++axis)
      for (auto [column, coordinate] : llvm::enumerate(keyCoordinates(axis, group)))
        keys[column].push_back(coordinate);
    for (int64_t i = 4 * group; i < 4 * group + 4; ++i)
      scores[i] = replaceUnless(e, predicate.holds(queries[rowOf(i)], keys[i % 2]), scores[i]);
  }
}

/// Without a branch: one in the loop of products costs more.
Values weft::cuda::loadPairBits(Emitter &e, Value flag, Value words, Value row, Value lane) {
  Value word = e.add(e.shiftLeft(row, 2), e.bitAnd(lane, 3)), address = e.add(words, e.shiftLeft(word, 2));
  return e.assembly("{ .reg .pred p; setp.ne.b32 p, $2, 0; mov.b32 $0, 0; mov.b32 $1, 0;"
                    " @p ld.shared.b32 $0, [$3]; @p ld.shared.b32 $1, [$3+128]; }",
                    "=&r,=&r,r,r", {e.bitAnd(flag, kBitsFlag), address}, {e.b.getI32Type(), e.b.getI32Type()});
}

/// As replaceUnless() by a bit of a word, but on the multiply-add units: the maxima of other warps keep busy those that
/// select. The integer product with 0 is 0 whatever the score is; if ptxas knew the 0, it would select.
static Value replaceUnlessBit(Emitter &e, Value word, int64_t bit, Value score, Value zero) {
  std::string text = "{ .reg .pred p; .reg .b32 t; and.b32 t, $2, " + std::to_string(uint32_t{1} << bit) +
                     "; setp.eq.s32 p, t, 0; mov.b32 $0, $1; @p mad.lo.s32 $0, $0, $3, 0xFF800000; }";
  Type i32 = e.b.getI32Type();
  Value masked = e.convert(text, "=r,r,r,r", {LLVM::BitcastOp::create(e.b, i32, score), word, zero}, i32);
  return LLVM::BitcastOp::create(e.b, e.b.getF32Type(), masked);
}

/// Row by row, so that ptxas takes as many bits of a word at once as it has predicates.
void RegisterMask::maskByBits(Values &scores) {
  Value zero = NVVM::BlockIdYOp::create(e.b, e.b.getI32Type());
  for (int64_t row = 0; row < 2; ++row)
    for (auto [i, score] : llvm::enumerate(scores)) {
      int64_t bit = 2 * (static_cast<int64_t>(i) / 4) + i % 2;
      if (rowOf(i) == row)
        score = replaceUnlessBit(e, tables.pairBits[row], bit, score, zero);
    }
}
