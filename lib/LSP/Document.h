// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Document: one open .weft file and the answers an editor asks for, in terms of
// source ranges.

#ifndef WEFT_LIB_LSP_DOCUMENT_H
#define WEFT_LIB_LSP_DOCUMENT_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weft::lsp {

/// What is shown beside a name.
struct HoverText {
  SourceRange range;
  std::string markdown;
};

/// What a name or completion stands for.
enum class SymbolKind {
  Pattern,
  Let,
  Attention,
  Parameter,
  Keyword,
  Coordinate
};

/// One proposal for what is being typed.
struct Proposal {
  std::string label;
  SymbolKind kind;
  std::string detail;
};

/// An item of the outline; parameters are children.
struct OutlineItem {
  std::string name;
  SymbolKind kind;
  std::string detail;
  SourceRange range;
  SourceRange nameRange;
  std::vector<OutlineItem> children = {};
};

/// An immutable version of a file, analyzed as far as its errors allow.
class Document {
public:
  Document(std::string name, std::string text);
  Document(const Document &) = delete;
  Document &operator=(const Document &) = delete;

  const SourceFile &source() const { return file; }
  const Diagnostics &diagnostics() const { return reports; }

  std::optional<HoverText> hover(uint32_t offset) const;
  /// The name where whatever stands at `offset` is declared.
  std::optional<SourceRange> definition(uint32_t offset) const;
  std::vector<Proposal> complete(uint32_t offset) const;
  std::vector<OutlineItem> outline() const;

private:
  /// A name in the source and what it refers to: exactly one of the three.
  struct Mention {
    SourceRange range;
    const Definition *definition = nullptr;
    const Attention *attention = nullptr;
    const Parameter *parameter = nullptr;
  };
  void collectMentions();
  void collectMentions(const Expr &expr);
  void collectMentions(const Parameters &parameters);
  const Mention *mentionAt(uint32_t offset) const;
  std::optional<HoverText> hoverKeyword(uint32_t offset) const;
  /// The comment lines that stand directly above `offset`'s line.
  std::string commentAbove(uint32_t offset) const;
  std::string signature(std::string_view word, const Identifier &name,
                        const Parameters &parameters) const;
  std::string signature(const Definition &definition) const;
  std::string signature(const Attention &attention) const;
  /// The parameters of the item around `offset`.
  const Parameters *parametersAt(uint32_t offset) const;

  SourceFile file;
  Diagnostics reports;
  std::unique_ptr<Program> program;
  std::vector<Mention> mentions;
};

} // namespace weft::lsp

#endif // WEFT_LIB_LSP_DOCUMENT_H
