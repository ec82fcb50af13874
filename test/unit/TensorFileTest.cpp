// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of tensor files: round trips, and refusal of every kind of malformed
// file.

#include "lib/TensorFile/TensorFile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

using namespace weft;
namespace fs = std::filesystem;

namespace {

constexpr rt::DType allDTypes[] = {
    rt::DType::F32, rt::DType::BF16, rt::DType::F16, rt::DType::F64,
    rt::DType::I64, rt::DType::I32,  rt::DType::U8,  rt::DType::Bool};

class TensorFileTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern =
        (fs::temp_directory_path() / "weft-tensor-file-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override { fs::remove_all(folder); }

  std::string pathOf(const std::string &name) const { return folder / name; }

  std::string write(const std::string &name, const std::string &bytes) const {
    std::ofstream(pathOf(name), std::ios::binary) << bytes;
    return pathOf(name);
  }

  std::string readBytes(const std::string &name) const {
    std::ifstream stream(pathOf(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  /// Reading `bytes` must fail with a message that begins with the path and
  /// contains `part`.
  void expectError(const std::string &name, const std::string &bytes,
                   const std::string &part) const {
    std::string path = write(name, bytes);
    rt::Result<TensorMap> result = readTensorFile(path);
    ASSERT_FALSE(result.isOk()) << "no error, but expected: " << part;
    EXPECT_EQ(result.message().find(path + ": "), 0u) << result.message();
    EXPECT_NE(result.message().find(part), std::string::npos)
        << "message: " << result.message() << "\nexpected part: " << part;
  }

  void expectSafetensorsError(const std::string &header, size_t dataBytes,
                              const std::string &part) const;
  void expectNpyError(const std::string &header, size_t dataBytes,
                      const std::string &part) const;

  size_t filesInFolder() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder), {}));
  }

  fs::path folder;
};

std::string lengthPrefix(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string safetensors(const std::string &header, size_t dataBytes) {
  return lengthPrefix(header.size()) + header + std::string(dataBytes, '\0');
}

/// A header with one tensor "a".
std::string one(const std::string &dtype, const std::string &shape,
                const std::string &offsets) {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape +
         R"(,"data_offsets":)" + offsets + "}}";
}

std::string npyStart(char major, uint32_t length) {
  std::string bytes = std::string("\x93NUMPY") + major + '\0';
  char number[4];
  std::memcpy(number, &length, 4);
  return bytes.append(number, major == 1 ? 2 : 4);
}

std::string npy(const std::string &header, size_t dataBytes, char major = 1) {
  return npyStart(major, static_cast<uint32_t>(header.size())) + header +
         std::string(dataBytes, '\0');
}

std::string npyHeader(const std::string &descr, const std::string &order,
                      const std::string &shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order +
         ", 'shape': " + shape + ", }\n";
}

void TensorFileTest::expectSafetensorsError(const std::string &header,
                                            size_t dataBytes,
                                            const std::string &part) const {
  expectError("bad.safetensors", safetensors(header, dataBytes), part);
}

void TensorFileTest::expectNpyError(const std::string &header, size_t dataBytes,
                                    const std::string &part) const {
  expectError("bad.npy", npy(header, dataBytes), part);
}

OwnedTensor makeTensor(rt::DType dtype, std::vector<int64_t> shape) {
  rt::Result<OwnedTensor> tensor =
      OwnedTensor::allocate(dtype, std::move(shape));
  EXPECT_TRUE(tensor.isOk());
  for (int64_t i = 0; i < tensor->view.numElements(); ++i)
    rt::storeFromDouble(tensor->view.data, dtype, i,
                        dtype == rt::DType::Bool ? i % 2 : i + 1);
  return *tensor;
}

void expectSame(const rt::Tensor &actual, const rt::Tensor &expected) {
  EXPECT_EQ(actual.describe(), expected.describe());
  EXPECT_EQ(actual.strides, expected.strides);
  EXPECT_EQ(std::memcmp(actual.data, expected.data,
                        expected.numElements() * rt::sizeOf(expected.dtype)),
            0);
}

bool isAligned(const rt::Tensor &tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data) % 64 == 0;
}

