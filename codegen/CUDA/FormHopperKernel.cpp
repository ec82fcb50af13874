// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns block attention into a Hopper kernel: the function, its entry, and the image.

#include "codegen/CUDA/HopperKernel.h"
#include "codegen/CUDA/Passes.h"
#include "dialect/BlockPartition.h"
#include "dialect/Prediction.h"
#include "passes/KernelFunction.h"
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

constexpr StringRef kSharedName = "weft_shared";

class HopperFormer {
public:
  HopperFormer(func::FuncOp kernel, BlockAttentionOp op, const HopperSchedule &schedule)
      : kernel(kernel), op(op), s(schedule), b(op.getLoc(), kernel) {}

  void form() {
    declareShared();
    LLVM::LLVMFuncOp function = declareKernel();
    b.setInsertionPointToStart(function.addEntryBlock(b));
    Emitter e(b, kSharedName);
    HopperKernel hopper(e, op, s, function.getArguments());
    emitEntry(hopper);
    describe();
  }

private:
  void declareShared() {
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
    LLVM::GlobalOp::create(b, type, /*isConstant=*/false, LLVM::Linkage::External, kSharedName, Attribute(),
                           /*alignment=*/1024, /*addrSpace=*/3);
  }

  SmallVector<Type> argumentTypes() {
    Type generic = LLVM::LLVMPointerType::get(b.getContext()), global = LLVM::LLVMPointerType::get(b.getContext(), 1);
    SmallVector<Type> types(kNumKernelArgs, global);
    for (unsigned map : {kQueryMap, kKeyMap, kValueMap, kQueryTextMap, kKeyTextMap, kValueTextMap})
      types[map] = generic;
    for (unsigned stride : {kOutBatchStride, kOutHeadStride, kOutTokenStride, kLseBatchStride, kLseHeadStride,
                            kLseTokenStride, kBiasBatchStride, kBiasHeadStride, kBiasTokenStride})
      types[stride] = b.getI64Type();
    types[kNumItems] = b.getI32Type();
    for (BlockArgument parameter : parametersOf(kernel))
      types.push_back(parameter.getType());
    return types;
  }

  /// The text of the function's attributes: a tensor map is a parameter of 128 bytes that the copy engine reads.
  LLVM::LLVMFuncOp declareKernel() {
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), argumentTypes());
    auto function = LLVM::LLVMFuncOp::create(b, ("weft_" + kernel.getName()).str(), type);
    function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
    function->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(),
                      b.getDenseI32ArrayAttr(static_cast<int32_t>(s.threads())));
    function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(s.registerCTAs));
    Type map = LLVM::LLVMArrayType::get(b.getI8Type(), 128);
    for (unsigned i : {kQueryMap, kKeyMap, kValueMap, kQueryTextMap, kKeyTextMap, kValueTextMap}) {
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
        !hasSmallBoxes(op.getKeyGrid(), op.getKeyOrder(), s.columns))
      return;
    hopper.clear(hopper.thread, s.threads(), 0, s.valueOffset + HopperSchedule::kStages * s.keyBytes());
    hopper.fenceStores();
  }

  void describe() {
    SmallVector<NamedAttribute> image = describeKernel(kernel, op);
    SmallVector<NamedAttribute> cuda;
    auto add = [&](StringRef name, int64_t value) {
      cuda.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
    };
    add("rows", s.rows);
    add("columns", s.columns);
    add("threads", s.threads());
    add("shared_bytes", s.sharedBytes);
    add("ctas_per_sm", s.ctasPerSM);
    auto axes = [&](unsigned first) {
      return op.getBody().empty() ? SmallVector<int64_t>() : usedAxes(op.getBody(), first);
    };
    cuda.push_back(b.getNamedAttr("query_axes", b.getDenseI64ArrayAttr(axes(kQueryT))));
    cuda.push_back(b.getNamedAttr("key_axes", b.getDenseI64ArrayAttr(axes(kKeyT))));
    image.push_back(b.getNamedAttr("cuda", b.getDictionaryAttr(cuda)));
    kernel->getParentOfType<ModuleOp>()->setAttr("weft.image", b.getDictionaryAttr(image));
  }

  func::FuncOp kernel;
  BlockAttentionOp op;
  HopperSchedule s;
  ImplicitLocOpBuilder b;
};

HopperProblem describeProblem(BlockAttentionOp op) {
  HopperProblem problem;
  problem.headDim = op.getQuery().getType().getDimSize(3);
  problem.queryTokens = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).maxTokens();
  problem.keyTokens = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).maxTokens();
  problem.hasBias = op.getBias() != nullptr;
  if (!op.getBody().empty()) {
    problem.queryAxes = usedAxes(op.getBody(), kQueryT).size();
    problem.keyAxes = usedAxes(op.getBody(), kKeyT).size();
  }
  return problem;
}

struct FormHopperKernel final : weft::impl::FormHopperKernelPassBase<FormHopperKernel> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<BlockAttentionOp> ops;
    getOperation().walk([&](BlockAttentionOp op) { ops.push_back(op); });
    if (ops.size() != 1) {
      getOperation().emitError("expected a module with one weft.block_attention, but got ") << ops.size();
      return signalPassFailure();
    }
    BlockAttentionOp op = ops.front();
    auto kernel = dyn_cast<func::FuncOp>(op->getParentOp());
    if (Selection::from(op.getGiven()) ||
        (kernel && llvm::any_of(kernel.getArgumentTypes(), llvm::IsaPred<Float64Type>))) {
      op.emitOpError("expected a mask without topk, topp, threshold and float parameters, which run on CPUs and in the "
                     "interpreter, not yet on GPUs");
      return signalPassFailure();
    }
    if (failed(checkKernel(kernel, op)))
      return signalPassFailure();
    if (op.getRows()) {
      op.emitOpError("expected an attention without rows for sm_90a");
      return signalPassFailure();
    }
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
