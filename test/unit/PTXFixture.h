// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small PTX kernels on the stand-in for the CUDA driver.

#ifndef WEFT_TEST_UNIT_PTXFIXTURE_H
#define WEFT_TEST_UNIT_PTXFIXTURE_H

#include "test/ptx/Driver.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace weft::test {

/// A launch's result and what was printed.
struct PTXOutcome {
  CUresult result = CUDA_SUCCESS;
  std::string report;
};

/// A kernel `k` for a target, around these statements. Parameters are `p0`, `p1`, ... of 64 bits, and tensor maps `t0`,
/// `t1`, ...; threads are `.maxntid`.
struct PTXKernel {
  std::string body;
  std::string declarations;
  unsigned parameters = 1, tensorMaps = 0;
  unsigned threads = 32;
  std::string target = "sm_90a";

  std::string text() const;
};

/// PTX with a kernel `name`.
struct PTXModule {
  std::string text, name, target;
  unsigned threads;
};

/// Statements that make %out of %in, and what they should make.
struct PTXCase {
  std::string body;
  uint64_t input, expected;
};

/// A test with a context of its own. Every kernel that runs is also given to ptxas, if there is one.
class PTXTest : public testing::Test {
protected:
  void SetUp() override;
  void TearDown() override;

  /// Device memory with these elements.
  template <typename T> CUdeviceptr upload(const std::vector<T> &elements) {
    CUdeviceptr address = allocate(elements.size() * sizeof(T));
    EXPECT_EQ(cuMemcpyHtoD_v2(address, elements.data(), elements.size() * sizeof(T)), CUDA_SUCCESS);
    return address;
  }
  /// Device memory that nobody has written.
  CUdeviceptr allocate(size_t bytes);
  template <typename T> std::vector<T> download(CUdeviceptr address, size_t count) {
    std::vector<T> elements(count);
    EXPECT_EQ(cuMemcpyDtoH_v2(elements.data(), address, count * sizeof(T)), CUDA_SUCCESS);
    return elements;
  }

  /// One CTA of a module's kernel, or `ctas` of them.
  PTXOutcome launch(const PTXModule &module, std::vector<uint64_t> parameters, unsigned shared = 0, unsigned ctas = 1,
                    std::vector<CUtensorMap> maps = {});
  /// One CTA of `kernel.threads` threads, or `ctas` of them.
  PTXOutcome launch(const PTXKernel &kernel, std::vector<uint64_t> parameters, unsigned shared = 0, unsigned ctas = 1,
                    std::vector<CUtensorMap> maps = {});
  /// The same, which must succeed.
  void run(const PTXKernel &kernel, std::vector<uint64_t> parameters, unsigned shared = 0, unsigned ctas = 1,
           std::vector<CUtensorMap> maps = {});
  /// The same, which must fail with a report that contains `expected`. The context starts anew.
  void expectReport(const PTXKernel &kernel, std::vector<uint64_t> parameters, const std::string &expected,
                    unsigned shared = 0, unsigned ctas = 1, std::vector<CUtensorMap> maps = {});
  /// Runs all cases in one kernel, each in a scope of its own with the registers %in and %out (.b64) and, of eight
  /// each, %d (.b64), %r (.b32), %f (.f32), %h (.b16), %g (.f64) and %p (.pred). The low bits of %in are in %r0, %f0,
  /// %h0 and all are in %g0.
  void expectAll(const std::vector<PTXCase> &cases, const std::string &target = "sm_90a");

  /// A bf16 tensor map of two dimensions with a box of two.
  CUtensorMap tensorMap(CUdeviceptr address, uint64_t columns, uint64_t rows, uint32_t boxColumns, uint32_t boxRows,
                        int swizzle);

public:
  /// Empty, or what ptxas has against the text.
  static std::string assemble(const std::string &text, const std::string &target);
  static bool hasAssembler();
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_PTXFIXTURE_H
