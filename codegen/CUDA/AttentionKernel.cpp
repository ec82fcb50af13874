// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a kernel knows of itself.

#include "codegen/CUDA/AttentionKernel.h"

#include "codegen/CUDA/PairPredicate.h"
#include "passes/FormReuse.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

SmallVector<int64_t> weft::cuda::usedAxes(Region &predicate, unsigned first) {
  SmallVector<int64_t> axes;
  for (int64_t axis = 0; axis < kNumAxes; ++axis) {
    bool isRead = !predicate.getArgument(first + axis).use_empty();
    bool isText = axis == 0 && !predicate.getArgument(first + kNumAxes).use_empty();
    if (isRead || isText)
      axes.push_back(axis);
  }
  return axes;
}

SmallVector<int64_t> weft::cuda::usedAxes(BlockAttentionOp op, unsigned first) {
  return op.getBody().empty() ? SmallVector<int64_t>() : usedAxes(op.getBody(), first);
}

bool weft::cuda::gathersRows(BlockAttentionOp op) { return op.getRows() || mergesQueries(op) || mergesKeys(op); }

bool weft::cuda::gathersQueries(BlockAttentionOp op) {
  return gathersRows(op) || (op.getQueryOrder().isSorted() && !op->hasAttr(kQueryBoxes));
}

bool weft::cuda::gathersKeys(BlockAttentionOp op) {
  return op.getKeyOrder().isSorted() && !mergesKeys(op) && !op->hasAttr(kKeyBoxes);
}

bool weft::cuda::addsBias(BlockAttentionOp op) { return op.getBias() || mergesKeys(op); }

bool AttentionKernel::keysAreRuns() { return mergesKeys(op); }

StringRef weft::cuda::ptxType(Type type) { return type.isF32() ? "f32" : type.isBF16() ? "bf16" : "f16"; }

AttentionKernel::AttentionKernel(Emitter &e, BlockAttentionOp op, Block::BlockArgListType arguments,
                                 unsigned numOperands, int64_t rows)
    : e(e), op(op), arguments(arguments), numOperands(numOperands), rows(rows),
      element(op.getQuery().getType().getElementType()), heads(op.getQuery().getType().getDimSize(1)),
      headDim(op.getQuery().getType().getDimSize(3)), queryAxes(usedAxes(op, kQueryT)), keyAxes(usedAxes(op, kKeyT)) {
  thread = NVVM::ThreadIdXOp::create(e.b, e.b.getI32Type());
  lane = e.bitAnd(thread, 31);
}

Value AttentionKernel::readThread() { return e.assembly("mov.u32 $0, %tid.x;", "=r", {}, e.b.getI32Type())[0]; }

Values AttentionKernel::predicateArguments() const {
  Values values;
  for (size_t i = 0; i < predicateParameters(op).size(); ++i)
    values.push_back(argument(kNumKernelArgs + i));
  return values;
}
