// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The shapes of published models: one head each, against the interpreter on sampled rows.

#include "test/unit/RandomPrograms.h"

#include "lib/Compiler/Compiler.h"
#include "lib/Interpreter/Interpreter.h"
#include "lib/TensorFile/TensorFile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

using namespace weft;
using namespace weft::test;

namespace {

struct Model {
  const char *name;
  GridShape grid;
  int64_t headDim;
  /// A file of examples/ that leaves little enough to compute.
  const char *example;
  ElementType elementType = ElementType::BF16;
};

void PrintTo(const Model &model, std::ostream *stream) { *stream << model.name; }

const Model models[] = {
    {"Wan13B480p", {21, 30, 52, 0, false}, 128, "near"},
    {"Wan14B720p", {21, 45, 80, 0, false}, 128, "window"},
    {"HunyuanVideo720p", {33, 45, 80, 256, false}, 128, "window"},
    {"HunyuanVideo544p", {33, 34, 60, 256, false}, 128, "temporal"},
    {"CogVideoX480p", {13, 30, 45, 226, true}, 64, "radial"},
    {"OpenSoraPlan720p", {24, 45, 80, 0, false}, 96, "window"},
    {"Mochi480p", {28, 30, 53, 256, false}, 128, "spatial"},
    {"Flux1024", {1, 64, 64, 512, true}, 128, "dense"},
    {"OpenSoraSpatial", {1, 30, 54, 0, false}, 72, "dense"},
    {"Wan13B480pF32", {21, 30, 52, 0, false}, 128, "near", ElementType::F32},
    {"CogVideoX480pF32", {13, 30, 45, 226, true}, 64, "radial", ElementType::F32},
    {"OpenSoraSpatialF32", {1, 30, 54, 0, false}, 72, "dense", ElementType::F32},
    {"Wan13B480pF16", {21, 30, 52, 0, false}, 128, "near", ElementType::F16},
    {"CogVideoX480pF16", {13, 30, 45, 226, true}, 64, "radial", ElementType::F16},
    {"OpenSoraSpatialF16", {1, 30, 54, 0, false}, 72, "dense", ElementType::F16},
};

CompileRequest requestFor(const Model &model) {
  std::ostringstream text;
  text << std::ifstream(std::string(WEFT_SOURCE_DIR "/examples/") + model.example + ".weft").rdbuf();
  CompileRequest request;
  request.source = text.str();
  request.sourceName = model.example;
  request.options.queryGrid = request.options.keyGrid = model.grid;
  request.options.headDim = model.headDim;
  request.options.elementType = model.elementType;
  return request;
}

OwnedTensor allocate(rt::DType dtype, std::vector<int64_t> shape) {
  auto tensor = OwnedTensor::allocate(dtype, std::move(shape));
  if (!tensor)
    llvm::report_fatal_error("expected memory for a tensor");
  return *tensor;
}

rt::DType dtypeOf(const Model &model) {
  switch (model.elementType) {
  case ElementType::F32:
    return rt::DType::F32;
  case ElementType::BF16:
    return rt::DType::BF16;
  case ElementType::F16:
    return rt::DType::F16;
  }
  llvm_unreachable("all element types are above");
}

/// How far a kernel may be from the interpreter, relative to the root mean square.
double toleranceOf(const Model &model) { return model.elementType == ElementType::F32 ? 1e-5 : 4e-3; }

/// `convert` gives an element for a number.
template <typename Convert> void fill(OwnedTensor &tensor, uint64_t seed, Convert convert) {
  using Element = decltype(convert(0.0));
  Random random(seed);
  std::vector<Element> values(4093); // a prime: rows do not repeat
  for (Element &value : values)
    value = convert(random.normal());
  auto *data = static_cast<Element *>(tensor.view.data);
  for (int64_t i = 0, count = tensor.view.numElements(); i < count; ++i)
    data[i] = values[(i + i / 4093 * 7) % 4093];
}

OwnedTensor makeOperand(const Model &model, uint64_t seed) {
  OwnedTensor tensor = allocate(dtypeOf(model), {1, 1, model.grid.tokens(), model.headDim});
  if (model.elementType == ElementType::F32)
    fill(tensor, seed, [](double value) { return static_cast<float>(value); });
  else
    fill(tensor, seed, model.elementType == ElementType::BF16 ? rt::doubleToBf16 : rt::doubleToHalf);
  return tensor;
}

class ModelShapesTest : public testing::TestWithParam<Model> {};

TEST_P(ModelShapesTest, AgreesWithTheInterpreter) {
  const Model &model = GetParam();
  CompileRequest request = requestFor(model);
  KernelResult kernel = compileKernel(request);
  ASSERT_TRUE(kernel) << kernel.message();
  OwnedTensor query = makeOperand(model, 1), key = makeOperand(model, 2), value = makeOperand(model, 3);
  int64_t tokens = model.grid.tokens();
  OwnedTensor out = allocate(dtypeOf(model), {1, 1, tokens, model.headDim});
  OwnedTensor lse = allocate(rt::DType::F32, {1, 1, tokens});
  rt::RunArgs args;
  args.query = query.view, args.key = key.view, args.value = value.view, args.out = out.view, args.lse = lse.view;
  rt::Status status = (*kernel)->run(args);
  ASSERT_TRUE(status) << status.message();

  auto context = createContext();
  auto module = buildProgram(*context, request);
  ASSERT_TRUE(module);
  InterpreterArgs reference;
  reference.tensors = {query.view, key.view, value.view};
  reference.rows = {0, 1, tokens / 3, tokens / 2, tokens * 4 / 5, tokens - 1};
  auto expected = interpret(kernelOf(**module), reference);
  ASSERT_TRUE(mlir::succeeded(expected));
  double difference = 0, sum = 0;
  for (size_t i = 0; i < reference.rows.size(); ++i) {
    double expectedLse = expected->lse.data[i];
    EXPECT_NEAR(rt::loadAsDouble(lse.view.data, rt::DType::F32, reference.rows[i]), expectedLse,
                1e-4 * std::abs(expectedLse))
        << "row " << reference.rows[i];
    for (int64_t c = 0; c < model.headDim; ++c) {
      double wanted = expected->out.data[i * model.headDim + c];
      double value = rt::loadAsDouble(out.view.data, dtypeOf(model), reference.rows[i] * model.headDim + c);
      difference += (value - wanted) * (value - wanted), sum += wanted * wanted;
    }
  }
  EXPECT_LE(std::sqrt(difference / sum), toleranceOf(model));
}

INSTANTIATE_TEST_SUITE_P(Models, ModelShapesTest, testing::ValuesIn(models),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
