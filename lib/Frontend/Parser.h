// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parser: builds the AST of a file by recursive descent, and goes on after an
// error.

#ifndef WEFT_LIB_FRONTEND_PARSER_H
#define WEFT_LIB_FRONTEND_PARSER_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"

#include <memory>

namespace weft {

/// Parses a whole file; what could not be parsed is reported and left out.
std::unique_ptr<Program> parse(const SourceFile &source,
                               Diagnostics &diagnostics);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_PARSER_H
