// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parsing of the shared options.

#include "tools/ToolOptions.h"

#include "lib/Frontend/SourceFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;

ToolOptions::ToolOptions(cl::OptionCategory &category)
    : file(cl::Positional, cl::desc("FILE.weft"), cl::Required, cl::cat(category)),
      grid("grid", cl::desc("video tokens of queries and keys"), cl::value_desc("TxHxW"), cl::cat(category)),
      keyGrid("key-grid", cl::desc("video tokens of the keys, if they differ"), cl::value_desc("TxHxW"),
              cl::cat(category)),
      text("text", cl::desc("text tokens"), cl::init(0), cl::cat(category)),
      keyText("key-text", cl::desc("text tokens of the keys, if they differ"), cl::init(-1), cl::cat(category)),
      textFirst("text-first", cl::desc("text tokens stand before the video tokens"), cl::cat(category)),
      heads("heads", cl::desc("attention heads"), cl::init(1), cl::cat(category)),
      headDim("head-dim", cl::desc("channels of a head"), cl::init(64), cl::cat(category)),
      block("block", cl::desc("tokens of a block at most"), cl::init(128), cl::cat(category)),
      dtype("dtype", cl::desc("element type: f32, bf16 or f16"), cl::init("f32"), cl::cat(category)),
      target("target", cl::desc(CPUTarget::names()), cl::init("native"), cl::cat(category)),
      attention("attention", cl::desc("the attention to compile, if the file has several"), cl::cat(category)),
      scale("scale", cl::desc("factor on the scores; 1/sqrt(head dim) unless given"), cl::init(0), cl::cat(category)),
      set("set", cl::desc("value of a parameter"), cl::value_desc("name=value"), cl::cat(category)) {}

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
    return rt::Status::error(fmt::format("--text: expected 0 or more, but got {}", textTokens));
  constexpr int64_t limit = 1 << 20;
  bool fits = sizes[0] < limit && sizes[1] < limit && sizes[2] < limit && textTokens < limit &&
              sizes[0] * sizes[1] < limit && sizes[0] * sizes[1] * sizes[2] + textTokens < limit;
  if (!fits)
    return rt::Status::error(
        fmt::format("--{}: expected fewer than {} tokens, but got {} and {} of text", option, limit, value, textTokens));
  return GridShape{sizes[0], sizes[1], sizes[2], textTokens, textFirst};
}

static rt::Result<std::pair<std::string, StaticValue>> parseSetting(StringRef setting) {
  auto [name, value] = setting.split('=');
  std::optional<StaticValue> parsed = StaticValue::parse(std::string_view(value.data(), value.size()));
  if (name.empty() || !parsed)
    return rt::Status::error(
        fmt::format("--set: expected name=value with an integer, true or false, but got '{}'", setting.str()));
  return std::pair(name.str(), *parsed);
}

rt::Result<CompileRequest> ToolOptions::request(bool needsGrid) const {
  CompileRequest request;
  std::string error;
  std::optional<SourceFile> source = SourceFile::read(file, error);
  if (!source)
    return rt::Status::error(error);
  request.source = std::string(source->text());
  request.sourceName = file;
  request.isModule = StringRef(file).ends_with(".mlir");
  request.target = target;
  std::optional<rt::DType> element = rt::parseDType(std::string_view(dtype.getValue()));
  if (!element || (*element != rt::DType::F32 && *element != rt::DType::BF16 && *element != rt::DType::F16))
    return rt::Status::error(fmt::format("--dtype: expected f32, bf16 or f16, but got '{}'", dtype.getValue()));
  GenerateOptions &options = request.options;
  options.elementType = *element == rt::DType::F32    ? ElementType::F32
                        : *element == rt::DType::BF16 ? ElementType::BF16
                                                      : ElementType::F16;
  options.attention = attention;
  options.heads = heads, options.headDim = headDim, options.block = block;
  if (heads < 1)
    return rt::Status::error(fmt::format("--heads: expected at least 1, but got {}", heads.getValue()));
  if (scale.getNumOccurrences())
    options.scale = scale;
  for (const std::string &setting : set) {
    auto parsed = parseSetting(setting);
    if (!parsed)
      return parsed.status();
    options.values.insert_or_assign(parsed->first, parsed->second);
  }
  if (request.isModule || (grid.empty() && !needsGrid))
    return request;
  if (grid.empty())
    return rt::Status::error("--grid: expected TxHxW, but got nothing");
  auto query = parseGrid("grid", grid, text);
  if (!query)
    return query.status();
  options.queryGrid = options.keyGrid = *query;
  if (!keyGrid.empty() || keyText >= 0) {
    auto key = parseGrid("key-grid", keyGrid.empty() ? grid : keyGrid, keyText >= 0 ? keyText : text);
    if (!key)
      return key.status();
    options.keyGrid = *key;
  }
  return request;
}

int weft::reportError(const char *tool, const std::string &message) {
  bool hasPosition = message.find(": error: ") != std::string::npos;
  errs() << (hasPosition ? message : fmt::format("{}: error: {}", tool, message));
  if (message.empty() || message.back() != '\n')
    errs() << "\n";
  return 1;
}
