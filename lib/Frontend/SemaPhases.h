// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The phases of Sema, each needing the ones before it to have found no error.

#ifndef WEFT_LIB_FRONTEND_SEMAPHASES_H
#define WEFT_LIB_FRONTEND_SEMAPHASES_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"

#include <string>
#include <vector>

namespace weft {

/// Definitions such that every one stands after those it refers to.
using DefinitionOrder = std::vector<const Definition *>;

/// Finds what every name refers to and binds arguments; reports unknown,
/// duplicate and unused names.
void resolveNames(Program &program, Diagnostics &diagnostics);
/// Sorts the definitions; reports those that refer to themselves.
DefinitionOrder sortDefinitions(const Program &program,
                                Diagnostics &diagnostics);
/// Sets the kind of every expression; reports operands, arguments, bodies and
/// clauses of the wrong kind.
void checkKinds(Program &program, Diagnostics &diagnostics);
/// Reports `given` where it may not stand.
void checkGiven(const Program &program, Diagnostics &diagnostics);
/// Reports selections by importance where they may not stand, and what may not
/// stand beside them.
void checkRows(const Program &program, Diagnostics &diagnostics);
/// Reports programs that grow too large when patterns are expanded.
void checkExpansion(const Program &program, const DefinitionOrder &order,
                    Diagnostics &diagnostics);
/// Reports divisors, tile sizes and defaults that are not static, or static and
/// out of range.
void checkStatics(const Program &program, const DefinitionOrder &order,
                  Diagnostics &diagnostics);

/// "parameter 'n'", "pattern 'near'": how messages name what is declared.
std::string describe(const Parameter &parameter);
std::string describe(const Definition &definition);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_SEMAPHASES_H