//===----------------------------------------------------------------------===//
// Round trips
//===----------------------------------------------------------------------===//

TEST_F(TensorFileTest, SafetensorsRoundTrip) {
  TensorMap map;
  for (rt::DType dtype : allDTypes)
    map.tensors[std::string(rt::name(dtype))] = makeTensor(dtype, {3, 1, 5});
  map.tensors["scalar"] = makeTensor(rt::DType::F32, {});
  map.tensors["empty"] = makeTensor(rt::DType::F32, {4, 0});
  map.tensors["näme \"quoted\"\n"] = makeTensor(rt::DType::U8, {1});
  map.metadata = {{"grid", "13x30x45"}, {"note", "two\nlines"}};
  ASSERT_EQ(writeTensorFile(pathOf("a.safetensors"), map).message(), "");
  rt::Result<TensorMap> read = readTensorFile(pathOf("a.safetensors"));
  ASSERT_TRUE(read.isOk()) << read.message();
  EXPECT_EQ(read->metadata, map.metadata);
  ASSERT_EQ(read->tensors.size(), map.tensors.size());
  for (const auto &[name, tensor] : map.tensors) {
    expectSame(read->tensors[name].view, tensor.view);
    EXPECT_TRUE(isAligned(read->tensors[name].view)) << name;
  }
}

TEST_F(TensorFileTest, SafetensorsDataIsAlignedInTheFile) {
  TensorMap map;
  map.tensors["a"] = makeTensor(rt::DType::U8, {3});
  map.tensors["b"] = makeTensor(rt::DType::F64, {1});
  ASSERT_TRUE(writeTensorFile(pathOf("a.safetensors"), map).isOk());
  std::string bytes = readBytes("a.safetensors");
  EXPECT_EQ((bytes.size() - 11) % 64, 0u);
  EXPECT_NE(bytes.find(R"("b":{"data_offsets":[0,8])"), std::string::npos);
}

TEST_F(TensorFileTest, EmptyMap) {
  ASSERT_TRUE(writeTensorFile(pathOf("a.safetensors"), {}).isOk());
  rt::Result<TensorMap> read = readTensorFile(pathOf("a.safetensors"));
  ASSERT_TRUE(read.isOk()) << read.message();
  EXPECT_TRUE(read->tensors.empty());
}

TEST_F(TensorFileTest, NpyRoundTrip) {
  for (rt::DType dtype : allDTypes) {
    if (dtype == rt::DType::BF16)
      continue;
    for (std::vector<int64_t> shape : std::vector<std::vector<int64_t>>{
             {}, {7}, {2, 3}, {0, 4}, {1, 2, 3, 4}}) {
      TensorMap map;
      map.tensors["any"] = makeTensor(dtype, shape);
      ASSERT_EQ(writeTensorFile(pathOf("stem.npy"), map).message(), "");
      EXPECT_EQ(readBytes("stem.npy").find('\n') % 64, 63u);
      rt::Result<TensorMap> read = readTensorFile(pathOf("stem.npy"));
      ASSERT_TRUE(read.isOk()) << read.message();
      ASSERT_EQ(read->tensors.size(), 1u);
      expectSame(read->tensors["stem"].view, map.tensors["any"].view);
      EXPECT_TRUE(isAligned(read->tensors["stem"].view));
    }
  }
}

TEST_F(TensorFileTest, StridedViewIsWrittenInRowMajorOrder) {
  OwnedTensor tensor = makeTensor(rt::DType::I32, {2, 3});
  tensor.view = tensor.view.permuted({1, 0});
  EXPECT_FALSE(isContiguous(tensor.view));
  TensorMap map;
  map.tensors["a"] = tensor;
  for (const char *name : {"a.safetensors", "a.npy"}) {
    ASSERT_TRUE(writeTensorFile(pathOf(name), map).isOk());
    rt::Result<TensorMap> read = readTensorFile(pathOf(name));
    ASSERT_TRUE(read.isOk()) << read.message();
    const rt::Tensor &view = read->tensors["a"].view;
    EXPECT_EQ(view.describe(), "i32[3, 2]");
    const auto *data = static_cast<const int32_t *>(view.data);
    EXPECT_EQ(std::vector<int32_t>(data, data + 6),
              (std::vector<int32_t>{1, 4, 2, 5, 3, 6}));
  }
}

