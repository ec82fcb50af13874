// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sema: gives names their meaning and reports everything that is wrong with a
// program before it is instantiated.

#ifndef WEFT_LIB_FRONTEND_SEMA_H
#define WEFT_LIB_FRONTEND_SEMA_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"

namespace weft {

/// Resolves and checks a parsed program in place; it may be used further only
/// if no error was reported.
void analyze(Program &program, Diagnostics &diagnostics);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_SEMA_H
