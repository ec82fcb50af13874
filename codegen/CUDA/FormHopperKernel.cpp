// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns block attention into a Hopper kernel: the function, its entry, and the image.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/DeviceFunction.h"
#include "codegen/CUDA/HopperKernel.h"
#include "codegen/CUDA/MaskStage.h"
#include "codegen/CUDA/Passes.h"
#include "codegen/CUDA/Stages.h"
#include "dialect/BlockPartition.h"
#include "passes/FormReuse.h"
#include "passes/PassCounts.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {
#define GEN_PASS_DEF_FORMHOPPERKERNELPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

class HopperFormer {
public:
  HopperFormer(func::FuncOp kernel, BlockAttentionOp op, const HopperSchedule &schedule)
      : kernel(kernel), op(op), s(schedule), b(op.getLoc(), kernel) {}

  void form() {
    declareShared(b);
    LLVM::LLVMFuncOp function = declareKernel();
    b.setInsertionPointToStart(function.addEntryBlock(b));
    Emitter e(b, kSharedName);
    HopperKernel hopper(e, op, s, function.getArguments());
    emitEntry(hopper);
    formStages(kernel, op, s.rows, s.columns);
    if (s.problem.readsMaskBits)
      formMask(kernel, op, s.rows, s.columns);
    describeDevice(b, kernel, op, {s.rows, s.columns, s.threads(), s.sharedBytes, s.ctasPerSM, 1, true,
                                   s.usualColumns(), s.problem.readsMaskBits, s.problem.cutsItems});
  }

private:
  /// A tensor map is a parameter of 128 bytes that the copy engine reads.
  LLVM::LLVMFuncOp declareKernel() {
    SmallVector<Type> operands(kNumHopperMaps, LLVM::LLVMPointerType::get(b.getContext()));
    for (unsigned i = kNumHopperMaps; i < countHopperOperands(op); i += 4)
      operands.append({LLVM::LLVMPointerType::get(b.getContext(), 1), b.getI64Type(), b.getI64Type(), b.getI64Type()});
    LLVM::LLVMFuncOp function = declareDeviceFunction(b, kernel, operands, s.threads(), s.registerCTAs);
    Type map = LLVM::LLVMArrayType::get(b.getI8Type(), 128);
    for (unsigned i = 0; i < kNumHopperMaps; ++i) {
      function.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(map));
      function.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(64));
      function.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
    }
    return function;
  }

  void emitEntry(HopperKernel &hopper) {
    Emitter &e = hopper.e;
    clearTiles(hopper);
    e.when(e.equal(hopper.thread, 0), [&] { hopper.initializeBarriers(); });
    NVVM::Barrier0Op::create(e.b);
    Block *producer = e.createBlock(), *consumer = e.createBlock();
    e.branchIf(e.equal(hopper.warpgroup, 0), producer, consumer);
    e.enter(producer);
    emitProducer(hopper);
    e.enter(consumer);
    emitConsumer(hopper);
  }

  static bool hasSmallBoxes(GridAttr grid, OrderAttr order, int64_t rows) {
    return order.getTiled() && llvm::product_of(tileExtents(grid, order)) < rows;
  }

  /// A copy of a box that is smaller than the tile leaves the rest as it is: it must not be NaN by chance.
  void clearTiles(HopperKernel &hopper) {
    if (!hasSmallBoxes(op.getQueryGrid(), op.getQueryOrder(), s.rows) &&
        (hopper.keysAreRuns() || !hasSmallBoxes(op.getKeyGrid(), op.getKeyOrder(), s.columns)))
      return;
    hopper.clear(hopper.thread, s.threads(), 0, s.valueOffset + HopperSchedule::kStages * s.keyBytes());
    hopper.fenceStores();
  }

  func::FuncOp kernel;
  BlockAttentionOp op;
  HopperSchedule s;
  ImplicitLocOpBuilder b;
};

/// Lists of one length make a last turn that many CTAs miss: of all keys, and of listed or merged tokens. Others, drawn longest
/// first, do so less, and code that cuts them takes 1 % of the time: it pays where there are few turns. Beside a predicate
/// there are no registers for it.
bool cutsItems(BlockAttentionOp op, int64_t queryBlocks) {
  constexpr int64_t kFewItems = 8 * 132;
  bool isFew = queryBlocks * op.getQuery().getType().getDimSize(1) <= kFewItems;
  return gathersRows(op) || visitsAll(op) || (op.getBody().empty() && isFew);
}

HopperProblem describeProblem(BlockAttentionOp op) {
  HopperProblem problem;
  problem.headDim = op.getQuery().getType().getDimSize(3);
  BlockPartition queries = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
  problem.queryTokens = queries.maxTokens(), problem.cutsItems = cutsItems(op, queries.numBlocks());
  problem.keyTokens = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).maxTokens();
  problem.hasBias = addsBias(op);
  problem.usualKeyTokens = op.getKeyOrder().getTiled()
                               ? llvm::product_of(tileExtents(op.getKeyGrid(), op.getKeyOrder()))
                               : problem.keyTokens;
  // Rows that are gathered and keys that are merged make blocks of their own.
  problem.readsMaskBits = !op.getBody().empty() && !gathersRows(op) && !mergesKeys(op);
  // Merged keys fill their blocks.
  if (mergesKeys(op))
    problem.usualKeyTokens = llvm::alignTo(problem.keyTokens, 16);
  problem.queryAxes = usedAxes(op, kQueryT).size();
  problem.keyAxes = usedAxes(op, kKeyT).size();
  return problem;
}

struct FormHopperKernel final : weft::impl::FormHopperKernelPassBase<FormHopperKernel> {
  using Base::Base;

  void runOnOperation() override {
    if (!isGenerator(getOperation(), kHopperGenerator))
      return;
    BlockAttentionOp op = findBlockAttention(getOperation());
    if (!op)
      return signalPassFailure();
    auto kernel = cast<func::FuncOp>(op->getParentOp());
    Type element = op.getQuery().getType().getElementType();
    if (!element.isBF16() && !element.isF16()) {
      op.emitOpError("expected elements of bf16 or f16 for sm_90a, but got ") << element;
      return signalPassFailure();
    }
    std::string error;
    std::optional<HopperSchedule> schedule = HopperSchedule::choose(describeProblem(op), error);
    if (!schedule) {
      op.emitOpError(error);
      return signalPassFailure();
    }
    HopperFormer(kernel, op, *schedule).form();
    recordCounts(getOperation(), getArgument(),
                 {{"kernels", 1},
                  {"kernels_masked", op.getBody().empty() ? 0 : 1},
                  {"shared_bytes", schedule->sharedBytes}});
    kernel.erase();
  }
};

} // namespace
