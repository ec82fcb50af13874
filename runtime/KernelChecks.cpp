// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a call is checked for before anything runs.

#include "runtime/Kernel.h"

#include "runtime/TensorChecks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <utility>

using namespace weft::rt;

Status Kernel::checkOperand(const char *name, const Tensor &tensor, const std::vector<int64_t> &shape) const {
  Status status = checkTensor(name, tensor, parts.dtype, shape);
  return status ? checkContiguousRows(name, tensor) : status;
}

Status Kernel::checkQueryAndKey(const RunArgs &args) const {
  if (args.query.shape.empty() || args.query.shape[0] < 1)
    return Status::error(fmt::format("query: expected [batch, {}, {}, {}] with batch at least 1, but got [{}]",
                                     parts.heads, parts.query.tokens, parts.headDim,
                                     fmt::join(args.query.shape, ", ")));
  int64_t batch = args.query.shape[0];
  Status status = checkOperand("query", args.query, {batch, parts.heads, parts.query.tokens, parts.headDim});
  if (status)
    status = checkOperand("key", args.key, {batch, parts.heads, parts.key.tokens, parts.headDim});
  if (status && args.threads < 0)
    status = Status::error(fmt::format("threads: expected 0 or more, but got {}", args.threads));
  return status;
}

Status Kernel::check(const RunArgs &args, MemoryKind memory) const {
  if (Status status = checkQueryAndKey(args); !status)
    return status;
  int64_t batch = args.query.shape[0];
  std::vector<int64_t> queryShape = {batch, parts.heads, parts.query.tokens, parts.headDim};
  std::vector<int64_t> keyShape = {batch, parts.heads, parts.key.tokens, parts.headDim};
  struct Operand {
    const char *name;
    const Tensor &tensor;
    const std::vector<int64_t> &shape;
  } operands[] = {{"query", args.query, queryShape},
                  {"key", args.key, keyShape},
                  {"value", args.value, keyShape},
                  {"out", args.out, queryShape}};
  for (const Operand &operand : operands) {
    if (Status status = checkOperand(operand.name, operand.tensor, operand.shape); !status)
      return status;
  }
  if (Status status = checkDistinctElements("out", args.out); !status)
    return status;
  if (args.lse) {
    queryShape.pop_back();
    if (Status status = checkTensor("lse", *args.lse, DType::F32, queryShape); !status)
      return status;
    if (Status status = checkDistinctElements("lse", *args.lse); !status)
      return status;
  }
  for (const Operand &operand : operands) {
    bool isOut = &operand.tensor == &args.out;
    if (!isOut && shareMemory(args.out, operand.tensor))
      return Status::error(fmt::format("out: expected memory apart from {}", operand.name));
    if (args.lse && shareMemory(*args.lse, operand.tensor))
      return Status::error(fmt::format("lse: expected memory apart from {}", operand.name));
  }
  if (Status status = checkBias(args); !status)
    return status;
  if (Status status = checkRows(args, memory); !status)
    return status;
  if (Status status = checkAge(args, memory); !status)
    return status;
  if (Status status = checkChoices(args); !status)
    return status;
  return checkLists(args);
}

/// What a call reads beside queries, keys and values.
static Status checkApart(const RunArgs &args, const char *name, const Tensor &tensor) {
  if (tensor.numElements() == 0)
    return Status::ok();
  if (shareMemory(args.out, tensor))
    return Status::error(fmt::format("out: expected memory apart from {}", name));
  if (args.lse && shareMemory(*args.lse, tensor))
    return Status::error(fmt::format("lse: expected memory apart from {}", name));
  return Status::ok();
}

Status Kernel::checkBias(const RunArgs &args) const {
  if (!parts.hasBias)
    return args.bias ? Status::error("bias: expected none, since the attention does not use it") : Status::ok();
  if (!args.bias)
    return Status::error("bias: expected a tensor, since the attention uses it, but got none");
  std::vector<int64_t> shape = {args.query.shape[0], parts.heads, parts.key.tokens};
  for (size_t axis = 0; axis < 2 && axis < args.bias->shape.size(); ++axis)
    if (args.bias->shape[axis] == 1)
      shape[axis] = 1;
  if (Status status = checkTensor("bias", *args.bias, DType::F32, shape); !status)
    return status;
  return checkApart(args, "bias", *args.bias);
}

