// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of a warpgroup: descriptors of tiles in shared memory and wgmma.

#ifndef WEFT_CODEGEN_CUDA_WARPGROUPPRODUCT_H
#define WEFT_CODEGEN_CUDA_WARPGROUPPRODUCT_H

#include "codegen/CUDA/Emitter.h"

namespace weft::cuda {

/// A descriptor of a tile with the 128-byte swizzle that begins at the shared address `address` (i32). Eight rows take
/// 1024 bytes; `groupBytes` lie between groups of 64 channels where one product spans several of them, else 16.
mlir::Value makeDescriptor(Emitter &e, mlir::Value address, int64_t groupBytes = 16);

/// A descriptor of a tile without swizzle: groups of eight rows of 16 bytes lie behind one another, and `chunkBytes`
/// between those of eight channels and of the next eight.
mlir::Value makePlainDescriptor(Emitter &e, mlir::Value address, int64_t chunkBytes);

/// The descriptor `bytes` further; a multiple of 16.
mlir::Value advanceDescriptor(Emitter &e, mlir::Value descriptor, int64_t bytes);

/// The left operand of a product: 64 x 16 elements, of a tile in shared memory or in four registers of pairs.
struct LeftOperand {
  mlir::Value descriptor;
  llvm::ArrayRef<mlir::Value> registers;
};

/// Asks for `accumulator += left * right`, or `accumulator = left * right` where it is empty, with 64 x n results:
/// n / 2 registers per thread, of which number i is in row 8 (i / 2 mod 2) + lane / 4 of the warp's sixteen and column
/// 8 (i / 4) + 2 (lane mod 4) + i mod 2. The right operand's 16 rows of n are contiguous in depth, or in n if
/// `transposed`. If `keep` is given and 0 (i32), the accumulator counts as 0. Nothing may touch the registers before the
/// group was waited for.
void multiply(Emitter &e, llvm::StringRef type, int64_t n, Values &accumulator, LeftOperand left, mlir::Value right,
              bool transposed, mlir::Value keep = {});

/// Orders a thread's stores and copies to shared memory before products, which read through another path.
void fenceShared(Emitter &e);

/// Orders register accesses before the products that follow. The groups are tied to their place.
void fenceProducts(Emitter &e, llvm::ArrayRef<Values *> registers = {});
/// Closes a group of products.
void commitProducts(Emitter &e);
/// Waits until at most `pending` groups are under way; `registers` are then there.
void waitForProducts(Emitter &e, int64_t pending, llvm::ArrayRef<Values *> registers);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_WARPGROUPPRODUCT_H
