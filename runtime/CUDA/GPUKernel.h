// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled GPU kernel: what it expects, and how it is launched.

#ifndef WEFT_RUNTIME_CUDA_GPUKERNEL_H
#define WEFT_RUNTIME_CUDA_GPUKERNEL_H

#include "runtime/CUDA/DevicePrediction.h"
#include "runtime/CUDA/DeviceRecognition.h"
#include "runtime/CUDA/DeviceCells.h"
#include "runtime/CUDA/DeviceReuse.h"
#include "runtime/CUDA/DeviceRowSelection.h"
#include "runtime/CUDA/DeviceRows.h"
#include "runtime/CUDA/ListCache.h"
#include "runtime/Kernel.h"

#include <array>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace weft::rt::cuda {

/// How a sequence of tokens lies in its tensor, and how blocks of it are copied.
struct SequenceLayout {
  int64_t t = 1, h = 1, w = 1, text = 0;
  /// Tokens of first frames that stand apart from the boxes, in runs.
  int64_t apart = 0;
  bool textFirst = false;
  /// The box of a video block, if the order is tiled, or one of several if sorted tokens lie in boxes; else blocks are runs.
  bool tiled = false;
  std::array<int64_t, 3> box = {1, 1, 1};

  int64_t video() const { return t * h * w; }
};

/// Everything a GPU kernel is: the host's part without code, PTX and tables.
struct GPUKernelImage {
  KernelImage host;
  std::string ptx;
  /// Machine code, if there is any; loaded instead of the PTX where the driver takes it.
  std::string cubin;
  /// Compute capability that the code is for: 90 for sm_90a. Unless `isSpecific`, later ones run it too.
  int64_t capability = 0;
  bool isSpecific = false;
  /// Operands are tensor maps; else addresses, strides and `keyTokens`.
  bool usesTensorMaps = true;
  /// Behind the maps stand the addresses and strides of tensors whose tokens are gathered.
  bool gathersQueries = false, gathersKeys = false;
  /// Items that each query block of a list is.
  int64_t queryParts = 1;
  /// Whether the kernel cuts items into pieces.
  bool cutsItems = false;
  /// Whether every function waits for those launched before it.
  bool waits = false;
  /// Coordinates of a query and of a key that the predicate reads.
  int64_t queryAxes = 0, keyAxes = 0;
  /// Partial blocks are masked by bits, with an index of these extents; 0 if they are not.
  int64_t maskGivens = 0, maskChoices = 0, maskHeads = 0;
  /// Query rows and key columns of a tile, threads of a CTA, CTAs of a multiprocessor, and shared memory in bytes.
  int64_t rows = 0, columns = 0, threads = 0, ctasPerSM = 1, sharedBytes = 0;
  SequenceLayout query, key;
  /// Of a kernel that recognizes heads.
  RecallLaunch recall;
  /// Per block four numbers: where its copy begins (w, h, t of a box, or the number of its first token in its segment),
  /// and column mask << kSegmentBits | segment. Behind them, if sorted blocks are boxes, four numbers per block again, where
  /// these begin: column | row << 16 in the picture of all frames' rows.
  std::vector<int32_t> queryBlocks, keyBlocks;
  /// Per class of blocks 128 bits: which columns of the tile hold a token. Class 0 holds all.
  std::vector<int32_t> columnMasks;
  /// The token of each row of each query tile, or -1.
  std::vector<int32_t> rowTokens;
  /// Likewise of each column of each key tile; empty with tensor maps, unless they are gathered or have a bias.
  std::vector<int32_t> keyTokens;
  /// Coordinates that the predicate reads: per block, axis and row of the tile.
  std::vector<int32_t> queryCoordinates, keyCoordinates;
};

class GPUKernel;

/// Block lists that a kernel predicted, on its device: what GPUKernel::launch takes to predict nothing.
class PredictedLists {
  friend class GPUKernel;

  struct Lists {
    WorkList work;
    ListRanges ranges;
    /// What the kernel keeps on the device.
    std::shared_ptr<const DeviceLists> known;
  };

  const GPUKernel *kernel = nullptr;
  ClassifiedCandidates classified;
  int64_t stepPairs = 0;
  /// If heads are recognized, with the memory that they lie in.
  DeviceMemory choiceMemory;
  DevicePointer choices = 0;
  /// Per launch.
  std::vector<DeviceMemory> memory;
  std::vector<Lists> steps;
};

/// A kernel on a device. Thread-safe.
class GPUKernel {
public:
  /// Checks the device, hands the PTX to the driver's compiler and uploads the tables.
  static Result<std::shared_ptr<const GPUKernel>> load(std::shared_ptr<const Device> device, GPUKernelImage image);
  ~GPUKernel();

