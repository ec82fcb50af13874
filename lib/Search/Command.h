// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A number from a command of the shell.

#ifndef WEFT_LIB_SEARCH_COMMAND_H
#define WEFT_LIB_SEARCH_COMMAND_H

#include "runtime/Status.h"

#include <functional>

namespace weft::search {

/// Runs `command` by /bin/sh in a process group of its own, its stderr ours, and reads the one finite number that it
/// prints. An error if it ends with another status than 0, prints anything else, or runs longer than `seconds`
/// (0: no limit); then, and once `stopped` says so, the whole group is killed.
rt::Result<double> runCommand(const std::string &command, double seconds, const std::function<bool()> &stopped);

} // namespace weft::search

#endif // WEFT_LIB_SEARCH_COMMAND_H
