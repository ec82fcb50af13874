// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Drift of inputs, and the copies that are kept of them: a warp per token, 16 bytes a lane.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::DriftShape;

namespace {

/// Inputs and those that were kept, each with the strides of batch and token in elements, and the 16-byte chunks of a
/// token.
enum CommonArgument : unsigned { kInput, kKept = 3, kChunks = 6, kNumCommonArguments };

/// Drift with the strides of batch and token, and the tokens.
enum DriftArgument : unsigned { kDrift = kNumCommonArguments, kDriftBatchStride, kDriftTokenStride, kTokens };

/// Indices with the strides of batch and row, their counts with that of batch, the capacity and the tokens.
enum KeepArgument : unsigned {
  kIndices = kNumCommonArguments, kIndexBatchStride, kIndexStride, kCounts, kCountBatchStride, kCapacity, kKeepTokens
};

class DriftStages {
public:
  DriftStages(func::FuncOp kernel, StringRef name, StringRef letters, Type element)
      : k(kernel, name, ("pllplli" + letters).str(), Shape::kThreads), e(k.e), element(element),
        lanes(128 / element.getIntOrFloatBitWidth()), number(e.add(e.mul(k.x, Shape::kWarps), k.warp)) {}

  void emitDrift() {
    e.when(e.below(number, k.argument(kTokens)), [&] {
      Value sum = sumWarp(sumSquares());
      Value root = e.convert("sqrt.rn.f64 $0, $1;", "=d,d", sum, f64());
      Value at = e.add(e.mul(e.extend(k.y), k.argument(kDriftBatchStride)),
                       e.mul(e.extend(number), k.argument(kDriftTokenStride)));
      e.when(e.equal(k.lane, 0), [&] {
        Value rounded = LLVM::FPTruncOp::create(e.b, k.f32(), root);
        e.store(rounded, e.advance(k.argument(kDrift), at, k.f32()), 4);
      });
    });
    k.finish();
  }

  void emitKeep() {
    Value batchCount = e.mul(e.extend(k.y), k.argument(kCountBatchStride));
    Value count = e.load(k.i32(), e.advance(k.argument(kCounts), batchCount, k.i32()), 4);
    count = e.minimum(e.greater(count, e.i32(0)), k.argument(kCapacity));
    e.when(e.below(number, count), [&] {
      Value at = e.add(e.mul(e.extend(k.y), k.argument(kIndexBatchStride)),
                       e.mul(e.extend(number), k.argument(kIndexStride)));
      Value token = e.load(k.i32(), e.advance(k.argument(kIndices), at, k.i32()), 4);
      e.when(e.below(token, k.argument(kKeepTokens)), [&] {
        Value from = rowAt(kInput, token), to = rowAt(kKept, token);
        e.loop(k.lane, k.argument(kChunks), e.i32(32), [&](Value chunk) {
          Value bytes = e.mul(e.extend(chunk), 16);
          e.store4(e.load4(e.advance(from, bytes)), e.advance(to, bytes));
        });
      });
    });
    k.finish();
  }

private:
  Type f64() { return e.b.getF64Type(); }

  Value rowAt(unsigned array, Value token) {
    Value at = e.add(e.mul(e.extend(k.y), k.argument(array + 1)), e.mul(e.extend(token), k.argument(array + 2)));
    return e.advance(k.argument(array), at, element);
  }

  Value toDouble(Value row, int64_t i) {
    Value value = LLVM::ExtractElementOp::create(e.b, row, e.i32(i));
    if (!element.isF32())
      value = arith::ExtFOp::create(e.b, k.f32(), value);
    return LLVM::FPExtOp::create(e.b, f64(), value);
  }

  /// Over the lane's chunks.
  Value sumSquares() {
    Value input = rowAt(kInput, number), kept = rowAt(kKept, number);
    return e.loop(k.lane, k.argument(kChunks), e.i32(32), e.f64(0), [&](Value chunk, ValueRange sum) {
      Value bytes = e.mul(e.extend(chunk), 16), total = sum[0];
      Value own = e.load(VectorType::get(lanes, element), e.advance(input, bytes), 16);
      Value other = e.load(VectorType::get(lanes, element), e.advance(kept, bytes), 16);
      for (int64_t i = 0; i < lanes; ++i) {
        Value difference = e.subF(toDouble(own, i), toDouble(other, i));
        total = e.fma(difference, difference, total);
      }
      return Values{total};
    })[0];
  }

  /// In halves, since lanes exchange 32 bits at a time.
  Value sumWarp(Value value) {
    auto exchange = [&](Value half, int64_t distance) -> Value {
      return NVVM::ShflOp::create(e.b, k.i32(), e.i32(-1), half, e.i32(distance), e.i32(31), NVVM::ShflKind::bfly,
                                  UnitAttr());
    };
    auto pair = VectorType::get(2, k.i32());
    for (int64_t distance : {16, 8, 4, 2, 1}) {
      Value halves = LLVM::BitcastOp::create(e.b, pair, value), other = LLVM::PoisonOp::create(e.b, pair);
      for (int64_t i = 0; i < 2; ++i) {
        Value half = LLVM::ExtractElementOp::create(e.b, halves, e.i32(i));
        other = LLVM::InsertElementOp::create(e.b, other, exchange(half, distance), e.i32(i));
      }
      value = e.addF(value, LLVM::BitcastOp::create(e.b, f64(), other));
    }
    return value;
  }

  StageKernel k;
  Emitter &e;
  Type element;
  /// Elements of a chunk.
  int64_t lanes;
  /// Of the warp's token or row.
  Value number;
};

} // namespace

void weft::cuda::formDrift(func::FuncOp kernel, BlockAttentionOp op) {
  Type element = op.getQuery().getType().getElementType();
  DriftStages(kernel, "measure_drift", "plli", element).emitDrift();
  DriftStages(kernel, "keep_inputs", "pllplii", element).emitKeep();
}
