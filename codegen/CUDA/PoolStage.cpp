// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Means of pools: a CTA reads the rows of one pool, each thread 16 bytes of every n-th row.

#include "codegen/CUDA/BlockOfKeys.h"
#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::PoolShape;

namespace {

/// Source with the strides of batch, head and token; tokens in block order; where pools begin; the means.
enum Argument : unsigned {
  kSource, kBatchStride, kHeadStride, kTokenStride, kTokens, kOffsets, kMeans, kPools, kNumArguments
};

class PoolStage {
public:
  PoolStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "pool", "plllpppiplllpppi", Shape::kThreads), e(k.e),
        element(op.getQuery().getType().getElementType()), heads(op.getQuery().getType().getDimSize(1)),
        shape{op.getQuery().getType().getDimSize(3), op.getQuery().getType().getElementTypeBitWidth() / 8},
        lanes(16 / shape.elementBytes), group(e.divide(k.thread, shape.chunks())),
        chunk(e.remainder(k.thread, shape.chunks())) {
    k.shareRegisters(Shape::kCTAs);
  }

  void emit() {
    k.chooseSide(e.equal(k.z, 1), 0, kNumArguments);
    e.when(e.below(k.x, k.argument(kPools)), [&] { emitPool(); });
    k.finish();
  }

private:
  void emitPool() {
    Value first = e.loadAt(k.i32(), k.argument(kOffsets), k.x);
    Value end = e.loadAt(k.i32(), k.argument(kOffsets), e.add(k.x, 1));
    e.when(e.below(group, e.i32(shape.groups())), [&] { storeSums(sumRows(first, end)); });
    k.meet();
    storeMean(e.sub(end, first));
  }

  /// The address of this thread's chunk of the pair's first token.
  Value chunkAddress() {
    Value batch = e.divide(k.y, heads), head = e.sub(k.y, e.mul(batch, heads));
    Value elements = e.add(e.mul(e.extend(batch), k.argument(kBatchStride)),
                           e.mul(e.extend(head), k.argument(kHeadStride)));
    return e.advance(k.argument(kSource), e.add(elements, e.extend(e.mul(chunk, lanes))), element);
  }

  /// Some rows at once: what they load is waited for once.
  Values sumRows(Value first, Value end) {
    constexpr int64_t rowsAtOnce = 4;
    Value address = chunkAddress(), last = e.add(end, -1), step = e.i32(rowsAtOnce * shape.groups());
    return e.loop(e.add(first, group), end, step, Values(lanes, e.f32(0)), [&](Value position, ValueRange before) {
      Values positions, rows, sums(before);
      for (int64_t i = 0; i < rowsAtOnce; ++i)
        positions.push_back(e.add(position, i * shape.groups()));
      for (Value own : positions)
        rows.push_back(loadRow(address, e.minimum(own, last)));
      for (auto [own, row] : llvm::zip_equal(positions, rows))
        addRow(sums, row, e.below(own, end));
      return sums;
    });
  }

  /// The thread's chunk of the token at a position.
  Value loadRow(Value address, Value position) {
    Value token = e.loadAt(k.i32(), k.argument(kTokens), position);
    Value at = e.advance(address, e.mul(e.extend(token), k.argument(kTokenStride)), element);
    return e.load(VectorType::get(lanes, element), at, 16);
  }

  void addRow(Values &sums, Value row, Value exists) {
    for (auto [i, sum] : llvm::enumerate(sums)) {
      Value value = e.toF32(LLVM::ExtractElementOp::create(e.b, row, e.i32(static_cast<int64_t>(i))));
      sum = e.addF(sum, e.select(exists, value, e.f32(0)));
    }
  }

  void storeSums(ArrayRef<Value> sums) {
    Value at = e.shiftLeft(e.add(e.mul(group, shape.headDim), e.mul(chunk, lanes)), 2);
    for (auto [i, sum] : llvm::enumerate(sums))
      e.store(sum, e.shared(e.add(at, 4 * static_cast<int64_t>(i))), 4);
  }

  /// Adds up the groups' sums, in their order.
  void storeMean(Value count) {
    Value rows = arith::UIToFPOp::create(e.b, k.f32(), count);
    Value pool = e.add(e.mul(k.y, k.argument(kPools)), k.x);
    e.loop(k.thread, e.i32(shape.headDim), e.i32(k.threads), [&](Value channel) {
      Value sum = e.f32(0);
      for (int64_t i = 0; i < shape.groups(); ++i)
        sum = e.addF(sum, e.load(k.f32(), e.shared(e.shiftLeft(e.add(channel, i * shape.headDim), 2)), 4));
      e.storeAt(e.divideF(sum, rows), k.argument(kMeans), e.add(e.mul(pool, shape.headDim), channel));
    });
  }

  StageKernel k;
  Emitter &e;
  Type element;
  int64_t heads;
  Shape shape;
  /// Elements of a chunk.
  int64_t lanes;
  Value group, chunk;
};

} // namespace

void weft::cuda::formPool(func::FuncOp kernel, BlockAttentionOp op) { PoolStage(kernel, op).emit(); }