TEST_F(TensorFileTest, NpyFortranOrderBecomesStrides) {
  std::string bytes = npy(npyHeader("|u1", "True", "(2, 3)"), 0);
  std::string path = write("f.npy", bytes + "\1\2\3\4\5\6");
  rt::Result<TensorMap> read = readTensorFile(path);
  ASSERT_TRUE(read.isOk()) << read.message();
  const rt::Tensor &view = read->tensors["f"].view;
  EXPECT_EQ(view.describe(), "u8[2, 3]");
  EXPECT_EQ(view.strides, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(rt::loadAsDouble(view.data, rt::DType::U8, 1 * 1 + 2 * 2), 6);
}

TEST_F(TensorFileTest, NpyVersions) {
  for (char major : {1, 2, 3}) {
    std::string header = npyHeader("<f8", "False", "(3,)");
    rt::Result<TensorMap> read =
        readTensorFile(write("v.npy", npy(header, 24, major)));
    ASSERT_TRUE(read.isOk()) << read.message();
    EXPECT_EQ(read->tensors["v"].view.describe(), "f64[3]");
  }
}

TEST_F(TensorFileTest, NpyHeaderInAnotherOrder) {
  std::string header =
      "{\"shape\":(2,2),\"descr\":\"<i4\",\"fortran_order\":False}";
  rt::Result<TensorMap> read = readTensorFile(write("o.npy", npy(header, 16)));
  ASSERT_TRUE(read.isOk()) << read.message();
  EXPECT_EQ(read->tensors["o"].view.describe(), "i32[2, 2]");
}

//===----------------------------------------------------------------------===//
// Paths
//===----------------------------------------------------------------------===//

TEST_F(TensorFileTest, UnknownExtension) {
  EXPECT_EQ(readTensorFile("x.pt").message(),
            "x.pt: expected a file name that ends in .safetensors or .npy, but "
            "got extension '.pt'");
  EXPECT_EQ(writeTensorFile("x", {}).message(),
            "x: expected a file name that ends in .safetensors or .npy, but "
            "got extension ''");
}

TEST_F(TensorFileTest, MissingFileAndFolder) {
  std::string path = pathOf("none/a.npy");
  EXPECT_EQ(readTensorFile(path).message(),
            path + ": cannot open: No such file or directory");
  path = pathOf("none/a.safetensors");
  EXPECT_EQ(writeTensorFile(path, {}).message(),
            path + ": cannot create: No such file or directory");
}

TEST_F(TensorFileTest, FolderInsteadOfFile) {
  std::string path = pathOf("folder.safetensors");
  fs::create_directory(path);
  EXPECT_EQ(readTensorFile(path).message(),
            path + ": expected a regular file, but got a directory or device");
  EXPECT_EQ(writeTensorFile(path, {}).message(),
            path + ": expected a regular file or a new name, but got a "
                   "directory or device");
}

TEST_F(TensorFileTest, FailedWriteLeavesTheOldFileAlone) {
  TensorMap map;
  map.tensors["a"] = makeTensor(rt::DType::F32, {2});
  ASSERT_TRUE(writeTensorFile(pathOf("a.npy"), map).isOk());
  std::string before = readBytes("a.npy");
  map.tensors["a"] = makeTensor(rt::DType::BF16, {2});
  EXPECT_FALSE(writeTensorFile(pathOf("a.npy"), map).isOk());
  EXPECT_EQ(readBytes("a.npy"), before);
  EXPECT_EQ(filesInFolder(), 1u);
}

TEST_F(TensorFileTest, WriteReplacesAndFollowsLinks) {
  TensorMap map;
  map.tensors["a"] = makeTensor(rt::DType::F32, {2});
  write("target.npy", "old");
  fs::create_symlink("target.npy", folder / "link.npy");
  ASSERT_EQ(writeTensorFile(pathOf("link.npy"), map).message(), "");
  EXPECT_TRUE(fs::is_symlink(folder / "link.npy"));
  EXPECT_TRUE(readTensorFile(pathOf("target.npy")).isOk());
  EXPECT_EQ(filesInFolder(), 2u);
}

//===----------------------------------------------------------------------===//
// What the formats cannot hold
//===----------------------------------------------------------------------===//

TEST_F(TensorFileTest, NpyWriteErrors) {
  std::string path = pathOf("a.npy");
  TensorMap map;
  EXPECT_EQ(writeTensorFile(path, map).message(),
            path + ": expected one tensor for .npy, but got 0: use "
                   ".safetensors");
  map.tensors["a"] = makeTensor(rt::DType::BF16, {2});
  EXPECT_EQ(writeTensorFile(path, map).message(),
            path + ": expected a dtype that .npy knows, but got bf16: use "
                   ".safetensors");
  map.metadata["grid"] = "1x2x3";
  EXPECT_EQ(writeTensorFile(path, map).message(),
            path + ": expected no metadata for .npy, but got 1 entries: use "
                   ".safetensors");
}

TEST_F(TensorFileTest, SafetensorsWriteErrors) {
  std::string path = pathOf("a.safetensors");
  TensorMap reserved;
  reserved.tensors["__metadata__"] = makeTensor(rt::DType::U8, {1});
  EXPECT_NE(writeTensorFile(path, reserved)
                .message()
                .find("expected a tensor name other than '__metadata__'"),
            std::string::npos);
  TensorMap badName;
  badName.tensors["\xff"] = makeTensor(rt::DType::U8, {1});
  EXPECT_NE(writeTensorFile(path, badName)
                .message()
                .find("expected a tensor name in UTF-8"),
            std::string::npos);
  TensorMap badText;
  badText.metadata["a"] = "\xc3";
  EXPECT_NE(writeTensorFile(path, badText)
                .message()
                .find("expected metadata in UTF-8"),
            std::string::npos);
  EXPECT_EQ(filesInFolder(), 0u);
}

TEST_F(TensorFileTest, AllocateRefusesOverflow) {
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  for (std::vector<int64_t> shape : std::vector<std::vector<int64_t>>{
           {huge}, {huge, huge}, {0, huge, huge}, {-1}})
    EXPECT_NE(OwnedTensor::allocate(rt::DType::F32, shape)
                  .status()
                  .message()
                  .find("expected a tensor whose size fits into 64 bits"),
              std::string::npos);
}

//===----------------------------------------------------------------------===//
// Malformed safetensors
//===----------------------------------------------------------------------===//

TEST_F(TensorFileTest, SafetensorsLength) {
  expectError("bad.safetensors", "",
              "expected at least 8 bytes for the header's length, but got 0");
  expectError("bad.safetensors", "1234567",
              "expected at least 8 bytes for the header's length, but got 7");
  expectError("bad.safetensors", lengthPrefix(3) + "{}",
              "expected a header of 3 bytes, but the file holds only 2 more");
  expectError("bad.safetensors", lengthPrefix(100'000'001) + "{}",
              "expected a header of at most 100000000 bytes, but got "
              "100000001");
  expectError("bad.safetensors", lengthPrefix(~uint64_t(0)) + "{}",
              "but got 18446744073709551615");
  expectSafetensorsError("", 0,
                         "header: expected a JSON object, but got 0 bytes");
}

TEST_F(TensorFileTest, SafetensorsHeaderIsNotAnObject) {
  expectSafetensorsError("[]", 0, "that begins with '{', but got \"[\"");
  expectSafetensorsError("  {}", 0, "that begins with '{', but got \" \"");
  expectSafetensorsError("\xef\xbb\xbf{}", 0, "that begins with '{'");
  expectSafetensorsError("{]", 0, "syntax error at header byte 2");
  expectSafetensorsError("{} x", 0, "syntax error at header byte 4");
  expectSafetensorsError(R"({"a":1e999})", 0, "header: ");
  expectSafetensorsError(std::string("{}\0{}", 5), 0,
                         "got a zero byte at header byte 2");
  expectSafetensorsError("{\"\xff\":1}", 0, "syntax error at header byte 3");
}

TEST_F(TensorFileTest, SafetensorsNesting) {
  constexpr size_t deep = 1'000'000;
  expectSafetensorsError(R"({"a":)" + std::string(deep, '['), 0,
                         "expected at most 3 levels of nesting");
  expectSafetensorsError(
      R"({"a":{"shape":[[1]],"dtype":"F32","data_offsets":[0,4]}})", 4,
      "expected at most 3 levels of nesting");
}

TEST_F(TensorFileTest, SafetensorsDuplicates) {
  std::string body = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expectSafetensorsError("{\"a\":" + body + ",\"a\":" + body + "}", 1,
                         "expected each name once, but got \"a\" twice");
  expectSafetensorsError(
      R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      1, "expected each name once, but got \"dtype\" twice");
  expectSafetensorsError(R"({"__metadata__":{},"__metadata__":{}})", 0,
                         "got \"__metadata__\" twice");
}

TEST_F(TensorFileTest, SafetensorsEntryKeys) {
  expectSafetensorsError(R"({"a":1})", 0,
                         "tensor \"a\": expected an object with 'dtype', "
                         "'shape' and 'data_offsets', but got 1");
  expectSafetensorsError(R"({"a":{}})", 0, "but 'dtype' is missing");
  expectSafetensorsError(R"({"a":{"dtype":"U8"}})", 0,
                         "but 'shape' is missing");
  expectSafetensorsError(R"({"a":{"dtype":"U8","shape":[]}})", 0,
                         "but 'data_offsets' is missing");
  expectSafetensorsError(
      R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})", 0,
      "but got \"x\" too");
}

