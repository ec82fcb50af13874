// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes well-typed programs, mixing the shapes of real masks with arbitrary expressions.

#include "test/unit/RandomPrograms.h"

#include "lib/Interpreter/Ops.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/ErrorHandling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

using namespace mlir;
using namespace weft;
using namespace weft::test;

uint64_t test::testSeed() {
  const char *text = std::getenv("WEFT_TEST_SEED");
  return text ? std::strtoull(text, nullptr, 0) : 20250101;
}

uint64_t test::seedOf(uint64_t seed, int64_t index) { return seed + index * 0x9e3779b97f4a7c15u; }

double Random::normal() {
  double sum = 0;
  for (int i = 0; i < 4; ++i)
    sum += static_cast<double>(engine() >> 11) / (uint64_t(1) << 53) - 0.5;
  return sum * 1.7320508;
}

namespace {

/// Writes one file.
class Writer {
public:
  Writer(Random &random, const ProgramLimits &limits, RandomProgram &program)
      : random(random), limits(limits), program(program) {}

  void write() {
    writeParameters();
    writeLet();
    int64_t count = random.range(0, 2);
    for (int64_t i = 0; i < count; ++i)
      writePattern(fmt::format("p{}", i));
    std::string clauses = order();
    if (random.chance(95))
      clauses += fmt::format("  mask {}\n", mask());
    // Who asks for none gets the programs of before.
    if (limits.bias && (program.usesBias = random.chance(limits.bias)))
      clauses += "  bias given\n";
    if (limits.rows && (program.usesRows = random.chance(limits.rows)))
      clauses += "  rows given\n";
    if (limits.selectedRows && (program.selectsRows = random.chance(limits.selectedRows)))
      clauses += fmt::format("  rows {}\n", selectedRows());
    if (limits.reuse && random.chance(limits.reuse))
      clauses += reuse();
    program.request.source =
        definitions + fmt::format("attention {}({}) {{\n{}}}\n", limits.name, attentionParameters, clauses);
  }

private:
  void writeParameters() {
    auto declare = [&](const char *prefix, const std::string &name, const char *type, const std::string &value) {
      attentionParameters += (attentionParameters.empty() ? "" : ", ") +
                             fmt::format("{}{}: {} = {}", prefix, name, type, value);
    };
    auto boolean = [&] { return random.chance(50) ? "true" : "false"; };
    if (random.chance(50)) {
      declare("", "size", "int", std::to_string(random.range(1, 5)));
      integers.push_back("size"), divisors.push_back("size");
      if (random.chance(50))
        program.request.options.values["size"] = {Kind::Int, static_cast<int32_t>(random.range(1, 5))};
    }
    if (random.chance(25)) {
      declare("", "flag", "bool", boolean());
      booleans.push_back("flag");
      if (random.chance(50))
        program.request.options.values["flag"] = {Kind::Bool, random.chance(50)};
    }
    if (!random.chance(limits.dynamic))
      return;
    declare("dynamic ", "radius", "int", std::to_string(random.range(0, 4)));
    integers.push_back("radius");
    dynamic.push_back(false);
    if (random.chance(40)) {
      declare("dynamic ", "enable", "bool", boolean());
      booleans.push_back("enable");
      dynamic.push_back(true);
    }
    if (limits.predicted || limits.selectedRows || limits.recognized) {
      declare("dynamic ", "amount", "float", share());
      floats = "amount";
    }
    if (limits.reuse)
      declare("dynamic ", "theta", "float", "0.15"), hasTheta = true;
    int64_t given = random.range(0, dynamic.size()); // the others take their defaults
    for (int64_t i = 0; i < given; ++i)
      program.parameters.push_back(makeParameter(random, dynamic[i]));
  }

  void writeLet() {
    std::vector<std::string> outer = std::exchange(integers, {"x"}), outerDivisors = std::exchange(divisors, {"y"});
    std::vector<std::string> outerBooleans = std::exchange(booleans, {});
    definitions += fmt::format("let f(x: int, y: int = 3) = {}\n", integer(2));
    integers = outer, divisors = outerDivisors, booleans = outerBooleans;
    hasLet = true;
  }

