// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parses a module of PTX text.

#ifndef WEFT_TEST_PTX_PARSER_H
#define WEFT_TEST_PTX_PARSER_H

#include "test/ptx/DeviceMemory.h"
#include "test/ptx/Instruction.h"

namespace weft::ptx {

/// The module with all kernels decoded and its variables allocated and initialised; or null and a log that names every
/// line that was not understood. The variables' memory is the caller's to release.
std::unique_ptr<Module> parseModule(std::string text, DeviceMemory &memory, std::string &log);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_PARSER_H
