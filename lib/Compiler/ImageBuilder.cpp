// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads `weft.image`, and classifies blocks for dynamic parameters.

#include "lib/Compiler/ImageBuilder.h"

#include "dialect/Prediction.h"
#include "dialect/Recognition.h"
#include "dialect/WeftDialect.h"
#include "passes/BlockClassifier.h"
#include "passes/FormRecognition.h"
#include "passes/KernelFunction.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSwitch.h"

#include <mutex>

using namespace mlir;
using namespace weft;

static rt::DType toDType(Type type) {
  return type.isBF16() ? rt::DType::BF16 : type.isF16() ? rt::DType::F16 : rt::DType::F32;
}

static rt::TokenBlocks buildBlocks(GridAttr grid, OrderAttr order, int64_t block) {
  BlockPartition partition = partitionTokens(grid, order, block);
  rt::TokenBlocks blocks;
  blocks.tokens = grid.getTokens();
  blocks.offsets = partition.offsets;
  blocks.table = partition.coordinateTable(grid);
  blocks.table.resize(blocks.table.size() + rt::TokenBlocks::kTablePadding);
  return blocks;
}

static std::vector<rt::BlockLists> buildLists(ArrayAttr attribute, int64_t queryBlocks, int64_t keyBlocks) {
  std::vector<rt::BlockLists> result;
  for (auto [i, element] : llvm::enumerate(attribute)) {
    auto lists = cast<BlockListsAttr>(element);
    auto toVector = [](DenseIntElementsAttr values) {
      return std::vector<int32_t>(values.value_begin<int32_t>(), values.value_end<int32_t>());
    };
    result.push_back(rt::BlockLists::fromClassified(lists.getOffsets().getType().getDimSize(0), queryBlocks, keyBlocks,
                                                    toVector(lists.getOffsets()), toVector(lists.getEntries()),
                                                    /*given=*/i == 1));
  }
  return result;
}

static rt::Parameter buildParameter(DictionaryAttr description) {
  rt::Parameter parameter;
  if (auto name = description.getAs<StringAttr>(WeftDialect::kParameterNameAttrName))
    parameter.name = name.str();
  Type type = description.getAs<TypeAttr>("type").getValue();
  parameter.isBool = type.isInteger(1), parameter.isFloat = type.isF64();
  if (auto value = description.getAs<FloatAttr>(WeftDialect::kParameterDefaultAttrName))
    parameter.defaultValue = llvm::bit_cast<int64_t>(value.getValueAsDouble());
  if (auto value = description.getAs<IntegerAttr>(WeftDialect::kParameterDefaultAttrName))
    parameter.defaultValue = parameter.isBool ? value.getValue().getZExtValue() : value.getValue().getSExtValue();
  return parameter;
}

static rt::TokenPools buildPools(GridAttr grid, OrderAttr order, int64_t block, std::optional<int64_t> pool) {
  PoolPartition pools = partitionPools(partitionTokens(grid, order, block), pool);
  return {std::move(pools.offsets), std::move(pools.firstPool)};
}

/// Everything but code.
static rt::Prediction buildPrediction(DictionaryAttr image, DictionaryAttr description, int64_t queryBlock,
                                      int64_t keyBlock) {
  auto integer = [&](StringRef name) { return description.getAs<IntegerAttr>(name); };
  rt::Prediction result;
  result.rule = llvm::StringSwitch<rt::SelectionRule>(description.getAs<StringAttr>("rule").getValue())
                    .Case("topk", rt::SelectionRule::TopK)
                    .Case("topp", rt::SelectionRule::TopP)
                    .Default(rt::SelectionRule::Threshold);
  result.min = integer("min").getInt();
  if (auto amount = description.getAs<FloatAttr>("amount"))
    result.amount = amount.getValueAsDouble();
  if (IntegerAttr parameter = integer("parameter"))
    result.parameter = parameter.getInt();
  std::optional<int64_t> pool;
  if (IntegerAttr size = integer("pool"))
    pool = size.getInt();
  result.query =
      buildPools(image.getAs<GridAttr>("query_grid"), image.getAs<OrderAttr>("query_order"), queryBlock, pool);
  result.key = buildPools(image.getAs<GridAttr>("key_grid"), image.getAs<OrderAttr>("key_order"), keyBlock, pool);
  return result;
}

