// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The safetensors format: 8 bytes of header length, a JSON header, then the
// tensors' bytes.

#include "lib/TensorFile/Safetensors.h"
#include "lib/TensorFile/FileIO.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <tuple>

namespace weft {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "tensor files are little-endian");

constexpr int64_t lengthBytes = 8;
constexpr int64_t maxHeaderBytes = 100'000'000;
constexpr int64_t dataAlignment = 64;
constexpr std::string_view metadataKey = "__metadata__";

struct DTypeName {
  rt::DType dtype;
  std::string_view name;
};

constexpr std::array<DTypeName, 8> dtypeNames = {{
    {rt::DType::F32, "F32"},
    {rt::DType::BF16, "BF16"},
    {rt::DType::F16, "F16"},
    {rt::DType::F64, "F64"},
    {rt::DType::I64, "I64"},
    {rt::DType::I32, "I32"},
    {rt::DType::U8, "U8"},
    {rt::DType::Bool, "BOOL"},
}};

std::string_view fileName(rt::DType dtype) {
  return std::find_if(dtypeNames.begin(), dtypeNames.end(),
                      [&](DTypeName entry) { return entry.dtype == dtype; })
      ->name;
}

std::string dumpJson(const Json &value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// JSON from the file as it appears in a message: valid UTF-8 and not too long.
std::string shown(const Json &value) {
  constexpr size_t limit = 120;
  // A nested or long value is named by its kind: its dump could be as long as
  // the file.
  if (value.is_structured() && value.size() > 16)
    return fmt::format("an {} of {} items", value.type_name(), value.size());
  std::string text = dumpJson(value);
  if (text.size() <= limit)
    return text;
  size_t end = limit;
  while ((text[end] & 0xc0) == 0x80)
    --end;
  return text.substr(0, end) + "...";
}

//===----------------------------------------------------------------------===//
// The header as JSON
//===----------------------------------------------------------------------===//

/// Builds a JSON document and refuses what nlohmann's own builder accepts:
/// repeated keys and deep nesting.
class StrictJsonBuilder final : public nlohmann::json_sax<Json> {
public:
  Json document;
  std::string problem;

  bool null() override { return add(Json()) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(int64_t value) override { return add(value) != nullptr; }
  bool number_unsigned(uint64_t value) override {
    return add(value) != nullptr;
  }
  bool number_float(double value, const std::string &) override {
    return add(value) != nullptr;
  }
  bool string(std::string &value) override {
    return add(std::move(value)) != nullptr;
  }
  bool binary(Json::binary_t &) override {
    return fail("expected JSON text, but got binary data");
  }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string &name) override {
    if (parents.back()->contains(name))
      return fail(fmt::format("expected each name once, but got {} twice",
                              shown(name)));
    nextKey = name;
    return true;
  }

  bool parse_error(size_t position, const std::string &,
                   const nlohmann::detail::exception &) override {
    return fail(fmt::format(
        "expected a JSON object, but got a syntax error at header byte {}",
        position));
  }

private:
  /// A header is an object of objects with arrays of numbers.
  static constexpr size_t maxDepth = 3;

  bool fail(std::string message) {
    problem = std::move(message);
    return false;
  }

  Json *add(Json value) {
    if (parents.empty()) {
      document = std::move(value);
      return &document;
    }
    Json &parent = *parents.back();
    if (parent.is_array())
      return &parent.emplace_back(std::move(value));
    return &(parent[nextKey] = std::move(value));
  }

  bool open(Json value) {
    if (parents.size() == maxDepth)
      return fail(fmt::format(
          "expected at most {} levels of nesting, but got more", maxDepth));
    parents.push_back(add(std::move(value)));
    return true;
  }

  bool close() {
    parents.pop_back();
    return true;
  }

  std::vector<Json *> parents;
  std::string nextKey;
};

rt::Result<Json> parseHeader(const InputFile &file, const std::string &text) {
  // The lexer takes a NUL byte for the end of the text.
  size_t nul = text.find('\0');
  if (nul != std::string::npos)
    return file.error(fmt::format(
        "header: expected JSON, but got a zero byte at header byte {}", nul));
  if (text.front() != '{')
    return file.error(fmt::format(
        "header: expected a JSON object that begins with '{{', but got {}",
        shown(text.substr(0, 1))));
  StrictJsonBuilder builder;
  if (!Json::sax_parse(text, &builder))
    return file.error("header: " + builder.problem);
  return std::move(builder.document);
}

//===----------------------------------------------------------------------===//
// The meaning of the header
//===----------------------------------------------------------------------===//

struct Entry {
  std::string name;
  rt::DType dtype;
  std::vector<int64_t> shape;
  int64_t begin;
  int64_t end;
};

/// A JSON integer from 0 to 2^63 - 1.
std::optional<int64_t> toExtent(const Json &value) {
  if (!value.is_number_unsigned() ||
      value.get<uint64_t>() > std::numeric_limits<int64_t>::max())
    return std::nullopt;
  return value.get<int64_t>();
}

rt::Result<std::vector<int64_t>> toExtents(const Json &value,
                                           std::string_view key) {
  rt::Status error = rt::Status::error(fmt::format(
      "expected '{}' to be an array of integers from 0 to 2^63 - 1, but got {}",
      key, shown(value)));
  if (!value.is_array())
    return error;
  std::vector<int64_t> extents;
  for (const Json &item : value) {
    std::optional<int64_t> extent = toExtent(item);
    if (!extent)
      return error;
    extents.push_back(*extent);
  }
  return extents;
}

rt::Result<rt::DType> toDType(const Json &value) {
  std::vector<std::string_view> known;
  for (const DTypeName &entry : dtypeNames) {
    if (value == entry.name)
      return entry.dtype;
    known.push_back(entry.name);
  }
  return rt::Status::error(fmt::format("expected 'dtype' to be one of {}, but "
                                       "got {}",
                                       fmt::join(known, ", "), shown(value)));
}

rt::Status checkKeys(const Json &value) {
  constexpr std::array<std::string_view, 3> keys = {"dtype", "shape",
                                                    "data_offsets"};
  constexpr std::string_view rule =
      "expected an object with 'dtype', 'shape' and 'data_offsets', but";
  if (!value.is_object())
    return rt::Status::error(fmt::format("{} got {}", rule, shown(value)));
  for (std::string_view key : keys)
    if (!value.contains(key))
      return rt::Status::error(fmt::format("{} '{}' is missing", rule, key));
  for (const auto &[key, unused] : value.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      return rt::Status::error(fmt::format("{} got {} too", rule, shown(key)));
  return rt::Status::ok();
}

rt::Status checkOffsets(const Entry &entry, int64_t dataBytes) {
  if (entry.begin > entry.end)
    return rt::Status::error(fmt::format(
        "expected 'data_offsets' in ascending order, but got [{}, {}]",
        entry.begin, entry.end));
  if (entry.end > dataBytes)
    return rt::Status::error(fmt::format(
        "expected 'data_offsets' within the {} bytes of data, but got [{}, {}]",
        dataBytes, entry.begin, entry.end));
  std::optional<int64_t> bytes = contiguousBytes(entry.dtype, entry.shape);
  if (!bytes)
    return rt::Status::error(fmt::format(
        "expected a shape whose size fits into 64 bits, but got [{}]",
        fmt::join(entry.shape, ", ")));
  if (entry.end - entry.begin != *bytes)
    return rt::Status::error(fmt::format(
        "expected 'data_offsets' to span the {} bytes of {}[{}], but got {} "
        "bytes",
        *bytes, rt::name(entry.dtype), fmt::join(entry.shape, ", "),
        entry.end - entry.begin));
  return rt::Status::ok();
}

rt::Result<Entry> toEntry(const std::string &name, const Json &value,
                          int64_t dataBytes) {
  if (rt::Status status = checkKeys(value); !status)
    return status;
  rt::Result<rt::DType> dtype = toDType(value["dtype"]);
  if (!dtype)
    return dtype.status();
  rt::Result<std::vector<int64_t>> shape = toExtents(value["shape"], "shape");
  if (!shape)
    return shape.status();
  rt::Result<std::vector<int64_t>> offsets =
      toExtents(value["data_offsets"], "data_offsets");
  if (!offsets)
    return offsets.status();
  if (offsets->size() != 2)
    return rt::Status::error(
        fmt::format("expected 'data_offsets' to be two integers, but got {}",
                    shown(value["data_offsets"])));
  Entry entry{name, *dtype, std::move(*shape), (*offsets)[0], (*offsets)[1]};
  if (rt::Status status = checkOffsets(entry, dataBytes); !status)
    return status;
  return entry;
}

rt::Status readMetadata(const InputFile &file, const Json &value,
                        TensorMap &map) {
  if (!value.is_object())
    return file.error(
        fmt::format("header: expected '{}' to be an object, but got {}",
                    metadataKey, shown(value)));
  for (const auto &[key, text] : value.items()) {
    if (!text.is_string())
      return file.error(
          fmt::format("header: expected metadata {} to be a string, but got {}",
                      shown(key), shown(text)));
    map.metadata[key] = text.get<std::string>();
  }
  return rt::Status::ok();
}

/// Sorts by place and requires that the tensors cover the data from its first
/// byte to its last.
rt::Status checkCover(const InputFile &file, std::vector<Entry> &entries,
                      int64_t dataBytes) {
  std::sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  int64_t place = 0;
  for (const Entry &entry : entries) {
    if (entry.begin != place)
      return file.error(fmt::format(
          "tensor {}: expected data without {}, that is from offset {}, but "
          "got offset {}",
          shown(entry.name), entry.begin < place ? "overlaps" : "gaps", place,
          entry.begin));
    place = entry.end;
  }
  if (place != dataBytes)
    return file.error(
        fmt::format("expected the data to end with the last tensor at offset "
                    "{}, but got {} more bytes",
                    place, dataBytes - place));
  return rt::Status::ok();
}

rt::Result<std::string> readHeader(const InputFile &file) {
  if (file.size() < lengthBytes)
    return file.error(fmt::format("expected at least {} bytes for the header's "
                                  "length, but got {}",
                                  lengthBytes, file.size()));
  uint64_t length = 0;
  if (rt::Status status = file.read(0, &length, lengthBytes); !status)
    return status;
  if (length > maxHeaderBytes)
    return file.error(
        fmt::format("expected a header of at most {} bytes, but got {}",
                    maxHeaderBytes, length));
  int64_t rest = file.size() - lengthBytes;
  if (static_cast<int64_t>(length) > rest)
    return file.error(fmt::format("expected a header of {} bytes, but the file "
                                  "holds only {} more",
                                  length, rest));
  if (length < 2)
    return file.error(fmt::format(
        "header: expected a JSON object, but got {} bytes", length));
  std::string text(length, '\0');
  if (rt::Status status = file.read(lengthBytes, text.data(), text.size());
      !status)
    return status;
  return text;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

/// The tensors in the order of their data: largest elements first, then by
/// name.
std::vector<std::pair<std::string, rt::Tensor>>
inFileOrder(const TensorMap &map) {
  std::vector<std::pair<std::string, rt::Tensor>> tensors;
  for (const auto &[name, tensor] : map.tensors)
    tensors.emplace_back(name, tensor.view);
  std::sort(tensors.begin(), tensors.end(), [](auto &a, auto &b) {
    size_t aBytes = rt::sizeOf(a.second.dtype);
    size_t bBytes = rt::sizeOf(b.second.dtype);
    return aBytes != bBytes ? aBytes > bBytes : a.first < b.first;
  });
  return tensors;
}

rt::Status checkText(const std::string &path, const std::string &text,
                     std::string_view what) {
  // Invalid bytes are dropped by this dump, so that the text changes.
  std::string dumped =
      Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore);
  if (Json::parse(dumped, nullptr, false) != Json(text))
    return rt::Status::error(fmt::format("{}: expected {} in UTF-8, but got {}",
                                         path, what, shown(text)));
  return rt::Status::ok();
}

rt::Status checkTexts(const std::string &path, const TensorMap &map) {
  for (const auto &[name, unused] : map.tensors) {
    if (rt::Status status = checkText(path, name, "a tensor name"); !status)
      return status;
    if (name == metadataKey)
      return rt::Status::error(fmt::format(
          "{}: expected a tensor name other than '{}', which the format "
          "reserves",
          path, metadataKey));
  }
  for (const auto &[key, text] : map.metadata)
    for (const std::string &part : {key, text})
      if (rt::Status status = checkText(path, part, "metadata"); !status)
        return status;
  return rt::Status::ok();
}

/// The header's length and text, padded so that the data begins at an aligned
/// offset.
rt::Result<std::string>
makeHeader(const std::string &path, const TensorMap &map,
           const std::vector<std::pair<std::string, rt::Tensor>> &tensors) {
  Json header = Json::object();
  if (!map.metadata.empty())
    header[metadataKey] = map.metadata;
  int64_t place = 0;
  for (const auto &[name, tensor] : tensors) {
    int64_t begin = place;
    std::optional<int64_t> bytes = contiguousBytes(tensor.dtype, tensor.shape);
    if (!bytes || __builtin_add_overflow(place, *bytes, &place))
      return rt::Status::error(fmt::format(
          "{}: tensor {}: expected a size that fits into 64 bits, but got {}",
          path, shown(name), tensor.describe()));
    header[name] = {{"dtype", fileName(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, place}}};
  }
  std::string text = dumpJson(header);
  int64_t used = lengthBytes + static_cast<int64_t>(text.size());
  text.append((dataAlignment - used % dataAlignment) % dataAlignment, ' ');
  if (static_cast<int64_t>(text.size()) > maxHeaderBytes)
    return rt::Status::error(
        fmt::format("{}: expected a header of at most {} bytes, but got {}",
                    path, maxHeaderBytes, text.size()));
  uint64_t length = text.size();
  std::string prefix(lengthBytes, '\0');
  std::memcpy(prefix.data(), &length, lengthBytes);
  return prefix + text;
}

} // namespace

rt::Result<TensorMap> readSafetensors(const std::string &path) {
  rt::Result<InputFile> file = InputFile::open(path);
  if (!file)
    return file.status();
  rt::Result<std::string> text = readHeader(*file);
  if (!text)
    return text.status();
  rt::Result<Json> header = parseHeader(*file, *text);
  if (!header)
    return header.status();

  TensorMap map;
  std::vector<Entry> entries;
  int64_t dataBegin = lengthBytes + static_cast<int64_t>(text->size());
  int64_t dataBytes = file->size() - dataBegin;
  for (const auto &[name, value] : header->items()) {
    if (name == metadataKey) {
      if (rt::Status status = readMetadata(*file, value, map); !status)
        return status;
      continue;
    }
    rt::Result<Entry> entry = toEntry(name, value, dataBytes);
    if (!entry)
      return file->error(
          fmt::format("tensor {}: {}", shown(name), entry.message()));
    entries.push_back(std::move(*entry));
  }
  if (rt::Status status = checkCover(*file, entries, dataBytes); !status)
    return status;

  for (Entry &entry : entries) {
    rt::Result<OwnedTensor> tensor = file->readTensor(
        dataBegin + entry.begin, entry.dtype, std::move(entry.shape));
    if (!tensor)
      return tensor.status();
    map.tensors[entry.name] = std::move(*tensor);
  }
  return map;
}

rt::Status writeSafetensors(const std::string &path, const TensorMap &map) {
  if (rt::Status status = checkTexts(path, map); !status)
    return status;
  std::vector<std::pair<std::string, rt::Tensor>> tensors = inFileOrder(map);
  rt::Result<std::string> header = makeHeader(path, map, tensors);
  if (!header)
    return header.status();
  rt::Result<OutputFile> file = OutputFile::create(path);
  if (!file)
    return file.status();
  if (rt::Status status = file->write(header->data(), header->size()); !status)
    return status;
  for (const auto &[name, tensor] : tensors)
    if (rt::Status status = file->writeTensor(tensor); !status)
      return status;
  return file->commit();
}

} // namespace weft
