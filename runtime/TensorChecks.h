// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rules that the tensors of a call follow.

#ifndef WEFT_RUNTIME_TENSORCHECKS_H
#define WEFT_RUNTIME_TENSORCHECKS_H

#include "runtime/Tensor.h"

namespace weft::rt {

/// Type, shape, and aligned memory.
Status checkTensor(const char *name, const Tensor &tensor, DType dtype, const std::vector<int64_t> &shape);

/// The last axis has stride 1.
Status checkContiguousRows(const char *name, const Tensor &tensor);

/// Two elements of a result must not share memory: sorted by stride, each axis must step over the ones before it.
Status checkDistinctElements(const char *name, const Tensor &tensor);

/// Whether the bytes from the first to the last element of two tensors, neither of them empty, overlap.
bool shareMemory(const Tensor &a, const Tensor &b);

} // namespace weft::rt

#endif // WEFT_RUNTIME_TENSORCHECKS_H
