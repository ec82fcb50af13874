// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs the phases of Sema.

#include "lib/Frontend/Sema.h"

#include "lib/Frontend/Frontend.h"
#include "lib/Frontend/Parser.h"
#include "lib/Frontend/SemaPhases.h"

#include <fmt/format.h>

namespace weft {

std::string describe(const Parameter &parameter) {
  return fmt::format("parameter '{}'", parameter.name.text);
}

std::string describe(const Definition &definition) {
  return fmt::format("{} '{}'", definitionWord(definition.kind),
                     definition.name.text);
}

void analyze(Program &program, Diagnostics &diagnostics) {
  resolveNames(program, diagnostics);
  if (diagnostics.hasErrors())
    return;
  DefinitionOrder order = sortDefinitions(program, diagnostics);
  checkKinds(program, diagnostics);
  checkGiven(program, diagnostics);
  checkRows(program, diagnostics);
  if (diagnostics.hasErrors())
    return;
  checkExpansion(program, order, diagnostics);
  if (diagnostics.hasErrors())
    return;
  checkStatics(program, order, diagnostics);
}

std::unique_ptr<Program> parseProgram(const SourceFile &source,
                                      Diagnostics &diagnostics) {
  std::unique_ptr<Program> program = parse(source, diagnostics);
  if (!diagnostics.hasErrors())
    analyze(*program, diagnostics);
  return diagnostics.hasErrors() ? nullptr : std::move(program);
}

} // namespace weft
