// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-lsp-server: editor support for .weft files and, with --mlir, for .mlir
// files.

#include "lib/LSP/Server.h"
#include "lib/Register.h"

#include "mlir/IR/Dialect.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

#include "llvm/ADT/StringRef.h"

int main(int argc, char **argv) {
  bool servesMlir = argc > 1 && llvm::StringRef(argv[1]) == "--mlir";
  if (!servesMlir)
    return failed(weft::lsp::serverMain(argc, argv));
  argv[1] = argv[0];
  mlir::DialectRegistry registry;
  weft::registerAllDialects(registry);
  return failed(mlir::MlirLspServerMain(argc - 1, argv + 1, registry));
}
