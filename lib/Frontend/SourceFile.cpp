// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The line table of SourceFile.

#include "lib/Frontend/SourceFile.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>

namespace weft {

SourceFile::SourceFile(std::string name, std::string text)
    : fileName(std::move(name)), contents(std::move(text)), lineStarts{0} {
  for (size_t i = 0; i < contents.size(); ++i)
    if (contents[i] == '\n')
      lineStarts.push_back(static_cast<uint32_t>(i + 1));
}

std::optional<SourceFile> SourceFile::read(const std::string &path,
                                           std::string &error) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    error = "expected a file, but '" + path + "' is a directory";
    return std::nullopt;
  }
  std::ifstream file;
  if (path != "-")
    file.open(path, std::ios::binary);
  std::istream &stream = path == "-" ? std::cin : file;
  std::ostringstream buffer;
  if (stream)
    buffer << stream.rdbuf();
  if (!stream || buffer.bad()) {
    error = "cannot read '" + path + "'";
    return std::nullopt;
  }
  std::string text = buffer.str();
  if (text.size() > std::numeric_limits<int32_t>::max()) {
    error = "expected at most 2 GiB of source text in '" + path + "'";
    return std::nullopt;
  }
  return SourceFile(path == "-" ? "<stdin>" : path, std::move(text));
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
  if (position.line > lineStarts.size())
    return contents.size();
  uint32_t length = line(position.line).size();
  return lineStarts[position.line - 1] + std::min(position.column - 1, length);
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
