// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Collects and prints diagnostics.

#include "lib/Frontend/Diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace weft {

std::string_view spelling(Severity severity) {
  return severity == Severity::Error ? "error" : "warning";
}

Diagnostic &Diagnostic::note(SourceRange range, std::string message) {
  notes.push_back({range, std::move(message)});
  return *this;
}

Diagnostic &Diagnostics::add(Severity severity,
                             std::optional<SourceRange> range,
                             std::string message) {
  errors += severity == Severity::Error;
  return entries.emplace_back(
      Diagnostic{severity, range, std::move(message), {}});
}

Diagnostic &Diagnostics::error(SourceRange range, std::string message) {
  return add(Severity::Error, range, std::move(message));
}

Diagnostic &Diagnostics::warning(SourceRange range, std::string message) {
  return add(Severity::Warning, range, std::move(message));
}

Diagnostic &Diagnostics::error(std::string message) {
  return add(Severity::Error, std::nullopt, std::move(message));
}

/// True for the bytes of a UTF-8 sequence after its first, which take no column
/// on a terminal.
static bool isContinuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// What stands under `text`: tabs stay, so that the caret is below its column;
/// every other character becomes `fill`.
static std::string underline(std::string_view text, char fill) {
  std::string result;
  for (char c : text)
    if (!isContinuation(c))
      result += c == '\t' ? '\t' : fill;
  return result;
}

static void renderSnippet(std::string &out, const SourceFile &file,
                          SourceRange range) {
  LineColumn begin = file.position(range.begin);
  std::string_view line = file.line(begin.line);
  uint32_t start = std::min<uint32_t>(begin.column - 1, line.size());
  uint32_t length =
      std::min<uint32_t>(range.end - range.begin, line.size() - start);
  std::string marks = underline(line.substr(start, length), '~');
  marks.resize(std::max<size_t>(marks.size(), 1));
  marks[0] = '^';
  out += fmt::format("{}\n{}{}\n", line, underline(line.substr(0, start), ' '),
                     marks);
}

std::string Diagnostics::render(bool snippets) const {
  std::string out;
  auto message = [&](std::optional<SourceRange> range,
                     std::string_view severity, std::string_view text) {
    LineColumn place = file.position(range ? range->begin : 0);
    std::string where =
        range ? fmt::format(":{}:{}", place.line, place.column) : "";
    out += fmt::format("{}{}: {}: {}\n", file.name(), where, severity, text);
    if (range && snippets)
      renderSnippet(out, file, *range);
  };
  for (const Diagnostic &diagnostic : entries) {
    message(diagnostic.range, spelling(diagnostic.severity),
            diagnostic.message);
    for (const Note &note : diagnostic.notes)
      message(note.range, "note", note.message);
  }
  return out;
}

std::string Diagnostics::render() const { return render(/*snippets=*/true); }

std::string Diagnostics::summary() const { return render(/*snippets=*/false); }

} // namespace weft
