// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading and making what is kept.

#include "tools/weft-run/Cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

using namespace weft;

/// [batch, query tokens].
static std::vector<int64_t> perToken(const Inputs &inputs) {
  return {inputs.query.view.shape[0], inputs.query.view.shape[2]};
}

static void fill(OwnedTensor &tensor, const std::function<double()> &number) {
  for (int64_t i = 0, count = tensor.view.numElements(); i < count; ++i)
    rt::storeFromDouble(tensor.view.data, tensor.view.dtype, i, number());
}

rt::Result<Results> weft::emptyCache(const Inputs &inputs, bool withAge) {
  auto cache = allocateResults(inputs);
  if (!cache || !withAge)
    return cache;
  auto age = OwnedTensor::allocate(rt::DType::I32, perToken(inputs));
  if (!age)
    return age.status();
  cache->age = *age;
  return cache;
}

static bool isFloat(rt::DType dtype) {
  return dtype == rt::DType::F32 || dtype == rt::DType::BF16 || dtype == rt::DType::F16 || dtype == rt::DType::F64;
}

/// Fills `wanted` from a tensor of its shape; floats may be of another type.
static rt::Status take(const TensorMap &file, const std::string &path, const char *name, OwnedTensor &wanted) {
  auto found = file.tensors.find(name);
  if (found == file.tensors.end())
    return rt::Status::error(fmt::format("{}: expected a tensor named '{}'", path, name));
  const rt::Tensor &view = found->second.view;
  bool hasType = view.dtype == wanted.view.dtype || (isFloat(view.dtype) && isFloat(wanted.view.dtype));
  if (!hasType || view.shape != wanted.view.shape)
    return rt::Status::error(
        fmt::format("{}: expected '{}' as {}, but got {}", path, name, wanted.view.describe(), view.describe()));
  auto contiguous = OwnedTensor::copyOf(view);
  if (!contiguous)
    return contiguous.status();
  int64_t next = 0;
  fill(wanted, [&] { return rt::loadAsDouble(contiguous->view.data, view.dtype, next++); });
  return rt::Status::ok();
}

rt::Result<Results> weft::readCache(const std::string &path, const Inputs &inputs, bool withAge) {
  auto cache = emptyCache(inputs, withAge);
  auto file = readTensorFile(path);
  if (!cache || !file)
    return cache ? file.status() : cache.status();
  for (auto [name, tensor] : {std::pair("out", &cache->out), {"lse", &cache->lse},
                              {"age", withAge ? &*cache->age : nullptr}}) {
    if (!tensor)
      continue;
    if (rt::Status status = take(*file, path, name, *tensor); !status)
      return status;
  }
  return cache;
}

rt::Result<Results> weft::randomCache(uint64_t seed, const Inputs &inputs, bool withAge) {
  auto cache = emptyCache(inputs, withAge);
  if (!cache)
    return cache;
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  double typical = std::log(static_cast<double>(inputs.key.view.shape[2]));
  fill(cache->out, [&] { return normal(generator); });
  fill(cache->lse, [&] { return typical + normal(generator); });
  if (withAge)
    fill(*cache->age, [&] { return static_cast<double>(generator() % 4); });
  return cache;
}

rt::Result<Results> weft::copyCache(const Results &cache) {
  auto out = OwnedTensor::copyOf(cache.out.view), lse = OwnedTensor::copyOf(cache.lse.view);
  if (!out || !lse)
    return out ? lse.status() : out.status();
  Results copy{*out, *lse, std::nullopt};
  if (!cache.age)
    return copy;
  auto age = OwnedTensor::copyOf(cache.age->view);
  if (!age)
    return age.status();
  copy.age = *age;
  return copy;
}

rt::Result<OwnedTensor> weft::readDrift(const std::string &path, const Inputs &inputs) {
  auto file = readTensorFile(path);
  if (!file)
    return file.status();
  if (file->tensors.size() != 1)
    return rt::Status::error(fmt::format("{}: expected one tensor, but got {}", path, file->tensors.size()));
  const OwnedTensor &drift = file->tensors.begin()->second;
  if (drift.view.dtype == rt::DType::F32 && drift.view.shape == perToken(inputs))
    return drift;
  return rt::Status::error(fmt::format("{}: expected f32[{}] for batch and query tokens, but got {}", path,
                                       fmt::join(perToken(inputs), ", "), drift.view.describe()));
}

rt::Result<OwnedTensor> weft::randomDrift(uint64_t seed, const Inputs &inputs) {
  auto drift = OwnedTensor::allocate(rt::DType::F32, perToken(inputs));
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  if (drift)
    fill(*drift, [&] { return std::abs(normal(generator)); });
  return drift;
}
