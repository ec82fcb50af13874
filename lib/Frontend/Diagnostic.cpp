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

/// `text` without what would command a terminal: every control character but
/// the tab becomes a question mark.
static std::string displayed(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = text[i];
    unsigned char next = i + 1 < text.size() ? text[i + 1] : 0;
    bool isTwoByteControl = c == 0xC2 && next >= 0x80 && next < 0xA0;
    bool isControl = (c < 0x20 && c != '\t') || c == 0x7F || isTwoByteControl;
    result += isControl ? '?' : text[i];
    i += isTwoByteControl;
  }
  return result;
}

/// The least position from `position` on that is not inside a character.
static size_t characterStart(std::string_view text, size_t position) {
  while (position < text.size() && isContinuation(text[position]))
    ++position;
  return std::min(position, text.size());
}

constexpr std::string_view ellipsis = "...";

/// A message names what stands in the source, which has no bound: its middle
/// gives way.
static std::string clipMessage(std::string_view text) {
  constexpr size_t head = 600, tail = 200;
  if (text.size() <= head + tail + ellipsis.size())
    return displayed(text);
  return fmt::format(
      "{}{}{}", displayed(text.substr(0, characterStart(text, head))), ellipsis,
      displayed(text.substr(characterStart(text, text.size() - tail))));
}

/// Shows the line around the place where `range` begins, at most about 120
/// columns of it.
static void renderSnippet(std::string &out, const SourceFile &file,
                          SourceRange range) {
  constexpr size_t before = 50, after = 70;
  LineColumn place = file.position(range.begin);
  std::string_view line = file.line(place.line);
  size_t caret = std::min<size_t>(place.column - 1, line.size());
  bool isLong = line.size() > before + after;
  size_t begin =
      isLong && caret > before ? characterStart(line, caret - before) : 0;
  size_t end = isLong ? characterStart(line, caret + after) : line.size();
  size_t length = std::min<size_t>(range.end - range.begin, end - caret);
  std::string lead = fmt::format("{}{}", begin > 0 ? ellipsis : "",
                                 displayed(line.substr(begin, caret - begin)));
  std::string marks = underline(displayed(line.substr(caret, length)), '~');
  marks.resize(std::max<size_t>(marks.size(), 1));
  marks[0] = '^';
  out += fmt::format("{}{}{}\n{}{}\n", lead,
                     displayed(line.substr(caret, end - caret)),
                     end < line.size() ? ellipsis : "", underline(lead, ' '),
                     marks);
}

std::string Diagnostics::render(bool snippets) const {
  // Errors come first when not all can be shown.
  constexpr size_t maxShown = 20, maxNotes = 10;
  size_t errorsLeft = std::min<size_t>(errors, maxShown);
  size_t warningsLeft = maxShown - errorsLeft;
  size_t hidden = 0;
  std::string out;
  auto message = [&](std::optional<SourceRange> range,
                     std::string_view severity, std::string_view text) {
    LineColumn place = file.position(range ? range->begin : 0);
    std::string where =
        range ? fmt::format(":{}:{}", place.line, place.column) : "";
    out += fmt::format("{}{}: {}: {}\n", file.name(), where, severity,
                       clipMessage(text));
    if (range && snippets)
      renderSnippet(out, file, *range);
  };
  for (const Diagnostic &diagnostic : entries) {
    size_t &left =
        diagnostic.severity == Severity::Error ? errorsLeft : warningsLeft;
    if (left == 0) {
      ++hidden;
      continue;
    }
    --left;
    message(diagnostic.range, spelling(diagnostic.severity),
            diagnostic.message);
    size_t shown = std::min(diagnostic.notes.size(), maxNotes);
    for (size_t i = 0; i < shown; ++i)
      message(diagnostic.notes[i].range, "note", diagnostic.notes[i].message);
    if (size_t rest = diagnostic.notes.size() - shown)
      message({}, "note", fmt::format("{} more notes are not shown", rest));
  }
  if (hidden)
    message({}, "note",
            fmt::format("{} more errors and warnings are not shown", hidden));
  return out;
}

std::string Diagnostics::render() const { return render(/*snippets=*/true); }

std::string Diagnostics::summary() const { return render(/*snippets=*/false); }

} // namespace weft
