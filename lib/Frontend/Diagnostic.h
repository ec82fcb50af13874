// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Diagnostics: errors and warnings with a source range and notes, and how they
// are printed.

#ifndef WEFT_LIB_FRONTEND_DIAGNOSTIC_H
#define WEFT_LIB_FRONTEND_DIAGNOSTIC_H

#include "lib/Frontend/SourceFile.h"

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

enum class Severity { Error, Warning };

/// A message about another place that explains a diagnostic.
struct Note {
  SourceRange range;
  std::string message;
};

/// One error or warning; without a range it is about the request as a whole.
struct Diagnostic {
  Severity severity = Severity::Error;
  std::optional<SourceRange> range;
  std::string message;
  std::vector<Note> notes;

  /// Adds a note and returns this diagnostic, for chaining.
  Diagnostic &note(SourceRange range, std::string message);
};

/// The diagnostics of one source file, in the order they were reported.
class Diagnostics {
public:
  /// `source` must outlive this object.
  explicit Diagnostics(const SourceFile &source) : file(source) {}

  /// Reports at a place; the reference stays valid.
  Diagnostic &error(SourceRange range, std::string message);
  Diagnostic &warning(SourceRange range, std::string message);
  /// Reports about the request or the whole file.
  Diagnostic &error(std::string message);

  bool hasErrors() const { return errors != 0; }
  const std::deque<Diagnostic> &all() const { return entries; }
  const SourceFile &source() const { return file; }

  /// The diagnostics as `file:line:col: error: message`, each with an excerpt of
  /// its source line, a caret and its notes; at most 20, errors before warnings,
  /// and how many more there are.
  std::string render() const;
  /// The same without source lines: one line per message.
  std::string summary() const;

private:
  std::string render(bool snippets) const;
  Diagnostic &add(Severity severity, std::optional<SourceRange> range,
                  std::string message);

  const SourceFile &file;
  std::deque<Diagnostic> entries;
  unsigned errors = 0;
};

/// "error" or "warning".
std::string_view spelling(Severity severity);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_DIAGNOSTIC_H