TEST_F(TensorFileTest, SafetensorsDType) {
  expectSafetensorsError(
      one("\"F8\"", "[1]", "[0,1]"), 1,
      "tensor \"a\": expected 'dtype' to be one of F32, BF16, F16, F64, I64, "
      "I32, U8, BOOL, but got \"F8\"");
  expectSafetensorsError(one("7", "[1]", "[0,1]"), 1, "but got 7");
}

TEST_F(TensorFileTest, SafetensorsShape) {
  std::string rule = "expected 'shape' to be an array of integers from 0 to "
                     "2^63 - 1, but got ";
  for (const char *shape :
       {"[-1]", "[1.0]", "[1e3]", "[\"1\"]", "[null]", "7", "{}", "null",
        "[9223372036854775808]", "[99999999999999999999]", "[true]"})
    expectSafetensorsError(one("\"U8\"", shape, "[0,1]"), 1, rule);
}

TEST_F(TensorFileTest, SafetensorsShapeOverflow) {
  for (const char *shape :
       {"[9223372036854775807]", "[4294967296,4294967296]",
        "[0,4294967296,4294967296]", "[2147483648,2147483648,4]"})
    expectSafetensorsError(one("\"F32\"", shape, "[0,0]"), 0,
                           "expected a shape whose size fits into 64 bits");
}

