// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What an explained program is run on.

#ifndef WEFT_TOOLS_WEFT_EXPLAIN_EXPLAININPUTS_H
#define WEFT_TOOLS_WEFT_EXPLAIN_EXPLAININPUTS_H

#include "lib/Compiler/Compiler.h"
#include "tools/weft-explain/ExplainOptions.h"
#include "tools/weft-run/Inputs.h"

namespace weft {

/// Queries, keys and values of the options' file, or random ones.
rt::Result<Inputs> makeInputs(const ExplainOptions &options, const CompileRequest &request,
                              const rt::KernelImage &image);

/// Queries, keys and values of zeros: each log-sum-exp is the logarithm of the number of keys that a query sees.
rt::Result<Inputs> makeZeros(const CompileRequest &request, const rt::KernelImage &image);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_EXPLAIN_EXPLAININPUTS_H
