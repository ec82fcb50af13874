// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensors for weft-explain.

#include "tools/weft-explain/ExplainInputs.h"

#include "tools/weft-run/Cache.h"

#include <fmt/format.h>

#include <cstring>

using namespace weft;

static ExpectedShape shapeOf(const CompileRequest &request, const rt::KernelImage &image) {
  const GenerateOptions &wanted = request.options;
  return {wanted.heads, wanted.queryGrid.tokens(), wanted.keyGrid.tokens(), wanted.headDim, image.dtype,
          fmt::format("{}x{}x{}", wanted.queryGrid.t, wanted.queryGrid.h, wanted.queryGrid.w)};
}

static rt::Result<Inputs> zeroTensors(const ExpectedShape &shape) {
  auto make = [&](int64_t tokens) {
    auto tensor = OwnedTensor::allocate(shape.dtype, {1, shape.heads, tokens, shape.headDim});
    if (tensor)
      std::memset(tensor->view.data, 0, tensor->view.numElements() * rt::sizeOf(shape.dtype));
    return tensor;
  };
  auto query = make(shape.queryTokens), key = make(shape.keyTokens);
  if (!query || !key)
    return query ? key.status() : query.status();
  return Inputs{*query, *key, *key};
}

/// What is explained is the mask of all queries: an attention with rows gets all of them.
static rt::Status listAllRows(const CompileRequest &request, const rt::KernelImage &image, Inputs &inputs) {
  if (!image.hasRows)
    return rt::Status::ok();
  auto rows = randomRows(/*seed=*/1, /*share=*/1, shapeOf(request, image));
  auto cache = rows ? emptyCache(inputs, image.rowSelection.has_value()) : rt::Result<Results>(rows.status());
  if (!cache)
    return cache.status();
  inputs.rows = *rows, inputs.cache = *cache;
  return rt::Status::ok();
}

/// For an attention with a bias the one of the file, or zeros without a file.
static rt::Status addBias(const rt::KernelImage &image, const std::string &path, Inputs &inputs) {
  if (!image.hasBias)
    return rt::Status::ok();
  auto tensor = path.empty() ? OwnedTensor::allocate(rt::DType::F32, {1, 1, image.key.tokens}) : readBias(path);
  if (!tensor)
    return tensor.status();
  if (path.empty())
    std::memset(tensor->view.data, 0, tensor->view.numElements() * sizeof(float));
  inputs.bias = *tensor;
  return rt::Status::ok();
}

/// With all that the attention needs beside them.
static rt::Result<Inputs> complete(rt::Result<Inputs> inputs, const std::string &bias, const CompileRequest &request,
                                   const rt::KernelImage &image) {
  if (!inputs)
    return inputs;
  if (rt::Status status = listAllRows(request, image, *inputs); !status)
    return status;
  if (rt::Status status = addBias(image, bias, *inputs); !status)
    return status;
  return inputs;
}

rt::Result<Inputs> weft::makeInputs(const ExplainOptions &options, const CompileRequest &request,
                                    const rt::KernelImage &image) {
  ExpectedShape shape = shapeOf(request, image);
  return complete(options.input.empty() ? randomInputs(/*seed=*/1, /*batch=*/1, shape)
                                        : readInputs(options.input, options.bshd, shape),
                  options.bias, request, image);
}

rt::Result<Inputs> weft::makeZeros(const CompileRequest &request, const rt::KernelImage &image) {
  return complete(zeroTensors(shapeOf(request, image)), /*bias=*/"", request, image);
}
