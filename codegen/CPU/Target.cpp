// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Table of CPU targets.

#include "codegen/CPU/Target.h"

#include "runtime/Tiles.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;
using namespace weft;

namespace {

struct KnownTarget {
  StringRef name, arch, cpu, features;
  int64_t lanes;
  BF16Unit bf16;
  /// What a machine must have, in LLVM's names.
  ArrayRef<StringRef> required;

  bool isX86() const { return arch == "x86_64"; }
};

constexpr StringRef kAVX2[] = {"avx2", "fma", "f16c"};
constexpr StringRef kAVX512[] = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c"};
constexpr StringRef kAVX512BF16[] = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c", "avx512bf16"};
constexpr StringRef kAMX[] = {"avx512f",    "avx512bw", "avx512dq", "avx512vl", "fma",
                              "f16c", "avx512bf16", "amx-tile", "amx-bf16"};
constexpr StringRef kNEON[] = {"neon"};
constexpr StringRef kNEONBF16[] = {"neon", "bf16"};

/// From the most to the least capable: `native` takes the first that the machine runs.
constexpr KnownTarget kTargets[] = {
    {"sapphirerapids", "x86_64", "sapphirerapids", "", 16, BF16Unit::TileX86, kAMX},
    {"znver4", "x86_64", "znver4", "", 16, BF16Unit::DotX86, kAVX512BF16},
    {"x86-64-v4", "x86_64", "x86-64-v4", "", 16, BF16Unit::None, kAVX512},
    {"x86-64-v3", "x86_64", "x86-64-v3", "", 8, BF16Unit::None, kAVX2},
    {"aarch64-bf16", "aarch64", "generic", "+neon,+bf16", 4, BF16Unit::DotNEON, kNEONBF16},
    {"aarch64", "aarch64", "generic", "+neon", 4, BF16Unit::None, kNEON},
};

/// The first of the target's requirements that this machine does not meet; empty if it meets all.
std::string findMissing(const KnownTarget &target) {
  if (Triple(sys::getProcessTriple()).getArchName() != target.arch)
    return (target.arch + " processor").str();
  StringMap<bool> host = sys::getHostCPUFeatures();
  for (StringRef feature : target.required)
    if (!host.lookup(feature))
      return feature.str();
  if (target.bf16 == BF16Unit::TileX86)
    return rt::requestTiles() ? "" : "permission of the system to use amx-tile";
  return "";
}

CPUTarget make(StringRef name, const KnownTarget &known) {
  CPUTarget target;
  target.name = name.str();
  target.triple = (known.arch + "-unknown-linux-gnu").str();
  target.cpu = known.cpu.str();
  target.features = known.features.str();
  target.lanes = known.lanes;
  target.hasScalef = known.isX86() && known.lanes == 16;
  target.bf16 = known.bf16;
  return target;
}

std::string hostFeatures() {
  SmallVector<std::string> features;
  for (const auto &feature : sys::getHostCPUFeatures())
    features.push_back((feature.second ? "+" : "-") + feature.first().str());
  llvm::sort(features);
  return join(features, ",");
}

/// The first target that the machine runs. What it misses for a better one of its architecture is the fallback's reason.
std::optional<CPUTarget> makeNative(std::string &error) {
  std::string arch = Triple(sys::getProcessTriple()).getArchName().str();
  std::string missing;
  for (const KnownTarget &known : kTargets) {
    if (known.arch != arch)
      continue;
    std::string lack = findMissing(known);
    if (!lack.empty()) {
      missing = lack;
      continue;
    }
    CPUTarget target = make("native", known);
    target.cpu = sys::getHostCPUName().str();
    target.features = hostFeatures();
    if (!target.usesPairs() || StringRef(missing).starts_with("permission"))
      target.fallback = missing;
    return target;
  }
  error = "expected a machine with AVX2, FMA and F16C, or with NEON, for target native, but it lacks " +
          (missing.empty() ? "them" : missing);
  return std::nullopt;
}

} // namespace

const std::string &CPUTarget::names() {
  static const std::string text = [] {
    std::string result = "native";
    for (const KnownTarget &known : llvm::reverse(kTargets))
      result += (&known == &kTargets[0] ? " or " : ", ") + known.name.str();
    return result;
  }();
  return text;
}

std::optional<CPUTarget> CPUTarget::parse(StringRef name, std::string &error) {
  if (name == "native")
    return makeNative(error);
  for (const KnownTarget &known : kTargets)
    if (known.name == name)
      return make(name, known);
  error = "expected target " + names() + ", but got '" + name.str() + "'";
  return std::nullopt;
}

bool CPUTarget::runsHere(std::string &missing) const {
  if (name == "native")
    return true;
  for (const KnownTarget &known : kTargets)
    if (known.name == name)
      missing = findMissing(known);
  return missing.empty();
}
