// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Block lists that were copied to a device.

#ifndef WEFT_RUNTIME_CUDA_LISTCACHE_H
#define WEFT_RUNTIME_CUDA_LISTCACHE_H

#include "runtime/BlockLists.h"
#include "runtime/CUDA/Device.h"
#include "runtime/CUDA/PairMasks.h"
#include "runtime/CUDA/Stage.h"

#include <functional>
#include <list>
#include <mutex>
#include <vector>

namespace weft::rt::cuda {

/// Lists on the device for some batch elements, from the first on.
struct DeviceLists {
  std::shared_ptr<const void> source;
  int64_t first = 0, batch = 0;
  DeviceMemory items, entries, numItems;
  int64_t mostItems = 0;
  /// Where each pool's list is, and the pool of each query block; of lists that found their pools.
  DeviceMemory ranges, poolOf;
  /// KeyPlaces of lists that found their key pools.
  DeviceMemory keyPlaces;
  int64_t sets = 0, pools = 0;
  /// What entries are outside and inside a selection: of classified lists that a prediction chooses from.
  DeviceMemory codes;
  /// Of a kernel that reads them.
  PairMasks masks;
  /// A graph may use them at any time: they stay.
  mutable bool captured = false;

  ListRanges rangesOf() const { return {ranges.get(), poolOf.get(), sets, sets, pools, keyPlaces.get(), sets}; }
};

/// The lists of one kernel that were used last. Thread-safe.
class ListCache {
public:
  static constexpr size_t kMaxLists = 64;

  /// `mostMaskBytes` is what the bits of all lists may take. Those that were used last stay, whatever they take.
  ListCache(std::shared_ptr<const Device> device, int64_t heads, int64_t mostMaskBytes)
      : device(std::move(device)), heads(heads), mostMaskBytes(mostMaskBytes) {}

  using Found = Result<std::shared_ptr<const DeviceLists>>;
  /// Adds the bits of partial blocks to lists that are new.
  using Masker = std::function<Status(const std::vector<MaskSource> &, PairMasks &)>;
  /// Lists for `batch` elements from `first` on. While a stream is captured they must be known.
  Found get(std::shared_ptr<const BlockLists> lists, int64_t first, int64_t batch, Stream stream, bool isCaptured,
            const Masker &mask);
  using Classified = std::shared_ptr<const std::vector<BlockLists>>;
  /// The codes of lists outside and inside a selection: of the one candidate, or of all, one after another.
  Found getCodes(const std::vector<Classified> &candidates, Stream stream, bool isCaptured, const Masker &mask);
  /// Entries and ranges of the lists of all candidates, which are made for the same parameters; no items. Ranges and
  /// pools are by candidate, then set.
  Found getCandidates(const std::vector<std::shared_ptr<const BlockLists>> &candidates, Stream stream,
                      bool isCaptured, const Masker &mask);

private:
  Found find(const std::shared_ptr<const void> &source, int64_t first, int64_t batch, Stream stream, bool isCaptured,
             const std::function<Status(DeviceLists &)> &upload);
  Status upload(const BlockLists &source, DeviceLists &lists, Stream stream) const;
  Status uploadRanges(const BlockLists &source, DeviceLists &lists, Stream stream) const;
  Status uploadCandidates(const std::vector<std::shared_ptr<const BlockLists>> &candidates, DeviceLists &lists,
                          Stream stream) const;
  /// Drops the oldest lists that no graph uses where there are too many. The newest stay.
  void dropOld();

  /// In the place of the first batch element: lists of all candidates, of which the source is the first.
  static constexpr int64_t kCandidates = -1;

  std::shared_ptr<const Device> device;
  int64_t heads, mostMaskBytes;
  std::mutex mutex;
  std::list<std::shared_ptr<const DeviceLists>> known;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_LISTCACHE_H
