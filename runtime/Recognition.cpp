// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recalls of a call's heads on their probes, and what is chosen from them.
//
// A recall function computes the scores of one query block of a probe with all its keys once more for every candidate,
// and of each row the maximum and the sum of an online softmax: over all keys, and over those that the candidate keeps.
// With m, l and m', l' these are the row's recall exp(scale (m' - m)) l' / l.

#include "runtime/Recognition.h"

#include "runtime/Kernel.h"
#include "runtime/Threads.h"
#include "runtime/Tiles.h"
#include "runtime/Workspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

using namespace weft::rt;

static_assert(RecallArgs::kMaxParameters == AttendArgs::kMaxParameters);

std::string Recognition::expectedBound(double value) const {
  return value >= 0 && value <= 1 ? "" : "a number from 0 to 1";
}

Status Choices::validate(int64_t heads, int64_t batch, int64_t count) const {
  int64_t number = static_cast<int64_t>(candidates.size());
  if (number != 1 && number != heads && number != batch * heads)
    return Status::error(fmt::format("choices: expected 1, {} or {} choices for {} heads and a batch of {}, but got {}",
                                     heads, batch * heads, heads, batch, number));
  for (int64_t i = 0; i < number; ++i)
    if (candidates[i] < 0 || candidates[i] >= count)
      return Status::error(fmt::format("choices: expected candidates from 0 to {}, but got {} as choice {}", count - 1,
                                       candidates[i], i));
  return Status::ok();
}

int32_t weft::rt::chooseCandidate(const Recognition &recognition, double bound, std::span<const double> recalls) {
  auto valueOf = [](double recall) { return std::isnan(recall) ? 0 : recall; };
  int32_t best = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(recalls.size()); ++i) {
    if (recognition.hasBound && valueOf(recalls[i]) >= bound)
      return i;
    if (valueOf(recalls[i]) > valueOf(recalls[best]))
      best = i;
  }
  return recognition.hasFallback ? static_cast<int32_t>(recalls.size()) : best;
}

namespace {

/// One call in progress. The heads' probes are measured a few at a time: their packed keys stay in the cache.
class Recognizer {
public:
  Recognizer(const KernelImage &parts, const RunArgs &args, const std::vector<int64_t> &parameters, int threads)
      : parts(parts), recognition(*parts.recognition), args(args), parameters(parameters), threads(threads),
        pairs(args.query.shape[0] * parts.heads), sums(pairs * recognition.measured()) {}

  Status run() {
    int64_t items = pairs * probes(), slots = std::min<int64_t>(items, threads);
    for (const Probe &probe : recognition.probes)
      keyBytes = std::max(keyBytes, roundUp(probe.keyBlocks() * parts.keyTileBytes));
    int64_t bytes = slots * keyBytes + threads * workerBytes();
    Workspace workspace(bytes);
    if (!(memory = workspace.data()))
      return Status::error(fmt::format("workspace: expected {} bytes of memory, but there are not so many", bytes));
    scratch = memory + slots * keyBytes;
    for (int64_t first = 0; first < items; first += slots)
      measure(first, std::min(slots, items - first));
    return Status::ok();
  }

  Choices choose(double bound) const {
    Choices choices;
    int64_t measured = recognition.measured();
    for (int64_t pair = 0; pair < pairs; ++pair) {
      std::span recalls(sums.data() + pair * measured, measured);
      choices.candidates.push_back(chooseCandidate(recognition, bound, recalls));
    }
    choices.recalls = sums;
    return choices;
  }

private:
  static int64_t roundUp(int64_t bytes) { return (bytes + 63) / 64 * 64; }
  int64_t probes() const { return static_cast<int64_t>(recognition.probes.size()); }
  int64_t statisticsBytes() const {
    return roundUp((recognition.candidates + 1) * 2 * recognition.rows * static_cast<int64_t>(sizeof(float)));
  }
  int64_t workerBytes() const {
    return roundUp(recognition.scratchBytes) + statisticsBytes() + roundUp(parts.valueTileBytes);
  }
  std::byte *scratchOf(int worker) const { return scratch + worker * workerBytes(); }
  std::byte *statisticsOf(int worker) const { return scratchOf(worker) + roundUp(recognition.scratchBytes); }
  std::byte *valueTileOf(int worker) const { return statisticsOf(worker) + statisticsBytes(); }

  const std::byte *headOf(const Tensor &tensor, int64_t pair) const {
    int64_t offset = pair / parts.heads * tensor.strides[0] + pair % parts.heads * tensor.strides[1];
    return static_cast<const std::byte *>(tensor.data) + offset * static_cast<int64_t>(sizeOf(tensor.dtype));
  }

  /// A probe of a pair = batch element * heads + head, and one of the blocks of its tokens.
  struct Part {
    int64_t slot, pair, block;
    const Probe &probe;
  };

