// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensors of a call in memory of a device: what copies ask of them, and views of some batch elements.

#ifndef WEFT_RUNTIME_CUDA_DEVICEARGUMENTS_H
#define WEFT_RUNTIME_CUDA_DEVICEARGUMENTS_H

#include "runtime/Kernel.h"

#include <initializer_list>
#include <utility>

namespace weft::rt::cuda {

using NamedTensor = std::pair<const char *, const Tensor *>;

/// What copies of 16 bytes need: addresses, and strides of all axes but the last.
Status checkAlignment(std::initializer_list<NamedTensor> tensors);
/// What tokens that are gathered need besides: how far apart they are.
Status checkGathered(std::initializer_list<NamedTensor> tensors);
/// The same of a call's queries, keys, values and output.
Status checkTensors(const RunArgs &args);

/// A view of some batches; of the one that there is, if it serves all.
Tensor sliceBatches(const Tensor &tensor, int64_t first, int64_t count);

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEARGUMENTS_H