  const KernelImage &image() const { return host.image(); }
  const Device &device() const { return *gpu; }
  /// Whether a launch with memory for it cuts items into pieces.
  bool cutsItems() const { return parts.cutsItems; }
  /// Whether warps bring keys and values, from wherever their tokens are.
  bool gathersKeys() const { return parts.gathersKeys; }

  /// Checks every argument, then enqueues the kernel; on error nothing was enqueued. As Kernel::run, but tensors are
  /// memory of the device, their strides multiples of 16 bytes, and their addresses too; so are row lists, whose contents
  /// are not checked: rows outside of the sequence are passed over, and a row that comes twice is written twice. Nor are
  /// ages: one that is out of range is read as the nearest that is not. Block lists that are new to the kernel are
  /// copied to the device. With known ones a launch neither allocates nor waits, and may be captured, as long as the
  /// kernel outlives the graph; predictions, rows and recognition need working memory, which the last launch on the
  /// stream leaves behind. So do items that are cut; without it they stay whole. Given lists are known if `args.lists` names what resolveLists() made of them. A
  /// predicted mask is predicted on the device, at every launch that gets no lists of `kept`.
  Status launch(const RunArgs &args, Stream stream, const PredictedLists *kept = nullptr) const;

  /// Predicts lists that several launches use: enqueues what launch() would, into memory of their own.
  Result<std::shared_ptr<const PredictedLists>> predict(const RunArgs &args, Stream stream) const;
  /// What was selected, once the stream's work is done: a selection that gives the same lists. Waits for it.
  Result<GivenLists> download(const PredictedLists &kept, Stream stream) const;

  /// Enqueues what launch() does but the attention itself, to measure it: results are undefined afterwards.
  Status launchStages(const RunArgs &args, Stream stream) const;

  /// What the reuse of scores saves with these arguments; waits for the stream. Needs query, key and parameters, and what
  /// the lists and rows come from.
  Result<ReuseSaving> measureReuse(const RunArgs &args, Stream stream) const;

  /// The candidate that each head takes for these queries and keys of the device, and the recalls that led to it: what
  /// RunArgs::choices takes, so that they serve several launches. Needs query, key and parameters alone. Waits for the
  /// stream's work.
  Result<Choices> recognize(const RunArgs &args, Stream stream) const;

  /// Enqueues the selection of the rows that a call would select, into memory of their own: by lse, drift, age and
  /// parameters alone. Passed as RunArgs::rows they are the rows of launches, as long as they live.
  Result<std::shared_ptr<const SelectedRows>> selectRows(const RunArgs &args, Stream stream) const;
  /// As rt::measureDrift and rt::keepInputs, enqueued, for tensors of the device with the kernel's element type, whose rows
  /// are multiples of 16 bytes at such addresses. Any kernel that selects rows can, whatever its shape.
  Status measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, Stream stream) const;
  Status keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last, Stream stream) const;
  /// What was selected, once the stream's work is done. Waits for it.
  Result<OwnedRowLists> download(const SelectedRows &selected, Stream stream) const;

  /// The lists that a call with these arguments visits; it must not predict them, nor recognize heads.
  Result<std::shared_ptr<const BlockLists>> resolveLists(const RunArgs &args) const;