  /// Calls `body` on the blocks of `count` items from `first`; an item is pair * probes + probe.
  void forEachPart(int64_t first, int64_t count, int64_t (Probe::*blocks)() const,
                   const std::function<void(const Part &, int worker)> &body) const {
    std::vector<Part> list;
    for (int64_t slot = 0; slot < count; ++slot) {
      const Probe &probe = recognition.probes[(first + slot) % probes()];
      for (int64_t block = 0; block < (probe.*blocks)(); ++block)
        list.push_back({slot, (first + slot) / probes(), block, probe});
    }
    forEachItem(static_cast<int64_t>(list.size()), threads, [&](int64_t i, int worker) { body(list[i], worker); });
  }

  void measure(int64_t first, int64_t count) {
    forEachPart(first, count, &Probe::keyBlocks, [&](const Part &part, int worker) { pack(part, worker); });
    // The sums of rows do not depend on which thread is faster.
    std::vector<std::vector<double>> found(count);
    for (int64_t slot = 0; slot < count; ++slot) {
      const Probe &probe = recognition.probes[(first + slot) % probes()];
      found[slot].resize(probe.queryBlocks() * probe.candidates.size());
    }
    forEachPart(first, count, &Probe::queryBlocks, [&](const Part &part, int worker) {
      recallBlock(part, worker, found[part.slot].data() + part.block * part.probe.candidates.size());
    });
    for (int64_t slot = 0; slot < count; ++slot) {
      const Probe &probe = recognition.probes[(first + slot) % probes()];
      double *recalls = sums.data() + (first + slot) / probes() * recognition.measured();
      for (size_t i = 0; i < found[slot].size(); ++i)
        recalls[probe.candidates[i % probe.candidates.size()]] += found[slot][i];
      for (int32_t candidate : probe.candidates)
        recalls[candidate] /= probe.tokens();
    }
  }

  /// Packs a block of keys; the kernel's function wants values too, whose place is then not read.
  void pack(const Part &part, int worker) const {
    const std::vector<int32_t> &offsets = part.probe.keyOffsets;
    int64_t begin = offsets[part.block];
    PackArgs pack{headOf(args.key, part.pair),
                  args.key.strides[2],
                  headOf(args.key, part.pair),
                  args.key.strides[2],
                  part.probe.table.data(),
                  begin,
                  offsets[part.block + 1] - begin,
                  memory + part.slot * keyBytes + part.block * parts.keyTileBytes,
                  valueTileOf(worker)};
    parts.pack(&pack);
  }

  /// Writes the sums of a query block's recalls for each of the probe's candidates.
  void recallBlock(const Part &part, int worker, double *recalls) const {
    const std::vector<int32_t> &offsets = part.probe.queryOffsets;
    auto *statistics = reinterpret_cast<float *>(statisticsOf(worker));
    int64_t begin = offsets[part.block], count = offsets[part.block + 1] - begin;
    RecallArgs call{headOf(args.query, part.pair),
                    args.query.strides[2],
                    part.probe.table.data(),
                    begin,
                    count,
                    part.probe.keyOffsets.data(),
                    memory + part.slot * keyBytes,
                    part.pair % parts.heads,
                    scratchOf(worker),
                    statistics,
                    {}};
    std::copy(parameters.begin(), parameters.end(), call.parameters);
    part.probe.recall(&call);
    for (size_t i = 0; i < part.probe.candidates.size(); ++i)
      recalls[i] = sumRecalls(statistics, statistics + (i + 1) * 2 * recognition.rows, count);
  }

  /// `all` and `kept` are maxima, then sums.
  double sumRecalls(const float *all, const float *kept, int64_t count) const {
    double total = 0;
    for (int64_t row = 0; row < count; ++row) {
      double share = static_cast<double>(kept[recognition.rows + row]) / all[recognition.rows + row];
      total += share == 0 ? 0 : share * std::exp(recognition.scale * (static_cast<double>(kept[row]) - all[row]));
    }
    return total;
  }

  const KernelImage &parts;
  const Recognition &recognition;
  const RunArgs &args;
  const std::vector<int64_t> &parameters;
  int threads;
  int64_t pairs, keyBytes = 0;
  /// Of every pair the recalls of all candidates with a probe.
  std::vector<double> sums;
  std::byte *memory = nullptr, *scratch = nullptr;
};

} // namespace

Result<Choices> Kernel::recognize(const RunArgs &args) const {
  if (!parts.recognition)
    return Status::error(fmt::format("kernel '{}': expected a mask with recognize", parts.name));
  if (Status status = checkQueryAndKey(args); !status)
    return status;
  if (parts.usesTiles && !requestTiles())
    return Status::error(fmt::format("kernel '{}': expected a system that grants the use of AMX tiles", parts.name));
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  const Recognition &recognition = *parts.recognition;
  double bound = recognition.bound;
  if (recognition.parameter >= 0)
    bound = std::bit_cast<double>((*parameters)[recognition.parameter]);
  Recognizer recognizer(parts, args, *parameters, args.threads ? args.threads : defaultThreads());
  if (Status status = recognizer.run(); !status)
    return status;
  return recognizer.choose(bound);
}
