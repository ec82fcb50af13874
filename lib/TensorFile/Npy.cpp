// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NumPy's .npy format: one array per file.

#include "lib/TensorFile/Npy.h"
#include "lib/TensorFile/FileIO.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <utility>

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensor files are little-endian");

constexpr std::string_view magic = "\x93NUMPY";
constexpr int64_t maxHeaderBytes = 1 << 20;
constexpr size_t dataAlignment = 64;

struct Descr {
  rt::DType dtype;
  std::string_view text;
};

constexpr std::array<Descr, 7> descrs = {{
    {rt::DType::F32, "<f4"},
    {rt::DType::F64, "<f8"},
    {rt::DType::F16, "<f2"},
    {rt::DType::I32, "<i4"},
    {rt::DType::I64, "<i8"},
    {rt::DType::U8, "|u1"},
    {rt::DType::Bool, "|b1"},
}};

std::string knownDescrs() {
  std::vector<std::string_view> texts;
  for (const Descr &descr : descrs)
    texts.push_back(descr.text);
  return fmt::format("{}", fmt::join(texts, ", "));
}

struct Header {
  std::string descr;
  bool fortranOrder = false;
  std::vector<int64_t> shape;
};

/// Text of the file as it appears in a message: printable ASCII and not too
/// long.
std::string shown(std::string_view text) {
  std::string result;
  for (char character : text.substr(0, 40))
    result += character >= ' ' && character <= '~' ? character : '?';
  return fmt::format("'{}{}'", result, text.size() > 40 ? "..." : "");
}

/// Parses the one Python literal that a header consists of: a dict with three
/// known keys.
class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : rest(text), whole(text) {}

  rt::Result<Header> parse() {
    if (rt::Status status = expect('{'); !status)
      return status;
    while (!accept('}')) {
      if (rt::Status status = parseItem(); !status)
        return status;
      if (accept(','))
        continue;
      if (rt::Status status = expect('}'); !status)
        return status;
      break;
    }
    skipSpace();
    if (!rest.empty())
      return unexpected("the end of the header");
    if (!hasDescr || !hasOrder || !hasShape)
      return rt::Status::error(
          fmt::format("header: expected 'descr', 'fortran_order' and 'shape', "
                      "but '{}' is missing",
                      !hasDescr   ? "descr"
                      : !hasOrder ? "fortran_order"
                                  : "shape"));
    return std::move(header);
  }

private:
  void skipSpace() {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\n"), rest.size()));
  }

  bool accept(char character) {
    skipSpace();
    if (rest.empty() || rest.front() != character)
      return false;
    rest.remove_prefix(1);
    return true;
  }

  rt::Status unexpected(std::string_view wanted) const {
    return rt::Status::error(
        fmt::format("header: expected {} at header byte {}, but got {}", wanted,
                    whole.size() - rest.size(),
                    rest.empty() ? "the end of the header" : shown(rest)));
  }

  rt::Status expect(char character) {
    return accept(character) ? rt::Status::ok()
                             : unexpected(fmt::format("'{}'", character));
  }

  rt::Result<std::string> parseString() {
    skipSpace();
    if (rest.empty() || (rest.front() != '\'' && rest.front() != '"'))
      return unexpected("a string");
    size_t end = rest.find(rest.front(), 1);
    if (end == std::string_view::npos)
      return unexpected("a closed string");
    std::string text(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
    return text;
  }

  bool acceptWord(std::string_view word) {
    skipSpace();
    if (rest.substr(0, word.size()) != word)
      return false;
    rest.remove_prefix(word.size());
    return true;
  }

  rt::Status parseOrder() {
    if (acceptWord("True"))
      header.fortranOrder = true;
    else if (!acceptWord("False"))
      return unexpected("True or False");
    return rt::Status::ok();
  }

  rt::Status parseExtent() {
    skipSpace();
    int64_t extent = 0;
    auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), extent);
    if (error != std::errc() || extent < 0)
      return unexpected("an integer from 0 to 2^63 - 1");
    rest.remove_prefix(end - rest.data());
    header.shape.push_back(extent);
    return rt::Status::ok();
  }

  rt::Status parseShape() {
    if (rt::Status status = expect('('); !status)
      return status;
    bool comma = true;
    while (!accept(')')) {
      if (!comma)
        return unexpected("',' or ')'");
      if (rt::Status status = parseExtent(); !status)
        return status;
      comma = accept(',');
    }
    if (header.shape.size() == 1 && !comma)
      return rt::Status::error(
          "header: expected 'shape' to be a tuple, but got an integer");
    return rt::Status::ok();
  }

  rt::Status parseDescr() {
    rt::Result<std::string> text = parseString();
    if (text)
      header.descr = std::move(*text);
    return text.status();
  }

  rt::Status parseItem() {
    rt::Result<std::string> key = parseString();
    if (!key)
      return key.status();
    if (rt::Status status = expect(':'); !status)
      return status;
    if (*key == "descr" && !std::exchange(hasDescr, true))
      return parseDescr();
    if (*key == "fortran_order" && !std::exchange(hasOrder, true))
      return parseOrder();
    if (*key == "shape" && !std::exchange(hasShape, true))
      return parseShape();
    return rt::Status::error(fmt::format(
        "header: expected 'descr', 'fortran_order' and 'shape' once each, but "
        "got key {}",
        shown(*key)));
  }

  std::string_view rest;
  std::string_view whole;
  Header header;
  bool hasDescr = false;
  bool hasOrder = false;
  bool hasShape = false;
};

