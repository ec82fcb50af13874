// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The options that weftc and weft-run share: program, shape, element type, target and parameters.

#ifndef WEFT_TOOLS_TOOLOPTIONS_H
#define WEFT_TOOLS_TOOLOPTIONS_H

#include "lib/Compiler/Stages.h"
#include "runtime/Tensor.h"

#include "llvm/Support/CommandLine.h"

namespace weft {

/// An option with a number, whose errors have Weft's form.
template <typename T> class NumberOption {
public:
  NumberOption(const char *name, const char *description, T initial, llvm::cl::OptionCategory &category);
  NumberOption(const NumberOption &) = delete;

  T getValue() const { return number; }
  operator T() const { return number; }
  int getNumOccurrences() const { return option.getNumOccurrences(); }
  operator const llvm::cl::Option &() const { return option; }

private:
  void parse(const std::string &text);

  T number;
  llvm::cl::opt<std::string> option;
};

/// Command-line options that describe one compile request.
struct ToolOptions {
  /// `tool` is the name that errors begin with.
  ToolOptions(const char *tool, llvm::cl::OptionCategory &category);

  llvm::cl::opt<std::string> file;
  llvm::cl::opt<std::string> grid, keyGrid;
  NumberOption<int64_t> text, keyText;
  llvm::cl::opt<bool> textFirst;
  NumberOption<int64_t> heads, headDim, block;
  llvm::cl::opt<std::string> dtype, target, attention;
  NumberOption<double> scale;
  llvm::cl::list<std::string> set;

  /// Reads the file and checks the options; the error names the option. Without `needsGrid` the grid may be missing.
  rt::Result<CompileRequest> request(bool needsGrid = true) const;
  rt::DType elementType() const { return *rt::parseDType(dtype); }

private:
  /// Options that a module, which says all that itself, would ignore.
  rt::Status checkModule() const;
  rt::Status checkTensors() const;
  rt::Status setGrids(GenerateOptions &options) const;
  rt::Status setValues(GenerateOptions &options) const;
  /// An error if `block` is given and a tile that the order writes holds more tokens.
  rt::Status checkTileFits(const CompileRequest &request) const;
  rt::Result<GridShape> parseGrid(const std::string &option, const std::string &value, int64_t textTokens) const;
};

/// The name that errors of NumberOption begin with, for tools without ToolOptions.
void setToolName(const char *name);

/// The error for an option that was given though `reason`.
rt::Status noEffect(const llvm::cl::Option &option, const std::string &reason);

/// An error unless `value` is at least `least`.
rt::Status checkAtLeast(const llvm::cl::Option &option, int64_t value, int64_t least);

/// Prints "TOOL: error: MESSAGE" (or the message as it is, if it begins with a file's position) and returns 1.
int reportError(const char *tool, const std::string &message);

/// Prints "TOOL: note: FALLBACK" unless there is none.
void reportFallback(const char *tool, const std::string &fallback);

} // namespace weft

#endif // WEFT_TOOLS_TOOLOPTIONS_H
