// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of the interpreter of kernels: random programs, and what a kernel and its image must be.

#include "test/unit/Differential.h"
#include "test/unit/TileFixture.h"

#include "lib/Interpreter/Interpreter.h"
#include "passes/Passes.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Pass/PassManager.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <iostream>

using namespace mlir;
using namespace weft;
using namespace weft::test;

namespace {

/// A random program with its operands, and what became of it.
struct Case {
  RandomProgram program;
  rt::GivenLists given;
  int64_t batch = 1;
  Values query, key, value, bias, out, lse;
  /// Of the bias: batch or 1, heads or 1.
  std::vector<int64_t> biasSets = {1, 1};
  TestRows rows;
  bool hasLists = false, isTiled = false, isPaired = false;

  InterpreterArgs args() {
    const GenerateOptions &options = program.request.options;
    auto view = [&](Values &values, const GridShape &grid) {
      values.resize(batch * options.heads * grid.tokens() * options.headDim);
      return rt::Tensor::contiguous(values.data(), rt::DType::F64,
                                    {batch, options.heads, grid.tokens(), options.headDim});
    };
    InterpreterArgs args;
    args.tensors = {view(query, options.queryGrid), view(key, options.keyGrid), view(value, options.keyGrid)};
    args.parameters = program.parameters;
    auto viewLine = [](Values &values, int64_t batches, int64_t heads, const GridShape &grid) {
      values.resize(batches * heads * grid.tokens());
      return rt::Tensor::contiguous(values.data(), rt::DType::F64, {batches, heads, grid.tokens()});
    };
    if (program.usesBias)
      args.tensors.push_back(viewLine(bias, biasSets[0], biasSets[1], options.keyGrid));
    if (program.usesRows) {
      args.tensors.push_back(view(out, options.queryGrid));
      args.tensors.push_back(viewLine(lse, batch, options.heads, options.queryGrid));
      args.rowLists.push_back(rows.view());
    }
    if (program.usesGiven)
      args.given.push_back(given);
    return args;
  }
};

/// A plan to its tile steps.
bool formTiles(ModuleOp module, bool pairs, bool overlap = false) {
  PassManager manager(module.getContext());
  FormOnlineSoftmaxPassOptions options;
  options.pairs = pairs, options.overlap = overlap;
  manager.addPass(createFormOnlineSoftmaxPass(options));
  return succeeded(manager.run(module));
}

/// The first element that differs by more than 1e-9; empty if none does.
std::string compare(const char *name, const DoubleTensor &actual, const DoubleTensor &expected) {
  if (actual.shape != expected.shape)
    return fmt::format("{}: expected shape [{}], but got [{}]", name, fmt::join(expected.shape, ", "),
                       fmt::join(actual.shape, ", "));
  for (size_t i = 0; i < expected.data.size(); ++i) {
    double wanted = expected.data[i], came = actual.data[i];
    if (came != wanted && !(std::abs(came - wanted) <= 1e-9 * std::max(1.0, std::abs(wanted))))
      return fmt::format("{}: expected {} as element {}, but got {}", name, wanted, i, came);
  }
  return "";
}

/// What differs between the program and the plan's kernel; empty if nothing does.
std::string compareKernel(ModuleOp plan, bool pairs, bool overlap, const InterpreterArgs &args,
                          const InterpreterResult &expected) {
  OwningOpRef<ModuleOp> kernel = plan.clone();
  if (!formTiles(*kernel, pairs, overlap))
    return "forming the tile steps failed";
  FailureOr<InterpreterResult> actual = interpretKernel(*kernel, args);
  if (failed(actual))
    return "the interpreter of kernels failed";
  std::string error = compare("out", actual->out, expected.out);
  return error.empty() ? compare("lse", actual->lse, expected.lse) : error;
}

std::string checkCase(Random &random, Case &test, ProgramLimits limits) {
  test.program = makeProgram(random, limits);
  test.batch = random.pick<int64_t>({1, 1, 2});
  int64_t heads = test.program.request.options.heads;
  auto shared = [&](int64_t size) { return random.chance(50) ? 1 : size; };
  test.biasSets = {shared(test.batch), shared(heads)};
  test.rows = makeRows(random, {shared(test.batch), shared(heads)}, test.program.request.options.queryGrid.tokens());
  auto context = createContext();
  auto program = buildProgram(*context, test.program.request);
  if (!program)
    return program.message();
  if (rt::Status status = chooseTiles(**program); !status)
    return status.message();
  OwningOpRef<ModuleOp> plan = (*program)->clone();
  if (rt::Status status = lowerToPlan(*plan); !status)
    return status.message();

  BlockAttentionOp op;
  plan->walk([&](BlockAttentionOp found) { op = found; });
  test.hasLists = op.getLists().has_value(), test.isTiled = op.getQueryOrder().getTiled();
  test.isPaired = test.program.request.options.elementType == ElementType::BF16;
  test.given = makeGiven(random, test.program.request.options.heads,
                         countBlocks(op.getQueryGrid(), op.getQueryOrder(), op.getBlock()),
                         countBlocks(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()));
  InterpreterArgs args = test.args();
  for (Values *values : {&test.query, &test.key, &test.value, &test.bias, &test.out, &test.lse})
    for (double &element : *values)
      element = random.normal();
  FailureOr<InterpreterResult> expected = interpret(kernelOf(**program), args);
  if (failed(expected))
    return "the interpreter of programs failed";
  // Tile steps measure no recalls, and predict no lists.
  if (!expected->recognized.empty())
    args.choices = &expected->recognized.front();
  FailureOr<InterpreterResult> planned = interpret(kernelOf(*plan), args);
  if (failed(planned))
    return "the interpreter of plans failed";
  for (auto [name, part] : {std::pair("out", &InterpreterResult::out), {"lse", &InterpreterResult::lse}})
    if (std::string error = compare(name, (*planned).*part, (*expected).*part); !error.empty())
      return "plan: " + error;
  for (bool pairs : {false, true})
    for (bool overlap : {false, true})
      if (std::string error = compareKernel(*plan, pairs, overlap, args, *expected); !error.empty())
        return fmt::format("{} pairs, {} overlap: {}", pairs ? "with" : "without", overlap ? "with" : "without", error);
  return "";
}

TEST(TileInterpreterRandomTest, KernelsMeanTheirPrograms) {
  constexpr int count = 120;
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << ", " << count << " programs\n";
  int given = 0, dynamic = 0, text = 0, tiled = 0, rectangular = 0, paired = 0, bias = 0, rows = 0, reuse = 0;
  for (int i = 0; i < count; ++i) {
    Random random(seedOf(base, i));
    Case test;
    std::string error = checkCase(random, test, {.maxTokens = 100, .given = 30, .rectangular = 30, .dynamic = 40, .bias = 30, .rows = 30, .reuse = 30});
    ASSERT_EQ(error, "") << "WEFT_TEST_SEED=" << seedOf(base, i) << ", batch " << test.batch << ", parameters ["
                         << fmt::format("{}", fmt::join(test.program.parameters, ", ")) << "]\n"
                         << describe(test.program.request);
    const GenerateOptions &options = test.program.request.options;
    given += test.program.usesGiven, dynamic += !test.hasLists, tiled += test.isTiled, paired += test.isPaired;
    bias += test.program.usesBias, rows += test.program.usesRows, reuse += test.program.usesReuse;
    text += options.keyGrid.text > 0, rectangular += options.queryGrid.tokens() != options.keyGrid.tokens();
  }
  if (base == 20250101)
    for (int cases : {given, dynamic, text, tiled, rectangular, paired, bias, rows, reuse})
      EXPECT_GE(cases, 10) << "every kind of program should be among them";
}

TEST(TileInterpreterRandomTest, KernelsOfRecognizedHeadsMeanTheirPrograms) {
  constexpr int count = 40;
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << ", " << count << " programs\n";
  for (int i = 0; i < count; ++i) {
    Random random(seedOf(base, 500 + i));
    Case test;
    std::string error =
        checkCase(random, test, {.maxTokens = 100, .given = 30, .dynamic = 40, .bias = 20, .rows = 20, .recognized = 100});
    ASSERT_EQ(error, "") << "WEFT_TEST_SEED=" << seedOf(base, 500 + i) << ", batch " << test.batch << "\n"
                         << describe(test.program.request);
  }
}

/// A kernel of two heads with 40 tokens that each see the tokens near them and what is given.
class KernelTest : public TileFixture {
protected:
  void SetUp() override {
    CompileRequest request;
    request.source = "attention a(dynamic radius: int = 1, dynamic enable: bool) {\n"
                     "  mask (abs(q.t - k.t) <= radius and enable) or given\n}\n";
    request.options.queryGrid = request.options.keyGrid = GridShape{5, 2, 4, 0, false};
    request.options.heads = 2, request.options.headDim = 32, request.options.block = 32;
    auto program = buildProgram(*context, request);
    ASSERT_TRUE(program) << program.message();
    kernel = std::move(*program);
    ASSERT_TRUE(lowerToPlan(*kernel));
    ASSERT_TRUE(formTiles(*kernel, false));
    args.parameters = {1, 1};
    args.given.push_back(makeUniformGiven(2, 2, true));
    args.tensors.assign(3, tensor({1, 2, 40, 32}));
  }