rt::Result<rt::DType> toDType(std::string_view text) {
  for (const Descr &descr : descrs)
    if (descr.text == text)
      return descr.dtype;
  if (text.substr(0, 1) == ">")
    return rt::Status::error(
        fmt::format("expected little-endian data, but got big-endian descr {}",
                    shown(text)));
  if (text.find("bfloat16") != std::string_view::npos || text == "<V2" ||
      text == "|V2")
    return rt::Status::error(fmt::format(
        "expected descr to be one of {}, but got {}: .npy has no bf16, use "
        ".safetensors",
        knownDescrs(), shown(text)));
  return rt::Status::error(
      fmt::format("expected descr to be one of {}, but got {}", knownDescrs(),
                  shown(text)));
}

struct HeaderText {
  std::string text;
  int64_t dataBegin;
};

rt::Result<HeaderText> readHeader(const InputFile &file) {
  constexpr int64_t versionEnd = magic.size() + 2;
  std::array<char, versionEnd> start;
  if (file.size() < versionEnd)
    return file.error(
        fmt::format("expected at least {} bytes of magic and version, but got "
                    "{}",
                    versionEnd, file.size()));
  if (rt::Status status = file.read(0, start.data(), versionEnd); !status)
    return status;
  if (std::string_view(start.data(), magic.size()) != magic)
    return file.error("expected the file to begin with \\x93NUMPY, but got " +
                      shown({start.data(), magic.size()}));
  int major = static_cast<uint8_t>(start[magic.size()]);
  int minor = static_cast<uint8_t>(start[magic.size() + 1]);
  if (major < 1 || major > 3 || minor != 0)
    return file.error(fmt::format(
        "expected version 1.0, 2.0 or 3.0, but got {}.{}", major, minor));

  int64_t lengthBytes = major == 1 ? 2 : 4;
  if (file.size() < versionEnd + lengthBytes)
    return file.error(fmt::format("expected {} bytes of header length, but the "
                                  "file holds only {} more",
                                  lengthBytes, file.size() - versionEnd));
  uint32_t length = 0;
  if (rt::Status status = file.read(versionEnd, &length, lengthBytes); !status)
    return status;
  int64_t headerBegin = versionEnd + lengthBytes;
  if (length > maxHeaderBytes)
    return file.error(
        fmt::format("expected a header of at most {} bytes, but got {}",
                    maxHeaderBytes, length));
  if (length > file.size() - headerBegin)
    return file.error(fmt::format("expected a header of {} bytes, but the file "
                                  "holds only {} more",
                                  length, file.size() - headerBegin));
  HeaderText result{std::string(length, '\0'), headerBegin + length};
  if (rt::Status status = file.read(headerBegin, result.text.data(), length);
      !status)
    return status;
  return result;
}

