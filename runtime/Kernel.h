// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled kernel: what it expects, and how it is run.

#ifndef WEFT_RUNTIME_KERNEL_H
#define WEFT_RUNTIME_KERNEL_H

#include "runtime/BlockLists.h"
#include "runtime/Prediction.h"
#include "runtime/Recognition.h"
#include "runtime/Reuse.h"
#include "runtime/RowSelection.h"
#include "runtime/Rows.h"
#include "runtime/Status.h"
#include "runtime/Tensor.h"

#include <cstdint>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace weft::rt {

/// Operand of the generated pack function: 8-byte slots.
struct PackArgs {
  const void *key;
  int64_t keyStride;
  const void *value;
  int64_t valueStride;
  const int32_t *table;
  int64_t first, count;
  void *packedKey, *packedValue;
};

/// Operand of the generated attend function: 8-byte slots, the dynamic parameters last, and behind them the head's choice
/// if patterns are recognized.
struct AttendArgs {
  const void *query;
  int64_t queryStride;
  void *out;
  int64_t outStride;
  float *lse;
  int64_t lseStride, wantLse;
  const int32_t *queryTable;
  int64_t queryFirst, queryCount;
  const int32_t *keyTable, *keyOffsets;
  const void *packedKey, *packedValue;
  const float *packedBias;
  const int32_t *entries;
  int64_t begin, end, head;
  void *scratch;
  static constexpr int kMaxParameters = 16;
  int64_t parameters[kMaxParameters + 1];
};

/// A partition of the query or key tokens.
struct TokenBlocks {
  int64_t tokens = 0;
  /// Block i holds positions offsets[i] .. offsets[i + 1] - 1 of the table.
  std::vector<int32_t> offsets;
  /// Four rows `index, t, h, w` of `tokens` numbers each in block order, and 64 more: kernels read whole vectors.
  std::vector<int32_t> table;
  static constexpr int64_t kTablePadding = 64;

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  /// The block of each token.
  std::vector<int32_t> blockByToken() const;
  /// Coordinates of each token: rows t, h, w and index of `tokens` numbers.
  std::vector<int32_t> coordinatesByToken() const;
};

/// A dynamic parameter of a kernel.
struct Parameter {
  std::string name;
  bool isBool = false;
  std::optional<int64_t> defaultValue;
  /// An f64; values are its bits.
  bool isFloat = false;
};

/// Makes the block lists for values of the dynamic parameters, behind them a choice if patterns are recognized: one, or
/// those for blocks outside and inside given lists.
using ListPlanner = std::function<Result<std::vector<BlockLists>>(const std::vector<int64_t> &parameters)>;

/// Everything a kernel is.
struct KernelImage {
  std::string name;
  int64_t heads = 0, headDim = 0;
  DType dtype = DType::F32;
  TokenBlocks query, key;
  /// The bias' is 0 if the code adds none; merged keys need one, a caller's or not.
  int64_t keyTileBytes = 0, valueTileBytes = 0, biasTileBytes = 0, scratchBytes = 0;
  bool hasGiven = false, hasBias = false, hasRows = false;
  /// Where the given lists come from if the caller passes none; hasGiven is then set.
  std::optional<Prediction> prediction;
  /// Where the rows come from if the caller passes none; hasRows is then set.
  std::optional<RowSelection> rowSelection;
  /// How queries and keys are snapped before they are used.
  std::optional<Reuse> reuse;
  /// How each head gets its pattern if the caller passes no choices.
  std::optional<Recognition> recognition;
  /// The code needs AMX tiles.
  bool usesTiles = false;
  /// If it was compiled for `native` and that is less than the best of the architecture: why.
  std::string fallback;
  std::vector<Parameter> parameters;
  /// As ListPlanner makes them; empty if the parameters decide. A Kernel takes them out of its image.
  std::vector<BlockLists> lists;
  ListPlanner planner;
  void (*pack)(const PackArgs *) = nullptr;
  void (*attend)(const AttendArgs *) = nullptr;
  /// Keeps the code alive.
  std::shared_ptr<void> code;

