// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parsing of the shared options.

#include "tools/ToolOptions.h"

#include "lib/Frontend/Frontend.h"
#include "lib/Frontend/StaticValues.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <type_traits>

using namespace llvm;
using namespace weft;

/// Option parsers have no other way to learn it.
static const char *toolName = "weft";
void weft::setToolName(const char *name) { toolName = name; }

template <typename T>
NumberOption<T>::NumberOption(const char *name, const char *description, T initial, cl::OptionCategory &category)
    : number(initial), option(StringRef(name), cl::desc(description), cl::value_desc("number"), cl::cat(category),
                              cl::callback([this](const std::string &text) { parse(text); })) {}

template <typename T> void NumberOption<T>::parse(const std::string &text) {
  constexpr bool isInteger = !std::is_floating_point_v<T>;
  constexpr const char *expected = !isInteger                ? "a number"
                                   : std::is_signed_v<T>     ? "an integer"
                                                             : "an integer of at least 0";
  bool failed;
  if constexpr (isInteger)
    failed = StringRef(text).getAsInteger(10, number);
  else
    failed = StringRef(text).getAsDouble(number);
  if (failed)
    std::exit(
        reportError(toolName, fmt::format("--{}: expected {}, but got '{}'", option.ArgStr.str(), expected, text)));
}

template class weft::NumberOption<int64_t>;
template class weft::NumberOption<uint64_t>;
template class weft::NumberOption<double>;

/// Of both kinds, for help.
static const std::string &targetNames() {
  static const std::string text = CPUTarget::names() + "; for GPUs " + CUDATarget::names();
  return text;
}

ToolOptions::ToolOptions(const char *tool, cl::OptionCategory &category)
    : file(cl::Positional, cl::desc("FILE.weft"), cl::cat(category)),
      grid("grid", cl::desc("video tokens of queries and keys"), cl::value_desc("TxHxW"), cl::cat(category)),
      keyGrid("key-grid", cl::desc("video tokens of the keys, if they differ"), cl::value_desc("TxHxW"),
              cl::cat(category)),
      text("text", "text tokens", 0, category),
      keyText("key-text", "text tokens of the keys, if they differ", 0, category),
      textFirst("text-first", cl::desc("text tokens stand before the video tokens"), cl::cat(category)),
      heads("heads", "attention heads", 1, category),
      headDim("head-dim", "channels of a head", 64, category),
      block("block", "tokens of a block at most; a tile that the order writes is one block as it is", 128, category),
      dtype("dtype", cl::desc("element type: f32, bf16 or f16"), cl::init("f32"), cl::cat(category)),
      target("target", cl::desc(targetNames()), cl::init("native"), cl::cat(category)),
      attention("attention", cl::desc("the attention to compile, if the file has several"), cl::cat(category)),
      scale("scale", "factor on the scores; 1/sqrt(head dim) unless given", 0, category),
      set("set", cl::desc("value of a parameter"), cl::value_desc("name=value"), cl::cat(category)) {
  toolName = tool;
}

rt::Status weft::noEffect(const cl::Option &option, const std::string &reason) {
  return rt::Status::error(fmt::format("--{}: has no effect {}", option.ArgStr.str(), reason));
}

rt::Status weft::checkAtLeast(const cl::Option &option, int64_t value, int64_t least) {
  if (value >= least)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("--{}: expected at least {}, but got {}", option.ArgStr.str(), least, value));
}

rt::Status ToolOptions::checkModule() const {
  std::reference_wrapper<const cl::Option> ignored[] = {grid,    keyGrid, text,  keyText,   textFirst, heads,
                                                        headDim, block,   dtype, attention, scale,     set};
  for (const cl::Option &option : ignored)
    if (option.getNumOccurrences())
      return noEffect(option, "on a module, which says it itself");
  return rt::Status::ok();
}

/// An error unless `value` is a multiple of `step` within the bounds.
static rt::Status checkMultiple(const cl::Option &option, int64_t value, int64_t step, int64_t low, int64_t high) {
  if (value >= low && value <= high && value % step == 0)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("--{}: expected a multiple of {} from {} to {}, but got {}",
                                       option.ArgStr.str(), step, low, high, value));
}

rt::Status ToolOptions::checkTensors() const {
  constexpr int64_t maxHeads = 1 << 16;
  if (heads < 1 || heads > maxHeads)
    return rt::Status::error(fmt::format("--heads: expected 1 to {}, but got {}", maxHeads, heads.getValue()));
  if (rt::Status status = checkMultiple(headDim, headDim, 8, 32, 256); !status)
    return status;
  if (rt::Status status = checkMultiple(block, block, 32, 32, 256); !status)
    return status;
  if (scale.getNumOccurrences() && (!(scale > 0) || !std::isfinite(scale)))
    return rt::Status::error(
        fmt::format("--scale: expected a positive finite number, but got {}", scale.getValue()));
  return rt::Status::ok();
}

rt::Result<GridShape> ToolOptions::parseGrid(const std::string &option, const std::string &value,
                                             int64_t textTokens) const {
  SmallVector<StringRef> parts;
  StringRef(value).split(parts, 'x');
  int64_t sizes[3];
  bool valid = parts.size() == 3;
  for (size_t i = 0; valid && i < 3; ++i)
    valid = !parts[i].getAsInteger(10, sizes[i]) && sizes[i] >= 1;
  if (!valid)
    return rt::Status::error(
        fmt::format("--{}: expected TxHxW with three sizes of at least 1, but got '{}'", option, value));
  if (textTokens < 0)
    return rt::Status::error(fmt::format("--{}: expected 0 or more, but got {}",
                                         option == "key-grid" && keyText.getNumOccurrences() ? "key-text" : "text",
                                         textTokens));
  constexpr int64_t limit = 1 << 20;
  bool fits = sizes[0] < limit && sizes[1] < limit && sizes[2] < limit && textTokens < limit &&
              sizes[0] * sizes[1] < limit && sizes[0] * sizes[1] * sizes[2] + textTokens < limit;
  if (!fits)
    return rt::Status::error(
        fmt::format("--{}: expected fewer than {} tokens, but got {} and {} of text", option, limit, value,
                    textTokens));
  return GridShape{sizes[0], sizes[1], sizes[2], textTokens, textFirst};
}