static rt::Amount buildAmount(Attribute description) {
  if (auto constant = dyn_cast<FloatAttr>(description))
    return {constant.getValueAsDouble(), -1};
  return {0, cast<IntegerAttr>(description).getInt()};
}

static rt::RowSelection buildRowSelection(DictionaryAttr description) {
  ArrayRef<int32_t> always = description.getAs<DenseI32ArrayAttr>("always");
  return {description.getAs<IntegerAttr>("min").getInt(), buildAmount(description.get("keep")),
          buildAmount(description.get("age_weight")), std::vector<int32_t>(always.begin(), always.end())};
}

static rt::SnapGrid buildSnapGrid(GridAttr grid, StringAttr axes) {
  rt::SnapGrid result{{grid.getT(), grid.getH(), grid.getW()}, {}, grid.getVideoBegin()};
  for (auto [i, axis] : llvm::enumerate(StringRef("thw")))
    result.axes[i] = axes && axes.getValue().contains(axis);
  return result;
}

static rt::Reuse buildReuse(DictionaryAttr image, DictionaryAttr description) {
  rt::Reuse result;
  result.window = description.getAs<IntegerAttr>("window").getInt();
  result.whole = description.contains("whole");
  result.isOnePool = description.contains("one_pool"), result.isByCells = description.contains("by_cells");
  if (auto threshold = description.getAs<FloatAttr>("threshold"))
    result.threshold = threshold.getValueAsDouble();
  if (auto parameter = description.getAs<IntegerAttr>("parameter"))
    result.parameter = parameter.getInt();
  result.query = buildSnapGrid(image.getAs<GridAttr>("query_grid"), description.getAs<StringAttr>("query_axes"));
  result.key = buildSnapGrid(image.getAs<GridAttr>("key_grid"), description.getAs<StringAttr>("key_axes"));
  return result;
}

/// Where blocks of at most `block` tokens begin, and the end.
static std::vector<int32_t> cutTokens(int64_t tokens, int64_t block) {
  std::vector<int32_t> offsets;
  for (int64_t begin = 0; begin < tokens; begin += block)
    offsets.push_back(begin);
  offsets.push_back(tokens);
  return offsets;
}

/// Everything but code.
static rt::Probe buildProbe(DictionaryAttr description, GridAttr grid, int64_t queryBlock, int64_t keyBlock) {
  rt::Probe result;
  result.name = description.getAs<StringAttr>("probe").str();
  std::vector<int32_t> tokens = probeTokens(grid, *symbolizeProbe(result.name));
  result.queryOffsets = cutTokens(tokens.size(), queryBlock);
  result.keyOffsets = cutTokens(tokens.size(), keyBlock);
  for (Attribute number : description.getAs<ArrayAttr>("candidates"))
    result.candidates.push_back(cast<IntegerAttr>(number).getInt());
  int64_t all = grid.getTokens();
  result.table.resize(4 * all + rt::TokenBlocks::kTablePadding);
  for (auto [i, token] : llvm::enumerate(tokens)) {
    TokenCoordinates at = getCoordinates(grid, token);
    result.table[i] = at.index;
    result.table[all + i] = at.t;
    result.table[2 * all + i] = at.h;
    result.table[3 * all + i] = at.w;
  }
  return result;
}

static rt::Recognition buildRecognition(DictionaryAttr image, DictionaryAttr description) {
  auto integer = [&](StringRef name) { return description.getAs<IntegerAttr>(name).getInt(); };
  rt::Recognition result;
  result.candidates = integer("candidates");
  result.hasFallback = description.contains("fallback");
  result.scale = description.getAs<FloatAttr>("scale").getValueAsDouble();
  if (auto bound = description.getAs<FloatAttr>("bound"))
    result.bound = bound.getValueAsDouble();
  if (description.contains("parameter"))
    result.parameter = integer("parameter");
  result.hasBound = description.contains("bound") || description.contains("parameter");
  result.rows = integer("rows"), result.scratchBytes = integer("scratch_bytes");
  for (Attribute probe : description.getAs<ArrayAttr>("probes"))
    result.probes.push_back(buildProbe(cast<DictionaryAttr>(probe), image.getAs<GridAttr>("query_grid"),
                                       integer("rows"), integer("columns")));
  return result;
}

