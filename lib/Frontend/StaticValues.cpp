// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks a compile request against a program.

#include "lib/Frontend/StaticValues.h"

#include "lib/Frontend/SemaPhases.h"
#include "lib/Frontend/Suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace weft {
namespace {

/// Sequences have fewer tokens than this, so that every coordinate is below
/// that of a text token.
constexpr int64_t maxTokens = 1 << 20;

class Instantiation {
public:
  Instantiation(const Program &program, const StaticRequest &request,
                Diagnostics &diagnostics)
      : program(program), request(request), diagnostics(diagnostics),
        evaluator(diagnostics, request.keyGrid) {}
  std::optional<StaticValues> run();

private:
  const Attention *findAttention();
  void checkGrid(std::string_view which, const GridShape &grid);
  void checkNames(const Attention &attention);
  MaybeStatic valueOf(const Parameter &parameter, const Attention &attention);
  std::optional<double> floatOf(const Parameter &parameter,
                                const Attention &attention);
  void checkPredictions(const Expr &expr, const StaticValues &values);
  void checkReuse(const ReuseClause &reuse, StaticValues &values);
  void checkRecognitions(const Expr &expr, const StaticValues &values);

  const Program &program;
  const StaticRequest &request;
  Diagnostics &diagnostics;
  StaticEvaluator evaluator;
};

const Attention *Instantiation::findAttention() {
  std::vector<std::string_view> names;
  for (auto &attention : program.attentions) {
    if (attention->name.text == request.attention)
      return attention.get();
    names.push_back(attention->name.text);
  }
  if (names.empty())
    diagnostics.error("expected an attention, but the file has none");
  else if (!request.attention.empty())
    diagnostics.error(fmt::format("unknown attention '{}': expected {}{}",
                                  request.attention, quotedList(names),
                                  didYouMean(request.attention, names)));
  else if (names.size() > 1)
    diagnostics.error(fmt::format(
        "expected the name of an attention (--attention), because the file has "
        "several: {}",
        quotedList(names, "and")));
  else
    return program.attentions.front().get();
  return nullptr;
}

void Instantiation::checkGrid(std::string_view which, const GridShape &grid) {
  auto inRange = [](int64_t extent, int64_t least) {
    return extent >= least && extent < maxTokens;
  };
  bool extents = inRange(grid.t, 1) && inRange(grid.h, 1) &&
                 inRange(grid.w, 1) && inRange(grid.text, 0);
  // Three extents below 2^20 cannot overflow 64 bits.
  if (!extents || grid.tokens() >= maxTokens)
    diagnostics.error(fmt::format("expected a {} grid with extents of at least "
                                  "1 and fewer than {} tokens, but got "
                                  "{}x{}x{} and {} text tokens",
                                  which, maxTokens, grid.t, grid.h, grid.w,
                                  grid.text));
}

void Instantiation::checkNames(const Attention &attention) {
  std::vector<std::string_view> names;
  for (auto &parameter : attention.parameters)
    names.push_back(parameter->name.text);
  for (auto &[name, value] : request.values) {
    if (std::ranges::find(names, name) != names.end())
      continue;
    std::string known = names.empty() ? "it has no parameters"
                                      : "expected " + quotedList(names);
    diagnostics.error(
        attention.name.range,
        fmt::format("unknown parameter '{}' of attention '{}': {}{}", name,
                    attention.name.text, known, didYouMean(name, names)));
  }
}

MaybeStatic Instantiation::valueOf(const Parameter &parameter,
                                   const Attention &attention) {
  auto given = request.values.find(parameter.name.text);
  if (given != request.values.end()) {
    if (given->second.kind != parameter.kind)
      diagnostics.error(parameter.range,
                        fmt::format("expected {} for {}, but got {}",
                                    spelling(parameter.kind),
                                    describe(parameter),
                                    spelling(given->second.kind)));
    return given->second.value;
  }
  if (parameter.defaultValue)
    return evaluator.evaluate(*parameter.defaultValue, Frame());
  if (!parameter.isDynamic)
    diagnostics.error(parameter.range,
                      fmt::format("missing value for {} of attention '{}'",
                                  describe(parameter), attention.name.text));
  return std::nullopt;
}

std::optional<double> Instantiation::floatOf(const Parameter &parameter,
                                             const Attention &attention) {
  auto given = request.values.find(parameter.name.text);
  if (given != request.values.end()) {
    if (given->second.kind == Kind::Bool)
      diagnostics.error(parameter.range,
                        fmt::format("expected float for {}, but got bool",
                                    describe(parameter)));
    return given->second.kind == Kind::Int ? given->second.value
                                           : given->second.real;
  }
  if (parameter.defaultValue)
    return std::get<FloatExpr>(parameter.defaultValue->node).value;
  if (!parameter.isDynamic)
    diagnostics.error(parameter.range,
                      fmt::format("missing value for {} of attention '{}'",
                                  describe(parameter), attention.name.text));
  return std::nullopt;
}

/// Reports what is static and out of range.
void Instantiation::checkPredictions(const Expr &expr,
                                     const StaticValues &values) {
  forEachChild(expr,
               [&](const Expr &child) { checkPredictions(child, values); });
  auto *prediction = std::get_if<PredictionExpr>(&expr.node);
  if (!prediction)
    return;
  bool isShare = prediction->rule != SelectionRule::Threshold;
  std::optional<double> amount = values.floatValue(*prediction->amount);
  if (amount && isShare && !(*amount >= 0 && *amount <= 1))
    diagnostics.error(prediction->amount->range,
                      fmt::format("expected '{}' from 0 to 1, but got {}",
                                  amountName(prediction->rule), *amount));
  if (amount && !isShare && !std::isfinite(*amount))
    diagnostics.error(
        prediction->amount->range,
        fmt::format("expected a finite 'score', but got {}", *amount));
  auto checkLeast = [&](const ExprPtr &part, std::string_view name,
                        int32_t least) {
    MaybeStatic value =
        part ? evaluator.evaluate(*part, values.frame()) : std::nullopt;
    if (value && *value < least)
      diagnostics.error(part->range,
                        fmt::format("expected a '{}' of at least {}, but got "
                                    "{}",
                                    name, least, *value));
  };
  std::optional<double> weight =
      prediction->age ? values.floatValue(*prediction->age) : std::nullopt;
  if (weight && !(std::isfinite(*weight) && *weight >= 0))
    diagnostics.error(prediction->age->range,
                      fmt::format("expected a finite 'age' of at least 0, but "
                                  "got {}",
                                  *weight));
  checkLeast(prediction->min, "min", 0);
  checkLeast(prediction->pool, "pool", 1);
}

void Instantiation::checkReuse(const ReuseClause &reuse, StaticValues &values) {
  std::optional<double> threshold = values.floatValue(*reuse.threshold);
  if (threshold && !(*threshold >= 0 && std::isfinite(*threshold)))
    diagnostics.error(
        reuse.threshold->range,
        fmt::format("expected a finite 'threshold' of at least 0, but got {}",
                    *threshold));
  SourceRange window = reuse.range;
  if (reuse.window) {
    window = reuse.window->range;
    values.window = evaluator.evaluate(*reuse.window, values.frame()).value_or(2);
  }
  if (values.window < 2) {
    diagnostics.error(window,
                      fmt::format("expected a 'window' of at least 2, but got "
                                  "{}",
                                  values.window));
    return;
  }
  for (auto &[axis, range] : reuse.axes) {
    int32_t longest = std::min(extent(values.queryGrid, axis),
                               extent(values.keyGrid, axis));
    if (values.window > longest)
      diagnostics.error(range, fmt::format("expected a 'window' of at most {}, "
                                           "the grid's extent in {}, but got {}",
                                           longest, spelling(axis),
                                           values.window));
  }
  if (reuse.axes.empty() && values.reuseAxes(values.queryGrid).empty() &&
      values.reuseAxes(values.keyGrid).empty())
    diagnostics.error(
        window, fmt::format("expected a 'window' that fits into an axis, but "
                            "got {} for {}x{}x{} queries and {}x{}x{} keys",
                            values.window, values.queryGrid.t,
                            values.queryGrid.h, values.queryGrid.w,
                            values.keyGrid.t, values.keyGrid.h,
                            values.keyGrid.w));
}

/// A probe's tokens are queries and keys, so both need one grid.
void Instantiation::checkRecognitions(const Expr &expr,
                                      const StaticValues &values) {
  forEachChild(expr,
               [&](const Expr &child) { checkRecognitions(child, values); });
  auto *recognition = std::get_if<RecognitionExpr>(&expr.node);
  if (!recognition)
    return;
  if (!(values.queryGrid == values.keyGrid))
    diagnostics.error(expr.range, "expected queries and keys on the same grid "
                                  "with 'recognize', but they differ");
  std::optional<double> recall = recognition->recall
                                     ? values.floatValue(*recognition->recall)
                                     : std::nullopt;
  if (recall && !(*recall >= 0 && *recall <= 1))
    diagnostics.error(
        recognition->recall->range,
        fmt::format("expected 'recall' from 0 to 1, but got {}", *recall));
}

std::optional<StaticValues> Instantiation::run() {
  const Attention *attention = findAttention();
  checkGrid("query", request.queryGrid);
  checkGrid("key", request.keyGrid);
  if (!attention)
    return std::nullopt;
  StaticValues values;
  values.attention = attention;
  values.queryGrid = request.queryGrid, values.keyGrid = request.keyGrid;
  checkNames(*attention);
  for (auto &parameter : attention->parameters) {
    bool isFloat = parameter->kind == Kind::Float;
    values.parameters.push_back(isFloat ? std::nullopt
                                        : valueOf(*parameter, *attention));
    values.floats.push_back(isFloat ? floatOf(*parameter, *attention)
                                    : std::nullopt);
  }
  if (diagnostics.hasErrors())
    return std::nullopt;
  if (attention->order)
    for (const ExprPtr &key : attention->order->keys)
      evaluator.evaluate(*key, values.frame());
  if (attention->order)
    values.first = evaluator.firstOf(*attention->order, values.frame())
                       .value_or(0);
  if (attention->order && attention->order->sizes)
    values.tile = evaluator.tileOf(*attention->order, values.frame());
  if (attention->mask) {
    evaluator.evaluate(*attention->mask->condition, values.frame());
    checkPredictions(*attention->mask->condition, values);
    checkRecognitions(*attention->mask->condition, values);
  }
  if (attention->rows && attention->rows->selection) {
    evaluator.evaluate(*attention->rows->selection, values.frame());
    checkPredictions(*attention->rows->selection, values);
  }
  if (attention->reuse)
    checkReuse(*attention->reuse, values);
  if (diagnostics.hasErrors())
    return std::nullopt;
  return values;
}

} // namespace

