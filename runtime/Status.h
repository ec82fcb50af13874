// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Status and Result: how the runtime reports that a call could not be carried out.

#ifndef WEFT_RUNTIME_STATUS_H
#define WEFT_RUNTIME_STATUS_H

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace weft::rt {

/// Success, or one message that names the place, the rule and what came.
class [[nodiscard]] Status {
public:
  static Status ok() { return Status(); }
  static Status error(std::string message) {
    Status status;
    status.failed = true;
    status.text = std::move(message);
    return status;
  }
  bool isOk() const { return !failed; }
  explicit operator bool() const { return isOk(); }
  /// Empty on success.
  const std::string &message() const { return text; }

private:
  bool failed = false;
  std::string text;
};

/// A value, or the Status that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::move(value)) {}
  Result(Status status) : state(std::move(status)) {
    assert(!std::get<Status>(state).isOk() && "a Result without a value needs an error");
  }
  bool isOk() const { return state.index() == 0; }
  explicit operator bool() const { return isOk(); }
  T &operator*() { return std::get<0>(state); }
  const T &operator*() const { return std::get<0>(state); }
  T *operator->() { return &std::get<0>(state); }
  const T *operator->() const { return &std::get<0>(state); }
  /// The error; success when there is a value.
  Status status() const { return isOk() ? Status::ok() : std::get<1>(state); }
  const std::string &message() const { return std::get<1>(state).message(); }

private:
  std::variant<T, Status> state;
};

} // namespace weft::rt

#endif // WEFT_RUNTIME_STATUS_H
