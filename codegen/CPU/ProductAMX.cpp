// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of bf16 on AMX: scores and accumulation.
//
// The processor has eight tile registers of 16 rows of 64 bytes, and one instruction
// that adds the product of 16 x 32 and 32 x 16 numbers of bf16 to 16 x 16 of f32. The
// right operand lies in pairs, as for a dot product. Two by two results, two left and
// two right operands fill the registers: each operand that is loaded is used twice.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

namespace {

constexpr int64_t kTile = 16, kSide = 2 * kTile, kDepth = 32;

class AMXProduct {
public:
  AMXProduct(TileEmitter &e, Value a, Value b, Value c, Value ahead)
      : e(e), a(a), bTile(b), c(c), ahead(ahead),
        sumType(amx::TileType::get({kTile, kTile}, e.b.getF32Type())),
        operandType(amx::TileType::get({kTile, kDepth}, e.b.getBF16Type())) {}

  /// C = A B over all rows, the first `panels` panels and `depth` terms.
  void overwrite(Value rows, Value panels, int64_t depth) {
    e.loop(e.index(0), panels, 1, [&](Value panel) {
      e.loop(e.index(0), rows, kSide, [&](Value i) {
        prefetch(i, panel);
        SmallVector<Value> sums(4);
        for (Value &sum : sums)
          sum = amx::TileZeroOp::create(e.b, sumType);
        finish(i, panel, 2, depth, sums);
      });
    });
  }

  /// C += A B over all rows, `width` columns and the first `depth` terms.
  void add(Value rows, int64_t width, int64_t depth) {
    if (int64_t whole = width / kSide)
      e.loop(e.index(0), e.index(whole), 1, [&](Value panel) { addPanel(rows, panel, 2, depth); });
    if (width % kSide)
      addPanel(rows, e.index(width / kSide), 1, depth);
  }

private:
  void addPanel(Value rows, Value panel, int64_t columns, int64_t depth) {
    e.loop(e.index(0), rows, kSide, [&](Value i) {
      prefetch(i, panel);
      finish(i, panel, columns, depth, load(i, panel, columns));
    });
  }

  /// Adds `depth` terms to sums that are in registers, and stores them. Registers cannot be carried by a loop, so this
  /// is straight-line code.
  void finish(Value i, Value panel, int64_t columns, int64_t depth, SmallVector<Value> sums) {
    for (int64_t k = 0; k < depth; k += kDepth)
      step(i, panel, columns, e.index(k), sums);
    store(i, panel, columns, sums);
  }

  /// Adds the products of one depth of 32 to 2 x `columns` tiles.
  void step(Value i, Value panel, int64_t columns, Value k, MutableArrayRef<Value> sums) {
    SmallVector<Value> right;
    Value pair = arith::ShRUIOp::create(e.b, k, e.index(1));
    for (int64_t column = 0; column < columns; ++column)
      right.push_back(amx::TileLoadOp::create(e.b, operandType, bTile,
                                              ValueRange{panel, pair, e.index(column * 2 * kTile)}));
    for (int64_t row = 0; row < 2; ++row) {
      Value left = amx::TileLoadOp::create(e.b, operandType, a, ValueRange{e.add(i, row * kTile), k});
      for (int64_t column = 0; column < columns; ++column) {
        Value &sum = sums[row * columns + column];
        sum = amx::TileMulFOp::create(e.b, sumType, left, right[column], sum);
      }
    }
  }

  SmallVector<Value> load(Value i, Value panel, int64_t columns) {
    SmallVector<Value> sums;
    forTiles(i, panel, columns, [&](int64_t, ValueRange at) {
      sums.push_back(amx::TileLoadOp::create(e.b, sumType, c, at));
    });
    return sums;
  }

  void store(Value i, Value panel, int64_t columns, ArrayRef<Value> sums) {
    forTiles(i, panel, columns,
             [&](int64_t number, ValueRange at) { amx::TileStoreOp::create(e.b, c, at, sums[number]); });
  }