  void writePattern(const std::string &name) {
    std::vector<std::string> outer = std::exchange(integers, {"c"}), outerDivisors = std::exchange(divisors, {});
    std::vector<std::string> outerBooleans = std::exchange(booleans, {"on"});
    definitions += fmt::format("pattern {}(c: int = {}, on: bool = true) = {}\n", name, random.range(0, 4), boolean(2));
    integers = outer, divisors = outerDivisors, booleans = outerBooleans;
    patterns.push_back(name);
  }

  std::string order() {
    if (limits.sorted && random.chance(limits.sorted))
      return sortedBy();
    switch (random.range(0, 6)) {
    case 0:
      return "";
    case 1:
      return "  order raster\n";
    case 2:
    case 3:
      return "  order tiles\n";
    case 4:
      return box(/*joinsFrames=*/true);
    default:
      return box(/*joinsFrames=*/false);
    }
  }

  std::string sortedBy() {
    auto key = [&] {
      int64_t number = random.range(1, 5);
      const char *axis = random.pick({"token.t", "token.h", "token.w"});
      switch (random.range(0, 4)) {
      case 0:
        return fmt::format("(token.h - token.w) mod {}", number);
      case 1:
        return fmt::format("{} / {}", axis, number);
      case 2:
        return fmt::format("({} + {} * token.t) mod {}", axis, number, random.range(1, 7));
      case 3:
        return fmt::format("token.h * grid.w - {}", axis);
      default:
        return std::string(axis);
      }
    };
    std::string keys = random.range(0, 2) ? "" : fmt::format("first: {}, ", random.range(0, 3));
    int64_t count = random.range(1, 3);
    for (int64_t i = 0; i < count; ++i)
      keys += (i ? ", " : "") + key();
    return fmt::format("  order by({})\n", keys);
  }

  std::string box(bool joinsFrames) {
    const GenerateOptions &options = program.request.options;
    int64_t t, h, w;
    auto fits = [&](const GridShape &grid) {
      int64_t frames = joinsFrames ? 1 : grid.t, rows = joinsFrames ? grid.t * grid.h : grid.h;
      return std::min(t, frames) * std::min(h, rows) * std::min<int64_t>(w, grid.w) <= limits.maxBox;
    };
    do {
      t = joinsFrames ? 1 : random.range(1, 4), h = random.range(1, joinsFrames ? 12 : 6), w = random.range(1, 10);
    } while (!fits(options.queryGrid) || !fits(options.keyGrid));
    std::string first = random.range(0, 2) ? "" : fmt::format("first: {}, ", random.range(0, 3));
    std::string frames = joinsFrames ? "" : fmt::format("t: {}, ", t);
    return fmt::format("  order tiles({}{}h: {}, w: {})\n", first, frames, h, w);
  }

  std::string mask() {
    program.isRecognized = limits.recognized && random.chance(limits.recognized);
    if (program.isRecognized)
      return withRecognition();
    program.isPredicted = limits.predicted && random.chance(limits.predicted);
    if (program.isPredicted)
      return withLists(prediction());
    if (!random.chance(limits.given))
      return boolean(3);
    program.usesGiven = true;
    return withLists("given");
  }

  std::string withLists(const std::string &lists) {
    switch (random.range(0, 3)) {
    case 0:
      return lists;
    case 1:
      return fmt::format("{} or {}", lists, boolean(2));
    case 2:
      return fmt::format("{} and {}", lists, boolean(1));
    default:
      return fmt::format("({}) and (not {} or {})", boolean(1), lists, boolean(1));
    }
  }

  /// With block lists in some masks.
  std::string withRecognition() {
    std::string lists = withLists(recognition());
    if (random.chance(20) && limits.given) {
      program.usesGiven = true;
      return fmt::format("{} {} given", lists, random.pick({"and", "or", "and not"}));
    }
    return lists;
  }

  std::string recognition() {
    int64_t count = random.range(1, 4);
    std::string text = "recognize(";
    for (int64_t i = 0; i < count; ++i)
      text += fmt::format("{} on {}, ", random.chance(70) ? leaf() : boolean(2), random.pick({"local", "global"}));
    bool hasFallback = count == 1 || random.chance(50);
    if (hasFallback)
      text += boolean(1) + ", ";
    if (hasFallback || random.chance(50))
      return text + "recall: " + (floats.empty() || random.chance(30) ? share() : floats) + ")";
    text.resize(text.size() - 2);
    return text + ")";
  }

