// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Importance of tokens: a thread per token.
//
// In f64 as on the CPU, operation by operation, so that both select the same rows: PTX without contraction rounds each.
// What is stored are the numbers' bits, turned so that their order as unsigned integers is that of importance: NaN above
// all, and 0, which no number becomes, for tokens that do not exist.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"
#include "runtime/RowSelection.h"

#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RowSelectionShape;

namespace {

/// Log-sum-exps with the strides of batch, head and token; drift and age with those of batch and token; exp(age) of each
/// age, the weight of that, and the order of each token by batch element.
enum Argument : unsigned {
  kLse, kLseBatchStride, kLseHeadStride, kLseTokenStride, kDrift, kDriftBatchStride, kDriftTokenStride, kAge,
  kAgeBatchStride, kAgeTokenStride, kExponentials, kWeight, kOrders
};

class ImportanceStage {
public:
  ImportanceStage(func::FuncOp kernel, int64_t heads, int64_t tokens)
      : k(kernel, "importance", "plllpllpllpdp", Shape::kThreads), e(k.e), heads(heads), shape{tokens} {}

  void emit() {
    Value token = e.add(e.mul(k.x, k.threads), k.thread);
    e.when(e.below(token, e.i32(shape.padded())), [&] {
      Value order = e.valueWhen(
          e.below(token, e.i32(shape.tokens)), [&] { return orderOf(importanceOf(token)); }, e.i64(0));
      Value at = e.add(e.mul(e.extend(k.y), shape.padded()), e.extend(token));
      e.store(order, e.advance(k.argument(kOrders), at, order.getType()), 8);
    });
    k.finish();
  }

private:
  /// A number of a token: `array` has the strides of batch and token behind it.
  Value load(Type type, unsigned array, Value token) {
    Value at = e.add(e.mul(e.extend(k.y), k.argument(array + 1)), e.mul(e.extend(token), k.argument(array + 2)));
    return e.load(type, e.advance(k.argument(array), at, type), 4);
  }

  Value toDouble(Value value) { return LLVM::FPExtOp::create(e.b, e.b.getF64Type(), value); }

  /// Of the heads whose log-sum-exp is not -inf; 0 if there is none.
  Value meanOf(Value token) {
    Value first = e.add(e.mul(e.extend(k.y), k.argument(kLseBatchStride)),
                        e.mul(e.extend(token), k.argument(kLseTokenStride)));
    Values sums = e.loop(e.i32(0), e.i32(heads), e.i32(1), {e.f64(0), e.f64(0)}, [&](Value head, ValueRange sums) {
      Value at = e.add(first, e.mul(e.extend(head), k.argument(kLseHeadStride)));
      Value lse = e.load(k.f32(), e.advance(k.argument(kLse), at, k.f32()), 4);
      Value isEmpty = e.equalF(lse, e.f32(-std::numeric_limits<double>::infinity()));
      return Values{e.addF(sums[0], e.select(isEmpty, e.f64(0), toDouble(lse))),
                    e.addF(sums[1], e.select(isEmpty, e.f64(0), e.f64(1)))};
    });
    Value isNone = e.equalF(sums[1], e.f64(0));
    return e.select(isNone, e.f64(0), e.divideF(sums[0], e.select(isNone, e.f64(1), sums[1])));
  }

  Value importanceOf(Value token) {
    Value age = load(k.i32(), kAge, token);
    age = e.minimum(e.greater(age, e.i32(0)), e.i32(rt::kMaxAge));
    Type f64 = e.b.getF64Type();
    Value exponential = e.load(f64, e.advance(k.argument(kExponentials), e.extend(age), f64), 8);
    Value change = e.mulF(meanOf(token), toDouble(load(k.f32(), kDrift, token)));
    return e.addF(change, e.mulF(k.argument(kWeight), exponential));
  }

  Value orderOf(Value importance) {
    Value bits = LLVM::BitcastOp::create(e.b, e.b.getI64Type(), importance), sign = e.i64(INT64_MIN);
    bits = e.select(e.equalF(importance, e.f64(0)), e.i64(0), bits); // -0 is 0
    Value order = e.select(e.less(bits, e.i64(0)), e.bitXor(bits, e.i64(-1)), e.bitOr(bits, sign));
    return e.select(e.equalF(importance, importance), order, e.i64(-1));
  }

  StageKernel k;
  Emitter &e;
  int64_t heads;
  Shape shape;
};

} // namespace

void weft::cuda::formImportance(func::FuncOp kernel, BlockAttentionOp op) {
  ImportanceStage(kernel, op.getQuery().getType().getDimSize(1), op.getQueryGrid().getTokens()).emit();
}
