// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// FileIO: reading ranges of a file, replacing a file atomically, and what both
// formats do with a tensor's bytes.

#include "lib/TensorFile/FileIO.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace weft {
namespace {

rt::Status systemError(const std::string &path, std::string_view action) {
  return rt::Status::error(
      fmt::format("{}: cannot {}: {}", path, action, std::strerror(errno)));
}

/// The file that a chain of symbolic links leads to, so that writing keeps the
/// links.
std::string followLinks(const std::string &path) {
  std::error_code error;
  std::filesystem::path target = std::filesystem::canonical(path, error);
  return error ? path : target.string();
}

/// True for what exists and can be neither replaced nor a folder: devices,
/// pipes, sockets.
bool isDevice(const std::string &path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) &&
         !std::filesystem::is_regular_file(path, ignored) &&
         !std::filesystem::is_directory(path, ignored);
}

rt::Status writeAll(int file, const std::string &path, const void *data,
                    int64_t count) {
  const auto *source = static_cast<const std::byte *>(data);
  while (count > 0) {
    ssize_t put = ::write(file, source, static_cast<size_t>(count));
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return systemError(path, "write");
    source += put;
    count -= put;
  }
  return rt::Status::ok();
}

} // namespace

FileDescriptor::~FileDescriptor() {
  if (number >= 0)
    ::close(number);
}

int FileDescriptor::release() {
  int released = number;
  number = -1;
  return released;
}

rt::Result<InputFile> InputFile::open(const std::string &path) {
  // Without O_NONBLOCK, opening a pipe that nobody writes would wait for ever.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0)
    return systemError(path, "open");
  struct stat info;
  if (::fstat(file.get(), &info) != 0)
    return systemError(path, "query the size");
  if (!S_ISREG(info.st_mode))
    return rt::Status::error(fmt::format(
        "{}: expected a regular file, but got a directory or device", path));
  return InputFile(path, std::move(file), info.st_size);
}

rt::Status InputFile::read(int64_t offset, void *data, int64_t count) const {
  auto *target = static_cast<std::byte *>(data);
  while (count > 0) {
    ssize_t got =
        ::pread(file.get(), target, static_cast<size_t>(count), offset);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return systemError(path, "read");
    if (got == 0)
      return error(fmt::format(
          "expected {} more bytes at offset {}, but the file ends there", count,
          offset));
    target += got;
    offset += got;
    count -= got;
  }
  return rt::Status::ok();
}

rt::Result<OwnedTensor>
InputFile::readTensor(int64_t offset, rt::DType dtype,
                      std::vector<int64_t> shape) const {
  rt::Result<OwnedTensor> tensor =
      OwnedTensor::allocate(dtype, std::move(shape));
  if (!tensor)
    return error(tensor.message());
  auto *data = static_cast<uint8_t *>(tensor->view.data);
  int64_t count = *contiguousBytes(dtype, tensor->view.shape);
  if (rt::Status status = read(offset, data, count); !status)
    return status;
  if (dtype != rt::DType::Bool)
    return tensor;
  uint8_t *bad =
      std::find_if(data, data + count, [](uint8_t byte) { return byte > 1; });
  if (bad != data + count)
    return error(fmt::format(
        "expected every byte of a bool tensor to be 0 or 1, but got {} at "
        "offset {}",
        *bad, offset + (bad - data)));
  return tensor;
}

rt::Status InputFile::error(std::string_view message) const {
  return rt::Status::error(fmt::format("{}: {}", path, message));
}

rt::Result<OutputFile> OutputFile::create(const std::string &path) {
  static std::atomic<unsigned> counter = 0;
  std::string target = followLinks(path);
  std::error_code ignored;
  if (std::filesystem::exists(target, ignored) &&
      !std::filesystem::is_regular_file(target, ignored))
    return rt::Status::error(fmt::format(
        "{}: expected a regular file or a new name, but got a directory or "
        "device",
        path));
  while (true) {
    std::string temporary =
        fmt::format("{}.tmp-{}-{}", target, ::getpid(), counter++);
    FileDescriptor file(::open(temporary.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.get() >= 0)
      return OutputFile(target, temporary, std::move(file));
    if (errno != EEXIST)
      return systemError(path, "create");
  }
}

OutputFile::~OutputFile() {
  if (file.get() >= 0)
    ::unlink(temporary.c_str());
}

rt::Status OutputFile::write(const void *data, int64_t count) {
  return writeAll(file.get(), path, data, count);
}

rt::Status OutputFile::writeTensor(const rt::Tensor &tensor) {
  std::optional<int64_t> count = contiguousBytes(tensor.dtype, tensor.shape);
  if (!count)
    return rt::Status::error(fmt::format(
        "{}: expected a tensor whose size fits into 64 bits, but got {}", path,
        tensor.describe()));
  if (isContiguous(tensor))
    return write(tensor.data, *count);
  rt::Result<OwnedTensor> copy = OwnedTensor::copyOf(tensor);
  if (!copy)
    return rt::Status::error(fmt::format("{}: {}", path, copy.message()));
  return write(copy->view.data, *count);
}

rt::Status OutputFile::commit() {
  if (::fsync(file.get()) != 0)
    return systemError(path, "write");
  if (::close(file.release()) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    rt::Status status = systemError(path, "replace");
    ::unlink(temporary.c_str());
    return status;
  }
  return rt::Status::ok();
}

rt::Status writeFile(const std::string &path, std::string_view bytes) {
  int64_t count = static_cast<int64_t>(bytes.size());
  if (path == "-")
    return writeAll(STDOUT_FILENO, "standard output", bytes.data(), count);
  if (isDevice(path)) {
    FileDescriptor device(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (device.get() < 0)
      return systemError(path, "open");
    return writeAll(device.get(), path, bytes.data(), count);
  }
  rt::Result<OutputFile> file = OutputFile::create(path);
  if (!file)
    return file.status();
  if (rt::Status status = file->write(bytes.data(), count); !status)
    return status;
  return file->commit();
}

rt::Status checkWritable(const std::string &path) {
  if (path == "-")
    return rt::Status::ok();
  std::error_code ignored;
  std::string target = followLinks(path);
  if (std::filesystem::is_directory(target, ignored))
    return rt::Status::error(
        fmt::format("{}: expected a file, but got a directory", path));
  if (std::filesystem::exists(target, ignored) &&
      ::access(target.c_str(), W_OK) != 0)
    return systemError(path, "replace");
  std::string folder = std::filesystem::path(target).parent_path().string();
  bool isReachable = isDevice(target) ||
                     ::access(folder.empty() ? "." : folder.c_str(),
                              W_OK | X_OK) == 0;
  return isReachable ? rt::Status::ok() : systemError(path, "create");
}

bool isSameFile(const std::string &a, const std::string &b) {
  if (isDevice(a) || isDevice(b))
    return false;
  std::error_code ignored;
  return std::filesystem::equivalent(a, b, ignored) ||
         std::filesystem::weakly_canonical(a, ignored) ==
             std::filesystem::weakly_canonical(b, ignored);
}

} // namespace weft
