// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes `weft.statistics`.

#include "passes/PassCounts.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

void weft::recordCounts(ModuleOp module, StringRef pass, std::initializer_list<std::pair<StringRef, int64_t>> counts) {
  constexpr StringLiteral name = "weft.statistics";
  Builder builder(module.getContext());
  NamedAttrList entries;
  for (auto [count, value] : counts)
    entries.set(count, builder.getI64IntegerAttr(value));
  NamedAttrList all(module->getAttrOfType<DictionaryAttr>(name));
  all.set(pass, entries.getDictionary(module.getContext()));
  module->setAttr(name, all.getDictionary(module.getContext()));
}
