// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The scores of a warpgroup's 64 query rows by wgmma, of tiles in the layout of TileCopy.

#ifndef WEFT_CODEGEN_CUDA_WARPGROUPTILE_H
#define WEFT_CODEGEN_CUDA_WARPGROUPTILE_H

#include "codegen/CUDA/Emitter.h"
#include "codegen/CUDA/MMASchedule.h"

namespace weft::cuda {

class WarpgroupTile {
public:
  /// `type` is the elements' name in PTX; `warp` is the warp of the CTA.
  WarpgroupTile(Emitter &e, const MMASchedule &schedule, llvm::StringRef type, mlir::Value warp);

  /// Asks for the scores of the rows and of the keys in stage `stage` (i32), columns / 2 registers: in the order of an mma's
  /// tile of 16 rows of each warp. What was copied must be there for all warps, and fenced.
  Values askForScores(mlir::Value stage);
  /// Waits for them.
  void wait(Values &scores);

  /// Behind the wait for a thread's own copies, before it meets the others.
  void fenceCopies();

private:
  Emitter &e;
  const MMASchedule &s;
  std::string type;
  mlir::Value query, key;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_WARPGROUPTILE_H
