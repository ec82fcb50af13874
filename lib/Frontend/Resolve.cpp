// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Name resolution: what every name refers to, and which argument each parameter
// gets.

#include "lib/Frontend/SemaPhases.h"
#include "lib/Frontend/Suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace weft {
namespace {

class Resolver {
public:
  Resolver(Program &program, Diagnostics &diagnostics)
      : program(program), diagnostics(diagnostics) {}
  void run();

private:
  void declareItems();
  void declareParameters(const Parameters &parameters, bool inAttention);
  void resolveDefaults(const Parameters &parameters);
  void warnUnused(const Parameters &parameters);
  void resolve(Expr &expr);
  void resolveReference(ReferenceExpr &reference);
  void reportUnknown(const ReferenceExpr &reference);
  std::vector<std::string_view> visibleNames() const;

  // Binding of arguments.
  void bindArguments(ReferenceExpr &reference);
  const Parameter *parameterFor(const ReferenceExpr &reference,
                                const Argument &argument, size_t position,
                                bool namedBefore);
  const Parameter *namedParameter(const Definition &callee,
                                  const Identifier &name);
  void bindDefaults(ReferenceExpr &reference);

  template <typename Item>
  using NameMap = std::map<std::string_view, const Item *>;
  /// Enters `item` under its name; reports a second item of that name.
  template <typename Item>
  bool declare(NameMap<Item> &names, const Item &item, std::string_view what);

