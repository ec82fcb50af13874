// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ages of tokens after an attention that selects rows: one more for all, and 0 for those that were computed.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"
#include "runtime/RowSelection.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RowSelectionShape;

namespace {

/// Ages with the strides of batch and token.
enum AgeArgument : unsigned { kAge, kAgeBatchStride, kAgeTokenStride, kNumAgeArguments };

/// Indices with the strides of batch and row, their counts with that of batch, and the capacity.
enum ResetArgument : unsigned {
  kIndices = kNumAgeArguments, kIndexBatchStride, kIndexStride, kCounts, kCountBatchStride, kCapacity
};

class AgeStage {
public:
  AgeStage(func::FuncOp kernel, StringRef name, StringRef letters, int64_t tokens)
      : k(kernel, name, ("pll" + letters).str(), Shape::kThreads), e(k.e), tokens(tokens),
        number(e.add(e.mul(k.x, k.threads), k.thread)) {}

  void emitGrowth() {
    e.when(e.below(number, e.i32(tokens)), [&] {
      Value age = e.load(k.i32(), placeOf(number), 4);
      // As importance reads it: from 0 to the greatest age.
      Value next = e.add(e.minimum(e.greater(age, e.i32(0)), e.i32(rt::kMaxAge - 1)), 1);
      e.store(next, placeOf(number), 4);
    });
    k.finish();
  }

  void emitReset() {
    Value count = e.load(k.i32(), element(kCounts, e.mul(e.extend(k.y), k.argument(kCountBatchStride))), 4);
    count = e.minimum(e.greater(count, e.i32(0)), k.argument(kCapacity));
    e.when(e.below(number, count), [&] {
      Value at = e.add(e.mul(e.extend(k.y), k.argument(kIndexBatchStride)),
                       e.mul(e.extend(number), k.argument(kIndexStride)));
      Value token = e.load(k.i32(), element(kIndices, at), 4);
      e.when(e.below(token, e.i32(tokens)), [&] { e.store(e.i32(0), placeOf(token), 4); });
    });
    k.finish();
  }

private:
  Value element(unsigned array, Value index) { return e.advance(k.argument(array), index, k.i32()); }

  Value placeOf(Value token) {
    return element(kAge, e.add(e.mul(e.extend(k.y), k.argument(kAgeBatchStride)),
                               e.mul(e.extend(token), k.argument(kAgeTokenStride))));
  }

  StageKernel k;
  Emitter &e;
  int64_t tokens;
  Value number;
};

} // namespace

void weft::cuda::formAdvanceAges(func::FuncOp kernel, BlockAttentionOp op) {
  int64_t tokens = op.getQueryGrid().getTokens();
  AgeStage(kernel, "grow_ages", "", tokens).emitGrowth();
  AgeStage(kernel, "reset_ages", "pllpli", tokens).emitReset();
}
