// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Figures that need more than the block lists.

#ifndef WEFT_TOOLS_WEFT_EXPLAIN_FIGURES_H
#define WEFT_TOOLS_WEFT_EXPLAIN_FIGURES_H

#include "lib/Compiler/Compiler.h"
#include "lib/Explain/Explain.h"
#include "tools/weft-run/Executable.h"

namespace weft {

/// What decides the mask of the first batch element beside its parameters: lists, given or predicted, and choices.
struct Decided {
  std::optional<rt::GivenLists> lists;
  std::optional<rt::Choices> choices;

  /// Of a call with given lists, or null, and with choices of all batch elements, or none.
  static rt::Result<Decided> make(const Executable &kernel, const std::optional<Inputs> &inputs,
                                  const rt::GivenLists *given, const std::optional<rt::Choices> &choices);
};

/// Exact pairs of the mask over the sampled queries.
rt::Status countKept(const CompileRequest &request, const Decided &decided, const std::vector<int64_t> &sample,
                     const rt::KernelImage &image, const rt::BlockLists &resolved, explain::Report &report);

/// The share of the mass of the first batch element that is left is exp(lse of the mask - lse of all keys).
rt::Status measureRecall(const CompileRequest &request, const Inputs &inputs, const Decided &decided,
                         const std::vector<int64_t> &sample, explain::Report &report);

/// Runs the kernel and the dense one, whose time tells what the machine can do.
rt::Status measureTime(const CompileRequest &request, const Executable &kernel, const Inputs &inputs,
                       const rt::GivenLists *lists, const rt::BlockLists &resolved, explain::Report &report);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_EXPLAIN_FIGURES_H
