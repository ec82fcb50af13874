// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels for AMX, whose instructions are emulated where the processor has none, against the interpreter.

#include "lib/Compiler/ImageBuilder.h"
#include "runtime/JIT/ObjectLoader.h"
#include "test/amx/TileUnit.h"
#include "test/unit/Differential.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iostream>

using namespace weft;
using namespace weft::test;

namespace {

/// A kernel for a target that the processor need not have.
rt::Result<std::shared_ptr<const rt::Kernel>> compileFor(const CPUTarget &target, const CompileRequest &request) {
  auto lowered = compileTo(Stage::LLVM, request, target);
  if (!lowered)
    return lowered.status();
  auto object = emitCode(*lowered->module, target, CodeKind::Object);
  if (!object)
    return object.status();
  auto code = LoadedObject::load(*object);
  if (!code)
    return code.status();
  rt::KernelImage image = buildImage(*lowered->module);
  auto pack = (*code)->find("weft_" + image.name + "_pack"), attend = (*code)->find("weft_" + image.name + "_attend");
  if (!pack || !attend)
    return pack ? attend.status() : pack.status();
  image.pack = reinterpret_cast<void (*)(const rt::PackArgs *)>(*pack);
  image.attend = reinterpret_cast<void (*)(const rt::AttendArgs *)>(*attend);
  image.code = *code;
  // The system cannot permit what it does not have.
  image.usesTiles = image.usesTiles && Host::current().permitsTiles;
  return std::shared_ptr<const rt::Kernel>(std::make_shared<rt::Kernel>(std::move(image)));
}

class AMXTest : public testing::Test {
protected:
  void SetUp() override {
    std::string error;
    std::optional<CPUTarget> vectors = CPUTarget::parse("znver4", error);
    std::optional<CPUTarget> tiles = CPUTarget::parse("sapphirerapids", error);
    ASSERT_TRUE(vectors && tiles) << error;
    if (std::string missing; !vectors->runsHere(missing))
      GTEST_SKIP() << "kernels for AMX cannot run: the processor lacks " << missing;
    target = *tiles;
    // Of what else a kernel might use.
    target.features = "-avx512fp16";
    emulateTiles();
  }

  void TearDown() override {
    if (!IsSkipped() && !Host::current().permitsTiles)
      EXPECT_GT(numEmulatedProducts(), 0) << "products should be of tiles";
  }

  /// What differs from the interpreter, or nothing.
  std::string check(Random &random, Case &test) {
    auto kernel = compileFor(target, test.program.request);
    if (!kernel)
      return "compilation: " + kernel.message();
    test.makeOperands(random, (*kernel)->image());
    if (rt::Status status = (*kernel)->run(test.operands.args(random.range(1, 2))); !status)
      return "run: " + status.message();
    return compareWithInterpreter(test);
  }

  CPUTarget target;
};

TEST_F(AMXTest, RandomPrograms) {
  constexpr int64_t kCount = 20;
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << ", " << kCount << " programs" << std::endl;
  for (int64_t i = 0; i < kCount; ++i) {
    Random random(seedOf(base, i));
    ProgramLimits limits;
    limits.maxTokens = 150, limits.dynamic = 0, limits.bias = limits.rows = 40, limits.sorted = 20;
    Case test;
    test.program = makeProgram(random, limits);
    test.program.request.options.elementType = ElementType::BF16;
    std::string error = check(random, test);
    EXPECT_TRUE(error.empty()) << "WEFT_TEST_SEED=" << seedOf(base, i) << ": " << error << "\n" << test.describe();
  }
}

/// Several groups of rows in a block, whose products and softmaxes overlap; head dims with and without a rest.
TEST_F(AMXTest, Blocks) {
  uint64_t seed = 0;
  for (int64_t block : {32, 96, 128, 256})
    for (int64_t headDim : {32, 72, 128}) {
      Random random(++seed);
      Case test;
      CompileRequest &request = test.program.request;
      request.source = "attention a { mask abs(q.t - k.t) <= 3 or k.text }";
      request.options.queryGrid = request.options.keyGrid = {6, 6, 7, 20, false};
      request.options.headDim = headDim, request.options.block = block;
      request.options.elementType = ElementType::BF16;
      std::string error = check(random, test);
      EXPECT_TRUE(error.empty()) << "block " << block << ", head dim " << headDim << ": " << error;
    }
}

} // namespace
