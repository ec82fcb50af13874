// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random mask trees keep their meaning on the way to a plan.

#include "test/unit/RandomPrograms.h"

#include "dialect/BlockPartition.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iostream>

using namespace weft;
using namespace weft::test;

namespace {

constexpr int64_t kTokens = 62, kHeads = 2;

/// A module whose mask is a random tree, with shared subtrees.
class TreeWriter {
public:
  explicit TreeWriter(Random &random) : random(random) {}

  std::string write() {
    addLeaves();
    int64_t count = random.range(1, 12);
    for (int64_t i = 0; i < count; ++i)
      addConnective();
    std::string tensor = fmt::format("tensor<?x{}x{}x32xf32>", kHeads, kTokens);
    std::string lse = fmt::format("tensor<?x{}x{}xf32>", kHeads, kTokens);
    return fmt::format("#g = #weft.grid<3x4x5, text = 2>\n#o = #weft.order<{0}>\n"
                       "!m = !weft.mask<query = #g, key = #g>\n"
                       "func.func @f(%q: {1}, %k: {1}, %v: {1}, %blocks: !weft.blocks, %radius: i32 {{weft.name = "
                       "\"radius\", weft.default = 1 : i32}}, %enable: i1 {{weft.name = \"enable\"}}) -> ({1}, {2}) "
                       "attributes {{weft.kernel}} {{\n{3}"
                       "%o, %l = weft.attention %q, %k, %v mask(%m{4} : !m) {{query_grid = #g, key_grid = #g, "
                       "query_order = #o, key_order = #o, block = 32 : i64, scale = 0.25 : f64}} : {1}, {1} -> {2}\n"
                       "return %o, %l : {1}, {2}\n}}\n",
                       random.pick({"raster", "tiles = 1x2x2", "tiles = 2x3x4"}), tensor, lse, body, masks - 1);
  }

private:
  void add(const std::string &op) { body += fmt::format("%m{} = {} : !m\n", masks++, op); }

  void addPredicate(const std::string &ops) {
    body += fmt::format("%m{} = weft.predicate : !m {{\n^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, "
                        "%qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):\n{}weft.yield %b : i1 }}\n",
                        masks++, ops);
  }

  void addLeaves() {
    const std::vector<std::string> predicates = {
        "%b = arith.cmpi eq, %qt, %kt : i32\n",
        "%d = arith.subi %qh, %kh : i32\n%b = arith.cmpi sle, %d, %one : i32\n",
        "%s = arith.addi %qw, %kw : i32\n%r = arith.remsi %s, %two : i32\n%b = arith.cmpi eq, %r, %one : i32\n",
        "%b = arith.ori %qx, %kx : i1\n",
        "%b = arith.cmpi slt, %kt, %one : i32\n",
        "%b = arith.cmpi eq, %head, %one : i32\n",
        "%b = arith.cmpi sle, %ki, %qi : i32\n",
        "%b = arith.cmpi slt, %kh, %radius : i32\n",
        "%b = arith.xori %enable, %qx : i1\n",
    };
    body += "%one = arith.constant 1 : i32\n%two = arith.constant 2 : i32\n";
    int64_t count = random.range(1, 4);
    for (int64_t i = 0; i < count; ++i)
      addPredicate(predicates[random.range(0, predicates.size() - (random.chance(70) ? 3 : 1))]);
    if (random.chance(50))
      add("weft.given %blocks");
    if (random.chance(30))
      add(random.pick({"weft.constant_mask true", "weft.constant_mask false"}));
  }

  void addConnective() {
    auto operand = [&] { return fmt::format("%m{}", random.range(0, masks - 1)); };
    switch (random.range(0, 2)) {
    case 0:
      return add("weft.mask_not " + operand());
    case 1:
      return add("weft.mask_and " + operand() + ", " + operand());
    default:
      return add("weft.mask_or " + operand() + ", " + operand());
    }
  }

  Random &random;
  std::string body;
  int64_t masks = 0;
};

/// The first pair that the plan takes for another; empty if there is none.
std::string checkTree(Random &random, const std::string &source) {
  CompileRequest request;
  request.source = source, request.isModule = true, request.sourceName = "tree.mlir";
  auto context = createContext();
  auto program = buildProgram(*context, request);
  if (!program)
    return program.message();
  mlir::OwningOpRef<mlir::ModuleOp> plan = (*program)->clone();
  if (rt::Status status = lowerToPlan(*plan); !status)
    return status.message();
  BlockAttentionOp op;
  plan->walk([&](BlockAttentionOp found) { op = found; });
  int64_t blocks = countBlocks(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
  for (int round = 0; round < 2; ++round) {
    rt::GivenLists given = makeGiven(random, kHeads, blocks, blocks);
    std::vector<int64_t> parameters = {makeParameter(random, false), makeParameter(random, true)};
    PairFunction before = maskOfProgram(kernelOf(**program), parameters, &given);
    PairFunction after = maskOfPlan(kernelOf(*plan), parameters, &given);
    for (int64_t head = 0; head < kHeads; ++head)
      for (int32_t query = 0; query < kTokens; ++query)
        for (int32_t key = 0; key < kTokens; ++key)
          if (bool expected = before(head, query, key); after(head, query, key) != expected)
            return fmt::format("head {}, query {}, key {}: expected {}", head, query, key, expected);
  }
  return "";
}

TEST(MaskAlgebraTest, RandomTreesKeepTheirMeaning) {
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << "\n";
  for (int i = 0; i < 400; ++i) {
    Random random(seedOf(base, i));
    std::string source = TreeWriter(random).write();
    ASSERT_EQ(checkTree(random, source), "") << "WEFT_TEST_SEED=" << seedOf(base, i) << "\n" << source;
  }
}

TEST(MaskAlgebraTest, RandomProgramsKeepTheirMeaning) {
  uint64_t base = testSeed();
  for (int i = 0; i < 120; ++i) {
    Random random(seedOf(base, i));
    RandomProgram made = makeProgram(random, {.maxTokens = 100, .given = 40, .rectangular = 25, .dynamic = 40});
    SCOPED_TRACE(fmt::format("WEFT_TEST_SEED={}\n{}", seedOf(base, i), describe(made.request)));
    auto context = createContext();
    auto program = buildProgram(*context, made.request);
    ASSERT_TRUE(program) << program.message();
    ASSERT_TRUE(chooseTiles(**program));
    mlir::OwningOpRef<mlir::ModuleOp> plan = (*program)->clone();
    ASSERT_TRUE(lowerToPlan(*plan));
    BlockAttentionOp op;
    plan->walk([&](BlockAttentionOp found) { op = found; });
    int64_t heads = made.request.options.heads;
    rt::GivenLists given = makeGiven(random, heads, countBlocks(op.getQueryGrid(), op.getQueryOrder(), op.getBlock()),
                                     countBlocks(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()));
    PairFunction before = maskOfProgram(kernelOf(**program), made.parameters, &given);
    PairFunction after = maskOfPlan(kernelOf(*plan), made.parameters, &given);
    int64_t differences = 0;
    for (int64_t head = 0; head < heads; ++head)
      for (int32_t query = 0; query < op.getQueryGrid().getTokens(); ++query)
        for (int32_t key = 0; key < op.getKeyGrid().getTokens(); ++key)
          differences += before(head, query, key) != after(head, query, key);
    EXPECT_EQ(differences, 0);
  }
}

} // namespace