  std::string prediction() {
    std::string parts =
        random.pick({"topk(block_mean, keep: ", "topp(block_mean, mass: ", "threshold(block_mean, score: "});
    parts += floats.empty() || random.chance(30) ? share() : floats;
    if (random.chance(30))
      parts += fmt::format(", min: {}", random.range(0, 3));
    if (random.chance(40))
      parts += fmt::format(", pool: {}", random.pick({1, 3, 16, 32, 100}));
    return parts + ")";
  }
  std::string selectedRows() {
    std::string parts = "topk(importance, keep: ";
    parts += floats.empty() || random.chance(50) ? share() : floats;
    if (random.chance(30))
      parts += fmt::format(", min: {}", random.range(0, 40));
    if (random.chance(50))
      parts += fmt::format(", age: {}", random.pick({"0.0", "0.1", "2.5"}));
    parts += ")";
    while (random.chance(30))
      parts += " or " + random.pick<std::string>({"q.text", "q.t < 1", "(q.h + q.w) mod 3 == 1", "q.text_index == 2",
                                                  "not q.t == grid.t / 2 and q.index mod 5 == 0", "false"});
    return parts;
  }
  std::string share() { return random.pick({"0.0", "0.1", "0.25", "0.5", "0.7", "1.0"}); }

  /// Nothing if no window fits into the grids.
  std::string reuse() {
    const GenerateOptions &options = program.request.options;
    auto fits = [&](int64_t window, auto extent) {
      return window <= std::min(extent(options.queryGrid), extent(options.keyGrid));
    };
    int64_t window = random.pick({2, 2, 3, 4});
    std::string axes;
    if (fits(window, [](const GridShape &grid) { return grid.t; }))
      axes += " t";
    if (fits(window, [](const GridShape &grid) { return grid.h; }))
      axes += " h";
    if (fits(window, [](const GridShape &grid) { return grid.w; }))
      axes += " w";
    if (axes.empty())
      return "";
    program.usesReuse = true;
    if (random.chance(30))
      axes.resize(2);
    return fmt::format("  reuse neighbours({}, threshold: {}, window: {}{})\n", random.pick({"channel", "token"}),
                       hasTheta && random.chance(70) ? "theta" : random.pick({"0.15", "0.0", "9.0"}), window,
                       random.chance(50) ? ", axes:" + axes : "");
  }

  std::string side() { return random.pick({"q", "k"}); }
  std::string axis() { return random.pick({"t", "h", "w"}); }
  std::string small() {
    if (!integers.empty() && random.chance(40))
      return random.pick(integers);
    return std::to_string(random.range(0, 5));
  }
  std::string divisor() {
    if (!divisors.empty() && random.chance(30))
      return random.pick(divisors);
    if (random.chance(15))
      return "grid." + axis();
    return std::to_string(random.pick({1, 2, 2, 3, 4, 5, 7, 8, 13, 64}));
  }

  std::string atom() {
    switch (random.range(0, 9)) {
    case 0:
      return std::to_string(random.range(0, 9));
    case 1:
      return random.chance(10) ? "2147483647" : std::to_string(random.range(0, 2000));
    case 2:
      return small();
    case 3:
      return "head";
    case 4:
      return "grid." + random.pick<std::string>({"t", "h", "w", "text"});
    case 5:
      return side() + ".index";
    default:
      return side() + "." + axis();
    }
  }

  std::string integer(int depth) {
    if (depth == 0)
      return atom();
    auto sub = [&] { return integer(depth - 1); };
    switch (random.range(0, 11)) {
    case 0:
    case 1:
      return fmt::format("({} + {})", sub(), sub());
    case 2:
    case 3:
      return fmt::format("({} - {})", sub(), sub());
    case 4:
      return fmt::format("({} * {})", sub(), sub());
    case 5:
      return fmt::format("(-{})", sub());
    case 6:
      return fmt::format("abs({})", sub());
    case 7:
      return fmt::format("min({}, {})", sub(), sub());
    case 8:
      return fmt::format("max({}, {})", sub(), sub());
    case 9:
      return fmt::format("({} / {})", sub(), divisor());
    case 10:
      return fmt::format("({} mod {})", sub(), divisor());
    default:
      return hasLet ? fmt::format("f({}, {})", sub(), divisor()) : atom();
    }
  }

