// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What `native` is on machines that are not at hand, and why.

#include "codegen/CPU/Target.h"

#include <gtest/gtest.h>

using namespace weft;

namespace {

/// A processor of the kind, with LLVM's names of what decides.
Host haswell() { return {"x86_64", "haswell", {"avx2", "fma", "f16c"}, {"avx512f", "avx512bf16", "amx-tile"}, false}; }

Host skylake() {
  Host host = haswell();
  host.cpu = "skylake-avx512";
  host.absent.erase("avx512f");
  host.features.insert({"avx512f", "avx512bw", "avx512dq", "avx512vl"});
  return host;
}

Host zen4() {
  Host host = skylake();
  host.cpu = "znver4";
  host.absent.erase("avx512bf16");
  host.features.insert("avx512bf16");
  return host;
}

Host sapphireRapids() {
  Host host = zen4();
  host.cpu = "sapphirerapids";
  host.absent.erase("amx-tile");
  host.features.insert({"amx-tile", "amx-bf16"});
  host.permitsTiles = true;
  return host;
}

CPUTarget nativeOn(const Host &host) {
  std::string error;
  std::optional<CPUTarget> target = CPUTarget::parse("native", error, host);
  EXPECT_TRUE(target) << error;
  return target.value_or(CPUTarget{});
}

TEST(TargetTest, NativeTakesTheBest) {
  CPUTarget target = nativeOn(sapphireRapids());
  EXPECT_EQ(target.bf16, BF16Unit::TileX86);
  EXPECT_EQ(target.cpu, "sapphirerapids");
  EXPECT_EQ(target.fallback, "");
  EXPECT_EQ(nativeOn({"aarch64", "neoverse-v1", {"neon", "bf16"}, {}, false}).bf16, BF16Unit::MatrixNEON);
}

TEST(TargetTest, DotProductsWithoutTilesAreNoFallback) {
  CPUTarget target = nativeOn(zen4());
  EXPECT_EQ(target.bf16, BF16Unit::DotX86);
  EXPECT_EQ(target.fallback, "");
}

TEST(TargetTest, FallbackNamesWhatTheProcessorLacks) {
  CPUTarget target = nativeOn(skylake());
  EXPECT_EQ(target.lanes, 16);
  EXPECT_EQ(target.fallback, "native is x86-64-v4 here, since the processor lacks avx512bf16");
  target = nativeOn(haswell());
  EXPECT_EQ(target.lanes, 8);
  EXPECT_EQ(target.fallback, "native is x86-64-v3 here, since the processor lacks avx512f");
  EXPECT_EQ(nativeOn({"aarch64", "cortex-a72", {"neon"}, {"bf16"}, false}).fallback,
            "native is aarch64 here, since the processor lacks bf16");
}

TEST(TargetTest, FallbackNamesWhatTheSystemForbids) {
  Host host = sapphireRapids();
  host.permitsTiles = false;
  CPUTarget target = nativeOn(host);
  EXPECT_EQ(target.bf16, BF16Unit::DotX86);
  EXPECT_EQ(target.fallback, "native is znver4 here, since the system forbids amx-tile");
}

TEST(TargetTest, NothingRunsOnALesserProcessor) {
  std::string error;
  EXPECT_FALSE(CPUTarget::parse("native", error, {"x86_64", "nehalem", {"sse4.2"}, {"avx2"}, false}));
  EXPECT_EQ(error, "expected a machine with AVX2, FMA and F16C, or with NEON, for target native, but it lacks avx2");
}

TEST(TargetTest, FeaturesAreLeftOut) {
  Host host = sapphireRapids();
  EXPECT_TRUE(host.leaveOut("-avx512f,-amx-tile"));
  EXPECT_EQ(nativeOn(host).fallback, "native is x86-64-v3 here, since the processor lacks avx512f");
  EXPECT_EQ(host.featureString(),
            "+amx-bf16,+avx2,+avx512bf16,+avx512bw,+avx512dq,+avx512vl,+f16c,+fma,-amx-tile,-avx512f");
}

TEST(TargetTest, OnlyKnownFeaturesAreLeftOut) {
  for (const char *text : {"avx512f", "+avx512f", "-", "-avx512f,", "-avx512f,-avx513f", "none"}) {
    Host host = zen4();
    EXPECT_FALSE(host.leaveOut(text)) << text;
    EXPECT_TRUE(host.has("avx512f")) << text;
  }
}

/// A name that is not `native` asks for its target, whatever the machine.
TEST(TargetTest, NamesAreTheSameEverywhere) {
  std::string error;
  std::optional<CPUTarget> target = CPUTarget::parse("znver4", error, haswell());
  ASSERT_TRUE(target) << error;
  EXPECT_EQ(target->bf16, BF16Unit::DotX86);
  EXPECT_EQ(target->fallback, "");
}

} // namespace
