// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs ptxas.

#include "codegen/CUDA/Assemble.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

using namespace llvm;
using namespace weft;

std::string weft::findPtxas() {
  if (const char *path = std::getenv("WEFT_PTXAS"))
    return path;
  if (const char *home = std::getenv("CUDA_HOME"); home && *home) {
    SmallString<128> folder(home);
    sys::path::append(folder, "bin");
    if (auto found = sys::findProgramByName("ptxas", {folder}))
      return *found;
  }
  if (auto found = sys::findProgramByName("ptxas"))
    return *found;
  auto found = sys::findProgramByName("ptxas", {"/usr/local/cuda/bin"});
  return found ? *found : "";
}

namespace {

/// A file that is removed at the end.
struct TemporaryFile {
  SmallString<128> path;
  FileRemover remover;

  rt::Status create(StringRef suffix) {
    if (std::error_code error = sys::fs::createTemporaryFile("weft", suffix, path))
      return rt::Status::error("expected a temporary file, but got: " + error.message());
    remover.setFile(path);
    return rt::Status::ok();
  }

  std::string read() const {
    auto buffer = MemoryBuffer::getFile(path);
    return buffer ? (*buffer)->getBuffer().str() : "";
  }
};

} // namespace

rt::Result<std::string> weft::assemblePTX(const std::string &ptx, const CUDATarget &target) {
  std::string program = findPtxas();
  if (program.empty())
    return rt::Status::error("cubin: expected ptxas at $WEFT_PTXAS, in $CUDA_HOME/bin, on PATH or in "
                             "/usr/local/cuda/bin, but found none");
  TemporaryFile input, output, log;
  for (auto [file, suffix] : {std::pair{&input, "ptx"}, std::pair{&output, "cubin"}, std::pair{&log, "log"}})
    if (rt::Status status = file->create(suffix); !status)
      return status;
  {
    std::error_code error;
    raw_fd_ostream stream(input.path, error);
    stream << ptx;
    stream.close();
    if (stream.has_error())
      return rt::Status::error("cubin: " + stream.error().message());
  }
  std::string architecture = "-arch=" + target.name;
  StringRef arguments[] = {program, architecture, input.path, "-o", output.path};
  std::optional<StringRef> redirects[] = {StringRef(), log.path, log.path};
  std::string message;
  int code = sys::ExecuteAndWait(program, arguments, std::nullopt, redirects, 0, 0, &message);
  if (code)
    return rt::Status::error("cubin: " + program + " failed: " + (message.empty() ? log.read() : message));
  return output.read();
}
