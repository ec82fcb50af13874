// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scores of pools: each CTA multiplies a tile of query means and a tile of key means, which are f32, on the tensor cores.
//
// A tile walks the channels in steps, of which the next is copied while one is multiplied. A product is three of tf32, to
// which an infinity has no split and gives NaN: a warp that finds NaN among its scores forms them all again, number by
// number.

#include "codegen/CUDA/MMASchedule.h"
#include "codegen/CUDA/Stages.h"
#include "codegen/CUDA/TileCopy.h"
#include "codegen/CUDA/WarpTile.h"
#include "runtime/CUDA/StageShapes.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::ScoreShape;

namespace {

/// Means of query and key pools, the block of each, and the scores.
enum Argument : unsigned { kQueryMeans, kKeyMeans, kQueryBlocks, kKeyBlocks, kScores };

/// All pools of one side, and those of the tile.
struct PoolSide {
  TokenTensor means;
  int64_t pools;
  Value first;
};

class ScoreStage {
public:
  ScoreStage(func::FuncOp kernel, BlockAttentionOp op, const PoolPartition &queries, const PoolPartition &keys)
      : k(kernel, "score", "ppppp", Shape::kThreads), e(k.e), headDim(op.getQuery().getType().getDimSize(3)),
        scale(op.getScale().convertToDouble()), queryBlocks(queries.firstPool.size() - 1),
        keyBlocks(keys.firstPool.size() - 1), query(sideOf(kQueryMeans, queries, k.y)),
        key(sideOf(kKeyMeans, keys, k.x)) {
    k.shareRegisters(Shape::kCTAs);
  }

  void emit() {
    RowTiles tiles(1, Values(Shape::kTile / 2, e.f32(0)));
    copyStep(0);
    for (int64_t step = 0; step < steps(); ++step) {
      waitForCopies(e);
      k.meet();
      if (step + 1 < steps())
        copyStep(step + 1);
      MMASchedule s = scheduleOf(step);
      WarpTile(e, s, k.f32(), k.warp, k.lane).addScores(tiles, /*stage=*/e.i32(0));
    }
    const Values &products = tiles.front();
    Value areNumbers = e.equal(e.ballot(isNaN(e.reduce(products, [&](Value a, Value b) { return e.addF(a, b); }))), 0);
    e.when(areNumbers, [&] { storeProducts(products); });
    e.when(e.bitXor(areNumbers, e.i1(true)), [&] { formAgain(); });
    k.finish();
  }

private:
  PoolSide sideOf(Argument means, const PoolPartition &pools, Value tile) {
    Value zero = e.i64(0), pitch = e.i64(headDim);
    TokenTensor tensor{k.argument(means), e.i64(pools.numPools() * headDim), zero, pitch};
    return {tensor, pools.numPools(), e.mul(tile, Shape::kTile)};
  }

  //===--- Steps ---===//

  int64_t steps() const { return llvm::divideCeil(headDim, Shape::kChannels); }
  int64_t channelsOf(int64_t step) const { return std::min(Shape::kChannels, headDim - step * Shape::kChannels); }

  MMASchedule scheduleOf(int64_t step) const {
    MMAProblem problem;
    problem.headDim = channelsOf(step), problem.elementBytes = 4;
    MMASchedule s = MMASchedule::of(problem, /*rowTiles=*/1, Shape::kThreads / 32, Shape::kTile);
    s.queryOffset = step % 2 * 2 * Shape::kSideBytes, s.keyOffset = s.queryOffset + Shape::kSideBytes;
    return s;
  }

  void copyStep(int64_t step) {
    copy(query, scheduleOf(step).queryOffset, step);
    copy(key, scheduleOf(step).keyOffset, step);
  }

  void copy(const PoolSide &side, int64_t offset, int64_t step) {
    TileCopy copies(e, k.thread, k.threads, channelsOf(step), 4);
    Values pools;
    for (int64_t i = 0; i < Shape::kTile; i += k.threads / 8) {
      Value pool = e.add(e.add(side.first, e.shiftRight(k.thread, 3)), i);
      pools.push_back(e.select(e.below(pool, e.i32(side.pools)), pool, e.i32(-1)));
    }
    Value from = e.add(copies.headAddress(side.means, k.z, /*heads=*/1), e.i64(step * Shape::kChannels * 4));
    copies.copy(e.sharedAddress(e.i32(offset)), Shape::kTile, side.means, from, pools);
  }

  //===--- Scores ---===//

  Value isNaN(Value number) { return e.bitXor(e.equalF(number, number), e.i1(true)); }

