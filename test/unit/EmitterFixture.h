// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels of what emitters emit, on the stand-in for the CUDA driver.

#ifndef WEFT_TEST_UNIT_EMITTERFIXTURE_H
#define WEFT_TEST_UNIT_EMITTERFIXTURE_H

#include "codegen/CUDA/StageKernel.h"
#include "test/unit/PTXFixture.h"

#include <functional>

namespace weft::test {

/// A kernel whose arguments are StageKernel's letters, and what emits it.
struct EmittedKernel {
  std::string arguments;
  unsigned threads = 32, shared = 0;
  std::function<void(cuda::StageKernel &)> emit;
  std::string target = "sm_90a";
};

/// A test of emitters: their code runs through the compiler's own pipeline.
class EmitterTest : public PTXTest {
protected:
  /// Runs `ctas` CTAs, which must succeed. Arguments are given as 64 bits each.
  void runEmitted(const EmittedKernel &kernel, std::vector<uint64_t> arguments, unsigned ctas = 1);
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_EMITTERFIXTURE_H
