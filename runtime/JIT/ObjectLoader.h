// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads an object into this process.

#ifndef WEFT_RUNTIME_JIT_OBJECTLOADER_H
#define WEFT_RUNTIME_JIT_OBJECTLOADER_H

#include "runtime/Status.h"

#include "llvm/ADT/SmallVector.h"

#include <memory>
#include <string>

namespace weft {

/// Code in memory; symbols stay valid as long as it lives.
class LoadedObject {
public:
  static rt::Result<std::shared_ptr<LoadedObject>> load(const llvm::SmallVector<char, 0> &object);
  ~LoadedObject();

  /// Address of a symbol.
  rt::Result<void *> find(const std::string &name) const;

private:
  struct State;
  explicit LoadedObject(std::unique_ptr<State> state);
  std::unique_ptr<State> state;
};

} // namespace weft

#endif // WEFT_RUNTIME_JIT_OBJECTLOADER_H
