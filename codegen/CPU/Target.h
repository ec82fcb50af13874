// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CPU targets: the instruction sets that a kernel may be compiled for.

#ifndef WEFT_CODEGEN_CPU_TARGET_H
#define WEFT_CODEGEN_CPU_TARGET_H

#include "codegen/CPU/Host.h"

#include <cstdint>
#include <optional>
#include <string>

namespace weft {

/// How products of bf16 are formed.
enum class BF16Unit {
  /// Operands are converted to f32.
  None,
  /// AVX512-BF16: vdpbf16ps adds the products of pairs to each f32 lane.
  DotX86,
  /// Armv8.6: bfmmla multiplies matrices of 2 x 4 and 4 x 2.
  MatrixNEON,
  /// AMX-BF16: tdpbf16ps multiplies tiles of 16 x 32 by 32 x 16.
  TileX86,
};

/// A processor to generate code for, and the facts that the generator asks of it.
struct CPUTarget {
  /// As the user named it.
  std::string name;
  /// LLVM's triple, processor name and feature string.
  std::string triple, cpu, features;
  /// f32 lanes of a vector register.
  int64_t lanes = 8;
  /// AVX-512's scalef.
  bool hasScalef = false;
  BF16Unit bf16 = BF16Unit::None;
  /// If `native` had to do without a better target of the architecture: which one it is here, and what is missing.
  std::string fallback;

  /// `native` or one of names(); on failure `error` says which names there are or what the machine lacks.
  static std::optional<CPUTarget> parse(llvm::StringRef name, std::string &error);
  /// The same on a machine other than this.
  static std::optional<CPUTarget> parse(llvm::StringRef name, std::string &error, const Host &host);

  /// The names that parse() takes, for messages and help: `native, x86-64-v3, ... or aarch64`.
  static const std::string &names();

  bool isX86() const { return llvm::StringRef(triple).starts_with("x86_64"); }
  /// Whether operands of bf16 lie in pairs.
  bool usesPairs() const { return bf16 != BF16Unit::None; }

  /// Whether this machine can execute code for the target; if not, `missing` names a feature.
  bool runsHere(std::string &missing) const;
};

} // namespace weft

#endif // WEFT_CODEGEN_CPU_TARGET_H