  /// As an integer in the order of scores; NaN is +inf.
  Value orderOf(Value product) {
    Value score = e.mulF(product, e.f32(scale));
    Value bits = LLVM::BitcastOp::create(e.b, k.i32(), score);
    Value sign = LLVM::AShrOp::create(e.b, bits, e.i32(31));
    return e.select(isNaN(score), e.i32(0x7F800000), e.bitXor(bits, e.bitAnd(sign, 0x7FFFFFFF)));
  }

  /// The warp's first query pool.
  Value firstRow() { return e.add(query.first, e.mul(k.warp, 16)); }

  void storeProducts(ArrayRef<Value> products) {
    Value firstKey = e.add(key.first, e.shiftLeft(e.bitAnd(k.lane, 3), 1));
    for (int64_t half = 0; half < 2; ++half) {
      Value queryPool = e.add(e.add(firstRow(), e.shiftRight(k.lane, 2)), 8 * half);
      e.when(e.below(queryPool, e.i32(query.pools)), [&] {
        for (int64_t tile = 0; tile < Shape::kTile / 8; ++tile)
          storePair(products.slice(4 * tile + 2 * half, 2), queryPool, e.add(firstKey, 8 * tile));
      });
    }
  }

  /// Of two neighbouring key pools.
  void storePair(ArrayRef<Value> products, Value queryPool, Value keyPool) {
    if (!isWhole()) {
      for (auto [i, product] : llvm::enumerate(products))
        raise(product, queryPool, e.add(keyPool, i));
      return;
    }
    // Behind a row's last block there is room for one more.
    static_assert(Shape::rowPitch(1) == 2);
    e.when(e.below(keyPool, e.i32(keyBlocks)), [&] {
      Value both = LLVM::UndefOp::create(e.b, VectorType::get(2, k.i32()));
      for (auto [i, product] : llvm::enumerate(products))
        both = LLVM::InsertElementOp::create(e.b, both, orderOf(product), e.i32(static_cast<int64_t>(i)));
      e.store(both, scoreAt(queryPool, keyPool), 8);
    });
  }

  /// Whether each block is one pool.
  bool isWhole() const { return query.pools == queryBlocks && key.pools == keyBlocks; }

  /// The score of two blocks is the greatest of their pools'.
  void raise(Value product, Value queryPool, Value keyPool) {
    e.when(e.below(keyPool, e.i32(key.pools)), [&] {
      Value queryBlock = e.loadAt(k.i32(), k.argument(kQueryBlocks), queryPool);
      Value at = scoreAt(queryBlock, e.loadAt(k.i32(), k.argument(kKeyBlocks), keyPool));
      LLVM::AtomicRMWOp::create(e.b, LLVM::AtomicBinOp::max, at, orderOf(product), LLVM::AtomicOrdering::monotonic,
                                "device");
    });
  }

  /// The warp's scores by additions and multiplications of f32, a pair of pools for each lane.
  void formAgain() {
    e.loop(k.lane, e.i32(16 * Shape::kTile), e.i32(32), [&](Value number) {
      Value queryPool = e.add(firstRow(), e.divide(number, Shape::kTile));
      Value keyPool = e.add(key.first, e.remainder(number, Shape::kTile));
      Value exists = e.bitAnd(e.below(queryPool, e.i32(query.pools)), e.below(keyPool, e.i32(key.pools)));
      e.when(exists, [&] {
        Value queryMean = meanOf(query, queryPool), keyMean = meanOf(key, keyPool);
        Value product = e.loop(e.i32(0), e.i32(headDim), e.i32(1), e.f32(0), [&](Value channel, ValueRange sum) {
          return Values{e.fma(e.loadAt(k.f32(), queryMean, channel), e.loadAt(k.f32(), keyMean, channel), sum[0])};
        })[0];
        if (isWhole())
          e.store(orderOf(product), scoreAt(queryPool, keyPool), 4);
        else
          raise(product, queryPool, keyPool);
      });
    });
  }

  Value meanOf(const PoolSide &side, Value pool) {
    Value first = e.mul(e.extend(e.add(e.mul(k.z, side.pools), pool)), headDim);
    return e.advance(side.means.address, first, k.f32());
  }

  Value scoreAt(Value queryBlock, Value keyBlock) {
    Value line = e.mul(e.add(e.mul(k.z, queryBlocks), queryBlock), Shape::rowPitch(keyBlocks));
    return e.advance(k.argument(kScores), e.extend(e.add(line, keyBlock)), k.i32());
  }

  StageKernel k;
  Emitter &e;
  int64_t headDim;
  double scale;
  int64_t queryBlocks, keyBlocks;
  PoolSide query, key;
};

} // namespace

void weft::cuda::formScore(func::FuncOp kernel, BlockAttentionOp op, const PoolPartition &query,
                           const PoolPartition &key) {
  ScoreStage(kernel, op, query, key).emit();
}
