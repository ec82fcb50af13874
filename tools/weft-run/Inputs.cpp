// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading, converting and making inputs.

#include "tools/weft-run/Inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <random>
#include <sstream>

using namespace weft;

namespace {

/// Calls `body(index, offset)` for every element in row-major order, `offset` counting elements from `data`.
template <typename Body> void forEachElement(const rt::Tensor &tensor, Body body) {
  std::vector<int64_t> at(tensor.rank(), 0);
  int64_t offset = 0;
  for (int64_t index = 0, count = tensor.numElements(); index < count; ++index) {
    body(index, offset);
    for (int64_t axis = tensor.rank() - 1; axis >= 0; --axis) {
      offset += tensor.strides[axis];
      if (++at[axis] < tensor.shape[axis])
        break;
      offset -= tensor.strides[axis] * at[axis];
      at[axis] = 0;
    }
  }
}

rt::Result<OwnedTensor> convert(const rt::Tensor &source, rt::DType dtype) {
  auto result = OwnedTensor::allocate(dtype, source.shape);
  if (!result)
    return result;
  forEachElement(source, [&](int64_t index, int64_t offset) {
    rt::storeFromDouble(result->view.data, dtype, index, rt::loadAsDouble(source.data, source.dtype, offset));
  });
  return result;
}

rt::Result<OwnedTensor> pick(const TensorMap &file, const std::string &path, const char *shortName,
                             const char *longName, bool bshd, const ExpectedShape &shape, int64_t tokens) {
  auto found = file.tensors.find(shortName);
  if (found == file.tensors.end())
    found = file.tensors.find(longName);
  if (found == file.tensors.end())
    return rt::Status::error(fmt::format("{}: expected a tensor named '{}' or '{}'", path, shortName, longName));
  rt::Tensor view = found->second.view;
  bool isFloat = view.dtype == rt::DType::F32 || view.dtype == rt::DType::BF16 || view.dtype == rt::DType::F16 ||
                 view.dtype == rt::DType::F64;
  if (!isFloat)
    return rt::Status::error(fmt::format("{}: expected '{}' in a float type, but got {}", path, shortName,
                                         view.describe()));
  if (view.rank() != 4)
    return rt::Status::error(fmt::format("{}: expected '{}' of rank 4, but got {}", path, shortName, view.describe()));
  if (bshd)
    view = view.permuted({0, 2, 1, 3});
  if (view.shape[1] != shape.heads || view.shape[2] != tokens || view.shape[3] != shape.headDim || view.shape[0] < 1)
    return rt::Status::error(
        fmt::format("{}: expected '{}' as [batch, {} heads, {} tokens, {} channels] for this grid, but got {}", path,
                    shortName, shape.heads, tokens, shape.headDim, view.describe()));
  return convert(view, shape.dtype);
}

/// One file with three tensors, or three files with one tensor each: q, k and v.
rt::Result<TensorMap> readOperands(const std::string &paths) {
  if (paths.find(',') == std::string::npos)
    return readTensorFile(paths);
  static constexpr const char *names[] = {"q", "k", "v"};
  TensorMap operands;
  size_t count = 0;
  std::istringstream stream(paths);
  for (std::string path; std::getline(stream, path, ','); ++count) {
    auto file = readTensorFile(path);
    if (!file)
      return file.status();
    if (file->tensors.size() != 1)
      return rt::Status::error(fmt::format("{}: expected one tensor, but got {}", path, file->tensors.size()));
    if (count < std::size(names))
      operands.tensors[names[count]] = file->tensors.begin()->second;
  }
  if (count != std::size(names))
    return rt::Status::error(fmt::format("--input: expected one file, or three for q, k and v, but got {}", count));
  return operands;
}

/// A file that says which grid it is about must be about that of the request.
rt::Status checkGrid(const TensorMap &file, const std::string &path, const std::string &grid) {
  auto named = file.metadata.find("grid");
  if (named == file.metadata.end() || named->second == grid)
    return rt::Status::ok();
  return rt::Status::error(
      fmt::format("{}: expected --grid={}, as its metadata says, but got {}", path, named->second, grid));
}

} // namespace