TEST_F(TensorFileTest, SafetensorsHugeShapeIsNotAllocated) {
  expectSafetensorsError(one("\"F32\"", "[1000000000000]", "[0,4000000000000]"),
                         4,
                         "expected 'data_offsets' within the 4 bytes of data");
  expectSafetensorsError(one("\"F32\"", "[1000000000000]", "[0,4]"), 4,
                         "expected 'data_offsets' to span the 4000000000000 "
                         "bytes of f32[1000000000000], but got 4 bytes");
}

TEST_F(TensorFileTest, SafetensorsOffsets) {
  expectSafetensorsError(one("\"U8\"", "[2]", "[2,0]"), 2,
                         "in ascending order, but got [2, 0]");
  expectSafetensorsError(one("\"U8\"", "[2]", "[0,2]"), 1,
                         "within the 1 bytes of data, but got [0, 2]");
  expectSafetensorsError(one("\"U8\"", "[2]", "[0,1]"), 1,
                         "to span the 2 bytes of u8[2], but got 1 bytes");
  expectSafetensorsError(one("\"U8\"", "[2]", "[0,1,2]"), 2,
                         "to be two integers, but got [0,1,2]");
  expectSafetensorsError(one("\"U8\"", "[2]", "[0,-2]"), 2,
                         "expected 'data_offsets' to be an array");
  expectSafetensorsError(one("\"U8\"", "[]", "[0,18446744073709551615]"), 1,
                         "expected 'data_offsets' to be an array");
}