Status Kernel::checkRows(const RunArgs &args, MemoryKind memory) const {
  if (!parts.hasRows)
    return args.rows ? Status::error("rows: expected none, since the attention computes all") : Status::ok();
  if (!args.rows && parts.rowSelection)
    return Status::ok();
  if (!args.rows)
    return Status::error("rows: expected row lists, since the attention takes them, but got none");
  int64_t batch = args.query.shape[0];
  Status status = memory == MemoryKind::Host ? args.rows->validate(batch, parts.heads, parts.query.tokens)
                                             : args.rows->validateShapes(batch, parts.heads);
  if (!status)
    return status;
  if (Status status = checkApart(args, "the rows' indices", args.rows->indices); !status)
    return status;
  return checkApart(args, "the rows' counts", args.rows->counts);
}

Status Kernel::checkAgeShape(const RunArgs &args, int64_t batch, MemoryKind memory) const {
  return memory == MemoryKind::Host ? checkAges(*args.age, batch, parts.query.tokens)
                                    : checkTensor("age", *args.age, DType::I32, {batch, parts.query.tokens});
}

Status Kernel::checkImportance(const RunArgs &args, MemoryKind memory) const {
  if (!parts.rowSelection)
    return Status::error(fmt::format("kernel '{}': expected an attention with rows topk(importance, ..)", parts.name));
  int64_t batch = args.lse && !args.lse->shape.empty() ? args.lse->shape[0] : 0;
  struct Part {
    const char *name;
    const std::optional<Tensor> &tensor;
  };
  for (auto [name, tensor] : {Part{"lse", args.lse}, {"drift", args.drift}, {"age", args.age}})
    if (!tensor)
      return Status::error(fmt::format("{}: expected a tensor, since the attention selects rows by it, but got none", name));
  if (Status status = checkTensor("lse", *args.lse, DType::F32, {batch, parts.heads, parts.query.tokens}); !status)
    return status;
  if (Status status = checkTensor("drift", *args.drift, DType::F32, {batch, parts.query.tokens}); !status)
    return status;
  return checkAgeShape(args, batch, memory);
}

Status Kernel::checkAge(const RunArgs &args, MemoryKind memory) const {
  if (!parts.rowSelection) {
    for (auto [name, isThere] : {std::pair("drift", args.drift.has_value()), {"age", args.age.has_value()}})
      if (isThere)
        return Status::error(fmt::format("{}: expected none, since the attention does not select rows", name));
    return Status::ok();
  }
  int64_t batch = args.query.shape[0];
  if (!args.age)
    return Status::error("age: expected a tensor, since the attention selects rows by it, but got none");
  Status status = args.rows ? checkAgeShape(args, batch, memory) : checkImportance(args, memory);
  if (!status)
    return status;
  if (args.rows && args.rows->counts.shape[1] != 1)
    return Status::error(fmt::format("rows: expected one set for all heads, as tokens have one age, but got {}",
                                     args.rows->counts.shape[1]));
  if (Status status = checkDistinctElements("age", *args.age); !status)
    return status;
  if (!args.rows)
    if (Status status = checkApart(args, "drift", *args.drift); !status)
      return status;
  return checkAgeApart(args);
}

/// Ages are written, so that nothing else of the call may lie there.
Status Kernel::checkAgeApart(const RunArgs &args) {
  struct Part {
    const char *name;
    const Tensor *tensor;
  };
  std::vector<Part> others = {{"query", &args.query}, {"key", &args.key}, {"value", &args.value}, {"out", &args.out}};
  for (auto [name, tensor] : {std::pair("lse", &args.lse), {"bias", &args.bias}})
    if (*tensor)
      others.push_back({name, &**tensor});
  if (args.rows) { // drift is unused
    others.push_back({"the rows' indices", &args.rows->indices});
    others.push_back({"the rows' counts", &args.rows->counts});
  } else {
    others.push_back({"drift", &*args.drift});
  }
  for (auto [name, tensor] : others)
    if (tensor->numElements() != 0 && shareMemory(*args.age, *tensor))
      return Status::error(fmt::format("age: expected memory apart from {}", name));
  return Status::ok();
}