  std::string comparison() { return random.pick({"==", "!=", "<", "<=", ">", ">="}); }

  std::string near(const std::string &axis) { return fmt::format("abs(q.{0} - k.{0}) <= {1}", axis, small()); }

  std::string leaf() {
    switch (random.range(0, 14)) {
    case 0:
    case 1:
      return near(axis());
    case 2:
      return fmt::format("({} and {} and {})", near("t"), near("h"), near("w"));
    case 3:
      return fmt::format("abs(q.index - k.index) <= {} * 9", small());
    case 4:
      return fmt::format("({}.{} + {}.{}) mod {} == {}", side(), axis(), side(), axis(), divisor(), random.range(0, 2));
    case 5:
      return "k.index <= q.index";
    case 6:
      return fmt::format("{}.{} < {}", side(), axis(), small());
    case 7:
      return random.pick({"q.text", "k.text", "(q.text or k.text)", "q.text == k.text", "q.text != k.text",
                          "k.text_index < 7", "q.text_index <= k.text_index"});
    case 8:
      return random.pick({"head == 0", "head < 2", "head mod 2 == 0"});
    case 9:
      return fmt::format("q.{0} / {1} == k.{0} / {1}", axis(), divisor());
    case 10:
      return booleans.empty() ? random.pick({"true", "false"}) : random.pick(booleans);
    case 11:
      return patterns.empty() ? near("t") : fmt::format("{}({})", random.pick(patterns), small());
    default:
      return fmt::format("{} {} {}", integer(2), comparison(), integer(random.range(0, 2)));
    }
  }

  std::string boolean(int depth) {
    if (depth == 0 || random.chance(20))
      return leaf();
    auto sub = [&] { return boolean(depth - 1); };
    switch (random.range(0, 7)) {
    case 0:
    case 1:
    case 2:
      return fmt::format("({} or {})", sub(), sub());
    case 3:
    case 4:
    case 5:
      return fmt::format("({} and {})", sub(), sub());
    case 6:
      return fmt::format("(not ({}))", sub());
    default:
      return fmt::format("(({}) {} ({}))", sub(), random.pick({"==", "!="}), sub());
    }
  }

  Random &random;
  const ProgramLimits &limits;
  RandomProgram &program;
  std::string definitions, attentionParameters;
  /// What an expression may name here.
  std::vector<std::string> integers, booleans, divisors, patterns;
  std::vector<bool> dynamic;
  /// A parameter of kind float, if there is one.
  std::string floats;
  bool hasLet = false, hasTheta = false;
};

} // namespace

GridShape test::makeGrid(Random &random, int64_t maxTokens) {
  const std::vector<int64_t> extents = {1, 2, 3, 4, 5, 7, 8, 11, 13, 17, 30, 31};
  GridShape grid;
  do {
    grid.t = random.pick(extents), grid.h = random.pick(extents), grid.w = random.pick(extents);
    grid.text = random.chance(50) ? 0 : random.range(1, 40);
    grid.textFirst = grid.text && random.chance(40);
  } while (grid.tokens() > maxTokens || (grid.tokens() < maxTokens / 10 && random.chance(70)));
  return grid;
}

int64_t test::makeParameter(Random &random, bool isBool) {
  if (isBool)
    return random.range(0, 1);
  return random.chance(10) ? random.pick<int64_t>({INT32_MIN, INT32_MAX, -1, 1000}) : random.range(0, 6);
}

