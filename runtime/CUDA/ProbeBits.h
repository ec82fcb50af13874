// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which pairs of a probe's tokens the candidates of a recognition hold, by parameters.

#ifndef WEFT_RUNTIME_CUDA_PROBEBITS_H
#define WEFT_RUNTIME_CUDA_PROBEBITS_H

#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace weft::rt::cuda {

/// How the stages probe_bits and recall of a kernel are launched.
struct RecallLaunch {
  int64_t threads = 0, sharedBytes = 0;
  /// Parts of all probes' keys, and lines of numbers of a pair.
  int64_t parts = 0, lines = 0;
  /// Words of bits: all, and of one candidate and head the most; and the most heads with bits of their own.
  int64_t words = 0, mostWords = 0, heads = 1;
};

/// The bits of the parameters that were used last: predicates read nothing else. Thread-safe.
class ProbeBits {
public:
  static constexpr size_t kMostParameters = 16;

  /// `stage` is probe_bits; `image` must outlive this.
  ProbeBits(std::shared_ptr<const Device> device, Stage stage, const KernelImage &image, const RecallLaunch &shape)
      : device(std::move(device)), stage(std::move(stage)), image(&image), shape(shape) {}

  /// Bits on the device, which stay at least until the next call, and for ever if the stream is being captured: then they
  /// must be known. `coordinates` are those of the probes' tokens. New bits are waited for.
  Result<std::shared_ptr<const DeviceMemory>> get(const std::vector<int64_t> &parameters, DevicePointer coordinates,
                                                  Stream stream, bool isCaptured);

private:
  struct Known {
    /// Of the parameters that predicates can read: all but floats.
    std::vector<int32_t> values;
    std::shared_ptr<const DeviceMemory> bits;
    bool isCaptured;
  };

  Result<std::shared_ptr<const DeviceMemory>> make(std::vector<int32_t> values, DevicePointer coordinates,
                                                   Stream stream) const;
  void dropOldest();

  std::shared_ptr<const Device> device;
  Stage stage;
  const KernelImage *image;
  RecallLaunch shape;
  std::mutex mutex;
  /// The latest first.
  std::list<Known> known;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_PROBEBITS_H
