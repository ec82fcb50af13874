// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ORC's linker behind a small interface.

#include "runtime/JIT/ObjectLoader.h"

#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <cstring>

using namespace weft;

struct LoadedObject::State {
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

LoadedObject::LoadedObject(std::unique_ptr<State> state) : state(std::move(state)) {}
LoadedObject::~LoadedObject() = default;

static rt::Status toStatus(llvm::Error error) {
  return rt::Status::error("loading a kernel: " + llvm::toString(std::move(error)));
}

/// The only symbols that generated code may take from outside.
static llvm::Error defineLibrary(llvm::orc::LLJIT &jit) {
  llvm::orc::SymbolMap symbols;
  auto define = [&](llvm::StringRef name, auto *function) {
    symbols[jit.mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                                          llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  };
  define("logf", static_cast<float (*)(float)>(&std::log));
  define("memset", &std::memset);
  define("memcpy", &std::memcpy);
  return jit.getMainJITDylib().define(llvm::orc::absoluteSymbols(std::move(symbols)));
}

rt::Result<std::shared_ptr<LoadedObject>> LoadedObject::load(const llvm::SmallVector<char, 0> &object) {
  auto jit = llvm::orc::LLJITBuilder()
                 .setLinkProcessSymbolsByDefault(false)
                 .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                 .create();
  if (!jit)
    return toStatus(jit.takeError());
  if (llvm::Error error = defineLibrary(**jit))
    return toStatus(std::move(error));
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(object.data(), object.size()), "weft");
  if (llvm::Error error = (*jit)->addObjectFile(std::move(buffer)))
    return toStatus(std::move(error));
  auto state = std::make_unique<State>();
  state->jit = std::move(*jit);
  return std::shared_ptr<LoadedObject>(new LoadedObject(std::move(state)));
}

rt::Result<void *> LoadedObject::find(const std::string &name) const {
  auto address = state->jit->lookup(name);
  if (!address)
    return toStatus(address.takeError());
  return address->toPtr<void *>();
}
