// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The entry to the front end: from text to a checked program.

#ifndef WEFT_LIB_FRONTEND_FRONTEND_H
#define WEFT_LIB_FRONTEND_FRONTEND_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"
#include "lib/Frontend/SourceFile.h"

#include <memory>

namespace weft {

/// Parses and checks a file; null if an error was reported. The program does
/// not refer to `source`.
std::unique_ptr<Program> parseProgram(const SourceFile &source,
                                      Diagnostics &diagnostics);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_FRONTEND_H