  void forTiles(Value i, Value panel, int64_t columns, llvm::function_ref<void(int64_t, ValueRange)> body) {
    Value j = e.mul(panel, e.index(kSide));
    for (int64_t row = 0; row < 2; ++row)
      for (int64_t column = 0; column < columns; ++column)
        body(row * columns + column, {e.add(i, row * kTile), e.add(j, column * kTile)});
  }

  void prefetch(Value i, Value panel) {
    if (!ahead)
      return;
    auto whole = cast<MemRefType>(c.getType());
    int64_t down = whole.getDimSize(0) / kSide, across = llvm::divideCeil(whole.getDimSize(1), kSide);
    Value row = arith::DivUIOp::create(e.b, i, e.index(kSide));
    e.prefetchShare(ahead, e.add(e.mul(panel, e.index(down)), row), down * across);
  }

  TileEmitter &e;
  Value a, bTile, c, ahead;
  amx::TileType sumType, operandType;
};

/// Multiplies the accumulator's rows by their corrections, 16 rows at a time and only where one is not 1: after the
/// first key blocks maxima seldom rise.
void correct(TileEmitter &e, AccumulateOp op) {
  int64_t width = cast<MemRefType>(op.getAccumulator().getType()).getDimSize(1);
  e.loop(e.index(0), op.getRows(), kTile, [&](Value i) {
    Value factors = e.load(e.floats(), op.getCorrection(), {i});
    Value differs = arith::CmpFOp::create(e.b, arith::CmpFPredicate::UNE, factors, e.splat(1.0));
    Value any = vector::ReductionOp::create(e.b, vector::CombiningKind::OR, differs);
    scf::IfOp::create(e.b, any, [&](OpBuilder &, Location) {
      e.loop(i, e.add(i, kTile), 1, [&](Value row) {
        Value factor = e.broadcast(e.loadScalar(op.getCorrection(), {row}));
        for (int64_t c = 0; c < width; c += e.target.lanes) {
          Value old = e.load(e.floats(), op.getAccumulator(), {row, e.index(c)});
          e.store(arith::MulFOp::create(e.b, old, factor), op.getAccumulator(), {row, e.index(c)});
        }
      });
      scf::YieldOp::create(e.b);
    });
  });
}

/// Adds the products of `terms` terms, a multiple of 32 up to `most`: code for each number, with the sums in registers.
void addTerms(TileEmitter &e, AMXProduct &product, AccumulateOp op, int64_t width, Value terms, int64_t most) {
  auto addMost = [&] { product.add(op.getRows(), width, most); };
  if (most == kDepth)
    return addMost();
  auto inBranch = [&](llvm::function_ref<void()> code) {
    return [&e, code](OpBuilder &, Location) {
      code();
      scf::YieldOp::create(e.b);
    };
  };
  Value hasMost = arith::CmpIOp::create(e.b, arith::CmpIPredicate::eq, terms, e.index(most));
  scf::IfOp::create(e.b, hasMost, inBranch(addMost),
                    inBranch([&] { addTerms(e, product, op, width, terms, most - kDepth); }));
}

} // namespace

void weft::lowerScoresToTiles(ScoresOp op, TileTarget target) {
  TileEmitter e(op, target);
  int64_t depth = cast<MemRefType>(op.getQuery().getType()).getDimSize(1);
  AMXProduct(e, op.getQuery(), op.getKey(), op.getScores(), op.getAhead())
      .overwrite(op.getRows(), arith::CeilDivUIOp::create(e.b, op.getColumns(), e.index(kSide)), depth);
  op.erase();
}

void weft::lowerAccumulateToTiles(AccumulateOp op, TileTarget target) {
  TileEmitter e(op, target);
  correct(e, op);
  int64_t width = cast<MemRefType>(op.getAccumulator().getType()).getDimSize(1);
  int64_t depth = cast<MemRefType>(op.getWeights().getType()).getDimSize(1);
  AMXProduct product(e, op.getWeights(), op.getValue(), op.getAccumulator(), op.getAhead());
  addTerms(e, product, op, width, e.alignUp(op.getColumns(), kDepth), depth);
  op.erase();
}
