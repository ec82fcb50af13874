// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs a kernel on the tile level as the runtime does: keys and values are packed, then every query block attends.
//
// In memory there is a gap behind every token that nobody writes, so a kernel that
// ignores a stride reads NaN; and scratch memory is new for every query block.

#include "lib/Interpreter/KernelImage.h"
#include "lib/Interpreter/Ops.h"

#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

/// One head's tokens in memory.
struct TokenMemory {
  TokenMemory(int64_t tokens, int64_t width, Type element)
      : width(width), stride(width + kGap), unit(getBytes(element)), bytes(allocateBytes(tokens * stride * unit)) {}

  Row getRow(int64_t token) const {
    Row row;
    for (int64_t c = 0; c < width; ++c)
      row.push_back(at(token, c));
    return row;
  }

  void setRow(int64_t token, const Row &row) {
    for (int64_t c = 0; c < width; ++c)
      at(token, c) = row[c];
  }

  static constexpr int64_t kGap = 1;
  /// In elements of `unit` bytes.
  int64_t width, stride;
  int64_t unit;
  Buffer bytes;

private:
  double &at(int64_t token, int64_t c) const { return bytes.at({unit * (token * stride + c)}); }
};

/// The results of one batch and head.
struct HeadResult {
  TokenMemory out, lse;
};

/// What one call passes.
struct Operands {
  Tensor query, key, value;
  std::optional<Tensor> bias;
  /// What the results hold before the call, if rows are written into them.
  std::optional<AttentionResult> into;
  SmallVector<RuntimeValue> parameters;
  /// Null if the kernel takes none.
  const rt::GivenLists *given = nullptr;
  const rt::RowLists *rows = nullptr;
  const rt::Choices *choices = nullptr;
};

class KernelRunner {
public:
  KernelRunner(ModuleOp module, const KernelImage &image, const Operands &operands, const rt::BlockLists &lists)
      : module(module), image(image), operands(operands), lists(lists),
        queryTable(allocateIntegers(image.query.coordinateTable(image.queryGrid))),
        keyTable(allocateIntegers(image.key.coordinateTable(image.keyGrid))),
        keyOffsets(allocateIntegers(image.key.offsets)) {}

  LogicalResult findFunctions() {
    for (auto [function, suffix] : {std::pair(&pack, ".pack"), {&attend, ".attend"}}) {
      std::string name = image.name.str() + suffix;
      *function = module.lookupSymbol<func::FuncOp>(name);
      if (!*function)
        return module.emitError("expected a function ") << name;
    }
    return success();
  }

  FailureOr<HeadResult> run(int64_t batch, int64_t head) const {
    TokenMemory query = load(operands.query, batch, head);
    PackedHead packed{allocateBytes(image.key.numBlocks() * image.keyTileBytes),
                      allocateBytes(image.key.numBlocks() * image.valueTileBytes),
                      packBias(batch, head)};
    HeadResult result{TokenMemory(operands.query.getTokens(), image.headDim, image.dtype),
                      TokenMemory(operands.query.getTokens(), 1, Float32Type::get(image.dtype.getContext()))};
    if (failed(packHead(batch, head, packed)))
      return failure();
    if (operands.rows)
      return runRows(batch, head, query, packed, std::move(result));
    for (int64_t block = 0; block < image.query.numBlocks(); ++block)
      if (failed(attendBlock(batch, head, block, {queryTable, image.query.offsets[block], sizeOf(block)}, query, packed,
                             result)))
        return failure();
    return result;
  }

private:
  /// The packed tiles of all key blocks, each kind behind one another.
  struct PackedHead {
    Buffer key, value;
    /// A buffer, or 0 without a bias.
    RuntimeValue bias;
  };

  /// Query tokens that are computed together.
  struct TableRows {
    Buffer table;
    int64_t first, count;
  };

  int64_t sizeOf(int64_t block) const { return image.query.offsets[block + 1] - image.query.offsets[block]; }

