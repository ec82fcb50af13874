// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CPU targets: the instruction sets that a kernel may be compiled for.

#ifndef WEFT_CODEGEN_CPU_TARGET_H
#define WEFT_CODEGEN_CPU_TARGET_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>

namespace weft {

/// A processor to generate code for, and the facts that the generator asks of it.
struct CPUTarget {
  /// As the user named it.
  std::string name;
  /// LLVM's processor name and feature string.
  std::string cpu, features;
  /// f32 lanes of a vector register.
  int64_t lanes = 8;
  /// AVX-512's scalef.
  bool hasScalef = false;
  /// AVX-512's dot product of bf16 pairs.
  bool hasBF16Dot = false;

  /// `native`, `x86-64-v3`, `x86-64-v4` or `znver4`; on failure `error` says which names there are or what the machine
  /// lacks.
  static std::optional<CPUTarget> parse(llvm::StringRef name, std::string &error);

  /// Whether this machine can execute code for the target; if not, `missing` names a feature.
  bool runsHere(std::string &missing) const;
};

} // namespace weft

#endif // WEFT_CODEGEN_CPU_TARGET_H