rt::Result<Inputs> weft::readInputs(const std::string &path, bool bshd, const ExpectedShape &shape) {
  auto file = readOperands(path);
  if (!file)
    return file.status();
  if (rt::Status status = checkGrid(*file, path, shape.grid); !status)
    return status;
  auto query = pick(*file, path, "q", "query", bshd, shape, shape.queryTokens);
  auto key = query ? pick(*file, path, "k", "key", bshd, shape, shape.keyTokens) : query;
  auto value = key ? pick(*file, path, "v", "value", bshd, shape, shape.keyTokens) : key;
  if (!value)
    return value.status();
  if (query->view.shape[0] != key->view.shape[0] || key->view.shape[0] != value->view.shape[0])
    return rt::Status::error(fmt::format("{}: expected one batch for q, k and v, but got {}, {} and {}", path,
                                         query->view.shape[0], key->view.shape[0], value->view.shape[0]));
  return Inputs{*query, *key, *value};
}

rt::Result<Inputs> weft::randomInputs(uint64_t seed, int64_t batch, const ExpectedShape &shape) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  auto make = [&](int64_t tokens) {
    auto tensor = OwnedTensor::allocate(shape.dtype, {batch, shape.heads, tokens, shape.headDim});
    if (tensor)
      for (int64_t i = 0, count = tensor->view.numElements(); i < count; ++i)
        rt::storeFromDouble(tensor->view.data, shape.dtype, i, normal(generator));
    return tensor;
  };
  auto query = make(shape.queryTokens), key = make(shape.keyTokens), value = make(shape.keyTokens);
  for (auto *tensor : {&query, &key, &value})
    if (!*tensor)
      return tensor->status();
  return Inputs{*query, *key, *value};
}

/// The only tensor of a file.
static rt::Result<OwnedTensor> readTensor(const std::string &path) {
  auto file = readTensorFile(path);
  if (!file)
    return file.status();
  if (file->tensors.size() != 1)
    return rt::Status::error(fmt::format("{}: expected one tensor, but got {}", path, file->tensors.size()));
  return file->tensors.begin()->second;
}

static rt::Status checkMap(const std::string &path, const rt::Tensor &map, const char *axes) {
  if (map.rank() == 3 && (map.dtype == rt::DType::U8 || map.dtype == rt::DType::Bool))
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected u8 or bool {}, but got {}", path, axes, map.describe()));
}

rt::Result<OwnedTensor> weft::readBias(const std::string &path) {
  auto bias = readTensor(path);
  if (!bias || bias->view.dtype == rt::DType::F32)
    return bias;
  return rt::Status::error(fmt::format("{}: expected f32 [batch or 1, heads or 1, key tokens], but got {}", path,
                                       bias->view.describe()));
}

rt::Result<OwnedTensor> weft::randomBias(uint64_t seed, const ExpectedShape &shape) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  auto bias = OwnedTensor::allocate(rt::DType::F32, {1, shape.heads, shape.keyTokens});
  if (bias)
    for (int64_t i = 0, count = bias->view.numElements(); i < count; ++i)
      rt::storeFromDouble(bias->view.data, rt::DType::F32, i, normal(generator));
  return bias;
}

/// Lists of these sets, each with room for `capacity` rows.
static rt::Result<OwnedRows> makeRows(int64_t batches, int64_t heads, int64_t capacity,
                                      const std::vector<std::vector<int32_t>> &sets) {
  auto indices = OwnedTensor::allocate(rt::DType::I32, {batches, heads, capacity});
  auto counts = OwnedTensor::allocate(rt::DType::I32, {batches, heads});
  if (!indices || !counts)
    return indices ? counts.status() : indices.status();
  for (size_t set = 0; set < sets.size(); ++set) {
    std::copy(sets[set].begin(), sets[set].end(), static_cast<int32_t *>(indices->view.data) + set * capacity);
    static_cast<int32_t *>(counts->view.data)[set] = static_cast<int32_t>(sets[set].size());
  }
  return OwnedRows{*indices, *counts};
}