  /// As the runtime does it: each chunk of a pool has its own table of tokens.
  FailureOr<HeadResult> runRows(int64_t batch, int64_t head, const TokenMemory &query, const PackedHead &packed,
                                HeadResult result) const {
    for (int64_t token = 0; token < operands.query.getTokens(); ++token) {
      result.out.setRow(token, operands.into->out.getRow(batch, head, token));
      result.lse.setRow(token, operands.into->lse.getRow(batch, head, token));
    }
    std::vector<int32_t> table = image.query.coordinateTable(image.queryGrid), gathered(table.size(), -1);
    rt::QueryPlaces places(image.query.offsets, image.query.tokens);
    std::vector<int32_t> tokens = operands.rows->tokensOf(operands.rows->setOf(batch, head));
    rt::PooledRows rows(lists, lists.setOf(batch * image.heads + head), places, tokens);
    for (rt::RowChunk chunk : rows.cut(places.largestBlock())) {
      for (int64_t row = 0; row < 4; ++row)
        for (int64_t i = 0; i < chunk.count; ++i)
          gathered[row * places.positionOf.size() + i] =
              table[row * places.positionOf.size() + rows.positions[chunk.begin + i]];
      if (failed(attendBlock(batch, head, chunk.block, {allocateIntegers(gathered), 0, chunk.count}, query, packed, result)))
        return failure();
    }
    return result;
  }

  /// The bias of all key blocks in their order; zeros behind each block's keys, and for keys that are not merged.
  RuntimeValue packBias(int64_t batch, int64_t head) const {
    if (!image.biasTileBytes)
      return int64_t{0};
    constexpr int64_t unit = sizeof(float);
    Buffer packed = allocateBytes(image.key.numBlocks() * image.biasTileBytes);
    std::fill(packed.storage->begin(), packed.storage->end(), 0);
    if (!operands.bias)
      return packed;
    const std::vector<int64_t> &shape = operands.bias->getShape();
    for (int64_t block = 0; block < image.key.numBlocks(); ++block)
      for (int64_t i = image.key.offsets[block]; i < image.key.offsets[block + 1]; ++i)
        packed.at({block * image.biasTileBytes + (i - image.key.offsets[block]) * unit}) =
            operands.bias->getRow(shape[0] == 1 ? 0 : batch, shape[1] == 1 ? 0 : head, image.key.tokens[i])[0];
    return packed;
  }

  TokenMemory load(const Tensor &tensor, int64_t batch, int64_t head) const {
    TokenMemory memory(tensor.getTokens(), image.headDim, image.dtype);
    for (int64_t token = 0; token < tensor.getTokens(); ++token)
      memory.setRow(token, tensor.getRow(batch, head, token));
    return memory;
  }

  LogicalResult packHead(int64_t batch, int64_t head, const PackedHead &packed) const {
    TokenMemory key = load(operands.key, batch, head), value = load(operands.value, batch, head);
    for (int64_t block = 0; block < image.key.numBlocks(); ++block)
      if (lists.visited[lists.setOf(batch * image.heads + head) * lists.keyBlocks + block] && failed(packBlock(block, key, value, packed)))
        return failure();
    return success();
  }

  /// The arguments are those of rt::PackArgs.
  LogicalResult packBlock(int64_t block, const TokenMemory &key, const TokenMemory &value,
                          const PackedHead &packed) const {
    auto keyTile = viewBytes(module, packed.key, block * image.keyTileBytes, 1, {image.keyTileBytes});
    auto valueTile = viewBytes(module, packed.value, block * image.valueTileBytes, 1, {image.valueTileBytes});
    if (failed(keyTile) || failed(valueTile))
      return failure();
    int64_t first = image.key.offsets[block], count = image.key.offsets[block + 1] - first;
    return callTileFunction(
        pack, {key.bytes, key.stride, value.bytes, value.stride, keyTable, first, count, *keyTile, *valueTile});
  }

