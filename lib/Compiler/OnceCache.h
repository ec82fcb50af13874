// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A cache that makes each value once.

#ifndef WEFT_LIB_COMPILER_ONCECACHE_H
#define WEFT_LIB_COMPILER_ONCECACHE_H

#include "runtime/Status.h"

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace weft {

/// Shared values by key. Thread-safe: when several threads ask for the same value at once, one makes it and the others
/// wait for its result. Errors are not kept.
template <typename Value> class OnceCache {
public:
  using Result = rt::Result<std::shared_ptr<const Value>>;

  template <typename Make> Result get(const std::string &key, const Make &make) {
    std::promise<Result> promise;
    std::shared_future<Result> future;
    bool isFirst;
    {
      std::lock_guard lock(mutex);
      auto [entry, isNew] = values.try_emplace(key);
      if (isNew)
        entry->second = promise.get_future().share();
      future = entry->second, isFirst = isNew;
    }
    if (!isFirst)
      return future.get();
    ++made;
    Result result = make();
    if (!result) {
      std::lock_guard lock(mutex);
      values.erase(key);
    }
    promise.set_value(result);
    return result;
  }

  /// How many values were made so far, errors among them.
  int64_t numMade() const { return made; }
  /// Forgets all values; those in use live on with their users.
  void clear() {
    std::lock_guard lock(mutex);
    values.clear();
  }

private:
  std::mutex mutex;
  std::unordered_map<std::string, std::shared_future<Result>> values;
  std::atomic<int64_t> made = 0;
};

} // namespace weft

#endif // WEFT_LIB_COMPILER_ONCECACHE_H
