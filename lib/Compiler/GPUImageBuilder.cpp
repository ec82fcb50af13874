// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds block tables.

#include "lib/Compiler/GPUImageBuilder.h"

#include "dialect/SortedBoxes.h"
#include "dialect/WeftDialect.h"
#include "lib/Compiler/ImageBuilder.h"
#include "runtime/CUDA/Segment.h"

#include <array>

using namespace mlir;
using namespace weft;
using rt::cuda::Segment;

namespace {

/// A bit for each row of a tile.
using TileMask = std::array<int32_t, 8>;

/// The tokens of a partition's blocks as tiles of `rows` rows hold them: a box row by row, whether clipped or not.
class TileTables {
public:
  TileTables(GridAttr grid, OrderAttr order, int64_t block, int64_t rows)
      : grid(grid), order(order), rows(rows), partition(partitionTokens(grid, order, block)) {
    for (int64_t i = 0; i < partition.numBlocks(); ++i)
      addRows(i);
  }

  /// The token of each row of each block, or -1.
  std::vector<int32_t> rowTokens;

  /// Rows below `count`.
  static TileMask firstRows(int64_t count) {
    TileMask mask = {};
    for (int64_t row = 0; row < count; ++row)
      mask[row / 32] |= static_cast<int32_t>(uint32_t{1} << row % 32);
    return mask;
  }

  /// Of each block, where its copy begins, and its class and segment. Classes are added to `masks`: class 0 is that all rows
  /// hold a token, and class 1 that the first `usual` do, if that is a number above 0.
  std::vector<int32_t> describeBlocks(std::vector<TileMask> &masks, int64_t usual = 0) const {
    masks.push_back(firstRows(rows));
    if (usual)
      masks.push_back(firstRows(usual));
    std::vector<int32_t> blocks;
    for (int64_t i = 0; i < partition.numBlocks(); ++i) {
      const BlockBox &box = partition.boxes[i];
      Segment segment = segmentOf(box);
      std::array<int32_t, 3> begin = {box.index.low - segmentBegin(box), 0, 0};
      if (isTile(box)) {
        auto [t, h, w] = beginOfTile(i);
        begin = {static_cast<int32_t>(w), static_cast<int32_t>(h), static_cast<int32_t>(t)};
      }
      blocks.insert(blocks.end(), begin.begin(), begin.end());
      blocks.push_back(classOf(i, masks) << rt::cuda::kSegmentBits | static_cast<int32_t>(segment));
    }
    return blocks;
  }

  /// Where the boxes of each block begin.
  std::vector<int32_t> findBoxes(const SortedBoxes &boxes) const { return boxes.findBegins(partition, order, rows); }

  /// Coordinates on some axes (of t, h, w, index): per block, axis and row; 0 in rows without a token.
  std::vector<int32_t> coordinates(ArrayRef<int64_t> axes) const {
    std::vector<int32_t> table;
    for (int64_t i = 0; i < partition.numBlocks(); ++i)
      for (int64_t axis : axes)
        for (int64_t row = 0; row < rows; ++row) {
          int32_t token = rowTokens[i * rows + row];
          TokenCoordinates at = token < 0 ? TokenCoordinates{} : getCoordinates(grid, token);
          table.push_back(std::array{at.t, at.h, at.w, at.index}[axis]);
        }
    return table;
  }

private:
  Segment segmentOf(const BlockBox &box) const {
    return box.text ? Segment::Text : isApart(box, grid, order) ? Segment::Apart : Segment::Video;
  }

  bool isTile(const BlockBox &box) const { return order.getTiled() && segmentOf(box) == Segment::Video; }

  int32_t segmentBegin(const BlockBox &box) const { return box.text ? grid.getTextBegin() : grid.getVideoBegin(); }

  /// A copy brings a whole box: rows beyond the block's tokens have none.
  void addRows(int64_t block) {
    auto next = partition.tokens.begin() + partition.offsets[block];
    auto end = partition.tokens.begin() + partition.offsets[block + 1];
    for (int64_t row = 0; row < rows; ++row) {
      bool isToken = next != end && (!isTile(partition.boxes[block]) || *next == placeInTile(block, row));
      rowTokens.push_back(isToken ? *next++ : -1);
    }
  }

  /// The token that a row of a tile's box would hold, or another number if that is outside of the picture.
  int64_t placeInTile(int64_t block, int64_t row) const {
    auto [depth, height, width] = tileExtents(grid, order);
    auto [endT, endH, endW] = pictureExtents(grid, order);
    auto [t, h, w] = beginOfTile(block);
    t += row / (width * height), h += row / width % height, w += row % width;
    return h < endH && w < endW ? grid.getVideoBegin() + (t * endH + h) * endW + w : -1;
  }

  /// In the picture that the order cuts.
  std::array<int64_t, 3> beginOfTile(int64_t block) const {
    int64_t first = partition.tokens[partition.offsets[block]] - grid.getVideoBegin();
    auto [depth, height, width] = pictureExtents(grid, order);
    return {first / width / height, first / width % height, first % width};
  }

  /// Which rows of a block hold a token.
  int32_t classOf(int64_t block, std::vector<TileMask> &masks) const {
    TileMask mask = {};
    for (int64_t row = 0; row < rows; ++row)
      if (rowTokens[block * rows + row] >= 0)
        mask[row / 32] |= static_cast<int32_t>(uint32_t{1} << row % 32);
    auto known = llvm::find(masks, mask);
    if (known == masks.end())
      known = masks.insert(masks.end(), mask);
    return static_cast<int32_t>(known - masks.begin());
  }