rt::Result<OwnedRows> weft::readRows(const std::string &path, const ExpectedShape &shape) {
  auto file = readTensor(path);
  if (!file)
    return file.status();
  const rt::Tensor &map = file->view;
  if (rt::Status status = checkMap(path, map, "[batch or 1, heads or 1, query tokens]"); !status)
    return status;
  if (map.shape[2] != shape.queryTokens)
    return rt::Status::error(
        fmt::format("{}: expected {} query tokens, but got {}", path, shape.queryTokens, map.shape[2]));
  const auto *bytes = static_cast<const uint8_t *>(map.data);
  std::vector<std::vector<int32_t>> sets;
  for (int64_t batch = 0; batch < map.shape[0]; ++batch)
    for (int64_t head = 0; head < map.shape[1]; ++head) {
      sets.emplace_back();
      for (int32_t token = 0; token < map.shape[2]; ++token) {
        int byte = bytes[batch * map.strides[0] + head * map.strides[1] + token * map.strides[2]];
        if (byte > 1)
          return rt::Status::error(fmt::format("{}: expected 0 or 1 in batch {}, head {}, token {}, but got {}", path,
                                               batch, head, token, byte));
        if (byte)
          sets.back().push_back(token);
      }
    }
  return makeRows(map.shape[0], map.shape[1], map.shape[2], sets);
}

rt::Result<OwnedRows> weft::randomRows(uint64_t seed, double share, const ExpectedShape &shape) {
  std::vector<int32_t> tokens(shape.queryTokens);
  std::iota(tokens.begin(), tokens.end(), 0);
  std::shuffle(tokens.begin(), tokens.end(), std::mt19937_64(seed));
  tokens.resize(std::llround(share * static_cast<double>(shape.queryTokens)));
  return makeRows(1, 1, shape.queryTokens, {tokens});
}

rt::Result<GivenMap> weft::readGiven(const std::string &path) {
  auto file = readTensor(path);
  if (!file)
    return file.status();
  const rt::Tensor &map = file->view;
  if (rt::Status status = checkMap(path, map, "[sets, query blocks, key blocks]"); !status)
    return status;
  rt::GivenLists lists;
  lists.lists = map.shape[0];
  lists.queryBlocks = map.shape[1];
  const auto *bytes = static_cast<const uint8_t *>(map.data);
  for (int64_t set = 0; set < map.shape[0]; ++set) {
    lists.offsets.push_back(lists.keyBlocks.size());
    for (int64_t i = 0; i < map.shape[1]; ++i) {
      for (int64_t j = 0; j < map.shape[2]; ++j) {
        int byte = bytes[set * map.strides[0] + i * map.strides[1] + j * map.strides[2]];
        if (byte > 1)
          return rt::Status::error(
              fmt::format("{}: expected 0 or 1 in set {}, row {}, column {}, but got {}", path, set, i, j, byte));
        if (byte)
          lists.keyBlocks.push_back(j);
      }
      lists.offsets.push_back(lists.keyBlocks.size());
    }
  }
  return GivenMap{std::move(lists), map.shape[2]};
}

rt::Result<Results> weft::allocateResults(const Inputs &inputs) {
  std::vector<int64_t> shape = inputs.query.view.shape;
  auto out = OwnedTensor::allocate(inputs.query.view.dtype, shape);
  shape.pop_back();
  auto lse = OwnedTensor::allocate(rt::DType::F32, shape);
  if (!out || !lse)
    return out ? lse.status() : out.status();
  return Results{*out, *lse, std::nullopt};
}