std::optional<StaticValue> StaticValue::parse(std::string_view text) {
  if (text == "true" || text == "false")
    return StaticValue{Kind::Bool, text == "true"};
  StaticValue result;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), result.value);
  if (error == std::errc() && end == text.data() + text.size())
    return result;
  result = {Kind::Float, 0, 0};
  auto [realEnd, realError] =
      std::from_chars(text.data(), text.data() + text.size(), result.real);
  // An integer that is too large is not meant as a float.
  bool isInteger =
      text.find_first_not_of("-0123456789") == std::string_view::npos;
  if (isInteger || realError != std::errc() ||
      realEnd != text.data() + text.size())
    return std::nullopt;
  return result;
}

std::optional<double> StaticValues::floatValue(const Expr &expr) const {
  if (auto *literal = std::get_if<FloatExpr>(&expr.node))
    return literal->value;
  const Parameter &parameter = *std::get<ReferenceExpr>(expr.node).parameter;
  return parameter.isDynamic ? std::nullopt : floats[parameter.index];
}

std::vector<Axis> StaticValues::reuseAxes(const GridShape &grid) const {
  std::vector<Axis> axes;
  for (Axis axis : {Axis::T, Axis::H, Axis::W}) {
    auto isAxis = [&](const auto &written) { return written.first == axis; };
    if (attention->reuse->axes.empty() ? window <= extent(grid, axis)
                                       : std::ranges::any_of(
                                             attention->reuse->axes, isAxis))
      axes.push_back(axis);
  }
  return axes;
}

Frame StaticValues::frame() const {
  Frame frame{parameters, nullptr, nullptr};
  for (auto &parameter : attention->parameters)
    if (parameter->isDynamic)
      frame.parameters[parameter->index] = std::nullopt;
  return frame;
}

std::optional<StaticValues> StaticValues::evaluate(const Program &program,
                                                   const StaticRequest &request,
                                                   Diagnostics &diagnostics) {
  return Instantiation(program, request, diagnostics).run();
}

} // namespace weft
