// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the machine offers to kernels.

#ifndef WEFT_CODEGEN_CPU_HOST_H
#define WEFT_CODEGEN_CPU_HOST_H

#include "llvm/ADT/StringRef.h"

#include <set>
#include <string>

namespace weft {

/// A machine: its processor, and what its system permits.
struct Host {
  /// In LLVM's names: x86_64 or aarch64, the processor, its features.
  std::string arch, cpu;
  std::set<std::string> features;
  /// The other features of the architecture; what implies them is not used either.
  std::set<std::string> absent;
  /// The system permits the use of AMX tiles.
  bool permitsTiles = false;

  bool has(llvm::StringRef feature) const { return features.count(feature.str()); }

  /// LLVM's feature string: `+avx2,+fma,...,-avx512f`.
  std::string featureString() const;

  /// Takes away what `text` names, as `-avx512bf16,-amx-tile`; false if it is no such list of known features.
  bool leaveOut(llvm::StringRef text);

  /// This machine, less what the environment variable WEFT_CPU_FEATURES takes away.
  static const Host &current();
};

} // namespace weft

#endif // WEFT_CODEGEN_CPU_HOST_H
