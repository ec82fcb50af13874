// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The emulated program: runs calls from a file on kernels from a shared library, and writes their results.
//
//   weft-aarch64-driver KERNELS.so CALLS RESULTS

#include "runtime/StaticImage.h"
#include "test/aarch64/CallFile.h"

#include <dlfcn.h>

#include <cstdio>

using namespace weft;
using namespace weft::test;

static rt::Status run(void *library, const KernelCall &call) {
  std::string symbol = "weft_" + call.kernel + "_image";
  auto *image = static_cast<const rt::StaticImage *>(dlsym(library, symbol.c_str()));
  if (!image)
    return rt::Status::error("expected the symbol " + symbol);
  auto kernel = rt::loadStatic(*image);
  if (!kernel)
    return kernel.status();
  return (*kernel)->run(call.operands->args(call.threads));
}

int main(int argc, char **argv) {
  if (argc != 4) {
    std::fprintf(stderr, "expected KERNELS.so CALLS RESULTS, but got %d arguments\n", argc - 1);
    return 1;
  }
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  CallReader calls(argv[2]);
  CallWriter results(argv[3]);
  while (true) {
    Operands operands;
    KernelCall call;
    call.operands = &operands;
    calls.request(call);
    if (!calls)
      break;
    call.error = run(library, call).message();
    results.result(call);
  }
  return results ? 0 : 1;
}
