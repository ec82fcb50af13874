// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A predicted mask on the device: from queries and keys to block lists, without the host.

#ifndef WEFT_RUNTIME_CUDA_DEVICEPREDICTION_H
#define WEFT_RUNTIME_CUDA_DEVICEPREDICTION_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// Lists outside and inside a selection, of each candidate if heads are recognized.
using ClassifiedCandidates = std::vector<std::shared_ptr<const std::vector<BlockLists>>>;
/// Sets of each candidate's codes.
int64_t setsOf(const ClassifiedCandidates &candidates);
/// What an entry is, outside and inside the selection, for every pair of blocks: a byte by candidate, set, query and key
/// block.
std::vector<uint8_t> makeCodes(const ClassifiedCandidates &candidates);

/// The stages pool, score, select and sort of one kernel.
class DevicePrediction {
public:
  static Result<DevicePrediction> load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image);

  /// Where the parts of a call's working memory lie.
  struct Memory {
    size_t queryMeans, keyMeans, scores, ranges, items, numItems;
  };
  Memory layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs) const;

  /// One call: `amount` is what the rule asks for, `codes` are makeCodes() of `sets` sets, `choices` the candidate of each
  /// pair if heads are recognized.
  struct Call {
    const Tensor &query, &key;
    double amount;
    DevicePointer codes;
    int64_t sets;
    DevicePointer choices;
    DevicePointer scratch;
    Memory memory;
    Stream stream;
  };
  struct Lists {
    WorkList work;
    ListRanges ranges;
  };
  /// Enqueues the stages; the lists are there once they ran.
  Result<Lists> enqueue(const KernelImage &image, const Call &call) const;

private:
  Status uploadTables(const KernelImage &image);
  /// Before the stages, if several pools write one score.
  Status clearScores(const KernelImage &image, const Call &call) const;
  Status enqueuePools(const KernelImage &image, const Call &call) const;
  Status enqueueScore(const KernelImage &image, const Call &call) const;
  Status enqueueSelect(const KernelImage &image, const Call &call) const;

  std::shared_ptr<const Device> device;
  Stage pool, score, select, sort;
  /// Tokens in block order, where pools begin, and the block of each pool.
  DeviceMemory queryTokens, keyTokens, queryOffsets, keyOffsets, queryBlocks, keyBlocks;
  /// The pool of each block, for rows: every block is one.
  DeviceMemory identity;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEPREDICTION_H