Status Kernel::checkChoices(const RunArgs &args) const {
  if (!parts.recognition)
    return args.choices ? Status::error("choices: expected none, since the mask does not recognize heads")
                        : Status::ok();
  if (args.lists && !args.choices)
    return Status::error("lists: expected the choices that the lists were made for, since the mask recognizes heads");
  int64_t batch = args.query.shape.empty() ? 1 : args.query.shape[0];
  return args.choices ? args.choices->validate(parts.heads, batch, parts.recognition->candidates) : Status::ok();
}

Status Kernel::checkLists(const RunArgs &args) const {
  if (!parts.hasGiven && args.given)
    return Status::error("given: expected no block lists, since the mask does not use them");
  int64_t batch = args.query.shape.empty() ? 1 : args.query.shape[0];
  if (args.lists) {
    const BlockLists &lists = *args.lists;
    bool hasPools =
        !parts.gathersRows() || static_cast<int64_t>(lists.poolOf.size()) == lists.lists * lists.queryBlocks;
    bool hasKeyPools = !(parts.reuse && parts.reuse->mergesKeys()) ||
                       static_cast<int64_t>(lists.keyPoolOf.size()) == lists.lists * lists.keyBlocks;
    if (!hasPools || !hasKeyPools)
      return Status::error("lists: expected lists that found their pools, as rows and reuse need them");
    if (lists.queryBlocks == parts.query.count() && lists.keyBlocks == parts.key.count() &&
        (lists.lists == 1 || lists.lists == parts.heads || lists.lists == batch * parts.heads))
      return Status::ok();
    return Status::error(fmt::format("lists: expected lists of {} x {} blocks for 1 or {} heads, but got {} of {} x {}",
                                     parts.query.count(), parts.key.count(), parts.heads, lists.lists,
                                     lists.queryBlocks, lists.keyBlocks));
  }
  if (parts.hasGiven && !args.given && !parts.prediction)
    return Status::error("given: expected block lists, since the mask uses them, but got none");
  return args.given ? args.given->validate(parts.heads, parts.query.count(), parts.key.count(), batch) : Status::ok();
}

Result<std::vector<int64_t>> Kernel::bindParameters(const std::vector<int64_t> &values) const {
  if (values.size() > parts.parameters.size())
    return Status::error(fmt::format("parameters: expected at most {} values, but got {}", parts.parameters.size(),
                                     values.size()));
  std::vector<int64_t> bound = values;
  for (size_t i = 0; i < parts.parameters.size(); ++i) {
    const Parameter &parameter = parts.parameters[i];
    if (i >= values.size()) {
      if (!parameter.defaultValue)
        return Status::error(
            fmt::format("parameters: expected a value for '{}', which has no default", parameter.name));
      bound.push_back(*parameter.defaultValue);
    }
    if (parameter.isFloat) {
      if (Status status = checkFloat(i, std::bit_cast<double>(bound[i])); !status)
        return status;
      continue;
    }
    int64_t low = parameter.isBool ? 0 : INT32_MIN, high = parameter.isBool ? 1 : INT32_MAX;
    if (bound[i] < low || bound[i] > high)
      return Status::error(fmt::format("parameters: expected '{}' between {} and {}, but got {}", parameter.name, low,
                                       high, bound[i]));
  }
  return bound;
}

/// One parameter may have several uses.
Status Kernel::checkFloat(size_t index, double value) const {
  auto isUsed = [&](const auto &user) { return user && user->parameter == static_cast<int64_t>(index); };
  std::string expected = isUsed(parts.prediction) ? parts.prediction->expectedAmount(value) : "";
  if (expected.empty() && parts.rowSelection)
    expected = parts.rowSelection->expectedAmount(static_cast<int64_t>(index), value);
  if (expected.empty() && isUsed(parts.reuse))
    expected = Reuse::expectedThreshold(value);
  if (expected.empty() && isUsed(parts.recognition))
    expected = parts.recognition->expectedBound(value);
  if (expected.empty())
    return Status::ok();
  return Status::error(fmt::format("parameters: expected '{}' to be {}, but got {}", parts.parameters[index].name,
                                   expected, value));
}
