// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Table of CPU targets.

#include "codegen/CPU/Target.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;
using namespace weft;

namespace {

struct KnownTarget {
  StringRef name, cpu;
  int64_t lanes;
  bool bf16;
};

constexpr StringRef kAVX2[] = {"avx2", "fma", "f16c"};
constexpr StringRef kAVX512[] = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c"};

/// From the most to the least capable: `native` takes the first that the machine runs.
constexpr KnownTarget kTargets[] = {
    {"znver4", "znver4", 16, true},
    {"x86-64-v4", "x86-64-v4", 16, false},
    {"x86-64-v3", "x86-64-v3", 8, false},
};

SmallVector<StringRef> requiredFeatures(int64_t lanes, bool bf16) {
  SmallVector<StringRef> required(lanes == 16 ? ArrayRef<StringRef>(kAVX512) : ArrayRef<StringRef>(kAVX2));
  if (bf16)
    required.push_back("avx512bf16");
  return required;
}

std::optional<StringRef> findMissing(ArrayRef<StringRef> required) {
  StringMap<bool> host = sys::getHostCPUFeatures();
  for (StringRef feature : required)
    if (!host.lookup(feature))
      return feature;
  return std::nullopt;
}

CPUTarget make(StringRef name, const KnownTarget &known) {
  return {name.str(), known.cpu.str(), "", known.lanes, known.lanes == 16, known.bf16};
}

std::optional<CPUTarget> makeNative(std::string &error) {
  for (const KnownTarget &known : kTargets) {
    if (findMissing(requiredFeatures(known.lanes, known.bf16)))
      continue;
    CPUTarget target = make("native", known);
    target.cpu = sys::getHostCPUName().str();
    SmallVector<std::string> features;
    for (const auto &feature : sys::getHostCPUFeatures())
      features.push_back((feature.second ? "+" : "-") + feature.first().str());
    llvm::sort(features);
    target.features = join(features, ",");
    return target;
  }
  error = "expected a machine with AVX2, FMA and F16C for target native, but it lacks " +
          findMissing(kAVX2).value_or("avx2").str();
  return std::nullopt;
}

} // namespace

std::optional<CPUTarget> CPUTarget::parse(StringRef name, std::string &error) {
  if (name == "native")
    return makeNative(error);
  for (const KnownTarget &known : kTargets)
    if (known.name == name)
      return make(name, known);
  error = ("expected target native, x86-64-v3, x86-64-v4 or znver4, but got '" + name + "'").str();
  return std::nullopt;
}

bool CPUTarget::runsHere(std::string &missing) const {
  std::optional<StringRef> feature = findMissing(requiredFeatures(lanes, hasBF16Dot));
  if (feature)
    missing = feature->str();
  return !feature;
}