RandomProgram test::makeProgram(Random &random, const ProgramLimits &limits) {
  RandomProgram program;
  program.request.sourceName = "random.weft";
  GenerateOptions &options = program.request.options;
  options.queryGrid = options.keyGrid = makeGrid(random, limits.maxTokens);
  if (!limits.recognized && random.chance(limits.rectangular))
    options.keyGrid = makeGrid(random, limits.maxTokens);
  options.heads = random.range(1, 3);
  options.headDim = random.chance(40) ? random.pick<int64_t>({64, 72, 96, 128}) : random.range(4, 32) * 8;
  options.elementType = random.pick({ElementType::F32, ElementType::BF16, ElementType::F16});
  options.block = random.chance(50) ? 32 : random.range(1, 8) * 32;
  if (random.chance(40))
    options.scale = random.pick({0.25, 0.7, 1.0, 2.5}) / std::sqrt(static_cast<double>(options.headDim));
  Writer(random, limits, program).write();
  return program;
}

rt::GivenLists test::makeGiven(Random &random, int64_t heads, int64_t queryBlocks, int64_t keyBlocks) {
  rt::GivenLists given;
  given.lists = random.chance(50) ? 1 : heads;
  given.queryBlocks = queryBlocks;
  int percent = random.pick({0, 20, 50, 100});
  for (int64_t set = 0; set < given.lists; ++set) {
    given.offsets.push_back(given.keyBlocks.size());
    for (int64_t row = 0; row < queryBlocks; ++row) {
      for (int64_t block = 0; block < keyBlocks; ++block)
        if (random.chance(percent))
          given.keyBlocks.push_back(block);
      given.offsets.push_back(given.keyBlocks.size());
    }
  }
  return given;
}

rt::GivenLists test::makeUniformGiven(int64_t queryBlocks, int64_t keyBlocks, bool held) {
  rt::GivenLists given;
  given.queryBlocks = queryBlocks;
  given.offsets.push_back(0);
  for (int64_t row = 0; row < queryBlocks; ++row) {
    for (int64_t block = 0; held && block < keyBlocks; ++block)
      given.keyBlocks.push_back(block);
    given.offsets.push_back(given.keyBlocks.size());
  }
  return given;
}

static std::string describeGrid(const GridShape &grid) {
  return fmt::format("{}x{}x{} text {}{}", grid.t, grid.h, grid.w, grid.text, grid.textFirst ? " before" : "");
}

std::string test::describe(const CompileRequest &request) {
  const GenerateOptions &options = request.options;
  std::string text = request.source;
  text += fmt::format("query {}, key {}, heads {}, head dim {}, type {}, block {}, target {}",
                      describeGrid(options.queryGrid), describeGrid(options.keyGrid), options.heads, options.headDim,
                      std::vector{"f32", "bf16", "f16"}[static_cast<int>(options.elementType)], options.block,
                      request.target);
  if (options.scale)
    text += fmt::format(", scale {}", *options.scale);
  for (const auto &[name, value] : options.values)
    text += fmt::format(", {} = {}", name, value.value);
  return text;
}

func::FuncOp test::kernelOf(ModuleOp module) { return *module.getOps<func::FuncOp>().begin(); }

rt::Status test::chooseTiles(ModuleOp module) {
  PassManager manager(module.getContext());
  manager.addPass(createChooseTilesPass());
  return succeeded(manager.run(module)) ? rt::Status::ok() : rt::Status::error("expected tiles to be chosen");
}

namespace {

/// Binds the function's integers and given lists.
interp::Scope bindArguments(func::FuncOp function, const std::vector<int64_t> &parameters,
                            const rt::GivenLists *given) {
  interp::Scope scope;
  size_t next = 0;
  for (BlockArgument argument : function.getArguments()) {
    if (isa<BlocksType>(argument.getType()))
      scope.bind(argument, given);
    if (!argument.getType().isInteger())
      continue;
    int64_t value = 0;
    if (next < parameters.size())
      value = parameters[next];
    else if (auto initial = function.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                                   WeftDialect::kParameterDefaultAttrName))
      value = initial.getValue().getSExtValue();
    ++next;
    scope.bind(argument, interp::wrap(value, argument.getType().getIntOrFloatBitWidth()));
  }
  return scope;
}

/// The kernel's only op of type `Op`.
template <typename Op> Op findOp(func::FuncOp function) {
  Op result;
  function.walk([&](Op op) { result = op; });
  if (!result)
    llvm::report_fatal_error("expected an attention in the function");
  return result;
}

