// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes of the CPU backend.

#ifndef WEFT_CODEGEN_CPU_PASSES_TD
#define WEFT_CODEGEN_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerTilesPass : Pass<"weft-cpu-lower-tiles", "mlir::ModuleOp"> {
  let summary = "lowers tile steps to loops over vectors";
  let description = [{
    Before: functions of tile steps on buffers.

    After: loops of arith, math, memref, scf and vector ops. The products are register tiles
    of `lanes`-wide accumulators, or for bf16 with AMX of its tiles; scores and weights stay in the scratch buffer,
    exponentials are polynomials, and a predicate is evaluated on `lanes` keys
    at a time. No op works on single elements of a tile.

    Counts in `weft.statistics`: `steps_lowered`, tile steps lowered.

    Example: test/codegen/cpu/lower-tiles.mlir.
  }];
  let options = [
    Option<"lanes", "lanes", "int64_t", "16", "f32 lanes of a vector register: 16, 8 or 4">,
    Option<"scalef", "scalef", "bool", "true", "use AVX-512's scalef to apply the exponent">,
    Option<"bf16", "bf16", "weft::BF16Unit", "weft::BF16Unit::DotX86", "how products of pairs of bf16 are formed",
           [{::llvm::cl::values(
              clEnumValN(weft::BF16Unit::DotX86, "dot-x86", "vdpbf16ps of AVX512-BF16"),
              clEnumValN(weft::BF16Unit::MatrixNEON, "matrix-neon", "bfmmla of Armv8.6"),
              clEnumValN(weft::BF16Unit::TileX86, "tile-x86", "tdpbf16ps of AMX"))}]>,
  ];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect",
                           "mlir::x86vector::X86VectorDialect", "mlir::amx::AMXDialect",
                           "mlir::LLVM::LLVMDialect"];
}

def AddEntryPointsPass : Pass<"weft-cpu-add-entry-points", "mlir::ModuleOp"> {
  let summary = "adds entry points that read their arguments from 8-byte slots";
  let description = [{
    Before: functions NAME.pack and NAME.attend in the LLVM dialect, with one
    scalar or pointer per argument; of a predicted mask also NAME.pool_queries, NAME.pool_keys and NAME.score.

    After: also `weft_NAME_pack(ptr)`, `weft_NAME_attend(ptr)` and so on, which load
    argument i from byte 8 i of their operand, so that one C signature calls
    every kernel. The bodies are inlined into them.

    Counts in `weft.statistics`: `entry_points`, entry points added.

    Example: test/codegen/cpu/add-entry-points.mlir.
  }];
  let dependentDialects = ["mlir::LLVM::LLVMDialect"];
}

#endif // WEFT_CODEGEN_CPU_PASSES_TD