  /// Whether a call's queries are gathered by pools.
  bool gathersRows() const { return hasRows || (reuse && reuse->whole); }
};

/// Where the memory of a call's tensors is.
enum class MemoryKind { Host, Device };

/// One call. Tensors are [batch, heads, tokens, head dim] with any strides but a contiguous last axis.
struct RunArgs {
  Tensor query, key, value, out;
  /// f32 [batch, heads, tokens], if wanted.
  std::optional<Tensor> lse;
  /// Values of the dynamic parameters in the kernel's order; those beyond the end take their defaults. A float is
  /// passed as the bits of a double: std::bit_cast<int64_t>(0.2).
  std::vector<int64_t> parameters;
  /// f32 [batch or 1, heads or 1, key tokens] with any strides, added to the scaled scores. Needed if and only if the
  /// attention has a bias.
  std::optional<Tensor> bias;
  /// Needed if the mask uses `given`. A predicted mask takes them instead of predicting, so that what predict() gave
  /// can serve several calls.
  const GivenLists *given = nullptr;
  /// Taken instead of recognizing heads, so that what recognize() gave can serve several calls.
  const Choices *choices = nullptr;
  /// The rows of out and lse to compute; the others keep what they hold. Needed if the attention takes rows. One that
  /// selects them takes these instead, one set for all heads.
  const RowLists *rows = nullptr;
  /// f32 [batch, tokens] with any strides: how much the input of each query token changed since it was last computed.
  /// Needed, as lse is, by an attention that selects rows and is not passed any.
  std::optional<Tensor> drift;
  /// i32 [batch, tokens] with any strides: for how many calls in a row each query token was not computed, from 0 to
  /// kMaxAge. The call updates it. Needed if and only if the attention selects rows.
  std::optional<Tensor> age;
  /// What resolveLists() made of these parameters, given lists and choices, so that it is not made again: `given` is then
  /// unused, but choices are still needed where heads are recognized.
  std::shared_ptr<const BlockLists> lists;
  /// 0: the default number of threads.
  int threads = 0;
};

class SnappedHeads;

/// A kernel that is ready to run. Thread-safe: any number of threads may call one kernel.
class Kernel {
public:
  explicit Kernel(KernelImage image);

  const KernelImage &image() const { return parts; }

  /// Checks every argument, then computes; on error nothing was written.
  Status run(const RunArgs &args) const;

  /// What run() checks of its arguments. Of row lists and ages in memory of a device, types and shapes alone.
  Status check(const RunArgs &args, MemoryKind memory = MemoryKind::Host) const;
  Status checkQueryAndKey(const RunArgs &args) const;
  Status checkBias(const RunArgs &args) const;
  Status checkRows(const RunArgs &args, MemoryKind memory) const;
  Status checkAge(const RunArgs &args, MemoryKind memory) const;
  /// What selectRows() checks of its arguments.
  Status checkImportance(const RunArgs &args, MemoryKind memory = MemoryKind::Host) const;
  Status checkLists(const RunArgs &args) const;
  Status checkChoices(const RunArgs &args) const;
  /// All values of the dynamic parameters, checked; defaults for those that are not given.
  Result<std::vector<int64_t>> bindParameters(const std::vector<int64_t> &values) const;

  /// The lists that a predicted mask selects for these queries and keys, one set per batch element and head. Needs
  /// query, key and parameters alone.
  Result<GivenLists> predict(const RunArgs &args) const;

