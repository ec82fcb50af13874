// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The line table of SourceFile.

#include "lib/Frontend/SourceFile.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

namespace weft {

/// More than any program needs, and little enough to read a device that never
/// ends.
static constexpr size_t maxBytes = 16 << 20;

static std::string withoutByteOrderMark(std::string text) {
  if (text.starts_with("\xEF\xBB\xBF"))
    text.erase(0, 3);
  return text;
}

SourceFile::SourceFile(std::string name, std::string text)
    : fileName(std::move(name)),
      contents(withoutByteOrderMark(std::move(text))), lineStarts{0} {
  for (size_t i = 0; i < contents.size(); ++i)
    if (contents[i] == '\n')
      lineStarts.push_back(static_cast<uint32_t>(i + 1));
}

/// The bytes of `file`, at most one more than `maxBytes`.
static std::string readBytes(std::FILE *file) {
  std::string text;
  char buffer[1 << 16];
  size_t count;
  while (text.size() <= maxBytes &&
         (count = std::fread(buffer, 1, sizeof(buffer), file)) > 0)
    text.append(buffer, count);
  return text;
}

std::optional<SourceFile> SourceFile::read(const std::string &path,
                                           std::string &error) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    error = "expected a file, but '" + path + "' is a directory";
    return std::nullopt;
  }
  bool isInput = path == "-";
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(
      isInput ? stdin : std::fopen(path.c_str(), "rb"),
      isInput ? [](std::FILE *) { return 0; } : std::fclose);
  std::string text = file ? readBytes(file.get()) : "";
  if (!file || std::ferror(file.get())) {
    error = "cannot read '" + path + "': " + std::strerror(errno);
    return std::nullopt;
  }
  if (text.size() > maxBytes) {
    error = "expected at most 16 MiB of source text, but got more in '" + path +
            "'";
    return std::nullopt;
  }
  return SourceFile(isInput ? "<stdin>" : path, std::move(text));
}

std::string_view SourceFile::text(SourceRange range) const {
  return text().substr(range.begin, range.end - range.begin);
}

LineColumn SourceFile::position(uint32_t offset) const {
  offset = std::min<uint32_t>(offset, contents.size());
  auto next = std::upper_bound(lineStarts.begin(), lineStarts.end(), offset);
  uint32_t line = next - lineStarts.begin();
  return {line, offset - lineStarts[line - 1] + 1};
}

uint32_t SourceFile::offset(LineColumn position) const {
  if (position.line == 0)
    return 0;
  if (position.line > lineStarts.size())
    return contents.size();
  uint32_t length = line(position.line).size();
  uint32_t column = std::max<uint32_t>(position.column, 1) - 1;
  return lineStarts[position.line - 1] + std::min(column, length);
}

std::string_view SourceFile::line(uint32_t number) const {
  if (number == 0 || number > lineStarts.size())
    return {};
  std::string_view rest = text().substr(lineStarts[number - 1]);
  std::string_view line = rest.substr(0, rest.find('\n'));
  if (line.ends_with('\r'))
    line.remove_suffix(1);
  return line;
}

} // namespace weft
