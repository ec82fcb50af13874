// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scores of pools: tiles of 64 x 64, each thread 4 x 4 of them, in f32.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

#include <array>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::ScoreShape;

namespace {

/// Means of query and key pools, the block of each, and the scores.
enum Argument : unsigned { kQueryMeans, kKeyMeans, kQueryBlocks, kKeyBlocks, kScores };

/// A thread's rows and columns.
class ScoreStage {
public:
  ScoreStage(func::FuncOp kernel, BlockAttentionOp op, const PoolPartition &query, const PoolPartition &key)
      : k(kernel, "score", "ppppp", Shape::kThreads), e(k.e),
        shape{op.getQuery().getType().getDimSize(3), query.numPools(), key.numPools(),
              op.getQuery().getType().getDimSize(1)},
        side(shape.side()), sums(side * side), scale(op.getScale().convertToDouble()), queryPools(query.numPools()), keyPools(key.numPools()),
        queryBlocks(query.firstPool.size() - 1), keyBlocks(key.firstPool.size() - 1),
        firstQuery(e.mul(k.y, shape.tile())), firstKey(e.mul(k.x, shape.tile())),
        row(e.divide(k.thread, Shape::kSideThreads)), column(e.remainder(k.thread, Shape::kSideThreads)) {}

  void emit() {
    int64_t channels = shape.channels(), last = shape.headDim - channels;
    Values carried(sums, e.f32(0));
    carried.append(loadMeans(e.i32(0)));
    Values ends = e.loop(e.i32(0), e.i32(shape.headDim), e.i32(channels), carried, [&](Value first, ValueRange state) {
      k.meet();
      storeTiles(state.drop_front(sums));
      k.meet();
      // These come while the products are formed.
      Values next = loadMeans(e.minimum(e.add(first, channels), e.i32(last)));
      Values result = multiply(state.take_front(sums));
      result.append(next);
      return result;
    });
    storeScores(ArrayRef<Value>(ends).take_front(sums));
    k.finish();
  }

private:
  /// Four neighbouring channels of a pool.
  struct Quad {
    Value isKey, pool, number;
  };

  int64_t quadsOfPool() const { return shape.channels() / 4; }

  /// Those of both tiles that the thread brings.
  SmallVector<Quad> ownQuads() {
    SmallVector<Quad> result;
    int64_t quads = quadsOfPool(), ofTile = shape.tile() * quads;
    for (int64_t first = 0; first < 2 * ofTile; first += k.threads) {
      Value number = e.add(k.thread, first), own = e.remainder(number, ofTile);
      result.push_back({e.notEqual(e.divide(number, ofTile), 0), e.divide(own, quads), e.remainder(own, quads)});
    }
    return result;
  }

  Values loadMeans(Value firstChannel) {
    Values means;
    for (const Quad &quad : ownQuads()) {
      Value query = e.minimum(e.add(firstQuery, quad.pool), e.i32(queryPools - 1));
      Value key = e.minimum(e.add(firstKey, quad.pool), e.i32(keyPools - 1));
      Value number = e.select(quad.isKey, e.add(e.mul(k.z, keyPools), key), e.add(e.mul(k.z, queryPools), query));
      Value source = e.select(quad.isKey, k.argument(kKeyMeans), k.argument(kQueryMeans));
      Value channel = e.add(firstChannel, e.mul(quad.number, 4));
      Value from = e.advance(source, e.extend(e.add(e.mul(number, shape.headDim), channel)), k.f32());
      means.push_back(e.load(VectorType::get(4, k.f32()), from, 16));
    }
    return means;
  }

  /// Stores both tiles channel by channel.
  void storeTiles(ValueRange means) {
    for (auto [quad, mean] : llvm::zip_equal(ownQuads(), means)) {
      Value tile = e.select(quad.isKey, e.i32(shape.channels() * shape.pitch()), e.i32(0));
      Value at = e.add(tile, e.add(e.mul(quad.number, 4 * shape.pitch()), quad.pool));
      for (int64_t i = 0; i < 4; ++i)
        e.store(LLVM::ExtractElementOp::create(e.b, mean, e.i32(i)),
                e.shared(e.shiftLeft(e.add(at, i * shape.pitch()), 2)), 4);
    }
  }

