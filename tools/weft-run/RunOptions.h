// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-run's options, and what they exclude.

#ifndef WEFT_TOOLS_WEFT_RUN_RUNOPTIONS_H
#define WEFT_TOOLS_WEFT_RUN_RUNOPTIONS_H

#include "tools/ToolOptions.h"

namespace weft {

enum class Backend { CPU, CUDA, Interpreter };
enum class Check { None, Interpreter, Dense };

/// What the options ask for.
struct RunPlan {
  Backend backend;
  Check check;
};

/// The command line of weft-run.
struct RunOptions {
  RunOptions();

  llvm::cl::OptionCategory category;
  ToolOptions tool;
  llvm::cl::opt<std::string> backend, check, input, output, bias, given, rows, cache, drift, map, json;
  llvm::cl::opt<bool> bshd;
  NumberOption<int64_t> repeat, checkRows, batch;
  NumberOption<uint64_t> seed;

  /// Checks the options that can be checked alone; an option that would change nothing is an error.
  rt::Result<RunPlan> plan() const;

  /// The share of random rows, if `rows` is a number and not a file.
  std::optional<double> rowShare() const;
  bool hasRandomBias() const { return bias == "random"; }
  bool hasRandomCache() const { return cache == "random"; }
  bool hasRandomDrift() const { return drift == "random"; }

  /// An option that has no effect on an attention without what it is about, or that lacks: `withRows` and `selectsRows`
  /// say what the program has.
  rt::Status checkRowUse(bool withRows, bool selectsRows) const;

  /// What stands in the way of writing is found before anything is computed.
  rt::Status checkOutputs() const;

private:
  rt::Result<RunPlan> parse() const;
  rt::Status checkUse(const RunPlan &plan) const;

  /// A path and the option that it came from.
  struct NamedPath {
    std::string option, path;
  };
  std::vector<NamedPath> inputPaths() const;
  std::vector<NamedPath> outputPaths() const;
  static rt::Status checkExtension(const NamedPath &output);
};

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_RUNOPTIONS_H