TEST_F(TensorFileTest, SafetensorsCover) {
  auto two = [](const std::string &first, const std::string &second) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  expectSafetensorsError(two("[0,2]", "[1,3]"), 3,
                         "tensor \"b\": expected data without overlaps, that "
                         "is from offset 2, but got offset 1");
  expectSafetensorsError(two("[0,2]", "[0,2]"), 2, "without overlaps");
  expectSafetensorsError(two("[0,2]", "[3,5]"), 5,
                         "expected data without gaps, that is from offset 2, "
                         "but got offset 3");
  expectSafetensorsError(two("[1,3]", "[3,5]"), 5, "without gaps");
  expectSafetensorsError(two("[0,2]", "[2,4]"), 7,
                         "expected the data to end with the last tensor at "
                         "offset 4, but got 3 more bytes");
}

TEST_F(TensorFileTest, SafetensorsMetadata) {
  expectSafetensorsError(R"({"__metadata__":[]})", 0,
                         "expected '__metadata__' to be an object");
  expectSafetensorsError(R"({"__metadata__":{"fps":8}})", 0,
                         "expected metadata \"fps\" to be a string, but got 8");
}

TEST_F(TensorFileTest, BadBooleans) {
  std::string bytes = safetensors(one("\"BOOL\"", "[3]", "[0,3]"), 0);
  expectError("bad.safetensors", bytes + std::string("\0\1\2", 3),
              "expected every byte of a bool tensor to be 0 or 1, but got 2 "
              "at offset 65");
}

//===----------------------------------------------------------------------===//
// Malformed npy
//===----------------------------------------------------------------------===//

TEST_F(TensorFileTest, NpyStart) {
  expectError("bad.npy", "", "expected at least 8 bytes of magic and version");
  expectError("bad.npy", "NUMPY v1 or so",
              "expected the file to begin with \\x93NUMPY, but got 'NUMPY '");
  for (const char *version : {"\x04\x01", "\x09\x09"})
    expectError("bad.npy", std::string("\x93NUMPY") + version + "xxxxxx",
                "expected version 1.0, 2.0 or 3.0, but got ");
  expectError("bad.npy", npyStart(2, 0).substr(0, 10),
              "expected 4 bytes of header length, but the file holds only 2");
  expectError("bad.npy", npyStart(1, 50) + "{}",
              "expected a header of 50 bytes, but the file holds only 2 more");
  expectError("bad.npy", npyStart(2, 0xffffffff) + "{}",
              "expected a header of at most 1048576 bytes, but got 4294967295");
}

TEST_F(TensorFileTest, NpyHeaderJunk) {
  expectNpyError("", 0,
                 "header: expected '{' at header byte 0, but got the "
                 "end of the header");
  expectNpyError("[]", 0, "expected '{' at header byte 0, but got '[]'");
  expectNpyError("{}", 0, "but 'descr' is missing");
  expectNpyError("{'descr': '<f4', 'shape': (1,)}", 4,
                 "but 'fortran_order' is missing");
  expectNpyError("{'descr': '<f4', 'fortran_order': False}", 4,
                 "but 'shape' is missing");
  expectNpyError("{'descr': '<f4", 4, "expected a closed string");
  expectNpyError("{'descr' '<f4'", 4, "expected ':' at header byte 9");
  expectNpyError("{'descr': [('a', '<f4')]}", 4, "expected a string");
  expectNpyError("{'descr': __import__('os').system('true')}", 4,
                 "expected a string at header byte 10");
  expectNpyError("{'descr': '<f4', 'descr': '<f4'}", 4, "got key 'descr'");
  expectNpyError("{'extra': 1}", 0, "got key 'extra'");
  expectNpyError(npyHeader("<f4", "false", "(1,)"), 4,
                 "expected True or False");
  expectNpyError(npyHeader("<f4", "False", "(1,)") + "}", 4,
                 "expected the end of the header");
  expectNpyError("{'descr': '<f4' 'shape': (1,)}", 4, "expected '}'");
}