  using SharedLists = std::shared_ptr<const std::vector<BlockLists>>;
  /// The lists for values of the parameters, floats aside: one, or those outside and inside of given lists.
  Result<SharedLists> classifiedLists(std::vector<int64_t> parameters) const;
  /// The same for every candidate of a mask that recognizes heads, in their order.
  Result<std::vector<SharedLists>> candidateLists(std::vector<int64_t> parameters) const;
  /// What a call visits of such lists: the one, or with given lists those outside and inside of them.
  Result<std::shared_ptr<const BlockLists>> withGiven(const SharedLists &lists, const GivenLists *given) const;

  /// The rows that a call would select: of each batch element those that are most important by what lse, drift and age
  /// hold. Needs these and parameters alone. Passed as RunArgs::rows they are the rows of the call, so that a caller can
  /// use them for its projections too.
  Result<OwnedRowLists> selectRows(const RunArgs &args) const;

  /// The candidate that each head takes for these queries and keys, one choice per batch element and head. Needs query,
  /// key and parameters alone.
  Result<Choices> recognize(const RunArgs &args) const;

  /// The lists that a call with these arguments visits. Needs queries and keys if it has to predict them, or to
  /// recognize heads.
  Result<std::shared_ptr<const BlockLists>> resolveLists(const RunArgs &args) const;

  /// What the reuse of scores saves of each token, for every batch element and head. Needs what measureReuse() needs.
  Result<std::vector<TokenReuse>> measureTokenReuse(const RunArgs &args) const;

  /// What the reuse of scores saves with these arguments. Needs query, key and parameters, and what the lists and rows
  /// come from.
  Result<ReuseSaving> measureReuse(const RunArgs &args) const;

  /// The bound on deviations that bound parameters say.
  double thresholdOf(const std::vector<int64_t> &parameters) const;

  /// Working memory of a call: packed keys, values and bias of the heads in flight, their snapped tokens, and for each
  /// thread that finds work a scratch buffer and, with rows or merged queries, a table of tokens.
  int64_t workspaceBytes(int64_t batch, int threads) const;

private:
  struct Call;

  Status checkAgeShape(const RunArgs &args, int64_t batch, MemoryKind memory) const;
  static Status checkAgeApart(const RunArgs &args);
  Status attend(const RunArgs &args) const;
  Status checkFloat(size_t index, double value) const;
  Status checkOperand(const char *name, const Tensor &tensor, const std::vector<int64_t> &shape) const;

  Result<std::shared_ptr<const BlockLists>> listsFor(const std::vector<int64_t> &parameters, const GivenLists *given,
                                                     const Choices *choices) const;
  Result<SharedLists> planChoices(const std::vector<int64_t> &parameters, const Choices &choices) const;
  void findPools(BlockLists &lists) const;
  SharedLists shareLists(std::vector<BlockLists> lists) const;
  Result<SharedLists> planLists(const std::vector<int64_t> &parameters) const;
  std::shared_future<Result<SharedLists>> findPlanned(const std::vector<int64_t> &parameters,
                                                       std::promise<Result<SharedLists>> &mine) const;
  void dropPlanned(const std::vector<int64_t> &parameters) const;
  void ignoreFloats(std::vector<int64_t> &parameters) const;
  int64_t packedBytesPerHead() const;
  int64_t bytesPerHead() const;
  int64_t bytesPerWorker() const;
  int64_t headsInFlight(int64_t pairs) const;
  /// Snaps the call's heads one after the other.
  Status forEachSnappedHead(const RunArgs &args, bool countsTokens,
                            const std::function<void(const SnappedHeads &)> &visit) const;

  KernelImage parts;
  /// For rows and merged queries.
  QueryPlaces places;
  SharedLists staticLists;
  std::shared_ptr<const BlockLists> onlyLists;

  /// Lists of recent parameter values, latest first. Who asks first makes them, outside of the lock.
  struct Planned {
    std::vector<int64_t> parameters;
    std::shared_future<Result<SharedLists>> lists;
  };
  static constexpr size_t kMaxPlanned = 64;
  mutable std::mutex plannedMutex;
  mutable std::list<Planned> planned;
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_KERNEL_H
