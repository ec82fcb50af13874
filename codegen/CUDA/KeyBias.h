// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A number per key that is added to its scores.
//
// Added in registers, it would cost a load and an addition per score, in a softmax that already takes longer than the
// products. So the product does it: beside a key's channels there are sixteen more, of which the first three hold
// bias / scale as a sum of three bf16 (24 bits, as many as f32 has) and the others 0; beside a query's channels there are
// three ones. That is one more step of the scores' product.
//
// A warp of the producer fills these channels, since keys of a block may lie anywhere: it walks the items and lists as
// the copies do.

#ifndef WEFT_CODEGEN_CUDA_KEYBIAS_H
#define WEFT_CODEGEN_CUDA_KEYBIAS_H

#include "codegen/CUDA/HopperKernel.h"

namespace weft::cuda {

/// Emits the code of the bias' warp, from the current block to the branch to `exit`.
void emitBias(HopperKernel &kernel, mlir::Block *exit);

/// The consumers' part.
class BiasProduct {
public:
  explicit BiasProduct(HopperKernel &kernel);

  /// Asks for scores += 1 * bias / scale of a stage's keys.
  void multiply(Values &scores, HopperKernel::Slot stage);

private:
  HopperKernel &k;
  /// Descriptors of the ones, and of the first stage's bias.
  mlir::Value ones, bias;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_KEYBIAS_H
