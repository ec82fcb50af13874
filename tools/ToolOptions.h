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

/// Command-line options that describe one compile request.
struct ToolOptions {
  explicit ToolOptions(llvm::cl::OptionCategory &category);

  llvm::cl::opt<std::string> file;
  llvm::cl::opt<std::string> grid, keyGrid;
  llvm::cl::opt<int64_t> text, keyText;
  llvm::cl::opt<bool> textFirst;
  llvm::cl::opt<int64_t> heads, headDim, block;
  llvm::cl::opt<std::string> dtype, target, attention;
  llvm::cl::opt<double> scale;
  llvm::cl::list<std::string> set;

  /// Reads the file and checks the options; the error names the option. Without `needsGrid` the grid may be missing.
  rt::Result<CompileRequest> request(bool needsGrid = true) const;
  rt::DType elementType() const { return *rt::parseDType(dtype); }

private:
  rt::Result<GridShape> parseGrid(const std::string &option, const std::string &value, int64_t textTokens) const;
};

/// Prints "TOOL: error: MESSAGE" (or the message as it is, if it begins with a file's position) and returns 1.
int reportError(const char *tool, const std::string &message);

} // namespace weft

#endif // WEFT_TOOLS_TOOLOPTIONS_H
