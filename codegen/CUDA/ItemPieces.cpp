// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plans pieces, finds them, and adds them up.

#include "codegen/CUDA/ItemPieces.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::PieceShape;

static Value isGiven(Emitter &e, Value pointer) {
  return e.notEqual(LLVM::PtrToIntOp::create(e.b, e.b.getI64Type(), pointer), 0);
}

static Value divideUp(Emitter &e, Value dividend, Value divisor) {
  return e.divide(e.add(dividend, e.add(divisor, -1)), divisor);
}

/// Turns of all CTAs over `items` items of `count` steps in `parts` parts, in steps. A piece beside its list takes about as
/// long as some steps: it writes its rows, and the last one reads those of all.
static Value countSteps(Emitter &e, Value items, Value count, Value parts, Value ctas) {
  Value turns = divideUp(e, e.mul(items, parts), ctas), steps = divideUp(e, count, parts);
  Value beside = e.select(e.equal(parts, 1), e.i32(0), e.add(e.shiftRight(parts, 1), 2));
  return e.mul(turns, e.add(steps, beside));
}

PiecePlan weft::cuda::planPieces(Emitter &e, const ItemTable &table, Value lane) {
  Type i32 = e.b.getI32Type();
  Value items = e.load(i32, table.numItems, 4), ctas = NVVM::GridDimXOp::create(e.b, i32);
  Value left = e.remainder(items, ctas), whole = e.sub(items, left);
  Value isNotable = e.below(ctas, e.i32(Shape::kMostItems + 1));
  Value cuts = e.bitAnd(e.bitAnd(e.notEqual(left, 0), isNotable), isGiven(e, table.pieces));
  Value count = e.valueWhen(
      cuts, [&] { return e.load4(e.advance(table.items, e.mul(e.extend(whole), 16)))[3]; }, e.i32(0));
  Value parts = e.add(lane, 1);
  Value fits = e.bitAnd(e.below(e.mul(left, parts), e.add(e.mul(ctas, Shape::kPiecesPerCTA), 1)),
                        e.below(parts, e.add(count, 1)));
  // Of numbers that are equally good the smallest. The first lane's always fits.
  Value cost = e.bitOr(e.shiftLeft(countSteps(e, left, count, parts, ctas), 5), lane);
  Value most = e.i32(std::numeric_limits<int32_t>::max());
  cost = e.select(e.bitOr(fits, e.equal(lane, 0)), e.minimum(cost, most), most);
  Value best = e.reduceWarp(cost, [&](Value a, Value b) { return e.minimum(a, b); });
  parts = e.select(cuts, e.add(e.bitAnd(best, 31), 1), e.i32(1));
  return {whole, parts, e.add(whole, e.mul(left, parts))};
}

PiecePlan weft::cuda::planWholeItems(Emitter &e, const ItemTable &table) {
  Value items = e.load(e.b.getI32Type(), table.numItems, 4);
  return {items, e.i32(1), items};
}

ItemPiece weft::cuda::pieceOf(Emitter &e, const ItemTable &table, const PiecePlan &plan, Value ticket) {
  Value isPart = e.bitAnd(e.below(plan.whole, e.add(ticket, 1)), e.below(e.i32(1), plan.parts));
  Values place = e.valuesWhen(
      isPart,
      [&] {
        Value number = e.sub(ticket, plan.whole), item = e.divide(number, plan.parts);
        return Values{e.add(plan.whole, item), e.sub(number, e.mul(item, plan.parts)),
                      e.bitOr(e.shiftLeft(item, 16), number)};
      },
      {ticket, e.i32(0), e.i32(-1)});
  Value item = place[0], part = place[1], share = place[2];
  Values words = e.load4(e.advance(table.items, e.mul(e.extend(item), 16)));
  Value count = words[3];
  Value isCut = e.bitAnd(isPart, e.below(plan.parts, e.add(count, 1)));
  Values range = e.valuesWhen(
      isCut,
      [&] {
        auto bound = [&](Value number) { return e.divide(e.mul(count, number), plan.parts); };
        return Values{bound(part), bound(e.add(part, 1))};
      },
      {e.i32(0), count});
  return {words[0], words[1], e.add(words[2], range[0]), e.sub(range[1], range[0]),
          e.select(isCut, share, e.i32(-1)), e.bitAnd(e.bitXor(isCut, e.i1(true)), e.notEqual(part, 0))};
}

Values PartialRows::flat() const {
  Values values = accumulator;
  values.append({maximum[0], maximum[1], sum[0], sum[1]});
  return values;
}

PartialRows PartialRows::from(ValueRange values) {
  ValueRange rest = values.take_back(4);
  return {Values(values.drop_back(4)), {rest[0], rest[1]}, {rest[2], rest[3]}};
}

/// Four f32 of a lane lie together, beside those of the other lanes.
Value PieceStore::pieceAt(Value number) {
  Value tiles = e.add(e.mul(number, shape.tiles), tile);
  Value bytes = e.mul(e.extend(tiles), shape.tileBytes());
  return e.advance(pieces, e.add(e.add(bytes, e.extend(e.shiftLeft(lane, 4))), shape.counterBytes()));
}

Value PieceStore::counterAt(Value item) {
  return e.advance(pieces, e.extend(e.add(e.mul(item, shape.tiles), tile)), e.b.getI32Type());
}

