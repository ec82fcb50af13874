// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What --version prints.

#ifndef WEFT_TOOLS_VERSION_H
#define WEFT_TOOLS_VERSION_H

#include "llvm/Config/llvm-config.h"
#include "llvm/Support/raw_ostream.h"

namespace weft {

/// Prints the versions of Weft and of the LLVM that it is built with.
inline void printVersion(llvm::raw_ostream &stream) {
  stream << "Weft version " WEFT_VERSION ", LLVM version " LLVM_VERSION_STRING "\n";
}

} // namespace weft

#endif // WEFT_TOOLS_VERSION_H
