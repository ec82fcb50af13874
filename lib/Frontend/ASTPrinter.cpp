// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tree printer behind `weftc --emit=ast`.

#include "lib/Frontend/ASTPrinter.h"

#include <fmt/format.h>

namespace weft {
namespace {

class Printer {
public:
  explicit Printer(const SourceFile &source) : source(source) {}
  void print(const Definition &definition);
  void print(const Attention &attention);
  std::string out;

private:
  /// Indents everything printed while it lives.
  struct Indent {
    explicit Indent(unsigned &depth) : depth(++depth) {}
    ~Indent() { --depth; }
    unsigned &depth;
  };
  void line(std::string_view text, SourceRange range);
  void print(const Parameters &parameters);
  void print(const OrderClause &order);
  void print(const ReuseClause &reuse);
  void print(const PredictionExpr &prediction);
  void print(const RecognitionExpr &recognition);
  void print(const Expr &expr);

  const SourceFile &source;
  unsigned depth = 0;
};

void Printer::line(std::string_view text, SourceRange range) {
  LineColumn place = source.position(range.begin);
  out += fmt::format("{:{}}{} @{}:{}\n", "", depth * 2, text, place.line,
                     place.column);
}

void Printer::print(const Definition &definition) {
  line(fmt::format("{} {}", definitionWord(definition.kind),
                   definition.name.text),
       definition.range);
  Indent indent(depth);
  print(definition.parameters);
  print(*definition.body);
}

void Printer::print(const Attention &attention) {
  line(fmt::format("attention {}", attention.name.text), attention.range);
  Indent indent(depth);
  print(attention.parameters);
  if (attention.order)
    print(*attention.order);
  if (attention.mask) {
    line("mask", attention.mask->range);
    Indent inner(depth);
    print(*attention.mask->condition);
  }
  if (attention.bias)
    line("bias given", attention.bias->range);
  if (attention.rows) {
    line(attention.rows->selection ? "rows" : "rows given",
         attention.rows->range);
    Indent inner(depth);
    if (attention.rows->selection)
      print(*attention.rows->selection);
  }
  if (attention.reuse)
    print(*attention.reuse);
}

void Printer::print(const ReuseClause &reuse) {
  std::string axes;
  for (auto &[axis, range] : reuse.axes)
    axes += fmt::format(" {}", spelling(axis));
  line(fmt::format("reuse neighbours {}{}{}", spelling(reuse.granularity),
                   axes.empty() ? "" : " along", axes),
       reuse.range);
  Indent indent(depth);
  auto printPart = [&](std::string_view name, const ExprPtr &part) {
    if (!part)
      return;
    line(fmt::format("{}:", name), part->range);
    print(*part);
  };
  printPart("threshold", reuse.threshold);
  printPart("window", reuse.window);
}

void Printer::print(const Parameters &parameters) {
  for (auto &parameter : parameters) {
    line(fmt::format("{}parameter {}: {}",
                     parameter->isDynamic ? "dynamic " : "",
                     parameter->name.text, spelling(parameter->kind)),
         parameter->range);
    Indent indent(depth);
    if (parameter->defaultValue)
      print(*parameter->defaultValue);
  }
}

void Printer::print(const OrderClause &order) {
  line(order.isTiles        ? "order tiles"
       : order.keys.empty() ? "order raster"
                            : "order by",
       order.range);
  Indent indent(depth);
  if (order.first) {
    line("first", order.first->range);
    Indent inner(depth);
    print(*order.first);
  }
  if (order.sizes)
    for (const ExprPtr &size : *order.sizes)
      if (size)
        print(*size);
  for (const ExprPtr &key : order.keys)
    print(*key);
}

struct Label {
  Kind kind;
  std::string operator()(const LiteralExpr &literal) const {
    if (kind == Kind::Bool)
      return literal.value ? "true" : "false";
    return fmt::format("{}", literal.value);
  }
  std::string operator()(const CoordinateExpr &coordinate) const {
    return fmt::format("{}.{}", spelling(coordinate.owner),
                       spelling(coordinate.axis));
  }
  std::string operator()(const GridExtentExpr &grid) const {
    return fmt::format("grid.{}", spelling(grid.axis));
  }
  std::string operator()(const HeadExpr &) const { return "head"; }
  std::string operator()(const GivenExpr &) const { return "given"; }
  std::string operator()(const FloatExpr &literal) const {
    return fmt::format("{}", literal.value);
  }
  std::string operator()(const PredictionExpr &prediction) const {
    return fmt::format("{} {}", spelling(prediction.rule),
                       spelling(prediction.predictor));
  }
  std::string operator()(const RecognitionExpr &) const { return "recognize"; }
  std::string operator()(const OperatorExpr &operation) const {
    bool negate = operation.op == Operator::Negate;
    return negate ? "negate" : std::string(info(operation.op).spelling());
  }
  std::string operator()(const ReferenceExpr &reference) const {
    std::string_view what = reference.parameter ? "parameter" : "name";
    if (reference.definition)
      what = definitionWord(reference.definition->kind);
    return fmt::format("use of {} {}", what, reference.name.text);
  }
};

void Printer::print(const PredictionExpr &prediction) {
  auto printPart = [&](std::string_view name, const ExprPtr &part) {
    if (!part)
      return;
    line(fmt::format("{}:", name), part->range);
    print(*part);
  };
  printPart(amountName(prediction.rule), prediction.amount);
  printPart("min", prediction.min);
  printPart("pool", prediction.pool);
  printPart("age", prediction.age);
}

void Printer::print(const RecognitionExpr &recognition) {
  for (const Candidate &candidate : recognition.candidates) {
    line(candidate.probe
             ? fmt::format("candidate on {}", spelling(*candidate.probe))
             : "candidate",
         candidate.range);
    Indent indent(depth);
    print(*candidate.pattern);
  }
  if (!recognition.recall)
    return;
  line("recall:", recognition.recall->range);
  print(*recognition.recall);
}

void Printer::print(const Expr &expr) {
  line(std::visit(Label{expr.kind}, expr.node), expr.range);
  Indent indent(depth);
  if (auto *prediction = std::get_if<PredictionExpr>(&expr.node))
    return print(*prediction);
  if (auto *recognition = std::get_if<RecognitionExpr>(&expr.node))
    return print(*recognition);
  auto *reference = std::get_if<ReferenceExpr>(&expr.node);
  if (!reference) {
    forEachChild(expr, [&](const Expr &child) { print(child); });
    return;
  }
  for (const Argument &argument : reference->arguments) {
    if (argument.name)
      line(fmt::format("{}:", argument.name->text), argument.name->range);
    print(*argument.value);
  }
}

} // namespace

std::string printProgram(const Program &program, const SourceFile &source) {
  Printer printer(source);
  for (auto &definition : program.definitions)
    printer.print(*definition);
  for (auto &attention : program.attentions)
    printer.print(*attention);
  return std::move(printer.out);
}

} // namespace weft
