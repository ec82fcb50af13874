// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The language server of .weft files: JSON-RPC over the standard streams.

#ifndef WEFT_LIB_LSP_SERVER_H
#define WEFT_LIB_LSP_SERVER_H

#include "llvm/Support/LogicalResult.h"

namespace llvm::lsp {
class JSONTransport;
}

namespace weft::lsp {

/// Serves requests until `exit`; success if the client asked for `shutdown`
/// first.
llvm::LogicalResult runServer(llvm::lsp::JSONTransport &transport);

/// The entry of weft-lsp-server for .weft files. `--lit-test` reads messages
/// separated by `// -----` and prints the answers readably.
llvm::LogicalResult serverMain(int argc, char **argv);

} // namespace weft::lsp

#endif // WEFT_LIB_LSP_SERVER_H