  /// The arguments are those of rt::AttendArgs.
  LogicalResult attendBlock(int64_t batch, int64_t head, int64_t block, const TableRows &rows, const TokenMemory &query,
                            const PackedHead &packed, const HeadResult &result) const {
    constexpr int64_t wantLse = 1;
    int64_t set = lists.setOf(batch * image.heads + head), row = set * (lists.queryBlocks + 1) + block;
    int64_t begin = lists.offsets[row], end = lists.offsets[row + 1];
    SmallVector<RuntimeValue> arguments = {
        query.bytes, query.stride, result.out.bytes, result.out.stride, result.lse.bytes, result.lse.stride, wantLse,
        rows.table, rows.first, rows.count, keyTable, keyOffsets, packed.key, packed.value, packed.bias,
        loadEntries(set), begin, end, head, allocateBytes(image.scratchBytes)};
    llvm::append_range(arguments, operands.parameters);
    if (operands.choices)
      arguments.push_back(int64_t(operands.choices->of(batch * image.heads + head)));
    return callTileFunction(attend, arguments);
  }

  /// A set's entries, with room for as many as there are pairs of blocks.
  Buffer loadEntries(int64_t set) const {
    ArrayRef entries = ArrayRef(lists.entries).slice(lists.starts[set], lists.countEntries(set));
    Buffer memory = allocateIntegers(entries);
    int64_t room = std::max<int64_t>(1, lists.queryBlocks * lists.keyBlocks) * sizeof(int32_t);
    memory.storage->resize(room, std::numeric_limits<double>::quiet_NaN());
    memory.shape = {room};
    return memory;
  }

  ModuleOp module;
  const KernelImage &image;
  const Operands &operands;
  const rt::BlockLists &lists;
  Buffer queryTable, keyTable, keyOffsets;
  func::FuncOp pack, attend;
};

} // namespace

static SmallVector<ArgumentSpec> getSignature(const KernelImage &image, MLIRContext *context) {
  auto tensor = [&](GridAttr grid) {
    return RankedTensorType::get({ShapedType::kDynamic, image.heads, grid.getTokens(), image.headDim}, image.dtype);
  };
  Type query = tensor(image.queryGrid), key = tensor(image.keyGrid);
  SmallVector<ArgumentSpec> signature = {{query, {}}, {key, {}}, {key, {}}};
  Type f32 = Float32Type::get(context);
  constexpr int64_t any = ShapedType::kDynamic;
  if (image.hasBias)
    signature.push_back({RankedTensorType::get({any, any, image.keyGrid.getTokens()}, f32), {}});
  if (image.hasRows) {
    signature.push_back({query, {}});
    signature.push_back({RankedTensorType::get({any, image.heads, image.queryGrid.getTokens()}, f32), {}});
    signature.push_back({RowsType::get(context), {}});
  }
  llvm::append_range(signature, image.parameters);
  if (image.hasGiven)
    signature.push_back({BlocksType::get(context), {}});
  return signature;
}

/// As the runtime does it, but that it also merges what is equal then.
static void snapOperands(const KernelImage &image, Operands &operands) {
  auto threshold = image.reuse.getAs<FloatAttr>("threshold");
  auto parameter = image.reuse.getAs<IntegerAttr>("parameter");
  double bound = parameter ? std::get<double>(operands.parameters[parameter.getInt()]) : threshold.getValueAsDouble();
  auto snapTokens = [&](Tensor &tokens, GridAttr grid, StringRef name) {
    auto axes = image.reuse.getAs<StringAttr>(name);
    if (!axes)
      return;
    int64_t window = image.reuse.getAs<IntegerAttr>("window").getInt();
    SnapWindows windows{grid, window, {}, image.reuse.contains("whole"), bound};
    for (auto [i, axis] : llvm::enumerate(StringRef("thw")))
      windows.axes[i] = axes.getValue().contains(axis);
    tokens = snap(tokens, windows);
  };
  snapTokens(operands.query, image.queryGrid, "query_axes");
  snapTokens(operands.key, image.keyGrid, "key_axes");
}

