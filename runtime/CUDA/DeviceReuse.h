// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse on the device: snapped queries and keys, without the host.

#ifndef WEFT_RUNTIME_CUDA_DEVICEREUSE_H
#define WEFT_RUNTIME_CUDA_DEVICEREUSE_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// The stages of one kernel's reuse.
class DeviceReuse {
public:
  static Result<DeviceReuse> load(std::shared_ptr<const Device> device, Module module, const KernelImage &image);

  /// Where the parts of a call's working memory lie; parts that a kernel does not need have no bytes.
  struct Memory {
    /// Snapped rows, by pair and token, and how many of their values were replaced, by pair.
    size_t query, key, replaced;
  };
  Memory layOut(ScratchLayout &layout, const KernelImage &image, int64_t pairs) const;

  /// One call.
  struct Call {
    const KernelImage &image;
    double threshold;
    DevicePointer scratch;
    Memory memory;
    Stream stream;
  };
  /// Enqueues the snapping of channels, and puts the snapped tensors in the place of the call's.
  Status snapChannels(const Call &call, Tensor &query, Tensor &key) const;

private:
  Status enqueueSnap(const Call &call, const SnapGrid &grid, const Tensor &source, int64_t tokens, DevicePointer target,
                     DevicePointer replaced) const;

  std::shared_ptr<const Device> device;
  Stage snap;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEREUSE_H
