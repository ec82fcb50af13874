// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NumPy's .npy format: one array per file.

#ifndef WEFT_LIB_TENSORFILE_NPY_H
#define WEFT_LIB_TENSORFILE_NPY_H

#include "lib/TensorFile/TensorFile.h"

namespace weft {

/// Reads versions 1 to 3; an array in Fortran order becomes a view with
/// permuted strides.
rt::Result<TensorMap> readNpy(const std::string &path);

/// Writes version 1 in C order; the map must hold exactly one tensor and no
/// metadata.
rt::Status writeNpy(const std::string &path, const TensorMap &map);

} // namespace weft

#endif // WEFT_LIB_TENSORFILE_NPY_H
