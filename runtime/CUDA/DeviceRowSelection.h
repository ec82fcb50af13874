// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that are selected on the device by what is kept of earlier calls, and the ages of tokens.

#ifndef WEFT_RUNTIME_CUDA_DEVICEROWSELECTION_H
#define WEFT_RUNTIME_CUDA_DEVICEROWSELECTION_H

#include "runtime/CUDA/Scratch.h"
#include "runtime/CUDA/Stage.h"
#include "runtime/Kernel.h"

namespace weft::rt::cuda {

/// Rows in memory of a device that they own: one set for each batch element, and so for all heads.
struct SelectedRows {
  DeviceMemory memory;
  /// Refer to the memory: i32 [batch, 1, tokens], each set ascending, and [batch, 1].
  RowLists rows;
};

/// The stages importance, select_rows, grow_ages and reset_ages of one kernel, and for its callers measure_drift and
/// keep_inputs.
class DeviceRowSelection {
public:
  static Result<DeviceRowSelection> load(std::shared_ptr<const Device> device, const Code &code,
                                         const KernelImage &image);

  struct Memory {
    size_t orders, indices, counts;
  };
  Memory layOut(ScratchLayout &layout, int64_t batch) const;

  /// Enqueues the selection for a call of `batch` elements, whose rows are in `scratch` once the stages ran. An age below
  /// 0 or above kMaxAge is read as that.
  Result<RowLists> select(const RunArgs &args, const std::vector<int64_t> &parameters, DevicePointer scratch,
                          const Memory &memory, Stream stream) const;

  /// Enqueues that ages of rows become 0 and all others one more, kMaxAge at most. Indices outside of the sequence are
  /// passed over, and counts beyond the capacity cut.
  Status advanceAges(const RowLists &rows, const Tensor &age, Stream stream) const;

  /// Enqueue what rt::measureDrift and rt::keepInputs do, on tensors that were checked. Of rows, indices outside of the
  /// sequence are passed over.
  Status measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, Stream stream) const;
  Status keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last, Stream stream) const;

private:
  RowSelection selection;
  int64_t tokens = 0;
  Stage importance, selectRows, growAges, resetAges, drift, keep;
  /// exp(age) of every age as f64, and a bit per token that is selected in any case.
  DeviceMemory exponentials, always;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DEVICEROWSELECTION_H