rt::Result<OwnedTensor> readData(const InputFile &file, int64_t begin,
                                 rt::DType dtype, Header header) {
  std::optional<int64_t> bytes = contiguousBytes(dtype, header.shape);
  if (!bytes)
    return file.error(fmt::format(
        "expected a shape whose size fits into 64 bits, but got [{}]",
        fmt::join(header.shape, ", ")));
  if (*bytes != file.size() - begin)
    return file.error(fmt::format(
        "expected {} bytes of data for {}[{}], but got {}", *bytes,
        rt::name(dtype), fmt::join(header.shape, ", "), file.size() - begin));
  if (header.fortranOrder)
    std::reverse(header.shape.begin(), header.shape.end());
  rt::Result<OwnedTensor> tensor =
      file.readTensor(begin, dtype, std::move(header.shape));
  if (tensor && header.fortranOrder) {
    std::vector<int> axes(tensor->view.shape.size());
    std::iota(axes.rbegin(), axes.rend(), 0);
    tensor->view = tensor->view.permuted(axes);
  }
  return tensor;
}

rt::Result<std::string_view> toDescr(rt::DType dtype) {
  for (const Descr &descr : descrs)
    if (descr.dtype == dtype)
      return descr.text;
  return rt::Status::error(
      fmt::format("expected a dtype that .npy knows, but got {}: use "
                  ".safetensors",
                  rt::name(dtype)));
}

std::string makeHeader(std::string_view descr,
                       const std::vector<int64_t> &shape) {
  std::string text = fmt::format(
      "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr,
      fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  size_t used = magic.size() + 4 + text.size() + 1;
  text.append((dataAlignment - used % dataAlignment) % dataAlignment, ' ');
  return text + '\n';
}

} // namespace

rt::Result<TensorMap> readNpy(const std::string &path) {
  rt::Result<InputFile> file = InputFile::open(path);
  if (!file)
    return file.status();
  rt::Result<HeaderText> text = readHeader(*file);
  if (!text)
    return text.status();
  rt::Result<Header> header = HeaderParser(text->text).parse();
  if (!header)
    return file->error(header.message());
  rt::Result<rt::DType> dtype = toDType(header->descr);
  if (!dtype)
    return file->error(dtype.message());
  rt::Result<OwnedTensor> tensor =
      readData(*file, text->dataBegin, *dtype, std::move(*header));
  if (!tensor)
    return tensor.status();
  TensorMap map;
  map.tensors[std::filesystem::path(path).stem().string()] = std::move(*tensor);
  return map;
}

rt::Status writeNpy(const std::string &path, const TensorMap &map) {
  auto error = [&](std::string_view message) {
    return rt::Status::error(fmt::format("{}: {}", path, message));
  };
  if (map.tensors.size() != 1)
    return error(fmt::format(
        "expected one tensor for .npy, but got {}: use .safetensors",
        map.tensors.size()));
  if (!map.metadata.empty())
    return error(fmt::format("expected no metadata for .npy, but got {} "
                             "entries: use .safetensors",
                             map.metadata.size()));
  const rt::Tensor &tensor = map.tensors.begin()->second.view;
  rt::Result<std::string_view> descr = toDescr(tensor.dtype);
  if (!descr)
    return error(descr.message());
  std::string text = makeHeader(*descr, tensor.shape);
  if (text.size() > std::numeric_limits<uint16_t>::max())
    return error(fmt::format("expected a header of at most 65535 bytes for "
                             ".npy, but got {}",
                             text.size()));

  rt::Result<OutputFile> file = OutputFile::create(path);
  if (!file)
    return file.status();
  uint16_t length = static_cast<uint16_t>(text.size());
  std::string start = std::string(magic) + '\x01' + '\0';
  start.append(reinterpret_cast<const char *>(&length), sizeof(length));
  start += text;
  if (rt::Status status = file->write(start.data(), start.size()); !status)
    return status;
  if (rt::Status status = file->writeTensor(tensor); !status)
    return status;
  return file->commit();
}

} // namespace weft
