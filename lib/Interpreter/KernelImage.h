// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// KernelImage: what `weft.image` says of a module on the tile level.

#ifndef WEFT_LIB_INTERPRETER_KERNELIMAGE_H
#define WEFT_LIB_INTERPRETER_KERNELIMAGE_H

#include "lib/Interpreter/Arguments.h"

namespace weft::interp {

/// The image, checked as far as running the kernel needs it.
struct KernelImage {
  llvm::StringRef name;
  int64_t heads = 0, headDim = 0, keyTileBytes = 0, valueTileBytes = 0, scratchBytes = 0;
  /// 0 if the code adds no bias.
  int64_t biasTileBytes = 0;
  /// The type of the tensors in memory.
  mlir::Type dtype;
  GridAttr queryGrid, keyGrid;
  BlockPartition query, key;
  bool hasGiven = false, hasRows = false, hasBias = false;
  /// As the image has it; null without reuse.
  mlir::DictionaryAttr reuse;
  /// What each head's choice may be; 0 if heads are not recognized.
  int64_t candidates = 0;
  std::vector<ArgumentSpec> parameters;
  /// One, or those for blocks outside and inside given lists. Where the image has none every block is partial.
  std::vector<rt::BlockLists> lists;
};

/// An error at `module` if its image is missing or incomplete. The result refers to the module's context.
mlir::FailureOr<KernelImage> readImage(mlir::ModuleOp module);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_KERNELIMAGE_H
