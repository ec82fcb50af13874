// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels compiled ahead of time for AArch64 and run under qemu's user mode.

#ifndef WEFT_TEST_AARCH64_EMULATOR_H
#define WEFT_TEST_AARCH64_EMULATOR_H

#include "lib/Compiler/Stages.h"
#include "test/aarch64/CallFile.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace weft::test {

/// One library of kernels, in a temporary folder.
class Emulator {
public:
  Emulator();
  ~Emulator();
  Emulator(const Emulator &) = delete;

  /// What this build lacks for running AArch64 code; empty if it lacks nothing.
  static std::string missing();

  /// Compiles a program whose attention's name is new here. The image that is returned has no code. Thread-safe.
  rt::Result<rt::KernelImage> add(const CompileRequest &request);

  /// Links what was added; once, before run().
  rt::Status link();

  /// Runs calls one after the other in one emulated program; each gets its results or its error. An error is returned
  /// if the program failed as a whole. Thread-safe.
  rt::Status run(const std::vector<KernelCall *> &calls);

private:
  std::string pathOf(const std::string &file) const { return folder + "/" + file; }
  /// Waits for a program of the host; the error is what it wrote to `log`.
  rt::Status execute(const std::vector<std::string> &command, const std::string &log);

  std::string folder;
  std::mutex mutex;
  std::vector<std::string> objects;
  std::atomic<int> runs = 0;
};

} // namespace weft::test

#endif // WEFT_TEST_AARCH64_EMULATOR_H
