// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Files by which a test hands calls of kernels to the emulated program and gets their results. Both machines are
// little-endian with 64 bits.

#ifndef WEFT_TEST_AARCH64_CALLFILE_H
#define WEFT_TEST_AARCH64_CALLFILE_H

#include "test/unit/Operands.h"

#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

namespace weft::test {

/// A call of one kernel on operands that somebody else owns.
struct KernelCall {
  std::string kernel;
  int64_t threads = 1;
  Operands *operands = nullptr;
  /// Why there are no results; empty if there are.
  std::string error;
};

/// Writes the fields of calls, or reads them in the same order.
template <typename Stream> class CallFile {
public:
  explicit CallFile(const std::string &path) : stream(path, std::ios::binary) {}

  /// False at the end of a file, and after an error.
  explicit operator bool() const { return static_cast<bool>(stream); }

  /// What a call needs.
  void request(KernelCall &call) {
    transfer(call.kernel), transfer(call.threads);
    Operands &operands = *call.operands;
    for (TestTensor *tensor : {&operands.query, &operands.key, &operands.value, &operands.out, &operands.lse})
      transfer(*tensor);
    int64_t hasGiven = operands.given.has_value();
    transfer(hasGiven);
    if (hasGiven)
      transfer(operands.given ? *operands.given : operands.given.emplace());
    int64_t hasBias = operands.bias.has_value(), hasRows = operands.rows.has_value();
    transfer(hasBias), transfer(hasRows);
    if (hasBias)
      transfer(operands.bias ? *operands.bias : operands.bias.emplace());
    if (hasRows)
      transfer(operands.rows ? *operands.rows : operands.rows.emplace());
  }

  /// What it gave.
  void result(KernelCall &call) {
    transfer(call.error), transfer(call.operands->out.storage), transfer(call.operands->lse.storage);
    if constexpr (!isInput)
      stream.flush(); // another call may end the program
  }

private:
  static constexpr bool isInput = std::is_same_v<Stream, std::ifstream>;

  void transferBytes(void *data, int64_t count) {
    if constexpr (isInput)
      stream.read(static_cast<char *>(data), count);
    else
      stream.write(static_cast<const char *>(data), count);
  }
  void transfer(int64_t &number) { transferBytes(&number, sizeof number); }
  /// A text or a vector.
  template <typename Sequence> void transfer(Sequence &values) {
    auto count = static_cast<int64_t>(values.size());
    transfer(count);
    if (!stream)
      return;
    // A result has its request's size, so views of it stay valid.
    values.resize(count);
    transferBytes(values.data(), count * sizeof(typename Sequence::value_type));
  }
  void transfer(TestTensor &tensor) {
    auto dtype = static_cast<int64_t>(tensor.view.dtype);
    int64_t start = tensor.start();
    transfer(dtype), transfer(start), transfer(tensor.view.shape), transfer(tensor.view.strides);
    transfer(tensor.storage);
    tensor.view.dtype = static_cast<rt::DType>(dtype), tensor.view.data = tensor.storage.data() + start;
  }
  void transfer(TestRows &rows) {
    transfer(rows.shape), transfer(rows.capacity), transfer(rows.indices), transfer(rows.counts);
  }
  void transfer(rt::GivenLists &given) {
    transfer(given.lists), transfer(given.queryBlocks), transfer(given.offsets), transfer(given.keyBlocks);
  }

  Stream stream;
};

using CallReader = CallFile<std::ifstream>;
using CallWriter = CallFile<std::ofstream>;

} // namespace weft::test

#endif // WEFT_TEST_AARCH64_CALLFILE_H
