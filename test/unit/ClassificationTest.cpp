// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Block lists against the predicate, pair by pair.

#include "test/unit/RandomPrograms.h"

#include "dialect/BlockPartition.h"
#include "lib/Compiler/Compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace weft;
using namespace weft::test;

namespace {

enum Class : uint8_t { Empty, Full, Partial };

/// The class of every pair of blocks, [query block][key block].
using Classes = std::vector<uint8_t>;

/// The blocks of a compile request's attention after the tiles have been chosen.
struct Partitions {
  BlockPartition query, key;

  template <typename Op> explicit Partitions(Op op)
      : query(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getBlock())),
        key(partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock())) {}

  Classes classify(const PairFunction &mask, int64_t head) const {
    Classes classes;
    for (int64_t i = 0; i < query.numBlocks(); ++i)
      for (int64_t j = 0; j < key.numBlocks(); ++j)
        classes.push_back(classifyPair(mask, head, i, j));
    return classes;
  }

private:
  Class classifyPair(const PairFunction &mask, int64_t head, int64_t i, int64_t j) const {
    bool any = false, all = true;
    for (int32_t q = query.offsets[i]; q < query.offsets[i + 1]; ++q)
      for (int32_t k = key.offsets[j]; k < key.offsets[j + 1]; ++k) {
        bool holds = mask(head, query.tokens[q], key.tokens[k]);
        any |= holds, all &= holds;
        if (any && !all)
          return Partial;
      }
    return all ? Full : Empty;
  }
};

/// The classes of one set of lists; an entry's key block stands above `shift` bits.
template <typename Offsets, typename Entries>
Classes decode(const Offsets &offsets, const Entries &entries, int64_t queryBlocks, int64_t keyBlocks, int shift) {
  Classes classes(queryBlocks * keyBlocks, Empty);
  for (int64_t i = 0; i < queryBlocks; ++i)
    for (int32_t e = offsets[i]; e < offsets[i + 1]; ++e)
      classes[i * keyBlocks + (entries[e] >> shift)] = entries[e] & 1 ? Partial : Full;
  return classes;
}

Classes decode(BlockListsAttr lists, int64_t head, int64_t queryBlocks, int64_t keyBlocks) {
  auto offsets = lists.getOffsets().getValues<int32_t>();
  int64_t set = lists.getOffsets().getType().getDimSize(0) == 1 ? 0 : head;
  auto row = llvm::drop_begin(offsets, set * (queryBlocks + 1));
  return decode(llvm::SmallVector<int32_t>(row), lists.getEntries().getValues<int32_t>(), queryBlocks, keyBlocks, 1);
}

Classes decode(const rt::BlockLists &lists, int64_t head) {
  int64_t set = lists.setOf(head);
  return decode(lists.offsets.data() + set * (lists.queryBlocks + 1), lists.entries.data() + lists.starts[set],
                lists.queryBlocks, lists.keyBlocks, 2);
}

/// Pairs of blocks, over everything that was compared.
struct Counts {
  int64_t pairs = 0, mixed = 0, partial = 0;
};

/// What the lists claim wrongly; empty if nothing.
std::string compare(const Classes &lists, const Classes &truth, bool exact, Counts &counts) {
  for (size_t i = 0; i < truth.size(); ++i) {
    ++counts.pairs, counts.mixed += truth[i] == Partial, counts.partial += lists[i] == Partial;
    bool isSound = lists[i] == truth[i] || (lists[i] == Partial && !exact);
    if (!isSound)
      return fmt::format("pair {} of blocks: expected class {}, but got {}", i, truth[i], lists[i]);
  }
  return "";
}

/// Lowers a request to its plan and compares the plan's lists with the program's mask.
std::string checkPlan(const CompileRequest &request, bool exact, Counts &counts) {
  auto context = createContext();
  auto program = buildProgram(*context, request);
  if (!program)
    return program.message();
  if (rt::Status status = chooseTiles(**program); !status)
    return status.message();
  mlir::OwningOpRef<mlir::ModuleOp> plan = (*program)->clone();
  if (rt::Status status = lowerToPlan(*plan); !status)
    return status.message();
  BlockAttentionOp op;
  plan->walk([&](BlockAttentionOp found) { op = found; });
  if (!op.getLists())
    return ""; // the parameters decide: see the test of resolveLists
  Partitions blocks(op);
  int64_t queryBlocks = blocks.query.numBlocks(), keyBlocks = blocks.key.numBlocks();
  for (auto [held, attribute] : llvm::enumerate(op.getListsAttr()))
    for (int64_t head = 0; head < request.options.heads; ++head) {
      rt::GivenLists given = makeUniformGiven(queryBlocks, keyBlocks, held);
      Classes truth = blocks.classify(maskOfProgram(kernelOf(**program), {}, &given), head);
      Classes lists = decode(mlir::cast<BlockListsAttr>(attribute), head, queryBlocks, keyBlocks);
      if (std::string error = compare(lists, truth, exact, counts); !error.empty())
        return fmt::format("head {}, {} given: {}", head, held ? "with" : "without", error);
    }
  return "";
}

