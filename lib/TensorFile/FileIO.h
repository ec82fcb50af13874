// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// FileIO: reading ranges of a file, replacing a file atomically, and what both
// formats do with a tensor's bytes.

#ifndef WEFT_LIB_TENSORFILE_FILEIO_H
#define WEFT_LIB_TENSORFILE_FILEIO_H

#include "lib/TensorFile/TensorFile.h"

#include <string>
#include <string_view>

namespace weft {

/// Owns a file descriptor.
class FileDescriptor {
public:
  explicit FileDescriptor(int number) : number(number) {}
  FileDescriptor(FileDescriptor &&other) noexcept : number(other.release()) {}
  FileDescriptor &operator=(FileDescriptor &&other) = delete;
  ~FileDescriptor();
  int get() const { return number; }
  /// Gives the descriptor up; -1 stays behind.
  int release();

private:
  int number;
};

/// A regular file open for reading.
class InputFile {
public:
  static rt::Result<InputFile> open(const std::string &path);

  int64_t size() const { return bytes; }
  /// Reads exactly `count` bytes from `offset`.
  rt::Status read(int64_t offset, void *data, int64_t count) const;
  /// Reads a tensor whose size the caller has compared with the file's, and
  /// checks the bytes of booleans.
  rt::Result<OwnedTensor> readTensor(int64_t offset, rt::DType dtype,
                                     std::vector<int64_t> shape) const;
  /// An error message that begins with the path.
  rt::Status error(std::string_view message) const;

private:
  InputFile(std::string path, FileDescriptor file, int64_t bytes)
      : path(std::move(path)), file(std::move(file)), bytes(bytes) {}

  std::string path;
  FileDescriptor file;
  int64_t bytes;
};

/// A file that takes its place under `path` on commit(); without a commit
/// nothing changes.
class OutputFile {
public:
  static rt::Result<OutputFile> create(const std::string &path);
  OutputFile(OutputFile &&other) noexcept = default;
  ~OutputFile();

  rt::Status write(const void *data, int64_t count);
  /// Writes the elements in row-major order.
  rt::Status writeTensor(const rt::Tensor &tensor);
  /// Brings the bytes to the disk, then renames.
  rt::Status commit();

private:
  OutputFile(std::string path, std::string temporary, FileDescriptor file)
      : path(std::move(path)), temporary(std::move(temporary)),
        file(std::move(file)) {}

  std::string path;
  std::string temporary;
  FileDescriptor file;
};

/// Writes `bytes` to a file, which appears whole or not at all; "-" is standard
/// output, and a device is written in place.
rt::Status writeFile(const std::string &path, std::string_view bytes);

/// Says why a file could not be written under `path`; makes nothing.
rt::Status checkWritable(const std::string &path);

/// True if both paths name one regular file, also through links and when it
/// does not exist yet.
bool isSameFile(const std::string &a, const std::string &b);

} // namespace weft

#endif // WEFT_LIB_TENSORFILE_FILEIO_H
