// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// SourceFile: the text of one .weft file, its name, and the mapping from
// offsets to lines and columns.

#ifndef WEFT_LIB_FRONTEND_SOURCEFILE_H
#define WEFT_LIB_FRONTEND_SOURCEFILE_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Half-open range of byte offsets into a SourceFile.
struct SourceRange {
  uint32_t begin = 0;
  uint32_t end = 0;

  bool contains(uint32_t offset) const {
    return begin <= offset && offset < end;
  }
  bool contains(SourceRange other) const {
    return begin <= other.begin && other.end <= end;
  }
  friend bool operator==(const SourceRange &, const SourceRange &) = default;
};

/// A place as people count it: line and column start at 1, columns count bytes.
struct LineColumn {
  uint32_t line = 1;
  uint32_t column = 1;

  friend bool operator==(const LineColumn &, const LineColumn &) = default;
};

/// An immutable source text; everything that points into it must not outlive
/// it.
class SourceFile {
public:
  /// A byte order mark at the beginning of `text` is dropped.
  SourceFile(std::string name, std::string text);
  /// Reads a file of at most 16 MiB, "-" being standard input; nothing, and
  /// `error` set, when it cannot be read.
  static std::optional<SourceFile> read(const std::string &path,
                                        std::string &error);

  const std::string &name() const { return fileName; }
  std::string_view text() const { return contents; }
  /// The bytes of `range`.
  std::string_view text(SourceRange range) const;
  /// Line and column of a byte offset; an offset past the end means the end.
  LineColumn position(uint32_t offset) const;
  /// The inverse of position(); clamped to the line and to the file.
  uint32_t offset(LineColumn position) const;
  /// One line without its line break; empty past the end of the file.
  std::string_view line(uint32_t number) const;

private:
  std::string fileName;
  std::string contents;
  std::vector<uint32_t> lineStarts;
};

} // namespace weft

#endif // WEFT_LIB_FRONTEND_SOURCEFILE_H
