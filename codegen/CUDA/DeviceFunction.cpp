// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Declares kernels and writes their images.

#include "codegen/CUDA/DeviceFunction.h"

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/MaskStage.h"
#include "codegen/CUDA/RecallPlan.h"
#include "passes/FormRecognition.h"
#include "passes/KernelFunction.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

void weft::cuda::declareShared(ImplicitLocOpBuilder &b) {
  auto module = b.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  if (!module)
    module = cast<ModuleOp>(b.getInsertionBlock()->getParentOp());
  if (module.lookupSymbol(kSharedName))
    return;
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
  LLVM::GlobalOp::create(b, type, /*isConstant=*/false, LLVM::Linkage::External, kSharedName, Attribute(),
                         /*alignment=*/1024, /*addrSpace=*/3);
}

static SmallVector<Type> argumentTypes(Builder &b, func::FuncOp kernel, ArrayRef<Type> operands) {
  SmallVector<Type> common(kNumKernelArgs, LLVM::LLVMPointerType::get(b.getContext(), 1));
  for (unsigned stride : {kOutBatchStride, kOutHeadStride, kOutTokenStride, kLseBatchStride, kLseHeadStride,
                          kLseTokenStride, kBiasBatchStride, kBiasHeadStride, kBiasTokenStride})
    common[stride] = b.getI64Type();
  SmallVector<Type> types(operands);
  types.append(common);
  for (BlockArgument parameter : parametersOf(kernel))
    if (!parameter.getType().isF64()) // what predictions read alone
      types.push_back(parameter.getType());
  return types;
}

LLVM::LLVMFuncOp weft::cuda::declareDeviceFunction(ImplicitLocOpBuilder &b, func::FuncOp kernel,
                                                   ArrayRef<Type> operands, int64_t threads, int64_t registerCTAs) {
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                          argumentTypes(b, kernel, operands));
  auto function = LLVM::LLVMFuncOp::create(b, ("weft_" + kernel.getName()).str(), type);
  function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  function->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(), b.getDenseI32ArrayAttr(static_cast<int32_t>(threads)));
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(static_cast<int32_t>(registerCTAs)));
  return function;
}

void weft::cuda::describeDevice(Builder &b, func::FuncOp kernel, BlockAttentionOp op, const DeviceShape &shape) {
  SmallVector<NamedAttribute> image = describeKernel(kernel, op), cuda;
  auto add = [&](StringRef name, int64_t value) {
    cuda.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
  };
  if (!op.getBody().empty() && recognitionOf(op)) {
    RecallPlan plan = RecallPlan::of(op);
    const MMASchedule &tile = plan.schedule;
    image.push_back(b.getNamedAttr("recognition", describeRecognition(kernel, op, tile.rows(), tile.columns, 0)));
    add("recall_threads", tile.threads());
    add("recall_shared_bytes", plan.sharedBytes());
    add("recall_parts", plan.parts);
    add("recall_lines", plan.lines);
    add("probe_words", plan.words);
    add("probe_most_words", plan.mostWords);
    add("probe_heads", plan.heads);
  }
  add("rows", shape.rows);
  add("columns", shape.columns);
  add("threads", shape.threads);
  add("shared_bytes", shape.sharedBytes);
  add("ctas_per_sm", shape.ctasPerSM);
  if (!shape.usesTensorMaps)
    add("query_parts", shape.queryParts);
  if (shape.usualColumns)
    add("usual_columns", shape.usualColumns);
  if (shape.cutsItems)
    cuda.push_back(b.getNamedAttr("cuts_items", b.getUnitAttr()));
  if (shape.readsMaskBits) {
    MaskIndexShape index = MaskIndexShape::of(op);
    add("mask_givens", index.givens);
    add("mask_choices", index.choices);
    add("mask_heads", index.heads);
  }
  for (auto [name, boxes] : {std::pair("query_boxes", op->getAttr(kQueryBoxes)), {"key_boxes", op->getAttr(kKeyBoxes)}})
    if (boxes)
      cuda.push_back(b.getNamedAttr(name, boxes));
  cuda.push_back(b.getNamedAttr("query_axes", b.getDenseI64ArrayAttr(usedAxes(op, kQueryT))));
  cuda.push_back(b.getNamedAttr("key_axes", b.getDenseI64ArrayAttr(usedAxes(op, kKeyT))));
  image.push_back(b.getNamedAttr("cuda", b.getDictionaryAttr(cuda)));
  kernel->getParentOfType<ModuleOp>()->setAttr("weft.image", b.getDictionaryAttr(image));
}

BlockAttentionOp weft::cuda::findBlockAttention(ModuleOp module) {
  SmallVector<BlockAttentionOp> ops;
  module.walk([&](BlockAttentionOp op) { ops.push_back(op); });
  if (ops.size() != 1) {
    module.emitError("expected a module with one weft.block_attention, but got ") << ops.size();
    return {};
  }
  BlockAttentionOp op = ops.front();
  auto kernel = dyn_cast<func::FuncOp>(op->getParentOp());
  return failed(checkKernel(kernel, op)) ? BlockAttentionOp() : op;
}
