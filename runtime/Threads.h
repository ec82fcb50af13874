// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The number of threads a kernel may use, and the loop that uses them.

#ifndef WEFT_RUNTIME_THREADS_H
#define WEFT_RUNTIME_THREADS_H

#include <cstdint>
#include <functional>

namespace weft::rt {

/// WEFT_NUM_THREADS if that is a number from 1 to 1024, else the machine's threads.
int defaultThreads();

/// Calls `body(item, worker)` for every item in 0 .. count - 1, items being taken in order as workers become free;
/// worker is below `threads`. Safe to nest in other uses of oneTBB. With one thread nothing leaves the caller's.
void forEachItem(int64_t count, int threads, const std::function<void(int64_t item, int worker)> &body);

} // namespace weft::rt

#endif // WEFT_RUNTIME_THREADS_H