  Program &program;
  Diagnostics &diagnostics;
  NameMap<Definition> definitions;
  NameMap<Attention> attentions;
  NameMap<Parameter> parameters;
  /// Those whose defaults are being resolved.
  const Parameters *defaultsOf = nullptr;
  std::set<const Parameter *> used;
};

void Resolver::run() {
  declareItems();
  for (auto &definition : program.definitions) {
    resolveDefaults(definition->parameters);
    declareParameters(definition->parameters, /*inAttention=*/false);
    resolve(*definition->body);
    warnUnused(definition->parameters);
  }
  for (auto &attention : program.attentions) {
    resolveDefaults(attention->parameters);
    declareParameters(attention->parameters, /*inAttention=*/true);
    forEachClauseExpr(*attention, [&](Expr &expr) { resolve(expr); });
    warnUnused(attention->parameters);
  }
}

template <typename Item>
bool Resolver::declare(NameMap<Item> &names, const Item &item,
                       std::string_view what) {
  auto [first, inserted] = names.try_emplace(item.name.text, &item);
  if (!inserted)
    diagnostics
        .error(item.name.range,
               fmt::format("duplicate {} '{}'", what, item.name.text))
        .note(first->second->name.range, "the first is here");
  return inserted;
}

void Resolver::declareItems() {
  for (auto &definition : program.definitions)
    declare(definitions, *definition, definitionWord(definition->kind));
  for (auto &attention : program.attentions)
    declare(attentions, *attention, "attention");
}

void Resolver::declareParameters(const Parameters &list, bool inAttention) {
  parameters.clear();
  for (auto &parameter : list) {
    if (!declare(parameters, *parameter, "parameter"))
      used.insert(parameter.get());
    if (parameter->isDynamic && !inAttention)
      diagnostics.error(
          parameter->range,
          fmt::format(
              "only parameters of an attention may be dynamic, but '{}' is a "
              "parameter of a pattern or let",
              parameter->name.text));
    if (parameter->kind == Kind::Float && !inAttention)
      diagnostics.error(
          parameter->range,
          fmt::format(
              "only parameters of an attention may be float, but '{}' is a "
              "parameter of a pattern or let",
              parameter->name.text));
  }
}

void Resolver::resolveDefaults(const Parameters &list) {
  parameters.clear();
  defaultsOf = &list;
  for (auto &parameter : list)
    if (parameter->defaultValue)
      resolve(*parameter->defaultValue);
  defaultsOf = nullptr;
}

void Resolver::warnUnused(const Parameters &list) {
  for (auto &parameter : list)
    if (!used.contains(parameter.get()))
      diagnostics.warning(
          parameter->name.range,
          fmt::format("unused parameter '{}'", parameter->name.text));
}

void Resolver::resolve(Expr &expr) {
  forEachChild(expr, [&](Expr &child) { resolve(child); });
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
    resolveReference(*reference);
}

void Resolver::resolveReference(ReferenceExpr &reference) {
  if (auto found = parameters.find(reference.name.text);
      found != parameters.end()) {
    reference.parameter = found->second;
    used.insert(found->second);
    if (reference.hasParentheses)
      diagnostics
          .error(reference.name.range,
                 fmt::format("{} takes no arguments", describe(*found->second)))
          .note(found->second->range, "it is declared here");
    return;
  }
  auto found = definitions.find(reference.name.text);
  if (found == definitions.end())
    return reportUnknown(reference);
  reference.definition = found->second;
  bindArguments(reference);
}

std::vector<std::string_view> Resolver::visibleNames() const {
  std::vector<std::string_view> names;
  for (auto &[name, parameter] : parameters)
    names.push_back(name);
  for (auto &[name, definition] : definitions)
    names.push_back(name);
  for (const Keyword &keyword : keywords())
    names.push_back(keyword.spelling);
  return names;
}

void Resolver::reportUnknown(const ReferenceExpr &reference) {
  const std::string &name = reference.name.text;
  auto hasName = [&](const std::unique_ptr<Parameter> &parameter) {
    return parameter->name.text == name;
  };
  if (defaultsOf && std::ranges::any_of(*defaultsOf, hasName))
    diagnostics.error(
        reference.name.range,
        fmt::format("unknown name '{0}': the default of a parameter cannot "
                    "refer to parameter '{0}'",
                    name));
  else if (attentions.contains(name))
    diagnostics.error(
        reference.name.range,
        fmt::format(
            "expected a parameter, pattern or let, but '{}' is an attention",
            name));
  else if (std::ranges::count(allAxes, name,
                              [](Axis axis) { return spelling(axis); }))
    diagnostics.error(
        reference.name.range,
        fmt::format("unknown name '{0}'; did you mean 'q.{0}' or 'k.{0}'?",
                    name));
  else
    diagnostics.error(reference.name.range,
                      fmt::format("unknown name '{}'{}", name,
                                  didYouMean(name, visibleNames())));
}

//===-- Arguments ---------------------------------------------------------===//

void Resolver::bindArguments(ReferenceExpr &reference) {
  reference.bound.assign(reference.definition->parameters.size(), nullptr);
  bool namedBefore = false, understood = true;
  for (size_t i = 0; i < reference.arguments.size(); ++i) {
    const Argument &argument = reference.arguments[i];
    const Parameter *parameter =
        parameterFor(reference, argument, i, namedBefore);
    namedBefore |= argument.name.has_value();
    understood &= parameter != nullptr;
    if (!parameter)
      continue;
    const Expr *&slot = reference.bound[parameter->index];
    if (slot)
      diagnostics
          .error(argument.value->range,
                 fmt::format("duplicate argument for {}", describe(*parameter)))
          .note(slot->range, "the first is here");
    else
      slot = argument.value.get();
  }
  // An argument that was not understood may be the one that would be missing.
  if (understood)
    bindDefaults(reference);
}

const Parameter *Resolver::parameterFor(const ReferenceExpr &reference,
                                        const Argument &argument,
                                        size_t position, bool namedBefore) {
  const Definition &callee = *reference.definition;
  if (argument.name)
    return namedParameter(callee, *argument.name);
  if (namedBefore) {
    diagnostics.error(argument.value->range,
                      "expected a named argument after a named argument");
    return nullptr;
  }
  if (position < callee.parameters.size())
    return callee.parameters[position].get();
  if (position == callee.parameters.size())
    diagnostics
        .error(argument.value->range,
               fmt::format("expected at most {} arguments for {}, but got {}",
                           position, describe(callee),
                           reference.arguments.size()))
        .note(callee.name.range, "it is declared here");
  return nullptr;
}

const Parameter *Resolver::namedParameter(const Definition &callee,
                                          const Identifier &name) {
  std::vector<std::string_view> names;
  for (auto &parameter : callee.parameters) {
    if (parameter->name.text == name.text)
      return parameter.get();
    names.push_back(parameter->name.text);
  }
  std::string known =
      names.empty() ? "it has no parameters" : "expected " + quotedList(names);
  diagnostics
      .error(name.range,
             fmt::format("unknown parameter '{}' of {}: {}{}", name.text,
                         describe(callee), known, didYouMean(name.text, names)))
      .note(callee.name.range, "it is declared here");
  return nullptr;
}

void Resolver::bindDefaults(ReferenceExpr &reference) {
  for (auto &parameter : reference.definition->parameters) {
    const Expr *&slot = reference.bound[parameter->index];
    if (!slot)
      slot = parameter->defaultValue.get();
    if (!slot)
      diagnostics
          .error(reference.name.range,
                 fmt::format("missing argument for {} of {}",
                             describe(*parameter),
                             describe(*reference.definition)))
          .note(parameter->range, "it is declared here");
  }
}

} // namespace

void resolveNames(Program &program, Diagnostics &diagnostics) {
  Resolver(program, diagnostics).run();
}

} // namespace weft
