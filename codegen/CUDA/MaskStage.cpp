// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fills tiles of bits, and reads them.

#include "codegen/CUDA/MaskStage.h"

#include "codegen/CUDA/PairPredicate.h"
#include "codegen/CUDA/StageKernel.h"
#include "dialect/BlockPartition.h"
#include "passes/FormRecognition.h"
#include "runtime/CUDA/Segment.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::MaskStageShape;

MaskIndexShape MaskIndexShape::of(BlockAttentionOp op) {
  MaskIndexShape shape;
  shape.givens = readsGiven(op) ? 2 : 1;
  shape.choices = recognitionOf(op) ? recognitionOf(op).numCandidates() : 1;
  shape.heads = readsHead(op) ? op.getQuery().getType().getDimSize(1) : 1;
  shape.queryBlocks = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks();
  shape.keyBlocks = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks();
  return shape;
}

namespace {

/// What the tiles are for, four numbers each: query block, key block, head, and twice the choice with 1 if the pair is
/// given; coordinates of queries and keys; the table of key blocks and the columns that hold tokens; and the words. The
/// dynamic parameters follow.
enum Argument : unsigned { kTiles, kQueries, kKeys, kBlocks, kColumns, kWords, kNumArguments };

class MaskStage {
public:
  MaskStage(func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns)
      : op(op), k(kernel, "mask", "pppppp" + std::string(predicateParameters(op).size(), 'i'), Shape::kThreads), e(k.e),
        rows(rows), columns(columns) {}

  void emit() {
    Values tile = e.load4(e.advance(k.argument(kTiles), e.mul(e.extend(k.x), 16)));
    Values parameters;
    for (auto [i, parameter] : llvm::enumerate(predicateParameters(op))) {
      Value value = k.argument(kNumArguments + i);
      parameters.push_back(parameter.getType().isInteger(1) ? e.notEqual(value, 0) : value);
    }
    PairPredicate predicate(e, op, tile[2], e.notEqual(e.bitAnd(tile[3], 1), 0), parameters);
    if (ChooseOp choose = recognitionOf(op))
      predicate.set(choose.getChoice(), e.shiftRight(tile[3], 1));
    size_t queryAxes = usedAxes(op, kQueryT).size(), keyAxes = usedAxes(op, kKeyT).size();
    Value queries = coordinates(kQueries, tile[0], queryAxes * rows), keys = coordinates(kKeys, tile[1], keyAxes * columns);
    Value shape = e.load(k.i32(), e.advance(k.argument(kBlocks), e.add(e.mul(e.extend(tile[1]), 16), 12)), 4);
    Value maskClass = e.shiftRight(shape, rt::cuda::kSegmentBits);
    Values counts = e.load4(e.advance(k.argument(kColumns), e.mul(e.extend(maskClass), 16)));
    e.loop(k.thread, e.i32(4 * rows), e.i32(k.threads), [&](Value at) {
      Value row = e.shiftRight(at, 2), firstColumn = e.shiftLeft(e.bitAnd(at, 3), 1);
      Values query;
      for (size_t axis = 0; axis < queryAxes; ++axis)
        query.push_back(e.loadAt(k.i32(), queries, e.add(row, axis * rows)));
      Value word = e.i32(0);
      for (int64_t column = 0; column < columns; column += 8) {
        std::array<Values, 2> pair;
        for (size_t axis = 0; axis < keyAxes; ++axis)
          for (auto [i, coordinate] : llvm::enumerate(loadPair(keys, e.add(firstColumn, axis * columns + column))))
            pair[i].push_back(coordinate);
        Value held = e.shiftRight(counts[column / 32], e.add(firstColumn, column % 32));
        for (int64_t i = 0; i < 2; ++i) {
          Value bit = e.bitAnd(e.bitAnd(e.shiftRight(held, i), 1), e.extend(predicate.holds(query, pair[i]), 32));
          word = e.bitOr(word, e.shiftLeft(bit, column / 4 + i));
        }
      }
      Value place = e.add(e.mul(e.extend(k.x), 4 * rows), e.extend(at));
      e.store(word, e.advance(k.argument(kWords), place, k.i32()), 4);
    });
    k.finish();
  }

private:
  Value coordinates(unsigned table, Value block, int64_t pitch) {
    return e.advance(k.argument(table), e.mul(e.extend(block), pitch), k.i32());
  }

  Values loadPair(Value array, Value index) {
    Value packed = e.load(VectorType::get(2, k.i32()), e.advance(array, e.extend(index), k.i32()), 8);
    return {LLVM::ExtractElementOp::create(e.b, packed, e.i32(0)), LLVM::ExtractElementOp::create(e.b, packed, e.i32(1))};
  }

  BlockAttentionOp op;
  StageKernel k;
  Emitter &e;
  int64_t rows, columns;
};

} // namespace

void weft::cuda::formMask(func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns) {
  MaskStage(kernel, op, rows, columns).emit();
}

Value MaskReader::rowOf(Value queryBlock, Value pair) {
  Emitter &e = k.e;
  Value row = queryBlock;
  if (shape.heads > 1)
    row = e.add(row, e.mul(e.remainder(pair, k.heads), shape.queryBlocks));
  if (shape.choices > 1) {
    Value choice = e.loadAt(e.b.getI32Type(), k.argument(kChoices), pair);
    row = e.add(row, e.mul(choice, shape.heads * shape.queryBlocks));
  }
  return e.mul(row, shape.keyBlocks);
}

Value MaskReader::findTile(Value row, Value entry) {
  Emitter &e = k.e;
  return e.valueWhen(
      e.notEqual(e.bitAnd(entry, kPartialFlag), 0),
      [&] {
        Value place = e.add(row, e.shiftRight(entry, 2));
        if (shape.givens > 1) {
          Value given = e.shiftRight(e.bitAnd(entry, kGivenFlag), 1);
          place = e.add(place, e.mul(given, shape.choices * shape.heads * shape.queryBlocks * shape.keyBlocks));
        }
        return e.loadAt(e.b.getI32Type(), k.argument(kMaskIndex), place);
      },
      e.i32(0));
}

Value MaskReader::tileAt(Value tile) {
  return k.e.advance(k.argument(kMaskBits), k.e.mul(k.e.extend(tile), 16 * k.rows));
}
