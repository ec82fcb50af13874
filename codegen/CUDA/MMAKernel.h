// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the parts of a kernel of mma.sync share.
//
// One kernel computes all query blocks of all heads on every GPU from sm_80 on. Its CTAs stay on their multiprocessors
// and draw items, longest first, by a ticket. All warps of a CTA do the same: each step,
//
//     wait      for the step's keys and values, and for one another
//     copy      ask for the next step's, into the other stage (cp.async, 16 bytes per thread)
//     multiply  S = Q K^T, softmax, O += P V by mma.sync, each warp for its query rows, P staying in registers
//
// so a step's copies run under the step before it. Which tokens are copied is read from tables two steps ahead, and so
// rasters, boxes, text and any stride are one case. Nothing is specialised but by warp: two CTAs on a multiprocessor
// hide one another's barriers and exponentials.

#ifndef WEFT_CODEGEN_CUDA_MMAKERNEL_H
#define WEFT_CODEGEN_CUDA_MMAKERNEL_H

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/MMASchedule.h"
#include "codegen/CUDA/TileCopy.h"

namespace weft::cuda {

/// The first arguments of the kernel. A tensor is four: its address, and the strides of batch, head and token in
/// elements.
enum MMAOperand : unsigned { kQuery = 0, kKey = 4, kValue = 8, kKeyTokens = 12, kNumMMAOperands = 13 };

/// A kernel of mma.sync while it is emitted.
class MMAKernel : public AttentionKernel {
public:
  MMAKernel(Emitter &e, BlockAttentionOp op, const MMASchedule &schedule, mlir::Block::BlockArgListType arguments)
      : AttentionKernel(e, op, arguments, kNumMMAOperands, schedule.blockRows()), s(schedule) {}

  MMASchedule s;

  TokenTensor tensor(MMAOperand first) const {
    return {operand(first), operand(first + 1), operand(first + 2), operand(first + 3)};
  }
};

/// Emits the kernel's code, from the current block to the function's end.
void emitMMAKernel(MMAKernel &kernel);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_MMAKERNEL_H
