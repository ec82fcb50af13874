// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ASTPrinter: writes a program as an indented tree with positions.

#ifndef WEFT_LIB_FRONTEND_ASTPRINTER_H
#define WEFT_LIB_FRONTEND_ASTPRINTER_H

#include "lib/Frontend/AST.h"

#include <string>

namespace weft {

/// One node per line with its line:column, operands indented below.
std::string printProgram(const Program &program, const SourceFile &source);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_ASTPRINTER_H
