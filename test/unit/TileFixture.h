// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the tests of the interpreter's tile level share: memory with numbers, and a fixture that evaluates functions.

#ifndef WEFT_TEST_UNIT_TILEFIXTURE_H
#define WEFT_TEST_UNIT_TILEFIXTURE_H

#include "test/unit/RandomPrograms.h"

#include "lib/Interpreter/Ops.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <limits>

namespace weft::test {

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr int32_t kFar = WeftDialect::kTextCoordinate;

using interp::Buffer;
using Values = std::vector<double>;

/// Memory with elements of `unit` bytes behind one another.
inline Buffer memoryOf(const Values &values, int64_t unit) {
  Buffer bytes = interp::allocateBytes(unit * values.size());
  for (size_t i = 0; i < values.size(); ++i)
    bytes.at({static_cast<int64_t>(unit * i)}) = values[i];
  return bytes;
}

inline Buffer unwritten(int64_t count, int64_t unit) { return interp::allocateBytes(count * unit); }

/// Element `index` of memory with elements of `unit` bytes.
inline double at(const Buffer &bytes, int64_t unit, int64_t index) { return bytes.at({unit * index}); }

/// Numbers that differ: 1, 2, ...
inline Values counting(int64_t count) {
  Values values(count);
  for (int64_t i = 0; i < count; ++i)
    values[i] = i + 1;
  return values;
}

/// Evaluates functions on the tile level, and keeps the first error.
class TileFixture : public ::testing::Test {
protected:
  TileFixture()
      : context(createContext()), handler(context.get(), [this](mlir::Diagnostic &diagnostic) {
          if (message.empty())
            message = diagnostic.str();
          return mlir::success();
        }) {}

  mlir::OwningOpRef<mlir::ModuleOp> parse(const std::string &source) {
    mlir::OwningOpRef<mlir::ModuleOp> module =
        mlir::parseSourceString<mlir::ModuleOp>(source, mlir::ParserConfig(context.get()));
    if (!module)
      llvm::report_fatal_error(llvm::StringRef("the test's source does not parse: " + message));
    return module;
  }

  /// Evaluates `func.func @f(arguments) { body return }`.
  bool run(const std::string &arguments, const std::string &body, llvm::ArrayRef<interp::RuntimeValue> values) {
    mlir::OwningOpRef<mlir::ModuleOp> module = parse("func.func @f(" + arguments + ") {\n" + body + "\nreturn\n}");
    return mlir::succeeded(interp::callTileFunction(kernelOf(*module), values));
  }

  std::unique_ptr<mlir::MLIRContext> context;
  /// The first error.
  std::string message;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_TILEFIXTURE_H
