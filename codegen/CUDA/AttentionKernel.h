// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the kernels of all generators share: arguments behind the operands, who a thread is, and what the plan says.

#ifndef WEFT_CODEGEN_CUDA_ATTENTIONKERNEL_H
#define WEFT_CODEGEN_CUDA_ATTENTIONKERNEL_H

#include "codegen/CUDA/Emitter.h"
#include "dialect/WeftDialect.h"

namespace weft::cuda {

/// Arguments of a kernel between its operands, which every generator takes in its own way, and the dynamic parameters;
/// GPUKernel::launchAttention has the same order.
enum KernelArg : unsigned {
  kOut, kOutBatchStride, kOutHeadStride, kOutTokenStride,
  kLse, kLseBatchStride, kLseHeadStride, kLseTokenStride,
  kItems, kEntries, kTicket, kNumItems, // the last in device memory, as the others
  kQueryBlocks, kKeyBlocks, kColumnMasks, kRowTokens, kQueryCoordinates, kKeyCoordinates,
  kBias, kBiasBatchStride, kBiasHeadStride, kBiasTokenStride, kBiasTokens,
  kMaskIndex, kMaskBits, // see MaskStage.h
  kChoices, // the candidate of each pair, if heads are recognized
  kPieces, // see ItemPieces.h; null to cut no items
  kNumKernelArgs,
};

/// Bits of a step's flag: of a list's entry; that some columns hold no token of the block; that these are the last ones,
/// behind a block of the usual size; and that the pairs which count are known as bits.
enum StageFlag : int64_t { kPartialFlag = 1, kGivenFlag = 2, kShortFlag = 4, kTailFlag = 8, kBitsFlag = 16 };

/// Coordinates of a token as a predicate may read them.
constexpr int64_t kNumAxes = 4;
/// Which of t, h, w and index the predicate reads of its argument group that begins at `first`; text is read as t.
llvm::SmallVector<int64_t> usedAxes(mlir::Region &predicate, unsigned first);
/// The same of an op that may have no predicate, and then reads none.
llvm::SmallVector<int64_t> usedAxes(BlockAttentionOp op, unsigned first);

/// Attributes of block attention whose sorted queries, or keys, the copy engine brings: rows and columns of SortedBoxes.
constexpr llvm::StringLiteral kQueryBoxes = "weft.query_boxes", kKeyBoxes = "weft.key_boxes";

/// Whether rows are listed at run time: those that the caller lists, or what merging leaves of all.
bool gathersRows(BlockAttentionOp op);
/// Whether tiles of queries, and of keys and values, are of tokens that lie anywhere: of listed rows, or of sorted tokens
/// that are no boxes.
bool gathersQueries(BlockAttentionOp op);
bool gathersKeys(BlockAttentionOp op);
/// Whether a number per key is added to its scores: a bias, or how many keys it stands for.
bool addsBias(BlockAttentionOp op);

/// The element type's name in PTX.
llvm::StringRef ptxType(mlir::Type type);

/// A kernel while it is emitted.
class AttentionKernel {
public:
  /// The first `numOperands` arguments are the generator's own. A query block has `rows` rows in the tables of tokens
  /// and coordinates.
  AttentionKernel(Emitter &e, BlockAttentionOp op, mlir::Block::BlockArgListType arguments, unsigned numOperands,
                  int64_t rows);

  Emitter &e;
  BlockAttentionOp op;
  mlir::Block::BlockArgListType arguments;
  unsigned numOperands;
  int64_t rows;
  mlir::Type element;
  int64_t heads, headDim;
  llvm::SmallVector<int64_t> queryAxes, keyAxes;
  mlir::Value thread, lane;

  /// `thread` asked for anew, so that nothing which follows from it is kept in registers from one use to the next.
  mlir::Value readThread();

  mlir::Value operand(unsigned number) const { return arguments[number]; }
  /// A KernelArg, or a dynamic parameter behind them.
  mlir::Value argument(unsigned number) const { return arguments[numOperands + number]; }
  /// Values of predicateParameters().
  Values predicateArguments() const;
  bool isMasked() { return !op.getBody().empty(); }
  bool hasBias() { return addsBias(op); }
  /// Keys that were merged: a block is a run of one sequence, whatever the order and the text of the original ones.
  bool keysAreRuns();
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_ATTENTIONKERNEL_H