  GridAttr grid;
  OrderAttr order;
  int64_t rows;
  BlockPartition partition;
};

/// Of an image's attribute.
std::optional<SortedBoxes> boxesOf(DictionaryAttr cuda, StringRef name) {
  auto extents = cuda.getAs<DenseI64ArrayAttr>(name);
  return extents ? std::optional(SortedBoxes{extents[0], extents[1]}) : std::nullopt;
}

rt::cuda::SequenceLayout describeLayout(GridAttr grid, OrderAttr order, const std::optional<SortedBoxes> &boxes) {
  rt::cuda::SequenceLayout layout;
  auto [t, h, w] = pictureExtents(grid, order);
  layout.t = t, layout.h = h, layout.w = w;
  layout.text = grid.getText(), layout.textFirst = grid.getTextFirst();
  layout.apart = countTokensApart(grid, order);
  layout.tiled = order.getTiled();
  if (layout.tiled)
    layout.box = tileExtents(grid, order);
  if (boxes) {
    layout.tiled = true, layout.box = {1, boxes->rows, boxes->columns};
    layout.h *= layout.t, layout.t = 1;
  }
  return layout;
}

/// Merged keys are runs of one sequence, and their last block has any number of columns: class n has the first n.
void describeMergedKeys(rt::cuda::GPUKernelImage &image) {
  image.key = {};
  image.key.w = image.host.key.count() * image.columns;
  image.columnMasks.clear();
  for (int64_t count = 0; count < image.columns; ++count) {
    TileMask mask = TileTables::firstRows(count == 0 ? image.columns : count);
    image.columnMasks.insert(image.columnMasks.end(), mask.begin(), mask.begin() + 4);
  }
}

} // namespace

rt::cuda::GPUKernelImage weft::buildGPUImage(ModuleOp module) {
  auto image = module->getAttrOfType<DictionaryAttr>("weft.image");
  auto cuda = image.getAs<DictionaryAttr>("cuda");
  auto integer = [&](StringRef name) { return cuda.getAs<IntegerAttr>(name).getInt(); };
  rt::cuda::GPUKernelImage result;
  result.host = buildImage(module);
  result.rows = integer("rows"), result.columns = integer("columns"), result.threads = integer("threads");
  if (auto queryParts = cuda.getAs<IntegerAttr>("query_parts"))
    result.usesTensorMaps = false, result.queryParts = queryParts.getInt();
  result.cutsItems = cuda.contains("cuts_items"), result.waits = cuda.contains("waits");
  if (auto heads = cuda.getAs<IntegerAttr>("mask_heads"))
    result.maskHeads = heads.getInt(), result.maskGivens = integer("mask_givens"),
    result.maskChoices = integer("mask_choices");
  result.ctasPerSM = integer("ctas_per_sm"), result.sharedBytes = integer("shared_bytes");

  if (result.host.recognition)
    result.recall = {integer("recall_threads"), integer("recall_shared_bytes"), integer("recall_parts"),
                     integer("recall_lines"),   integer("probe_words"),         integer("probe_most_words"),
                     integer("probe_heads")};

  int64_t block = image.getAs<IntegerAttr>("block").getInt();
  auto queryBlock = image.getAs<IntegerAttr>("query_block");
  auto queryGrid = image.getAs<GridAttr>("query_grid"), keyGrid = image.getAs<GridAttr>("key_grid");
  auto queryOrder = image.getAs<OrderAttr>("query_order"), keyOrder = image.getAs<OrderAttr>("key_order");
  auto queryBoxes = boxesOf(cuda, "query_boxes"), keyBoxes = boxesOf(cuda, "key_boxes");
  result.query = describeLayout(queryGrid, queryOrder, queryBoxes), result.key = describeLayout(keyGrid, keyOrder, keyBoxes);

  TileTables query(queryGrid, queryOrder, queryBlock ? queryBlock.getInt() : block, result.rows), key(keyGrid, keyOrder, block, result.columns);
  std::vector<TileMask> unused, masks;
  result.queryBlocks = query.describeBlocks(unused);
  auto usual = cuda.getAs<IntegerAttr>("usual_columns");
  result.keyBlocks = key.describeBlocks(masks, usual ? usual.getInt() : 0);
  if (queryBoxes)
    llvm::append_range(result.queryBlocks, query.findBoxes(*queryBoxes));
  if (keyBoxes)
    llvm::append_range(result.keyBlocks, key.findBoxes(*keyBoxes));
  // Key tiles have at most 128 columns.
  for (const TileMask &mask : masks)
    result.columnMasks.insert(result.columnMasks.end(), mask.begin(), mask.begin() + 4);
  bool mergesKeys = result.host.reuse && result.host.reuse->mergesKeys();
  if (mergesKeys)
    describeMergedKeys(result);
  auto axes = [&](StringRef name) { return cuda.getAs<DenseI64ArrayAttr>(name).asArrayRef(); };
  result.queryAxes = axes("query_axes").size(), result.keyAxes = axes("key_axes").size();
  result.queryCoordinates = query.coordinates(axes("query_axes"));
  result.keyCoordinates = key.coordinates(axes("key_axes"));
  result.rowTokens = std::move(query.rowTokens);
  if (result.usesTensorMaps) {
    result.gathersQueries = result.host.gathersRows() || (queryOrder.isSorted() && !queryBoxes);
    result.gathersKeys = keyOrder.isSorted() && !mergesKeys && !keyBoxes;
  }
  if (!result.usesTensorMaps || result.host.hasBias || mergesKeys || result.gathersKeys)
    result.keyTokens = std::move(key.rowTokens);
  return result;
}