  /// Where in a tile pool number `i` of a thread's is: each four are neighbours, and those of neighbouring threads too.
  Value placeOf(Value thread, int64_t i) {
    return e.add(e.shiftLeft(thread, 2), i / 4 * 4 * Shape::kSideThreads + i % 4);
  }

  /// The thread's pools' channel.
  Values loadSide(Value channel, int64_t tile, Value thread) {
    Value line = e.add(e.mul(channel, shape.pitch()), tile * shape.channels() * shape.pitch());
    Values result;
    for (int64_t first = 0; first < side; first += 4) {
      Value at = e.add(line, placeOf(thread, first));
      Value four = e.load(VectorType::get(4, k.f32()), e.shared(e.shiftLeft(at, 2)), 16);
      for (int64_t i = 0; i < 4; ++i)
        result.push_back(LLVM::ExtractElementOp::create(e.b, four, e.i32(i)));
    }
    return result;
  }

  Values multiply(ValueRange before) {
    return e.loop(e.i32(0), e.i32(shape.channels()), e.i32(1), before, [&](Value channel, ValueRange current) {
      Values queries = loadSide(channel, 0, row), keys = loadSide(channel, 1, column), next;
      for (int64_t i = 0; i < sums; ++i)
        next.push_back(e.fma(queries[i / side], keys[i % side], current[i]));
      return next;
    });
  }

  /// As an integer in the order of scores; NaN is +inf.
  Value orderOf(Value score) {
    Value isNumber = e.equalF(score, score);
    Value bits = LLVM::BitcastOp::create(e.b, k.i32(), score);
    Value sign = LLVM::AShrOp::create(e.b, bits, e.i32(31));
    return e.select(isNumber, e.bitXor(bits, e.bitAnd(sign, 0x7FFFFFFF)), e.i32(0x7F800000));
  }

  void storeScores(ArrayRef<Value> products) {
    bool isWhole = queryPools == queryBlocks && keyPools == keyBlocks;
    for (int64_t i = 0; i < sums; i += 4) {
      Value query = e.add(firstQuery, placeOf(row, i / side)), key = e.add(firstKey, placeOf(column, i % side));
      Values scores;
      for (Value product : products.slice(i, 4))
        scores.push_back(orderOf(e.mulF(product, e.f32(scale))));
      e.when(e.below(query, e.i32(queryPools)), [&] {
        if (isWhole)
          storeFour(scores, query, key);
        else
          raiseFour(scores, query, key);
      });
    }
  }

  /// Of neighbouring key blocks; behind a row's last there is room.
  void storeFour(ArrayRef<Value> scores, Value query, Value key) {
    e.when(e.below(key, e.i32(keyBlocks)), [&] { e.store4(scores, scoreAt(query, key)); });
  }

  /// Of neighbouring key pools: the score of two blocks is the greatest of their pools'.
  void raiseFour(ArrayRef<Value> scores, Value query, Value firstPool) {
    Value queryBlock = e.loadAt(k.i32(), k.argument(kQueryBlocks), query);
    for (auto [i, score] : llvm::enumerate(scores)) {
      Value key = e.add(firstPool, i);
      e.when(e.below(key, e.i32(keyPools)), [&, score = score] {
        Value at = scoreAt(queryBlock, e.loadAt(k.i32(), k.argument(kKeyBlocks), key));
        LLVM::AtomicRMWOp::create(e.b, LLVM::AtomicBinOp::max, at, score, LLVM::AtomicOrdering::monotonic, "device");
      });
    }
  }

  Value scoreAt(Value queryBlock, Value keyBlock) {
    Value line = e.mul(e.add(e.mul(k.z, queryBlocks), queryBlock), Shape::rowPitch(keyBlocks));
    return e.advance(k.argument(kScores), e.extend(e.add(line, keyBlock)), k.i32());
  }

  StageKernel k;
  Emitter &e;
  Shape shape;
  /// Rows of a thread, and scores.
  int64_t side, sums;
  double scale;
  int64_t queryPools, keyPools, queryBlocks, keyBlocks;
  Value firstQuery, firstKey, row, column;
};

} // namespace

void weft::cuda::formScore(func::FuncOp kernel, BlockAttentionOp op, const PoolPartition &query,
                           const PoolPartition &key) {
  ScoreStage(kernel, op, query, key).emit();
}
