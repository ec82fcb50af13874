// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Requests, tensors and counts.

#include "bench/Problem.h"

#include "lib/Frontend/SourceFile.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>

using namespace weft;
using namespace weft::bench;

CompileRequest bench::textRequest(const std::string &source, GridShape grid) {
  CompileRequest request;
  request.source = source;
  request.options.queryGrid = request.options.keyGrid = grid;
  return request;
}

static CompileRequest fileRequest(const std::string &name, GridShape grid) {
  std::string path = std::string(WEFT_SOURCE_DIR) + "/" + name + ".weft", error;
  std::optional<SourceFile> file = SourceFile::read(path, error);
  if (!file) {
    std::fprintf(stderr, "%s\n", error.c_str());
    std::exit(1);
  }
  return textRequest(std::string(file->text()), grid);
}

CompileRequest bench::exampleRequest(const std::string &name, GridShape grid) {
  return fileRequest("examples/" + name, grid);
}

CompileRequest bench::methodRequest(const std::string &name, GridShape grid) {
  return fileRequest("lib/Methods/" + name, grid);
}

static OwnedTensor makeTensor(rt::DType dtype, std::vector<int64_t> shape) {
  auto tensor = OwnedTensor::allocate(dtype, std::move(shape));
  if (!tensor) {
    std::fprintf(stderr, "%s\n", tensor.message().c_str());
    std::exit(1);
  }
  return *tensor;
}

Operands::Operands(const rt::KernelImage &image, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  auto make = [&](int64_t tokens) {
    OwnedTensor tensor = makeTensor(image.dtype, {1, image.heads, tokens, image.headDim});
    for (int64_t i = 0, count = tensor.view.numElements(); i < count; ++i)
      rt::storeFromDouble(tensor.view.data, image.dtype, i, uniform(generator));
    return tensor;
  };
  query = make(image.query.tokens), key = make(image.key.tokens), value = make(image.key.tokens);
  out = makeTensor(image.dtype, query.view.shape);
  lse = makeTensor(rt::DType::F32, {1, image.heads, image.query.tokens});
  if (image.hasBias) {
    bias = makeTensor(rt::DType::F32, {1, image.heads, image.key.tokens});
    for (int64_t i = 0, count = bias.view.numElements(); i < count; ++i)
      rt::storeFromDouble(bias.view.data, rt::DType::F32, i, uniform(generator));
  }
  if (image.hasRows) {
    rowIndices = makeTensor(rt::DType::I32, {1, 1, image.query.tokens});
    rowCounts = makeTensor(rt::DType::I32, {1, 1});
    listRows(1);
  }
}

void Operands::listRows(double share, uint64_t seed) {
  auto *indices = static_cast<int32_t *>(rowIndices.view.data);
  int64_t tokens = rowIndices.view.shape[2];
  std::iota(indices, indices + tokens, 0);
  std::shuffle(indices, indices + tokens, std::mt19937_64(seed));
  *static_cast<int32_t *>(rowCounts.view.data) = static_cast<int32_t>(std::lround(share * tokens));
  rows = {rowIndices.view, rowCounts.view};
}

rt::RunArgs Operands::args(int threads, const rt::GivenLists *given) const {
  rt::RunArgs args;
  args.query = query.view, args.key = key.view, args.value = value.view;
  args.out = out.view, args.lse = lse.view;
  args.given = given, args.threads = threads;
  if (bias.view.data)
    args.bias = bias.view;
  if (rowCounts.view.data)
    args.rows = &rows;
  return args;
}

/// Random lists; `shareOf` gives the share of the key blocks that a query block names.
static rt::GivenLists makeLists(const rt::KernelImage &image, uint64_t seed,
                                const std::function<double(int64_t)> &shareOf) {
  std::mt19937_64 generator(seed);
  int64_t queryBlocks = image.query.count(), keyBlocks = image.key.count();
  std::vector<int32_t> blocks(keyBlocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  rt::GivenLists lists;
  lists.queryBlocks = queryBlocks;
  lists.offsets.push_back(0);
  for (int64_t i = 0; i < queryBlocks; ++i) {
    double share = shareOf(i);
    int64_t named = share > 0 ? std::clamp<int64_t>(std::lround(share * keyBlocks), 1, keyBlocks) : 0;
    std::sample(blocks.begin(), blocks.end(), std::back_inserter(lists.keyBlocks), named, generator);
    lists.offsets.push_back(lists.keyBlocks.size());
  }
  return lists;
}

rt::GivenLists bench::randomLists(const rt::KernelImage &image, double density, uint64_t seed) {
  return makeLists(image, seed, [&](int64_t) { return density; });
}

rt::GivenLists bench::unevenLists(const rt::KernelImage &image, uint64_t seed) {
  return makeLists(image, seed, [](int64_t queryBlock) { return queryBlock % 10 == 9 ? 1 : 0.15; });
}

rt::GivenLists bench::sparseRows(const rt::KernelImage &image, int64_t count) {
  int64_t stride = image.query.count() / count;
  return makeLists(image, /*seed=*/0, [&](int64_t queryBlock) {
    return queryBlock % stride == 0 && queryBlock / stride < count ? 1 : 0;
  });
}

double bench::countVisitedPairs(const rt::KernelImage &image, const rt::BlockLists &lists) {
  const rt::TokenBlocks &query = image.query, &key = image.key;
  double pairs = 0;
  for (int64_t head = 0; head < image.heads; ++head)
    for (int64_t i = 0, set = lists.setOf(head); i < lists.queryBlocks; ++i) {
      const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + i;
      double rows = query.offsets[i + 1] - query.offsets[i];
      for (int32_t e = offsets[0]; e < offsets[1]; ++e) {
        int32_t block = lists.entries[lists.starts[set] + e] >> 2;
        pairs += rows * (key.offsets[block + 1] - key.offsets[block]);
      }
    }
  return pairs;
}