TEST(ClassificationTest, Examples) {
  for (const auto &file : std::filesystem::directory_iterator(WEFT_SOURCE_DIR "/examples")) {
    if (file.path().extension() != ".weft")
      continue;
    std::ostringstream text;
    text << std::ifstream(file.path()).rdbuf();
    for (GridShape grid : {GridShape{5, 7, 11, 9, false}, GridShape{13, 4, 6, 0, false}, GridShape{3, 10, 10, 33, true},
                           GridShape{1, 1, 1, 0, false}})
      for (int64_t block : {32, 128}) {
        CompileRequest request;
        request.source = text.str(), request.sourceName = file.path().filename();
        request.options.queryGrid = request.options.keyGrid = grid;
        request.options.heads = 2, request.options.block = block;
        Counts counts;
        EXPECT_EQ(checkPlan(request, /*exact=*/false, counts), "") << describe(request);
      }
  }
}

TEST(ClassificationTest, RandomPrograms) {
  uint64_t base = testSeed();
  constexpr int kPrograms = 600;
  Counts counts;
  for (int i = 0; i < kPrograms; ++i) {
    Random random(seedOf(base, i));
    RandomProgram program = makeProgram(random, {.maxTokens = 300, .given = 20, .rectangular = 25, .dynamic = 0, .sorted = 20});
    EXPECT_EQ(checkPlan(program.request, /*exact=*/false, counts), "")
        << "WEFT_TEST_SEED=" << seedOf(base, i) << "\n" << describe(program.request);
  }
  std::cout << "WEFT_TEST_SEED=" << base << ", " << kPrograms << " programs, " << counts.pairs << " pairs of blocks, "
            << counts.mixed << " mixed, " << counts.partial << " partial\n";
}

/// One condition per axis: ranges decide it without loss, so no pair is partial that need not be.
TEST(ClassificationTest, BoxesAreExact) {
  uint64_t base = testSeed();
  for (int i = 0; i < 120; ++i) {
    Random random(seedOf(base, i));
    auto axis = [&](const char *name) {
      std::string q = fmt::format("q.{}", name), k = fmt::format("k.{}", name);
      switch (random.range(0, 5)) {
      case 0:
      case 1:
        return fmt::format("abs({} - {}) <= {}", q, k, random.range(0, 4));
      case 2:
        return fmt::format("{} <= {}", k, q);
      case 3:
        return fmt::format("{} < {}", k, random.range(0, 5));
      case 4:
        return fmt::format("abs({} / 2 - {} / 2) <= {}", q, k, random.range(0, 2));
      default:
        return fmt::format("{} + {} > {}", q, k, random.range(0, 5));
      }
    };
    CompileRequest request;
    std::string order = random.chance(50) ? "tiles"
                                          : fmt::format("tiles(t: {}, h: {}, w: {})", random.range(1, 3),
                                                        random.range(1, 4), random.range(1, 5));
    request.source = fmt::format("attention a {{ order {} mask {} and {} and {} }}", order, axis("t"), axis("h"),
                                 axis("w"));
    request.options.queryGrid = request.options.keyGrid = makeGrid(random, 220);
    request.options.block = 32;
    Counts counts;
    EXPECT_EQ(checkPlan(request, /*exact=*/true, counts), "")
        << "WEFT_TEST_SEED=" << seedOf(base, i) << "\n" << describe(request);
  }
}

/// Tokens sorted by the residue of a lattice, on several grids.
void checkSorted(const char *mask, bool exact, Counts &counts) {
  for (GridShape grid : {GridShape{1, 8, 16, 0, false}, GridShape{4, 5, 7, 9, true}, GridShape{3, 11, 13, 2, false}}) {
    CompileRequest request;
    request.source = fmt::format("attention a {{ order by((token.h - token.w) mod 2) mask {} }}", mask);
    request.options.queryGrid = request.options.keyGrid = grid;
    request.options.block = 32;
    EXPECT_EQ(checkPlan(request, exact, counts), "") << describe(request);
  }
}