static FailureOr<Operands> bindOperands(ModuleOp module, const KernelImage &image, const InterpreterArgs &args) {
  auto bound = bindArguments(module, getSignature(image, module.getContext()), args);
  if (failed(bound))
    return failure();
  auto next = bound->begin();
  auto takeTensor = [&] { return std::get<Tensor>(*next++); };
  Tensor query = takeTensor(), key = takeTensor(), value = takeTensor();
  Operands operands{query, key, value, std::nullopt, std::nullopt, {}};
  if (image.hasBias)
    operands.bias = takeTensor();
  if (image.hasRows) {
    Tensor out = takeTensor(), lse = takeTensor();
    operands.into = AttentionResult{out, lse};
    operands.rows = std::get<const rt::RowLists *>(*next++);
    if (failed(selectRows(module, *operands.rows, query.getShape())))
      return failure();
  }
  operands.parameters.append(next, next + image.parameters.size());
  if (image.reuse)
    snapOperands(image, operands);
  if (image.candidates) {
    operands.choices = args.choices;
    if (!args.choices)
      return module.emitError("expected choices, since the kernel recognizes heads");
    std::vector<int64_t> shape = operands.query.getShape();
    if (rt::Status status = args.choices->validate(shape[1], shape[0], image.candidates); !status)
      return module.emitError(status.message());
  }
  if (!image.hasGiven)
    return operands;
  operands.given = std::get<const rt::GivenLists *>(bound->back());
  if (failed(verifyGiven(module, *operands.given, operands.query, image.query.numBlocks(), image.key.numBlocks())))
    return failure();
  return operands;
}

static rt::BlockLists resolveLists(const KernelImage &image, const Operands &operands) {
  rt::BlockLists lists = image.lists.size() == 1
                             ? image.lists.front()
                             : rt::BlockLists::merge(*operands.given, image.lists[0], image.lists[1]);
  if (image.hasRows)
    lists.findPools();
  return lists;
}

/// Asks for one of a head's results row by row. The results are in the order of batches, then heads.
static Tensor makeResult(std::vector<int64_t> shape, std::shared_ptr<std::vector<HeadResult>> results,
                         TokenMemory HeadResult::*part) {
  int64_t heads = shape[1];
  return Tensor(std::move(shape), [=](int64_t batch, int64_t head, int64_t token) {
    return ((*results)[batch * heads + head].*part).getRow(token);
  });
}

FailureOr<InterpreterResult> weft::interpretKernel(ModuleOp module, const InterpreterArgs &args) {
  FailureOr<KernelImage> image = readImage(module);
  if (failed(image))
    return failure();
  FailureOr<Operands> operands = bindOperands(module, *image, args);
  if (failed(operands))
    return failure();
  rt::BlockLists lists = resolveLists(*image, *operands);
  KernelRunner runner(module, *image, *operands, lists);
  if (failed(runner.findFunctions()))
    return failure();

  std::vector<int64_t> shape = operands->query.getShape();
  auto results = std::make_shared<std::vector<HeadResult>>();
  for (int64_t batch = 0; batch < shape[0]; ++batch)
    for (int64_t head = 0; head < shape[1]; ++head) {
      FailureOr<HeadResult> result = runner.run(batch, head);
      if (failed(result))
        return failure();
      results->push_back(std::move(*result));
    }
  auto out = collectResult(module, makeResult(shape, results, &HeadResult::out), args.rows);
  shape.pop_back();
  auto lse = collectResult(module, makeResult(shape, results, &HeadResult::lse), args.rows);
  if (failed(out) || failed(lse))
    return failure();
  InterpreterResult result;
  result.out = std::move(*out), result.lse = std::move(*lse);
  return result;
}
