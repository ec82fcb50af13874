// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-lsp-server: editor support for .weft files and, with --mlir, for .mlir
// files.

#include "lib/LSP/Server.h"
#include "lib/Register.h"
#include "tools/Version.h"

#include "mlir/IR/Dialect.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

static constexpr const char *help = R"(Editor support for Weft over standard input and output.

Usage: weft-lsp-server [--lit-test]
       weft-lsp-server --mlir [options of mlir-lsp-server]

  --lit-test  read messages separated by // ----- and print the answers readably
  --mlir      serve .mlir files instead of .weft files; start one server for each
  --help      print this
  --version   print the version
)";

int main(int argc, char **argv) {
  llvm::StringRef first = argc > 1 ? argv[1] : "";
  if (first == "--help" || first == "-h") {
    llvm::outs() << help;
    return 0;
  }
  if (first == "--version") {
    weft::printVersion(llvm::outs());
    return 0;
  }
  bool servesMlir = first == "--mlir";
  if (!servesMlir)
    return failed(weft::lsp::serverMain(argc, argv));
  argv[1] = argv[0];
  mlir::DialectRegistry registry;
  weft::registerAllDialects(registry);
  return failed(mlir::MlirLspServerMain(argc - 1, argv + 1, registry));
}