static rt::Result<std::pair<std::string, StaticValue>> parseSetting(StringRef setting) {
  auto [name, value] = setting.split('=');
  std::optional<StaticValue> parsed = StaticValue::parse(std::string_view(value.data(), value.size()));
  if (name.empty() || !parsed)
    return rt::Status::error(
        fmt::format("--set: expected name=value with a number, true or false, but got '{}'", setting.str()));
  return std::pair(name.str(), *parsed);
}

rt::Status ToolOptions::setValues(GenerateOptions &options) const {
  for (const std::string &setting : set) {
    auto parsed = parseSetting(setting);
    if (!parsed)
      return parsed.status();
    if (!options.values.insert(*parsed).second)
      return rt::Status::error(
          fmt::format("--set: expected one value for '{}', but got '{}' too", parsed->first, setting));
  }
  return rt::Status::ok();
}

rt::Status ToolOptions::setGrids(GenerateOptions &options) const {
  auto query = parseGrid("grid", grid, text);
  if (!query)
    return query.status();
  options.queryGrid = options.keyGrid = *query;
  bool hasKeyText = keyText.getNumOccurrences();
  if (keyGrid.getNumOccurrences() || hasKeyText) {
    auto key = parseGrid("key-grid", keyGrid.getNumOccurrences() ? keyGrid : grid, hasKeyText ? keyText : text);
    if (!key)
      return key.status();
    options.keyGrid = *key;
  }
  if (textFirst && options.queryGrid.text == 0 && options.keyGrid.text == 0)
    return noEffect(textFirst, "without --text");
  return rt::Status::ok();
}

/// The most tokens of a tile's blocks, which end where the grid does; rows of 0 frames run on into the next.
static int64_t tokensOf(const Tile &tile, const GridShape &grid) {
  auto [t, h, w] = tile.sizes;
  int64_t frames = t == 0 ? 1 : std::min<int64_t>(t, grid.t), rows = t == 0 ? grid.t * grid.h : grid.h;
  return frames * std::min<int64_t>(h, rows) * std::min<int64_t>(w, grid.w);
}

rt::Status ToolOptions::checkTileFits(const CompileRequest &request) const {
  if (!block.getNumOccurrences())
    return rt::Status::ok();
  SourceFile source(request.sourceName, request.source);
  // What is wrong with the program is reported when it is compiled.
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parseProgram(source, diagnostics);
  auto values = program ? StaticValues::evaluate(*program, request.options, diagnostics) : std::nullopt;
  int64_t tokens = 0;
  if (values && values->tile)
    for (const GridShape &shape : {request.options.queryGrid, request.options.keyGrid})
      tokens = std::max(tokens, tokensOf(*values->tile, shape));
  if (tokens <= block)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("--block: expected at least the {} tokens of the order's tiles, but got {}",
                                       tokens, block.getValue()));
}

rt::Result<CompileRequest> ToolOptions::request(bool needsGrid) const {
  CompileRequest request;
  if (file.empty())
    return rt::Status::error("expected a program FILE.weft, but got nothing");
  std::string error;
  std::optional<SourceFile> source = SourceFile::read(file, error);
  if (!source)
    return rt::Status::error(error);
  request.source = std::string(source->text());
  request.sourceName = file;
  request.isModule = StringRef(file).ends_with(".mlir");
  request.target = target;
  if (request.isModule) {
    rt::Status status = checkModule();
    return status ? rt::Result<CompileRequest>(std::move(request)) : status;
  }
  std::optional<rt::DType> element = rt::parseDType(std::string_view(dtype.getValue()));
  if (!element || (*element != rt::DType::F32 && *element != rt::DType::BF16 && *element != rt::DType::F16))
    return rt::Status::error(fmt::format("--dtype: expected f32, bf16 or f16, but got '{}'", dtype.getValue()));
  if (attention.getNumOccurrences() && attention.empty())
    return rt::Status::error("--attention: expected a name, but got nothing");
  if (rt::Status status = checkTensors(); !status)
    return status;
  GenerateOptions &options = request.options;
  options.elementType = *element == rt::DType::F32    ? ElementType::F32
                        : *element == rt::DType::BF16 ? ElementType::BF16
                                                      : ElementType::F16;
  options.attention = attention;
  options.heads = heads, options.headDim = headDim, options.block = block;
  if (scale.getNumOccurrences())
    options.scale = scale;
  if (rt::Status status = setValues(options); !status)
    return status;
  if (grid.empty() && !needsGrid)
    return request;
  if (grid.empty())
    return rt::Status::error("--grid: expected TxHxW, but got nothing");
  if (rt::Status status = setGrids(options); !status)
    return status;
  if (rt::Status status = checkTileFits(request); !status)
    return status;
  return request;
}

int weft::reportError(const char *tool, const std::string &message) {
  bool hasPosition = message.find(": error: ") != std::string::npos;
  errs() << (hasPosition ? message : fmt::format("{}: error: {}", tool, message));
  if (message.empty() || message.back() != '\n')
    errs() << "\n";
  return 1;
}

void weft::reportFallback(const char *tool, const std::string &fallback) {
  if (!fallback.empty())
    errs() << fmt::format("{}: note: {}\n", tool, fallback);
}
