// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Table of CPU targets.

#include "codegen/CPU/Target.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"

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
    {"aarch64-bf16", "aarch64", "generic", "+neon,+bf16", 4, BF16Unit::MatrixNEON, kNEONBF16},
    {"aarch64", "aarch64", "generic", "+neon", 4, BF16Unit::None, kNEON},
};

/// What a machine lacks for a target.
struct Lack {
  std::string feature;
  /// The processor has it, and the system forbids it.
  bool isForbidden = false;

  explicit operator bool() const { return !feature.empty(); }
  std::string text() const { return isForbidden ? "permission of the system to use " + feature : feature; }
};

/// The first of the target's requirements that a machine does not meet, if any.
Lack findMissing(const KnownTarget &target, const Host &host) {
  if (host.arch != target.arch)
    return {(target.arch + " processor").str()};
  for (StringRef feature : target.required)
    if (!host.has(feature))
      return {feature.str()};
  if (target.bf16 == BF16Unit::TileX86 && !host.permitsTiles)
    return {"amx-tile", /*isForbidden=*/true};
  return {};
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

/// Tiles are an addition that few machines have; to do without them is a fallback only if the system forbids them.
bool isFallback(const KnownTarget &target, const Lack &lack) {
  return lack && (target.bf16 == BF16Unit::None || lack.isForbidden);
}

/// The first target that the machine runs. What it misses for a better one of its architecture is the fallback's
/// reason.
std::optional<CPUTarget> makeNative(const Host &host, std::string &error) {
  Lack missing;
  for (const KnownTarget &known : kTargets) {
    if (known.arch != host.arch)
      continue;
    if (Lack lack = findMissing(known, host)) {
      missing = lack;
      continue;
    }
    CPUTarget target = make("native", known);
    target.cpu = host.cpu;
    target.features = host.featureString();
    if (isFallback(known, missing))
      target.fallback = "native is " + known.name.str() + " here, since " +
                        (missing.isForbidden ? "the system forbids " : "the processor lacks ") + missing.feature;
    return target;
  }
  error = "expected a machine with AVX2, FMA and F16C, or with NEON, for target native, but it lacks " +
          (missing ? missing.text() : "them");
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
  return parse(name, error, Host::current());
}

std::optional<CPUTarget> CPUTarget::parse(StringRef name, std::string &error, const Host &host) {
  if (name == "native")
    return makeNative(host, error);
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
      missing = findMissing(known, Host::current()).text();
  return missing.empty();
}