private:
  GPUKernel(std::shared_ptr<const Device> device, GPUKernelImage image);
  Status initialize();
  Status loadCode();
  Status loadModule();
  Status loadStages();
  Status loadMasker();
  Status uploadTables();
  /// All values of the dynamic parameters of a call that was checked; and of one that needs queries and keys alone.
  Result<std::vector<int64_t>> bindCall(const RunArgs &args) const;
  Result<std::vector<int64_t>> bindQueryAndKey(const RunArgs &args) const;
  Status checkInputs(const Tensor &x, const Tensor &last) const;
  bool isCapturing(Stream stream) const;
  DevicePointer ticketFor(Stream stream) const;
  /// The first arguments of a kernel that takes tensor maps.
  Result<std::vector<TensorMap>> makeMaps(const Tensor &query, const Tensor &key, const Tensor &value) const;
  /// Working memory of a launch, for all its batch elements one after another; 0 until it is needed.
  struct LaunchMemory {
    DevicePointer prediction = 0, rows = 0, choiceLists = 0, reuse = 0;
  };
  /// A launch of some batch elements.
  struct Batches {
    const RunArgs &args;
    const std::vector<int64_t> &parameters;
    int64_t first, count;
    Stream stream;
    bool isCaptured;
    /// Of all batch elements; 0 unless heads are recognized.
    DevicePointer choices;
    LaunchMemory &memory;
    /// Whether the attention follows its stages.
    bool attends = true;

    DevicePointer ownChoices(int64_t heads) const {
      return choices ? choices + first * heads * sizeof(int32_t) : 0;
    }
  };
  using Lists = PredictedLists::Lists;
  /// Whether a call predicts, unless its mask turns out not to depend on that.
  bool predicts(const RunArgs &args) const { return prediction && !args.given && !args.lists; }
  /// What a prediction's rule asks for.
  double amountOf(const std::vector<int64_t> &parameters) const;
  size_t predictionBytes(int64_t batch) const;
  /// Batch elements of one launch.
  int64_t batchStep(const RunArgs &args) const;
  /// The values that a kernel takes: those that are no floats.
  std::vector<int32_t> valuesOf(const std::vector<int64_t> &parameters) const;
  /// What makes the bits of partial blocks for a launch's parameters.
  ListCache::Masker maskerFor(const Batches &batches) const;
  Result<Lists> knownLists(const Batches &batches) const;
  Result<Lists> predictLists(const Batches &batches, const ClassifiedCandidates &classified,
                             DevicePointer memory) const;
  /// Of every candidate, or the one that there is.
  Result<ClassifiedCandidates> classify(const std::vector<int64_t> &parameters) const;
  Result<Lists> chosenLists(const Batches &batches, const ClassifiedCandidates &candidates) const;
  Status keepChoices(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                     PredictedLists &lists) const;
  Result<DevicePointer> findChoices(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                                    bool isCaptured) const;
  /// Working memory that the launch did not take before.
  Status takeMemory(ScratchPool &pool, size_t bytes, const Batches &batches, DevicePointer &memory) const;
  Result<Lists> findLists(const Batches &batches, const PredictedLists *kept) const;
  /// Rows of which the launch's are those from batch element `first` on.
  Status gatherRows(const Batches &batches, const RowLists &rowLists, int64_t first, Lists &lists) const;
  Result<RowLists> selectRows(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream,
                              bool isCaptured) const;
  Status launchAll(const RunArgs &args, const std::vector<int64_t> &parameters, Stream stream, bool isCaptured,
                   const PredictedLists *kept, bool attends) const;
  Status launchBatches(const Batches &batches, const PredictedLists *kept) const;
  Status enqueue(const RunArgs &args, Stream stream, const PredictedLists *kept, bool attends) const;
  Status launchMerged(const Batches &batches, Lists &lists) const;
  /// The attention on what was merged, and then its results for all tokens.
  template <typename Merger>
  Status attendAndSpread(const Merger &merger, const typename Merger::Call &call, const Batches &batches,
                         AttentionOperands &operands, const WorkList &work) const;
  Status measureBatches(const Batches &batches, ReuseCounts &counts) const;
  AttentionOperands operandsOf(const Batches &batches) const;
  /// What reuse needs to be enqueued; `rows` are the call's.
  Result<DeviceCells::Call> prepareCells(const Batches &batches) const;
  Status launchCells(const Batches &batches, Lists &lists) const;
  Result<DeviceReuse::Call> prepareReuse(const Batches &batches, const Lists &lists, const RowLists *rows) const;
  /// Memory for pieces of items, whose counters are 0 between launches; 0 if the kernel cuts none, or if there is none: then
  /// items stay whole.
  DevicePointer findPieces(const Batches &batches, int64_t ctas) const;
  Status launchAttention(const Batches &batches, AttentionOperands &operands, const WorkList &work) const;

  std::shared_ptr<const Device> gpu;
  GPUKernelImage parts;
  Kernel host;
  Code code;
  Stage attention;
  DeviceMemory queryBlocks, keyBlocks, columnMasks, rowTokens, keyTokens, queryCoordinates, keyCoordinates,
      tickets;

  /// What the bits of one set of lists may take, and what those of all may.
  int64_t maskBytes;
  static constexpr int64_t kMostMaskSets = 4;
  std::optional<PairMasker> masker;
  std::optional<DevicePrediction> prediction;
  std::optional<DeviceRows> rows;
  /// Of a kernel with reuse one of both.
  std::optional<DeviceReuse> reuse;
  std::optional<DeviceCells> cells;
  std::optional<DeviceRowSelection> rowSelection;
  std::optional<DeviceRecognition> recognition;
  mutable ListCache lists;
  mutable ScratchPool predictionScratch, rowScratch, reuseScratch, selectionScratch, recognitionScratch,
      choiceListScratch, pieceScratch;
  /// Held while the stages of a launch are enqueued: those of another on its stream use the same memory.
  mutable std::mutex enqueuing;

  static constexpr size_t kNumTickets = 1024;
  mutable std::mutex mutex;
  mutable std::unordered_map<Stream, size_t> ticketOfStream;
  mutable size_t nextTicket = 0;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_GPUKERNEL_H
