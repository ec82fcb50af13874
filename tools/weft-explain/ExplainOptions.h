// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-explain's options, and what they exclude.

#ifndef WEFT_TOOLS_WEFT_EXPLAIN_EXPLAINOPTIONS_H
#define WEFT_TOOLS_WEFT_EXPLAIN_EXPLAINOPTIONS_H

#include "tools/ToolOptions.h"

namespace weft {

/// The command line of weft-explain.
struct ExplainOptions {
  ExplainOptions();

  llvm::cl::OptionCategory category;
  ToolOptions tool;
  llvm::cl::opt<std::string> input, given, bias, json, svg, png, savings;
  llvm::cl::opt<bool> bshd, raster, measure;
  NumberOption<int64_t> rows, workers;

  /// Whether there are queries, keys and values: those of a file, or random ones.
  bool hasTensors() const { return !input.empty() || measure; }
  bool savesPNG() const { return llvm::StringRef(savings).ends_with(".png"); }
  /// A file that is standard output takes the place of the text.
  bool writesText() const { return json != "-" && svg != "-" && png != "-"; }

  /// What can be found before anything is computed.
  rt::Status check() const;

private:
  rt::Status checkOutputs() const;
};

} // namespace weft

#endif // WEFT_TOOLS_WEFT_EXPLAIN_EXPLAINOPTIONS_H