/// What one token decides is constant on blocks of tokens that are sorted by it, although their ranges do not tell.
TEST(ClassificationTest, SortedTokensAreExact) {
  Counts counts;
  for (const char *mask : {"k.h mod 2 == k.w mod 2", "q.h mod 2 == q.w mod 2 or k.h mod 2 != k.w mod 2",
                           "not (k.h mod 2 == k.w mod 2) and k.t < 2", "(q.h - q.w) mod 2 == 1 and q.text == k.text"})
    checkSorted(mask, /*exact=*/true, counts);
  EXPECT_LT(2 * counts.partial, counts.pairs);
}

/// A condition may be a part of another one and count by itself too: that one is evaluated token by token takes nothing
/// from the other.
TEST(ClassificationTest, ConditionsOfOneTokenInOthers) {
  Counts counts;
  for (const char *mask : {"(k.h < k.w) == (k.h mod 2 == k.w mod 2) or (k.h < k.w and q.t < 1)",
                           "(k.h mod 2 == k.w mod 2) != (k.h + k.w < 9) and (k.h + k.w < 9 or q.t > 0)",
                           "(q.h < q.w) == (q.h mod 2 == q.w mod 2) or not q.h < q.w"})
    checkSorted(mask, /*exact=*/false, counts);
  EXPECT_LT(counts.partial, counts.pairs);
}

/// Lists for the values of dynamic parameters: true to the predicate, and the same as if the values were static.
TEST(ClassificationTest, DynamicParameters) {
  uint64_t base = testSeed();
  Counts counts;
  for (int i = 0; i < 24; ++i) {
    Random random(seedOf(base, i));
    RandomProgram program = makeProgram(random, {.maxTokens = 160, .given = 0, .rectangular = 25, .dynamic = 100});
    SCOPED_TRACE(fmt::format("WEFT_TEST_SEED={}\n{}", seedOf(base, i), describe(program.request)));
    KernelResult kernel = compileKernel(program.request);
    ASSERT_TRUE(kernel) << kernel.message();
    auto context = createContext();
    auto module = buildProgram(*context, program.request);
    ASSERT_TRUE(module);
    ASSERT_TRUE(chooseTiles(**module));
    AttentionOp op;
    (*module)->walk([&](AttentionOp found) { op = found; });
    Partitions blocks(op);
    for (int j = 0; j < 4; ++j) {
      rt::RunArgs args;
      for (const rt::Parameter &parameter : (*kernel)->image().parameters)
        args.parameters.push_back(makeParameter(random, parameter.isBool));
      auto lists = (*kernel)->resolveLists(args);
      ASSERT_TRUE(lists) << lists.message();
      PairFunction mask = maskOfProgram(kernelOf(**module), args.parameters, nullptr);
      for (int64_t head = 0; head < program.request.options.heads; ++head)
        EXPECT_EQ(compare(decode(**lists, head), blocks.classify(mask, head), /*exact=*/false, counts), "");
    }
  }
}

TEST(ClassificationTest, DynamicListsEqualStaticLists) {
  auto request = [](const char *prefix, int radius) {
    CompileRequest request;
    request.source = fmt::format("attention a({}r: int = {}) {{ order tiles(t: 1, h: 3, w: 4) mask abs(q.t - k.t) <= r "
                                 "and abs(q.h - k.h) <= 2 * r or head == 1 and k.text }}",
                                 prefix, radius);
    request.options.queryGrid = request.options.keyGrid = {5, 7, 9, 6, false};
    request.options.heads = 2;
    return request;
  };
  KernelResult dynamic = compileKernel(request("dynamic ", 1));
  ASSERT_TRUE(dynamic) << dynamic.message();
  for (int radius : {0, 1, 2, 3, 100, -1}) {
    KernelResult fixed = compileKernel(request("", radius));
    ASSERT_TRUE(fixed) << fixed.message();
    rt::RunArgs args;
    auto expected = (*fixed)->resolveLists(args);
    args.parameters = {radius};
    auto actual = (*dynamic)->resolveLists(args);
    ASSERT_TRUE(expected && actual);
    EXPECT_EQ((*actual)->offsets, (*expected)->offsets) << radius;
    EXPECT_EQ((*actual)->entries, (*expected)->entries) << radius;
    EXPECT_EQ((*actual)->schedule, (*expected)->schedule) << radius;
  }
}

} // namespace
