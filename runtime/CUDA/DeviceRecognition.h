// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Heads that are recognized on the device: recalls, choices, and the lists of what was chosen, without the host.

#ifndef WEFT_RUNTIME_CUDA_DEVICERECOGNITION_H
#define WEFT_RUNTIME_CUDA_DEVICERECOGNITION_H

#include "runtime/CUDA/ListCache.h"
#include "runtime/CUDA/ProbeBits.h"
#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// The stages probe_bits, recall, choose, sort_chosen and choose_lists of one kernel.
class DeviceRecognition {
public:
  /// `image` must outlive the result.
  static Result<DeviceRecognition> load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image,
                                        RecallLaunch shape);

  /// Of a call: lines of numbers of rows by pair, recalls in f64 by pair and candidate with a probe, choices by pair.
  struct Memory {
    size_t numbers, recalls, choices;
  };
  Memory layOut(ScratchLayout &layout, int64_t pairs) const;

  /// Enqueues the recalls of queries and keys, and the choices from them. See ProbeBits for captured streams.
  Status recognize(const Tensor &query, const Tensor &key, const std::vector<int64_t> &parameters,
                   DevicePointer scratch, const Memory &memory, Stream stream, bool isCaptured) const;
  /// Enqueues that choices of the caller take their place.
  Status store(const Choices &choices, int64_t pairs, DevicePointer scratch, const Memory &memory,
               Stream stream) const;

  /// The lists of each pair's choice: items and how many; or if rows are gathered ranges and the pools of query blocks, and
  /// if keys are merged ranges too.
  struct ListMemory {
    size_t ranges, pools, items, numItems;
  };
  ListMemory layOutLists(ScratchLayout &layout, int64_t pairs) const;

  struct Call {
    /// The candidates' lists on the device, and the choices of `pairs` pairs from number `firstPair` on.
    const DeviceLists &candidates;
    DevicePointer choices;
    int64_t firstPair, pairs;
    DevicePointer scratch;
    ListMemory memory;
    Stream stream;
  };
  struct Lists {
    WorkList work;
    ListRanges ranges;
  };
  /// Enqueues the stages that make lists.
  Result<Lists> chooseLists(const Call &call) const;

private:
  Status uploadTables();
  bool needsRanges() const;
  Status enqueueRecall(const Tensor &query, const Tensor &key, DevicePointer bits, DevicePointer numbers,
                       Stream stream) const;

  std::shared_ptr<const Device> device;
  const KernelImage *image = nullptr;
  RecallLaunch shape;
  Stage recall, choose, chooseListsStage, sort;
  std::unique_ptr<ProbeBits> probeBits;
  /// Of one probe after another: its tokens, then -1 up to whole tiles; and their coordinates t, h, w and index.
  DeviceMemory tokens, coordinates;
  /// Elements from one line of numbers to the next.
  int64_t pitch = 0;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICERECOGNITION_H
