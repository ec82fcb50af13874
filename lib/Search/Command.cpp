// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Starting, watching and ending a command.

#include "lib/Search/Command.h"

#include "llvm/ADT/StringRef.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
using namespace weft;
using Clock = std::chrono::steady_clock;

extern char **environ;

namespace {

/// A running command; the destructor ends and reaps what still runs.
class Process {
public:
  ~Process() {
    if (pid > 0)
      kill(-pid, SIGKILL), waitpid(pid, nullptr, 0);
    if (output >= 0)
      close(output);
  }

  rt::Status start(const std::string &command) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
      return rt::Status::error(fmt::format("fitness: cannot make a pipe: {}", std::strerror(errno)));
    output = ends[0];
    fcntl(output, F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    const char *arguments[] = {"sh", "-c", command.c_str(), nullptr};
    int code = posix_spawn(&pid, "/bin/sh", &actions, &attributes, const_cast<char **>(arguments), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (!code)
      return rt::Status::ok();
    pid = -1;
    return rt::Status::error(fmt::format("fitness: cannot start /bin/sh: {}", std::strerror(code)));
  }

  /// Waits a moment for output or the end; true once the command has ended.
  bool poll() {
    pollfd waiting{closed ? -1 : output, POLLIN, 0};
    ::poll(&waiting, 1, 10);
    read();
    if (waitpid(pid, &status, WNOHANG) != pid)
      return false;
    pid = -1;
    read();
    return true;
  }

  std::string text;
  int status = 0;

private:
  void read() {
    char buffer[4096];
    ssize_t count;
    // A number is short: what comes after is read, so that the command does not wait, and dropped.
    while (!closed && (count = ::read(output, buffer, sizeof buffer)) >= 0) {
      closed = count == 0;
      if (text.size() < sizeof buffer)
        text.append(buffer, count);
    }
  }

  pid_t pid = -1;
  int output = -1;
  bool closed = false;
};

rt::Result<double> parseNumber(const std::string &text) {
  StringRef trimmed = StringRef(text).trim();
  double number;
  if (trimmed.empty())
    return rt::Status::error("fitness: expected one number, but the command printed nothing");
  if (trimmed.getAsDouble(number))
    return rt::Status::error(fmt::format("fitness: expected one number, but the command printed '{}'",
                                         trimmed.take_front(80).str()));
  if (!std::isfinite(number))
    return rt::Status::error(fmt::format("fitness: expected a finite number, but the command printed '{}'",
                                         trimmed.str()));
  return number;
}

} // namespace

rt::Result<double> search::runCommand(const std::string &command, double seconds,
                                      const std::function<bool()> &stopped) {
  Process process;
  if (rt::Status status = process.start(command); !status)
    return status;
  auto start = Clock::now();
  while (!process.poll()) {
    if (stopped && stopped())
      return rt::Status::error("fitness: the command was stopped");
    if (seconds > 0 && std::chrono::duration<double>(Clock::now() - start).count() > seconds)
      return rt::Status::error(fmt::format("fitness: expected the command to end in {:g} s, but it did not", seconds));
  }
  if (WIFSIGNALED(process.status))
    return rt::Status::error(
        fmt::format("fitness: expected the command to end with 0, but signal {} ended it", WTERMSIG(process.status)));
  if (WEXITSTATUS(process.status))
    return rt::Status::error(
        fmt::format("fitness: expected the command to end with 0, but got {}", WEXITSTATUS(process.status)));
  return parseNumber(process.text);
}