void PieceStore::write(Value at, const PartialRows &rows) {
  Values values = rows.flat();
  for (size_t i = 0; i < values.size(); i += 4) {
    Values words;
    for (size_t j = 0; j < 4; ++j)
      words.push_back(LLVM::BitcastOp::create(e.b, e.b.getI32Type(), values[i + j]));
    e.store4(words, e.advance(at, e.i64(i / 4 * Shape::kQuadBytes)));
  }
}

Values PieceStore::read(Value piece, int64_t first, int64_t count) {
  Values values;
  for (int64_t i = first; i < first + count; i += 4)
    for (Value word : e.load4(e.advance(piece, e.i64(i / 4 * Shape::kQuadBytes))))
      values.push_back(LLVM::BitcastOp::create(e.b, e.b.getF32Type(), word));
  return values;
}

/// What a piece's numbers are multiplied with. A row without keys has numbers of 0, and keeps them.
RowPair PieceStore::factorsOf(ArrayRef<Value> maximum, const RowPair &reference, double factor) {
  RowPair factors;
  for (int64_t r = 0; r < 2; ++r)
    factors[r] = e.exp2(e.mulF(e.subF(maximum[r], reference[r]), e.f32(factor)));
  return factors;
}

/// First the maxima, then the sums and, some registers at a time, the accumulators: what is under way must fit beside what
/// the caller holds.
PartialRows PieceStore::addUp(Value first, Value parts, double factor) {
  Value lowest = e.f32(-std::numeric_limits<double>::infinity()), zero = e.f32(0);
  int64_t registers = shape.headDim / 2;
  auto overParts = [&](ValueRange start, llvm::function_ref<Values(Value piece, ValueRange carried)> body) {
    return e.loop(e.i32(0), parts, e.i32(1), start, [&](Value part, ValueRange carried) {
      return body(pieceAt(e.add(first, part)), carried);
    });
  };
  Values maximum = overParts({lowest, lowest}, [&](Value piece, ValueRange carried) {
    Values own = read(piece, registers, 4);
    return Values{e.maximum(carried[0], own[0]), e.maximum(carried[1], own[1])};
  });
  RowPair reference;
  for (int64_t r = 0; r < 2; ++r)
    reference[r] = e.select(e.equalF(maximum[r], lowest), zero, maximum[r]);
  auto scaledSum = [&](int64_t begin, int64_t count) {
    return overParts(Values(count, zero), [&](Value piece, ValueRange carried) {
      Values statistics = read(piece, registers, 4), own = read(piece, begin, count), next;
      RowPair factors = factorsOf(statistics, reference, factor);
      for (int64_t i = 0; i < count; ++i)
        next.push_back(e.fma(own[i], factors[rowOf(i)], carried[i]));
      return next;
    });
  };
  PartialRows result{{}, {maximum[0], maximum[1]}, {}};
  for (int64_t begin = 0; begin < registers; begin += kRegistersAtOnce)
    result.accumulator.append(scaledSum(begin, std::min(kRegistersAtOnce, registers - begin)));
  Values sum = overParts({zero, zero}, [&](Value piece, ValueRange carried) {
    Values statistics = read(piece, registers, 4);
    RowPair factors = factorsOf(statistics, reference, factor);
    return Values{e.fma(statistics[2], factors[0], carried[0]), e.fma(statistics[3], factors[1], carried[1])};
  });
  result.sum = {sum[0], sum[1]};
  return result;
}

void PieceStore::fence() { LLVM::FenceOp::create(e.b, LLVM::AtomicOrdering::acq_rel, "device"); }

Value PieceStore::notesAt(Value word) {
  return e.shared(e.add(notesOffset, e.shiftLeft(e.add(e.mul(tile, kNoteWords), word), 2)));
}

void PieceStore::clear() { e.store(e.i32(0), notesAt(lane), 4); }

void PieceStore::leave(Value share, Value parts, const PartialRows &own) {
  Value item = e.shiftRight(share, 16), isFirst = e.equal(lane, 0);
  write(pieceAt(e.bitAnd(share, 0xFFFF)), own);
  fence();
  NVVM::SyncWarpOp::create(e.b, e.i32(-1));
  e.when(isFirst, [&] {
    Value before = e.atomicAdd(counterAt(item), e.i32(1));
    e.when(e.equal(before, e.add(parts, -1)), [&] {
      fence();
      e.store(e.i32(0), counterAt(item), 4); // for the next launch
      Value word = notesAt(e.shiftRight(item, 5));
      e.store(e.bitOr(e.load(e.b.getI32Type(), word, 4), e.shiftLeft(e.i32(1), e.bitAnd(item, 31))), word, 4);
    });
  });
}

void PieceStore::addUpLast(Value parts, double factor,
                           llvm::function_ref<void(Value item, const PartialRows &rows)> store) {
  NVVM::SyncWarpOp::create(e.b, e.i32(-1));
  Value words = e.shiftRight(e.add(NVVM::GridDimXOp::create(e.b, e.b.getI32Type()), 31), 5);
  e.loop(e.i32(0), words, e.i32(1), [&](Value word) {
    Value bits = e.broadcastFirstLane(e.load(e.b.getI32Type(), notesAt(word), 4));
    e.loop(e.i32(0), e.countBits(bits), e.i32(1), bits, [&](Value, ValueRange left) {
      Value item = e.add(e.shiftLeft(word, 5), e.lowestBit(left[0]));
      fence();
      store(item, addUp(e.mul(item, parts), parts, factor));
      return Values{e.bitAnd(left[0], e.add(left[0], -1))};
    });
  });
}