TEST_F(TensorFileTest, NpyShape) {
  for (const char *shape :
       {"(-1,)", "(1.5,)", "(9223372036854775808,)", "(a,)", "(,)", "(1,,2)",
        "(1 2)", "1", "[1]", "(1", "(1)", "(+1,)"})
    expectNpyError(npyHeader("<f4", "False", shape), 4, "header: expected ");
  expectNpyError(npyHeader("<f4", "False", "(4294967296, 4294967296)"), 4,
                 "expected a shape whose size fits into 64 bits, but got "
                 "[4294967296, 4294967296]");
  expectNpyError(npyHeader("<f4", "False", "(1000000000000,)"), 4,
                 "expected 4000000000000 bytes of data for "
                 "f32[1000000000000], but got 4");
}

TEST_F(TensorFileTest, NpyData) {
  std::string header = npyHeader("<f4", "False", "(2,)");
  expectNpyError(header, 7, "expected 8 bytes of data for f32[2], but got 7");
  expectNpyError(header, 9, "expected 8 bytes of data for f32[2], but got 9");
}

TEST_F(TensorFileTest, NpyDType) {
  expectNpyError(npyHeader(">f4", "False", "(1,)"), 4,
                 "expected little-endian data, but got big-endian descr '>f4'");
  expectNpyError(npyHeader("<c8", "False", "(1,)"), 8,
                 "expected descr to be one of <f4, <f8, <f2, <i4, <i8, |u1, "
                 "|b1, but got '<c8'");
  expectNpyError(npyHeader("|V2", "False", "(1,)"), 2,
                 ".npy has no bf16, use .safetensors");
  expectNpyError(npyHeader("|O", "False", "(1,)"), 8, "but got '|O'");
}

//===----------------------------------------------------------------------===//
// Damage: any truncation, and any change of a header byte
//===----------------------------------------------------------------------===//

/// Sorted, since damage may change the names and so their order.
std::vector<std::vector<int64_t>> shapesOf(const TensorMap &map) {
  std::vector<std::vector<int64_t>> shapes;
  for (const auto &[name, tensor] : map.tensors)
    shapes.push_back(tensor.view.shape);
  std::sort(shapes.begin(), shapes.end());
  return shapes;
}

class DamageTest : public TensorFileTest {
protected:
  std::string makeFile(const std::string &name) const {
    TensorMap map;
    map.tensors["a"] = makeTensor(rt::DType::F32, {2, 3});
    if (name == "a.safetensors") {
      map.tensors["b"] = makeTensor(rt::DType::Bool, {5});
      map.metadata["grid"] = "1x2x3";
    }
    EXPECT_TRUE(writeTensorFile(pathOf(name), map).isOk());
    return readBytes(name);
  }

  void checkTruncation(const std::string &name) const {
    std::string bytes = makeFile(name);
    for (size_t length = 0; length < bytes.size(); ++length)
      expectError(name, bytes.substr(0, length), "expected ");
  }

  void checkFlips(const std::string &name, size_t dataBytes) const {
    std::string bytes = makeFile(name);
    rt::Result<TensorMap> original = readTensorFile(pathOf(name));
    ASSERT_TRUE(original.isOk());
    for (size_t place = 0; place < bytes.size() - dataBytes; ++place)
      for (int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
        std::string damaged = bytes;
        damaged[place] = static_cast<char>(damaged[place] ^ flip);
        rt::Result<TensorMap> read = readTensorFile(write(name, damaged));
        if (read) {
          EXPECT_EQ(shapesOf(*read), shapesOf(*original)) << damaged;
        } else {
          EXPECT_NE(read.message().find("expected "), std::string::npos);
        }
      }
  }
};

TEST_F(DamageTest, SafetensorsTruncation) { checkTruncation("a.safetensors"); }
TEST_F(DamageTest, SafetensorsFlips) { checkFlips("a.safetensors", 24 + 5); }
TEST_F(DamageTest, NpyTruncation) { checkTruncation("a.npy"); }
TEST_F(DamageTest, NpyFlips) { checkFlips("a.npy", 24); }

} // namespace
