// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The safetensors format: 8 bytes of header length, a JSON header, then the
// tensors' bytes.

#ifndef WEFT_LIB_TENSORFILE_SAFETENSORS_H
#define WEFT_LIB_TENSORFILE_SAFETENSORS_H

#include "lib/TensorFile/TensorFile.h"

namespace weft {

/// Reads every tensor; the whole header is checked against the file's size
/// before memory is taken.
rt::Result<TensorMap> readSafetensors(const std::string &path);

/// Writes the tensors, those with the largest elements first so that each is
/// aligned in the file.
rt::Status writeSafetensors(const std::string &path, const TensorMap &map);

} // namespace weft

#endif // WEFT_LIB_TENSORFILE_SAFETENSORS_H
