// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes of the CUDA backend.

#ifndef WEFT_CODEGEN_CUDA_PASSES_TD
#define WEFT_CODEGEN_CUDA_PASSES_TD

include "mlir/Pass/PassBase.td"

def ChooseGeneratorPass : Pass<"weft-cuda-choose-generator", "mlir::ModuleOp"> {
  let summary = "chooses the generator of a GPU kernel";
  let description = [{
    Before: a program.

    After: its module says in `weft.generator` who makes the kernel: `hopper` (wgmma and the copy engine) for bf16 and
    f16 on sm_90a, `mma` (mma.sync and cp.async) for f32 and for every other target. The passes of one generator leave
    modules of the other as they are.

    Example: test/codegen/cuda/choose-generator.mlir.
  }];
  let options = [Option<"hopper", "hopper", "bool", "false", "the target is sm_90a">];
}

def ChooseBlocksPass : Pass<"weft-cuda-choose-blocks", "mlir::ModuleOp"> {
  let summary = "chooses block sizes for Hopper GPUs";
  let description = [{
    Before: a program whose attention has one block size.

    After: in raster order query blocks of 192 tokens for head dims up to 128, so that three
    warpgroups hide one another's softmax, with key blocks of 128 to 80 tokens, which fit
    their registers; for head dims above 128, key blocks of 64 and query blocks of 128 tokens,
    which fit the shared memory. Other sizes than 128 are kept as far as they fit. An
    attention on given or predicted lists keeps the blocks that its lists are of.

    Counts in `weft.statistics`: `blocks_chosen`, attentions whose blocks were changed.

    Example: test/codegen/cuda/choose-blocks.mlir.
  }];
}

def FindBoxesPass : Pass<"weft-cuda-find-boxes", "mlir::ModuleOp"> {
  let summary = "finds sorted tokens that the copy engine of a Hopper GPU can bring";
  let description = [{
    Before: block attention in sorted orders, whose tokens may lie anywhere.

    After: where the blocks of queries, or of keys, are up to four equal boxes of the picture of all
    frames' rows, the attribute `weft.query_boxes` or `weft.key_boxes` has a box's rows and columns,
    and the kernel asks the copy engine for boxes; without it, warps gather the tokens.

    Counts in `weft.statistics`: `sides_in_boxes`, of queries and keys those of which all blocks are.

    Example: test/codegen/cuda/find-boxes.mlir.
  }];
}

def FormHopperKernelPass : Pass<"weft-cuda-form-hopper-kernel", "mlir::ModuleOp"> {
  let summary = "turns block attention into a kernel for Hopper GPUs";
  let description = [{
    Before: a function of one folded weft.block_attention of bf16 or f16.

    After: a kernel in the LLVM and NVVM dialects and arith, with warpgroups for copies and for
    products, and the module's `weft.image`, which tells the runtime the sizes of its tiles
    and tables.

    Counts in `weft.statistics`: `kernels`, kernels formed; `kernels_masked`, those that
    evaluate a predicate; `shared_bytes`, shared memory of a kernel.

    Example: test/codegen/cuda/form-hopper-kernel.mlir.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::NVVM::NVVMDialect"];
}

def FormMMAKernelPass : Pass<"weft-cuda-form-mma-kernel", "mlir::ModuleOp"> {
  let summary = "turns block attention into a kernel for GPUs from sm_80 on";
  let description = [{
    Before: a function of one folded weft.block_attention of bf16, f16 or f32.

    After: a kernel in the LLVM and NVVM dialects and arith whose warps copy tiles by cp.async and multiply them by
    mma.sync, and the module's `weft.image`, which tells the runtime the sizes of its tiles and tables.

    Counts in `weft.statistics`: `kernels`, kernels formed; `kernels_masked`, those that
    evaluate a predicate; `shared_bytes`, shared memory of a kernel.

    Example: test/codegen/cuda/form-mma-kernel.mlir.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::NVVM::NVVMDialect"];
}

def ChainKernelsPass : Pass<"weft-cuda-chain-kernels", "mlir::ModuleOp"> {
  let summary = "lets a kernel start while the one before it ends";
  let description = [{
    Before: kernels in the LLVM and NVVM dialects for sm_90 or later.

    After: each first lets the next kernel of its stream come to the multiprocessors, and then waits until the one before
    it has ended and its stores are there. `weft.image` says so, since the driver may be asked for it only then.

    Counts in `weft.statistics`: `kernels_chained`.

    Example: test/codegen/cuda/chain-kernels.mlir.
  }];
  let dependentDialects = ["mlir::LLVM::LLVMDialect"];
}

#endif // WEFT_CODEGEN_CUDA_PASSES_TD
