// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Analysis of a document, hover, definitions and outline.

#include "lib/LSP/Document.h"

#include "lib/Frontend/Parser.h"
#include "lib/Frontend/Sema.h"
#include "lib/Frontend/SemaPhases.h"

#include <fmt/format.h>

#include <cctype>
#include <iterator>

namespace weft::lsp {

Document::Document(std::string name, std::string text)
    : file(std::move(name), std::move(text)), reports(file),
      program(parse(file, reports)) {
  if (reports.hasErrors()) {
    Diagnostics consequences(file);
    resolveNames(*program, consequences);
  } else {
    analyze(*program, reports);
  }
  collectMentions();
}

void Document::collectMentions() {
  for (auto &definition : program->definitions) {
    mentions.push_back(
        {definition->name.range, definition.get(), nullptr, nullptr});
    collectMentions(definition->parameters);
    collectMentions(*definition->body);
  }
  for (auto &attention : program->attentions) {
    mentions.push_back(
        {attention->name.range, nullptr, attention.get(), nullptr});
    collectMentions(attention->parameters);
    forEachClauseExpr(*attention,
                      [&](const Expr &expr) { collectMentions(expr); });
  }
}

void Document::collectMentions(const Parameters &parameters) {
  for (auto &parameter : parameters) {
    mentions.push_back(
        {parameter->name.range, nullptr, nullptr, parameter.get()});
    if (parameter->defaultValue)
      collectMentions(*parameter->defaultValue);
  }
}

/// The parameter of `callee` that `name` names, or null.
static const Parameter *findParameter(const Definition &callee,
                                      const Identifier &name) {
  for (auto &parameter : callee.parameters)
    if (parameter->name.text == name.text)
      return parameter.get();
  return nullptr;
}

void Document::collectMentions(const Expr &expr) {
  forEachChild(expr, [&](const Expr &child) { collectMentions(child); });
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (!reference || (!reference->definition && !reference->parameter))
    return;
  mentions.push_back({reference->name.range, reference->definition, nullptr,
                      reference->parameter});
  if (!reference->definition)
    return;
  for (const Argument &argument : reference->arguments)
    if (argument.name)
      if (const Parameter *parameter =
              findParameter(*reference->definition, *argument.name))
        mentions.push_back({argument.name->range, nullptr, nullptr, parameter});
}

const Document::Mention *Document::mentionAt(uint32_t offset) const {
  for (const Mention &mention : mentions)
    if (mention.range.contains(offset) || mention.range.end == offset)
      return &mention;
  return nullptr;
}

std::string Document::commentAbove(uint32_t offset) const {
  std::string comment;
  for (uint32_t line = file.position(offset).line - 1;
       file.line(line).starts_with("//"); --line) {
    std::string_view text = file.line(line).substr(2);
    if (text.starts_with(' '))
      text.remove_prefix(1);
    comment = fmt::format("{}\n{}", text, comment);
  }
  return comment;
}

std::string Document::signature(std::string_view word, const Identifier &name,
                                const Parameters &parameters) const {
  std::string list;
  for (auto &parameter : parameters)
    list += fmt::format("{}{}", list.empty() ? "" : ", ",
                        file.text(parameter->range));
  return fmt::format("{} {}{}", word, name.text,
                     list.empty() ? "" : fmt::format("({})", list));
}

std::string Document::signature(const Definition &definition) const {
  return signature(definitionWord(definition.kind), definition.name,
                   definition.parameters);
}

std::string Document::signature(const Attention &attention) const {
  return signature("attention", attention.name, attention.parameters);
}

static std::string codeBlock(std::string_view code, std::string_view text) {
  return fmt::format("```weft\n{}\n```\n{}", code, text);
}

std::optional<HoverText> Document::hoverKeyword(uint32_t offset) const {
  Lexer lexer(file);
  Token token = lexer.next();
  while (!token.is(TokenKind::EndOfFile) && token.range.end <= offset)
    token = lexer.next();
  if (!token.range.contains(offset))
    return std::nullopt;
  for (const Keyword &keyword : keywords())
    if (token.is(keyword.kind))
      return HoverText{token.range,
                       codeBlock(keyword.spelling, keyword.meaning)};
  return std::nullopt;
}

std::optional<HoverText> Document::hover(uint32_t offset) const {
  const Mention *mention = mentionAt(offset);
  if (!mention)
    return hoverKeyword(offset);
  if (mention->definition)
    return HoverText{mention->range,
                     codeBlock(signature(*mention->definition),
                               commentAbove(mention->definition->range.begin))};
  if (mention->attention)
    return HoverText{mention->range,
                     codeBlock(signature(*mention->attention),
                               commentAbove(mention->attention->range.begin))};
  std::string_view use = mention->parameter->isDynamic
                             ? "dynamic parameter: an argument of the kernel"
                             : "parameter";
  return HoverText{mention->range,
                   codeBlock(file.text(mention->parameter->range), use)};
}

std::optional<SourceRange> Document::definition(uint32_t offset) const {
  const Mention *mention = mentionAt(offset);
  if (!mention)
    return std::nullopt;
  if (mention->definition)
    return mention->definition->name.range;
  return mention->attention ? mention->attention->name.range
                            : mention->parameter->name.range;
}

static SymbolKind symbolKind(const Definition &definition) {
  return definition.kind == Kind::Bool ? SymbolKind::Pattern : SymbolKind::Let;
}

std::vector<OutlineItem> Document::outline() const {
  std::vector<OutlineItem> items;
  auto add = [&](const auto &item, SymbolKind kind) {
    OutlineItem entry{item.name.text, kind, signature(item), item.range,
                      item.name.range};
    for (auto &parameter : item.parameters)
      entry.children.push_back({parameter->name.text, SymbolKind::Parameter,
                                std::string(spelling(parameter->kind)),
                                parameter->range, parameter->name.range});
    items.push_back(std::move(entry));
  };
  for (auto &definition : program->definitions)
    add(*definition, symbolKind(*definition));
  for (auto &attention : program->attentions)
    add(*attention, SymbolKind::Attention);
  return items;
}

//===-- Completion --------------------------------------------------------===//

const Parameters *Document::parametersAt(uint32_t offset) const {
  auto isInside = [&](SourceRange range) {
    return range.contains(offset) || range.end == offset;
  };
  for (auto &definition : program->definitions)
    if (isInside(definition->range))
      return &definition->parameters;
  for (auto &attention : program->attentions)
    if (isInside(attention->range))
      return &attention->parameters;
  return nullptr;
}

/// The members that may follow `before`, the text up to the cursor without the
/// word being typed.
static std::vector<Axis> membersAfter(std::string_view before) {
  auto endsWithWord = [&](std::string_view word) {
    if (!before.ends_with(word))
      return false;
    std::string_view rest = before.substr(0, before.size() - word.size());
    return rest.empty() ||
           !(std::isalnum(static_cast<unsigned char>(rest.back())) ||
             rest.back() == '_');
  };
  if (endsWithWord("grid."))
    return {Axis::T, Axis::H, Axis::W, Axis::Text};
  if (endsWithWord("q.") || endsWithWord("k."))
    return {std::begin(allAxes), std::end(allAxes)};
  return {};
}

std::vector<Proposal> Document::complete(uint32_t offset) const {
  std::string_view before = file.text().substr(0, offset);
  while (!before.empty() &&
         (std::isalnum(static_cast<unsigned char>(before.back())) ||
          before.back() == '_'))
    before.remove_suffix(1);
  std::vector<Proposal> proposals;
  for (Axis axis : membersAfter(before))
    proposals.push_back(
        {std::string(spelling(axis)), SymbolKind::Coordinate, ""});
  if (!proposals.empty() || before.ends_with('.'))
    return proposals;
  if (const Parameters *parameters = parametersAt(offset))
    for (auto &parameter : *parameters)
      proposals.push_back({parameter->name.text, SymbolKind::Parameter,
                           std::string(file.text(parameter->range))});
  for (auto &definition : program->definitions)
    proposals.push_back({definition->name.text, symbolKind(*definition),
                         signature(*definition)});
  for (const Keyword &keyword : keywords())
    proposals.push_back({std::string(keyword.spelling), SymbolKind::Keyword,
                         std::string(keyword.meaning)});
  for (std::string_view order : {"raster", "tiles", "by"})
    proposals.push_back(
        {std::string(order), SymbolKind::Keyword, "an order of tokens"});
  proposals.push_back({"bias", SymbolKind::Keyword,
                       "clause `bias given`: what the caller adds to the scores"});
  proposals.push_back({"rows", SymbolKind::Keyword,
                       "clause: queries that are computed, `given` by the caller or of "
                       "greatest importance"});
  proposals.push_back({"reuse", SymbolKind::Keyword,
                       "clause `reuse neighbours(..)`: neighbours that hardly "
                       "differ share their scores"});
  return proposals;
}

} // namespace weft::lsp