  rt::Tensor tensor(std::vector<int64_t> shape) {
    return rt::Tensor::contiguous(zeros.data(), rt::DType::F32, std::move(shape));
  }

  /// Interprets the kernel; the error, or nothing.
  std::string errorOf() {
    message.clear();
    FailureOr<InterpreterResult> result = interpretKernel(*kernel, args);
    EXPECT_EQ(failed(result), !message.empty());
    return message;
  }

  DictionaryAttr image() { return (*kernel)->getAttrOfType<DictionaryAttr>("weft.image"); }
  void setImage(StringRef name, Attribute value) {
    NamedAttrList attributes(image());
    if (value)
      attributes.set(name, value);
    else
      attributes.erase(name);
    (*kernel)->setAttr("weft.image", attributes.getDictionary(context.get()));
  }
  Attribute parseImagePart(StringRef text) { return parseAttribute(text, context.get()); }

  std::vector<float> zeros = std::vector<float>(4 * 2 * 40 * 32);
  OwningOpRef<ModuleOp> kernel;
  InterpreterArgs args;
};

TEST_F(KernelTest, Arguments) {
  EXPECT_EQ(errorOf(), "");
  args.tensors[1] = tensor({2, 40, 32});
  EXPECT_EQ(errorOf(), "expected 'tensor<?x2x40x32xf32>' for argument 1, but got f32[2, 40, 32]");
  args.tensors[1] = tensor({1, 2, 41, 32});
  EXPECT_EQ(errorOf(), "expected 'tensor<?x2x40x32xf32>' for argument 1, but got f32[1, 2, 41, 32]");
  args.tensors[1] = tensor({2, 2, 40, 32});
  EXPECT_EQ(errorOf(), "expected the batch of argument 0 for argument 1, but got f32[2, 2, 40, 32]");
  args.tensors.pop_back(), args.tensors[1] = args.tensors[0];
  EXPECT_EQ(errorOf(), "expected a tensor for argument 2");
  args.tensors.assign(4, args.tensors[0]);
  EXPECT_EQ(errorOf(), "expected 3 tensors, 2 parameters, 1 given lists and 0 row lists, but got 4, 2, 1 and 0");
  args.tensors.pop_back(), args.parameters.pop_back();
  EXPECT_EQ(errorOf(), "expected a value for the parameter in argument 4");
  args.parameters = {1, 0}, args.given[0] = makeUniformGiven(3, 2, true);
  EXPECT_EQ(errorOf(), "'builtin.module' op given lists: expected 2 query blocks, but got 3");
  args.given.clear();
  EXPECT_EQ(errorOf(), "expected block lists for argument 5");
}

TEST_F(KernelTest, SampledRows) {
  args.rows = {39, 0};
  FailureOr<InterpreterResult> result = interpretKernel(*kernel, args);
  ASSERT_TRUE(succeeded(result)) << message;
  EXPECT_EQ(result->out.shape, (std::vector<int64_t>{1, 2, 2, 32}));
  EXPECT_NEAR(result->lse.at({0, 1, 0}), std::log(40), 1e-12);
  args.given[0] = makeUniformGiven(2, 2, false);
  result = interpretKernel(*kernel, args);
  ASSERT_TRUE(succeeded(result)) << message;
  EXPECT_NEAR(result->lse.at({0, 1, 0}), std::log(16), 1e-12) << "two frames";
  args.rows = {40};
  EXPECT_EQ(errorOf(), "expected rows from 0 to 39, but got 40");
}

TEST_F(KernelTest, NothingIsVisible) {
  args.parameters = {1, 0}, args.given[0] = makeUniformGiven(2, 2, false);
  FailureOr<InterpreterResult> result = interpretKernel(*kernel, args);
  ASSERT_TRUE(succeeded(result)) << message;
  for (double element : result->out.data)
    EXPECT_EQ(element, 0);
  for (double element : result->lse.data)
    EXPECT_EQ(element, -infinity);
}

TEST_F(KernelTest, Image) {
  setImage("lists", parseImagePart("[#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, "
                                   "entries = dense<[0, 4]> : tensor<2xi32>>]"));
  EXPECT_EQ(errorOf().substr(0, 62), "expected weft.image with lists for 2 heads and 2x2 blocks, but");
  setImage("lists", parseImagePart("[]"));
  EXPECT_EQ(errorOf(), "expected weft.image with one list, or two if lists are given, but got 0");
  setImage("lists", {});
  EXPECT_EQ(errorOf(), "");
  for (const char *reuse : {"{window = 2 : i64, query_axes = \"t\"}", "{threshold = 0.5 : f64, query_axes = \"t\"}",
                            "{window = 2 : i64, parameter = 0 : i64}", "{window = 2 : i64, parameter = 7 : i64}"}) {
    setImage("reuse", parseImagePart(reuse));
    EXPECT_EQ(errorOf().substr(0, 68), "expected weft.image with a window and a threshold of reuse, but got ");
  }
  setImage("reuse", {});
  setImage("parameters", parseImagePart("[3]"));
  EXPECT_EQ(errorOf(), "expected weft.image with integers and f64 as parameters, but got 3 : i64");
  setImage("query_order", parseImagePart("#weft.order<tiles>"));
  EXPECT_EQ(errorOf(), "expected weft.image with orders that have their tile sizes chosen");
  setImage("block", parseImagePart("0"));
  EXPECT_EQ(errorOf(), "expected weft.image with block of at least 1, but got 0");
  setImage("dtype", parseImagePart("i32"));
  EXPECT_EQ(errorOf(), "expected weft.image with floats, but got 'i32'");
  setImage("heads", {});
  setImage("dtype", parseImagePart("f32"));
  EXPECT_EQ(errorOf(), "expected weft.image with heads");
  (*kernel)->removeAttr("weft.image");
  EXPECT_EQ(errorOf(), "expected the attribute weft.image, which weft-form-online-softmax leaves");
}

TEST_F(KernelTest, TileBytesOfTheImageAreUsed) {
  setImage("scratch_bytes", parseImagePart("64"));
  EXPECT_EQ(errorOf().substr(0, 63), "'func.func' op expected a view within 64 bytes, but got one fro");
  setImage("key_tile_bytes", parseImagePart("2048"));
  EXPECT_EQ(errorOf(), "'func.func' op expected a view within 2048 bytes, but got one from byte 0 to 4096");
}

TEST_F(KernelTest, Functions) {
  kernel->lookupSymbol("a.attend")->erase();
  EXPECT_EQ(errorOf(), "expected a function a.attend");
  OwningOpRef<ModuleOp> other = parse("func.func @a.attend(%q: index) { return }");
  kernel->push_back(other->lookupSymbol("a.attend")->clone());
  EXPECT_EQ(errorOf(), "expected 22 arguments, but got 1");
}

} // namespace
