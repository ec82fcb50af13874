// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lets a kernel's CTAs come to the multiprocessors while the kernel before it ends.

#include "codegen/CUDA/Passes.h"
#include "passes/PassCounts.h"

namespace weft {
#define GEN_PASS_DEF_CHAINKERNELSPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

/// Every kernel waits, so that one which has ended says that all before it have. LLVM's intrinsics are said to touch no
/// memory, and loads may be moved above them; so this is assembly.
void chain(LLVM::LLVMFuncOp kernel) {
  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  b.setInsertionPointToStart(&kernel.getBody().front());
  LLVM::InlineAsmOp::create(b, TypeRange(), ValueRange(), "griddepcontrol.launch_dependents; griddepcontrol.wait;",
                            "~{memory}", /*has_side_effects=*/true, /*is_align_stack=*/false,
                            LLVM::tailcallkind::TailCallKind::None,
                            LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
                            /*operand_attrs=*/nullptr);
}

/// Tells the runtime.
void markImage(ModuleOp module) {
  auto image = module->getAttrOfType<DictionaryAttr>("weft.image");
  if (!image)
    return;
  auto cuda = NamedAttrList(image.getAs<DictionaryAttr>("cuda")), parts = NamedAttrList(image);
  cuda.set("waits", UnitAttr::get(module.getContext()));
  parts.set("cuda", cuda.getDictionary(module.getContext()));
  module->setAttr("weft.image", parts.getDictionary(module.getContext()));
}

struct ChainKernels final : weft::impl::ChainKernelsPassBase<ChainKernels> {
  using Base::Base;

  void runOnOperation() override {
    int64_t chained = 0;
    getOperation().walk([&](LLVM::LLVMFuncOp function) {
      if (!function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
        return;
      chain(function);
      ++chained;
    });
    if (chained)
      markImage(getOperation());
    recordCounts(getOperation(), getArgument(), {{"kernels_chained", chained}});
  }
};

} // namespace
