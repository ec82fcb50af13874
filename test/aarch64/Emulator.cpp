// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiles and links with this build's tools, and runs the driver under qemu.

#include "test/aarch64/Emulator.h"

#include "lib/Compiler/ImageBuilder.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

#include <fmt/format.h>

using namespace weft;
using namespace weft::test;

/// Seconds after which a program counts as hung.
constexpr unsigned kPatience = 300;

std::string Emulator::missing() { return WEFT_AARCH64_MISSING; }

Emulator::Emulator() {
  llvm::SmallString<128> path;
  if (llvm::sys::fs::createUniqueDirectory("weft-aarch64", path))
    llvm::report_fatal_error("expected a folder for temporary files");
  folder = path.str();
}

Emulator::~Emulator() { llvm::sys::fs::remove_directories(folder); }

rt::Result<rt::KernelImage> Emulator::add(const CompileRequest &request) {
  std::string error;
  std::optional<CPUTarget> target = CPUTarget::parse(request.target, error);
  if (!target)
    return rt::Status::error(error);
  auto lowered = compileTo(Stage::LLVM, request, *target);
  if (!lowered)
    return lowered.status();
  rt::KernelImage image = buildImage(*lowered->module);
  auto code = emitCode(*lowered->module, *target, CodeKind::LinkableObject);
  if (!code)
    return code.status();
  std::string object = pathOf(image.name + ".o");
  std::ofstream(object, std::ios::binary).write(code->data(), code->size());
  std::lock_guard lock(mutex);
  objects.push_back(object);
  return image;
}

rt::Status Emulator::link() {
  std::vector<std::string> command = {WEFT_LLD, "-shared", "-o", pathOf("kernels.so")};
  command.insert(command.end(), objects.begin(), objects.end());
  return execute(command, pathOf("link.log"));
}

rt::Status Emulator::run(const std::vector<KernelCall *> &calls) {
  std::string stem = pathOf(std::to_string(runs++));
  std::string requests = stem + ".calls", results = stem + ".results";
  {
    CallWriter writer(requests);
    for (KernelCall *call : calls)
      writer.request(*call);
    if (!writer)
      return rt::Status::error("expected to write " + requests);
  }
  rt::Status status = execute({WEFT_QEMU, "-cpu", "max", "-L", WEFT_AARCH64_SYSROOT, WEFT_AARCH64_DRIVER,
                               pathOf("kernels.so"), requests, results},
                              stem + ".log");
  CallReader reader(results);
  for (KernelCall *call : calls) {
    bool isFirstLost = static_cast<bool>(reader);
    reader.result(*call);
    if (!reader)
      call->error = isFirstLost ? "ended the emulated program" : "an earlier kernel ended the emulated program";
  }
  return status;
}

rt::Status Emulator::execute(const std::vector<std::string> &command, const std::string &log) {
  std::vector<llvm::StringRef> words(command.begin(), command.end());
  std::string error;
  int code = llvm::sys::ExecuteAndWait(words.front(), words, std::nullopt, {"", log, log}, kPatience, 0, &error);
  if (code == 0)
    return rt::Status::ok();
  if (auto text = llvm::MemoryBuffer::getFile(log))
    error += "\n" + (*text)->getBuffer().str();
  return rt::Status::error(fmt::format("{} ended with status {}: {}", command.front(), code, error));
}
