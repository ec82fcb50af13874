// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A ticket loop over oneTBB's workers.

#include "runtime/Threads.h"

#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

int weft::rt::defaultThreads() {
  static const int threads = [] {
    if (const char *text = std::getenv("WEFT_NUM_THREADS")) {
      char *end = nullptr;
      long value = std::strtol(text, &end, 10);
      if (end != text && *end == 0 && value >= 1 && value <= 1024)
        return static_cast<int>(value);
      std::fprintf(stderr, "warning: WEFT_NUM_THREADS: expected 1 to 1024, but got '%s'\n", text);
    }
    return std::max(1, tbb::info::default_concurrency());
  }();
  return threads;
}

/// The arena of this thread's last loop, if that had as many: workers that stay in it begin at once, those that come to another
/// one are woken first.
static tbb::task_arena &arenaOf(int threads) {
  thread_local std::unique_ptr<tbb::task_arena> arena;
  if (!arena || arena->max_concurrency() != threads)
    arena = std::make_unique<tbb::task_arena>(threads);
  return *arena;
}

void weft::rt::forEachItem(int64_t count, int threads, const std::function<void(int64_t, int)> &body) {
  threads = static_cast<int>(std::min<int64_t>(threads, count));
  if (threads <= 1) {
    for (int64_t item = 0; item < count; ++item)
      body(item, 0);
    return;
  }
  std::atomic<int64_t> ticket{0};
  auto work = [&](int worker) {
    for (int64_t item = ticket++; item < count; item = ticket++)
      body(item, worker);
  };
  arenaOf(threads).execute([&] { tbb::parallel_for(0, threads, work, tbb::simple_partitioner()); });
}
