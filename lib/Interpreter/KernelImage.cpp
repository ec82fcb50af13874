// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads `weft.image`.

#include "lib/Interpreter/KernelImage.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

class ImageReader {
public:
  ImageReader(ModuleOp module, DictionaryAttr attributes) : module(module), attributes(attributes) {}

  FailureOr<KernelImage> read() {
    if (failed(readNames()) || failed(readNumbers()) || failed(readPartitions()) || failed(readParameters()) ||
        failed(readReuse()) || failed(readLists()))
      return failure();
    return std::move(image);
  }

private:
  template <typename T> LogicalResult get(StringRef name, T &attribute) {
    attribute = attributes.getAs<T>(name);
    return attribute ? success() : module.emitError("expected weft.image with ") << name;
  }

  LogicalResult getPositive(StringRef name, int64_t &number) {
    IntegerAttr attribute;
    if (failed(get(name, attribute)))
      return failure();
    number = attribute.getValue().getSExtValue();
    if (number < 1)
      return module.emitError("expected weft.image with ") << name << " of at least 1, but got " << number;
    return success();
  }

  LogicalResult readNames() {
    StringAttr name;
    TypeAttr dtype;
    BoolAttr given;
    if (failed(get("name", name)) || failed(get("dtype", dtype)) || failed(get("given", given)))
      return failure();
    image.name = name, image.dtype = dtype.getValue(), image.hasGiven = given.getValue();
    if (!isa<FloatType>(image.dtype))
      return module.emitError("expected weft.image with floats, but got ") << image.dtype;
    return success();
  }

  LogicalResult readNumbers() {
    std::pair<StringRef, int64_t *> numbers[] = {{"heads", &image.heads},
                                                 {"head_dim", &image.headDim},
                                                 {"key_tile_bytes", &image.keyTileBytes},
                                                 {"value_tile_bytes", &image.valueTileBytes},
                                                 {"scratch_bytes", &image.scratchBytes}};
    for (auto [name, number] : numbers)
      if (failed(getPositive(name, *number)))
        return failure();
    image.hasRows = attributes.contains("rows"), image.hasBias = attributes.contains("bias");
    if (auto recognition = attributes.getAs<DictionaryAttr>("recognition"))
      if (auto candidates = recognition.getAs<IntegerAttr>("candidates"))
        image.candidates = candidates.getInt();
    bool addsBias = image.hasBias || attributes.contains("bias_tile_bytes");
    return addsBias ? getPositive("bias_tile_bytes", image.biasTileBytes) : success();
  }

  LogicalResult readPartitions() {
    int64_t block = 0;
    OrderAttr queryOrder, keyOrder;
    if (failed(getPositive("block", block)) || failed(get("query_grid", image.queryGrid)) ||
        failed(get("key_grid", image.keyGrid)) || failed(get("query_order", queryOrder)) ||
        failed(get("key_order", keyOrder)))
      return failure();
    if (queryOrder.isOpen() || keyOrder.isOpen())
      return module.emitError("expected weft.image with orders that have their tile sizes chosen");
    auto queryBlock = attributes.getAs<IntegerAttr>("query_block");
    image.query = partitionTokens(image.queryGrid, queryOrder, queryBlock ? queryBlock.getInt() : block);
    image.key = partitionTokens(image.keyGrid, keyOrder, block);
    return success();
  }

  LogicalResult readParameters() {
    ArrayAttr parameters;
    if (failed(get("parameters", parameters)))
      return failure();
    for (Attribute attribute : parameters) {
      auto description = dyn_cast<DictionaryAttr>(attribute);
      auto type = description ? description.getAs<TypeAttr>("type") : TypeAttr();
      if (!type || !(type.getValue().isInteger() || type.getValue().isF64()))
        return module.emitError("expected weft.image with integers and f64 as parameters, but got ") << attribute;
      Attribute fallback = description.get(WeftDialect::kParameterDefaultAttrName);
      image.parameters.push_back({type.getValue(), fallback});
    }
    return success();
  }

  LogicalResult readReuse() {
    image.reuse = attributes.getAs<DictionaryAttr>("reuse");
    if (!image.reuse)
      return success();
    auto parameter = image.reuse.getAs<IntegerAttr>("parameter");
    bool hasThreshold = parameter ? parameter.getValue().ult(image.parameters.size()) &&
                                        image.parameters[parameter.getInt()].type.isF64()
                                  : image.reuse.contains("threshold");
    if (!hasThreshold || !image.reuse.getAs<IntegerAttr>("window"))
      return module.emitError("expected weft.image with a window and a threshold of reuse, but got ") << image.reuse;
    return success();
  }

  LogicalResult readLists() {
    auto lists = attributes.getAs<ArrayAttr>("lists");
    size_t expected = lists ? lists.size() : image.hasGiven ? 2 : 1;
    if (expected == 0 || expected > (image.hasGiven ? 2 : 1))
      return module.emitError("expected weft.image with one list, or two if lists are given, but got ") << expected;
    for (size_t i = 0; i < expected; ++i) {
      FailureOr<rt::BlockLists> read = lists ? readList(lists[i], i == 1) : visitAll(i == 1);
      if (failed(read))
        return failure();
      image.lists.push_back(std::move(*read));
    }
    return success();
  }

  FailureOr<rt::BlockLists> readList(Attribute attribute, bool given) {
    auto lists = dyn_cast<BlockListsAttr>(attribute);
    int64_t rows = image.query.numBlocks(), columns = image.key.numBlocks();
    auto isOutside = [&](int32_t entry) { return entry >> 1 >= columns; };
    if (!lists || !isSetCount(lists.getOffsets().getType().getDimSize(0)) ||
        lists.getOffsets().getType().getDimSize(1) != rows + 1 ||
        llvm::any_of(lists.getEntries().getValues<int32_t>(), isOutside))
      return module.emitError("expected weft.image with lists for ")
             << image.heads << " heads and " << rows << "x" << columns << " blocks, but got " << attribute;
    return rt::BlockLists::fromClassified(lists.getOffsets().getType().getDimSize(0), rows, columns,
                                          toVector(lists.getOffsets()), toVector(lists.getEntries()), given);
  }

  bool isSetCount(int64_t sets) const { return sets == 1 || sets == image.heads; }

  static std::vector<int32_t> toVector(DenseIntElementsAttr values) {
    return {values.value_begin<int32_t>(), values.value_end<int32_t>()};
  }

  /// Lists that visit every block as a partial one.
  rt::BlockLists visitAll(bool given) const {
    constexpr int32_t partial = 1;
    std::vector<int32_t> offsets = {0}, entries;
    for (int64_t row = 0; row < image.query.numBlocks(); ++row) {
      for (int32_t block = 0; block < image.key.numBlocks(); ++block)
        entries.push_back(block << 1 | partial);
      offsets.push_back(entries.size());
    }
    return rt::BlockLists::fromClassified(1, image.query.numBlocks(), image.key.numBlocks(), offsets, entries, given);
  }

  ModuleOp module;
  DictionaryAttr attributes;
  KernelImage image;
};

} // namespace

FailureOr<KernelImage> interp::readImage(ModuleOp module) {
  auto attributes = module->getAttrOfType<DictionaryAttr>("weft.image");
  if (!attributes)
    return module.emitError("expected the attribute weft.image, which weft-form-online-softmax leaves");
  return ImageReader(module, attributes).read();
}
