// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse on the device: snapped or merged queries and keys, without the host.

#ifndef WEFT_RUNTIME_CUDA_DEVICEREUSE_H
#define WEFT_RUNTIME_CUDA_DEVICEREUSE_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

#include <optional>

namespace weft::rt::cuda {

/// The stages of one kernel's reuse.
class DeviceReuse {
public:
  /// What the attention kernel reads of a key block: its columns, and the coordinates of a key that the predicate
  /// reads.
  struct KeyTile {
    int64_t columns, axes;
  };
  static Result<DeviceReuse> load(std::shared_ptr<const Device> device, const Code &code, const KernelImage &image,
                                  KeyTile tile);

  /// Where the parts of a call's working memory lie; parts that a kernel does not need have no bytes.
  struct Memory {
    /// Rows that the attention reads: by pair and token, or by pair, place of a key block and column.
    size_t query, key, value;
    /// How many values of queries and then of keys were replaced, by pair.
    size_t replaced;
    /// By pair and token: donors; marks of listed rows; the rows to compute, each in its own place; whose result a token
    /// takes. In one pool donors are both.
    size_t queryDonors, keyDonors, listed, chosen, leaders;
    /// By set of lists and pool, and by set and key block: what the stage inspect_lists says.
    size_t isPartial, columns, keyFlags;
    /// By pair and key block, or place: what counting and planning of keys say.
    size_t ranks, counts, starts, sizes, keyBlocks;
    /// As `key`: what goes with merged keys.
    size_t bias, keyTokens, keyCoordinates;
    /// The new lists by pair and pool, and the keys that they visit.
    size_t ranges, entries, newColumns;
  };
  /// For lists of at most `pools` pools.
  Memory layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs, int64_t pools) const;

  /// One call.
  struct Call {
    const KernelImage &image;
    double threshold;
    DevicePointer scratch;
    Memory memory;
    Stream stream;
    /// On the device; null if all rows are computed.
    const RowLists *rows;
    /// The token of each column of each key block, or -1.
    DevicePointer keyTokens;

    DevicePointer at(size_t offset) const { return scratch + offset; }
  };
  /// Enqueues the snapping of channels, and puts the snapped tensors in the place of the call's.
  Status snapChannels(const Call &call, AttentionOperands &operands) const;

  /// Enqueues the merging of tokens, and puts what is left in the place of the call's tensors and lists. Returns the
  /// rows to compute unless these are the call's.
  Result<std::optional<RowLists>> mergeTokens(const Call &call, AttentionOperands &operands, WorkList &work,
                                              ListRanges &ranges) const;
  /// Enqueues the copies of results to the queries that were merged.
  Status spread(const Call &call, const Tensor &out, const Tensor *lse) const;

  /// Enqueues what finds out what a call saves, and waits for it.
  Status measure(const Call &call, const Tensor &query, const Tensor &key, const WorkList &work,
                 const ListRanges &ranges, ReuseCounts &counts) const;

private:
  Status findStages(const Code &code, const KernelImage &image);
  Status uploadTables(const KernelImage &image);
  Status set(const Call &call, size_t offset, unsigned value, int64_t count) const;
  Status enqueueSnap(const Call &call, const SnapGrid &grid, const Tensor &source, DevicePointer target,
                     DevicePointer replaced) const;
  Status inspectLists(const Call &call, const WorkList &work, const ListRanges &ranges) const;
  Status markRows(const Call &call, int64_t pairs) const;
  Status mergeRows(const Call &call, Tensor &query, const ListRanges &ranges) const;
  KeyPlaces placesOf(const Call &call, const ListRanges &ranges) const;
  Status planKeys(const Call &call, const Tensor &key, const KeyPlaces &places, int64_t listSets) const;
  Status fillKeys(const Call &call, AttentionOperands &operands, const KeyPlaces &places, int64_t listSets) const;
  Status mergeLists(const Call &call, int64_t pairs, const KeyPlaces &places, WorkList &work, ListRanges &ranges) const;
  /// Everything but the merged keys and values themselves.
  Status planTokens(const Call &call, Tensor &query, const Tensor &key, WorkList &work, ListRanges &ranges) const;
  Result<std::vector<int32_t>> download(const Call &call, DevicePointer from, int64_t count) const;
  Status countChannels(const Call &call, int64_t pairs, ReuseCounts &counts) const;
  Status countKeys(const Call &call, int64_t pairs, const ListRanges &ranges, ReuseCounts &counts) const;
  Status countRows(const Call &call, int64_t pairs, const ListRanges &ranges, ReuseCounts &counts) const;

  std::shared_ptr<const Device> device;
  Stage snap, inspect, mark, merge, copy, count, plan, fill, lists;
  KeyTile tile{};
  /// The block of each token; coordinates t, h, w, index of each key; places where every key block is a pool; all query
  /// tokens, and how many these are; and the keys of each block.
  DeviceMemory queryBlockOf, keyBlockOf, coordinates, places, allTokens, numTokens, blockKeys;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEREUSE_H