/// Where tokens are.
struct Blocks {
  interp::TokenBlocks query, key;
  template <typename Op>
  explicit Blocks(Op op)
      : query(op.getQueryGrid(), op.getQueryOrder(), op.getBlock()),
        key(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()) {}
  interp::Pair pair(int64_t head, int32_t q, int32_t k) const {
    return {0, 1, head, q, k, query.blockOf[q], key.blockOf[k]};
  }
};

/// The entries of one list set: 0 for none, 1 full, 2 partial.
std::vector<uint8_t> decode(BlockListsAttr lists, int64_t keyBlocks) {
  auto offsets = lists.getOffsets().getValues<int32_t>();
  auto entries = lists.getEntries().getValues<int32_t>();
  ArrayRef<int64_t> shape = lists.getOffsets().getType().getShape();
  std::vector<uint8_t> classes(shape[0] * (shape[1] - 1) * keyBlocks);
  for (int64_t set = 0; set < shape[0]; ++set)
    for (int64_t row = 0; row + 1 < shape[1]; ++row)
      for (int32_t i = offsets[set * shape[1] + row]; i < offsets[set * shape[1] + row + 1]; ++i)
        classes[(set * (shape[1] - 1) + row) * keyBlocks + (entries[i] >> 1)] = 1 + (entries[i] & 1);
  return classes;
}

} // namespace

PairFunction test::maskOfProgram(func::FuncOp function, const std::vector<int64_t> &parameters,
                                 const rt::GivenLists *given) {
  interp::Scope scope = bindArguments(function, parameters, given);
  for (Operation &op : function.front()) {
    LogicalResult result =
        llvm::TypeSwitch<Operation *, LogicalResult>(&op)
            .Case<ConstantMaskOp, GivenOp, MaskAndOp, MaskNotOp, MaskOrOp, PredicateOp>(
                [&](auto mask) { return interp::evaluate(mask, scope); })
            .Default(success());
    if (failed(result))
      llvm::report_fatal_error("expected masks that the interpreter can evaluate");
  }
  auto attention = findOp<AttentionOp>(function);
  if (!attention.getMask())
    return [](int64_t, int32_t, int32_t) { return true; };
  auto blocks = std::make_shared<Blocks>(attention);
  return [blocks, mask = scope.get<interp::Mask>(attention.getMask())](int64_t head, int32_t query, int32_t key) {
    return mask.contains(blocks->pair(head, query, key));
  };
}

PairFunction test::maskOfPlan(func::FuncOp function, const std::vector<int64_t> &parameters,
                              const rt::GivenLists *given) {
  interp::Scope scope = bindArguments(function, parameters, given);
  auto attention = findOp<BlockAttentionOp>(function);
  auto blocks = std::make_shared<Blocks>(attention);
  interp::Mask predicate;
  if (!attention.getBody().empty()) {
    auto mask = interp::makePredicateMask(attention.getBody(), attention.getQueryGrid(), attention.getKeyGrid(),
                                          attention.getGiven() ? given : nullptr, scope);
    if (failed(mask))
      llvm::report_fatal_error("expected a region that the interpreter can evaluate");
    predicate = *mask;
  }
  std::vector<std::vector<uint8_t>> lists;
  int64_t keyBlocks = blocks->key.partition.numBlocks(), queryBlocks = blocks->query.partition.numBlocks();
  if (attention.getLists())
    for (Attribute attribute : attention.getListsAttr())
      lists.push_back(decode(cast<BlockListsAttr>(attribute), keyBlocks));
  return [=](int64_t head, int32_t query, int32_t key) {
    interp::Pair pair = blocks->pair(head, query, key);
    if (lists.empty())
      return predicate.contains(pair);
    const std::vector<uint8_t> &classes = lists[lists.size() == 2 && interp::holds(*given, pair)];
    bool isOneSet = static_cast<int64_t>(classes.size()) == queryBlocks * keyBlocks;
    int64_t set = isOneSet ? 0 : head;
    uint8_t entry = classes[(set * queryBlocks + pair.queryBlock) * keyBlocks + pair.keyBlock];
    return entry == 1 || (entry == 2 && predicate.contains(pair));
  };
}