rt::KernelImage weft::buildImage(ModuleOp module) {
  auto image = module->getAttrOfType<DictionaryAttr>("weft.image");
  auto integer = [&](StringRef name) {
    auto value = image.getAs<IntegerAttr>(name);
    return value ? value.getInt() : 0; // sizes of tiles are a CPU's
  };
  rt::KernelImage result;
  result.name = image.getAs<StringAttr>("name").str();
  result.heads = integer("heads");
  result.headDim = integer("head_dim");
  result.dtype = toDType(image.getAs<TypeAttr>("dtype").getValue());
  int64_t block = integer("block"), queryBlock = image.contains("query_block") ? integer("query_block") : block;
  result.query = buildBlocks(image.getAs<GridAttr>("query_grid"), image.getAs<OrderAttr>("query_order"), queryBlock);
  result.key = buildBlocks(image.getAs<GridAttr>("key_grid"), image.getAs<OrderAttr>("key_order"), block);
  result.keyTileBytes = integer("key_tile_bytes");
  result.valueTileBytes = integer("value_tile_bytes");
  result.biasTileBytes = integer("bias_tile_bytes");
  result.scratchBytes = integer("scratch_bytes");
  result.hasGiven = image.getAs<BoolAttr>("given").getValue();
  result.hasBias = image.contains("bias");
  result.hasRows = image.contains("rows");
  result.usesTiles = image.contains("tiles");
  if (auto prediction = image.getAs<DictionaryAttr>("prediction"))
    result.prediction = buildPrediction(image, prediction, queryBlock, block);
  if (auto selection = image.getAs<DictionaryAttr>("row_selection"))
    result.rowSelection = buildRowSelection(selection);
  if (auto reuse = image.getAs<DictionaryAttr>("reuse"))
    result.reuse = buildReuse(image, reuse);
  if (auto recognition = image.getAs<DictionaryAttr>("recognition"))
    result.recognition = buildRecognition(image, recognition);
  for (Attribute parameter : image.getAs<ArrayAttr>("parameters"))
    result.parameters.push_back(buildParameter(cast<DictionaryAttr>(parameter)));
  if (auto lists = image.getAs<ArrayAttr>("lists"))
    result.lists = buildLists(lists, result.query.count(), result.key.count());
  return result;
}

namespace {

/// The plan's op and its partitions.
struct Planner {
  std::shared_ptr<RetainedPlan> plan;
  BlockAttentionOp op;
  BlockPartition query, key;
  std::mutex mutex;

  explicit Planner(std::shared_ptr<RetainedPlan> retained) : plan(std::move(retained)) {
    plan->module->walk([&](BlockAttentionOp found) { op = found; });
    query = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
    key = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
  }

  rt::Result<std::vector<rt::BlockLists>> make(const std::vector<int64_t> &parameters) {
    std::lock_guard lock(mutex); // the context may unique constants
    Bindings bindings;
    size_t next = 0;
    for (BlockArgument argument : op->getParentOfType<func::FuncOp>().getArguments())
      if (isParameter(argument.getType()))
        bindings[argument] = parameters[next++];
    if (ChooseOp choose = recognitionOf(op))
      bindings[choose.getChoice()] = parameters[next];
    BlockClassifier classifier(op.getBody(), query, key, bindings);
    std::vector<rt::BlockLists> result;
    for (int given = 0; given <= (op.getGiven() ? 1 : 0); ++given) {
      FailureOr<ClassifiedLists> lists = classifier.buildLists(op.getQuery().getType().getDimSize(1), given);
      if (failed(lists))
        return rt::Status::error("lists: expected at most " + std::to_string(ClassifiedLists::kMaxEntries) +
                                 " visited pairs of blocks, but got more");
      result.push_back(rt::BlockLists::fromClassified(lists->lists, query.numBlocks(), key.numBlocks(),
                                                      lists->offsets, lists->entries, given));
    }
    return result;
  }
};

} // namespace

rt::ListPlanner weft::createPlanner(std::shared_ptr<RetainedPlan> plan) {
  auto planner = std::make_shared<Planner>(std::move(plan));
  return [planner](const std::vector<int64_t> &parameters) { return planner->make(parameters); };
}
