// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Values of the interpreter: integers, tensors, masks, given block lists, rows and buffers.

#ifndef WEFT_LIB_INTERPRETER_VALUE_H
#define WEFT_LIB_INTERPRETER_VALUE_H

#include "lib/Interpreter/Buffer.h"
#include "lib/Interpreter/Interpreter.h"

#include "llvm/ADT/DenseMap.h"

#include <functional>
#include <memory>
#include <variant>

namespace weft::interp {

using Row = std::vector<double>;

/// A tensor [batch, heads, tokens, ...] as a function from (batch, head, token) to that token's elements.
///
/// Rows are computed when they are asked for: whoever wants a few rows of a result pays for these alone.
class Tensor {
public:
  using RowFunction = std::function<Row(int64_t batch, int64_t head, int64_t token)>;

  Tensor(std::vector<int64_t> shape, RowFunction rows)
      : shape(std::move(shape)), rows(std::make_shared<const RowFunction>(std::move(rows))) {}

  const std::vector<int64_t> &getShape() const { return shape; }
  int64_t getTokens() const { return shape[2]; }
  /// Elements per token.
  int64_t getWidth() const;
  Row getRow(int64_t batch, int64_t head, int64_t token) const { return (*rows)(batch, head, token); }

private:
  std::vector<int64_t> shape;
  std::shared_ptr<const RowFunction> rows;
};

/// The elements of a caller's tensor, which must outlive the result. One of [batch, tokens] is as one of one head.
Tensor makeTensor(const rt::Tensor &view);

/// A query and a key by their sequence positions, and by their blocks in the partition of the attention that asks.
struct Pair {
  int64_t batch, heads, head;
  int32_t query, key;
  int32_t queryBlock = 0, keyBlock = 0;
};

/// A set of pairs as a function.
struct Mask {
  std::function<bool(const Pair &)> contains;
  /// The block lists that `contains` looks into. Without any, it ignores the pair's blocks.
  std::vector<const rt::GivenLists *> given;
};

/// Whether the lists name the pair's blocks.
bool holds(const rt::GivenLists &lists, const Pair &pair);

/// Integers, i1 among them, are sign-extended from their width.
using RuntimeValue =
    std::variant<int64_t, double, Tensor, Mask, const rt::GivenLists *, const rt::RowLists *, const rt::Choices *,
                 Buffer>;

/// The values computed so far.
class Scope {
public:
  void bind(mlir::Value name, RuntimeValue value) { values.insert_or_assign(name, std::move(value)); }
  template <typename T> const T &get(mlir::Value name) const { return std::get<T>(values.at(name)); }
  const RuntimeValue &get(mlir::Value name) const { return values.at(name); }
  const Tensor &getTensor(mlir::Value name) const { return get<Tensor>(name); }
  /// The integer `name`, which a region uses from above.
  int64_t getInteger(mlir::Value name) const { return get<int64_t>(name); }

  /// Owns lists that an op made, for as long as the scope lives.
  const rt::GivenLists *keep(rt::GivenLists lists) {
    kept.push_back(std::make_unique<rt::GivenLists>(std::move(lists)));
    return kept.back().get();
  }
  /// The same for choices.
  const rt::Choices *keep(rt::Choices choices) {
    keptChoices.push_back(std::make_unique<rt::Choices>(std::move(choices)));
    return keptChoices.back().get();
  }
  /// The lists that ops made, in their order.
  const std::vector<std::unique_ptr<rt::GivenLists>> &getKept() const { return kept; }

  const std::vector<std::unique_ptr<rt::Choices>> &getKeptChoices() const { return keptChoices; }

  /// The same for rows.
  const rt::RowLists *keep(rt::OwnedRowLists rows) {
    keptRows.push_back(std::make_unique<KeptRows>(std::move(rows)));
    return &keptRows.back()->view;
  }
  /// A row list with its memory.
  struct KeptRows {
    explicit KeptRows(rt::OwnedRowLists lists) : rows(std::move(lists)), view(rows.view()) {}
    rt::OwnedRowLists rows;
    rt::RowLists view;
  };
  const std::vector<std::unique_ptr<KeptRows>> &getKeptRows() const { return keptRows; }

  /// Lists that ops bind instead of those that they select; may be null.
  const rt::GivenLists *selected = nullptr;
  const rt::RowLists *selectedRows = nullptr;
  const rt::Choices *choices = nullptr;

private:
  std::vector<std::unique_ptr<KeptRows>> keptRows;
  std::vector<std::unique_ptr<rt::Choices>> keptChoices;
  std::vector<std::unique_ptr<rt::GivenLists>> kept;
  llvm::DenseMap<mlir::Value, RuntimeValue> values;
};

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_VALUE_H
