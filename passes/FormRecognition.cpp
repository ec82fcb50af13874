// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns recalls into functions on buffers: the scores and the online softmax of a kernel, without values.
//
// A recall is a ratio of sums that a softmax makes anyway, over the keys that a candidate keeps and over all. So one
// query block of a probe walks over all its key blocks, and for all keys and for each candidate there is a state of
// maximum and sum. A masked softmax overwrites its scores, which are therefore computed anew for further candidates.

#include "passes/FormRecognition.h"

#include "dialect/Recognition.h"
#include "dialect/Reuse.h"
#include "passes/KernelFunction.h"
#include "passes/SinkCaptured.h"
#include "passes/TileViews.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weft;

ChooseOp weft::recognitionOf(BlockAttentionOp op) {
  SmallVector<ChooseOp> choices = findChoices(op.getBody());
  return choices.empty() ? ChooseOp() : choices.front();
}

static LogicalResult checkCandidate(func::FuncOp kernel, BlockAttentionOp op, RecallOp recall) {
  if (recall.getQuery() != originalTokens(op.getQuery()) || recall.getKey() != originalTokens(op.getKey()) ||
      recall.getMask().getType().getQuery() != op.getQueryGrid() || recall.getScale() != op.getScale())
    return op.emitOpError("expected recalls of its own queries and keys, with its scale");
  Operation *mask = recall.getMask().getDefiningOp();
  auto predicate = dyn_cast_or_null<PredicateOp>(mask);
  if (isa_and_nonnull<ConstantMaskOp>(mask))
    return success();
  if (!predicate || predicate.getGiven() || !findChoices(predicate.getBody()).empty())
    return recall.emitOpError("expected a candidate that is one predicate without block lists and choices");
  sinkCaptured(predicate.getBody());
  for (Operation &inner : predicate.getBody().front())
    for (Value operand : inner.getOperands())
      if (operand.getParentRegion() != &predicate.getBody() && !llvm::is_contained(parametersOf(kernel), operand))
        return recall.emitOpError("expected a candidate that depends on parameters alone");
  return success();
}

LogicalResult weft::checkRecognition(func::FuncOp kernel, BlockAttentionOp op) {
  SmallVector<ChooseOp> choices = op.getBody().empty() ? SmallVector<ChooseOp>() : findChoices(op.getBody());
  if (choices.empty())
    return success();
  if (choices.size() > 1)
    return op.emitOpError("expected at most one choice in a mask, but got ") << choices.size();
  ChooseOp choose = choices.front();
  for (Value value : choose.getRecalls()) {
    auto recall = value.getDefiningOp<RecallOp>();
    if (!recall)
      return choose.emitOpError("expected recalls that weft.recall measures");
    if (failed(checkCandidate(kernel, op, recall)))
      return failure();
  }
  Value bound = choose.getBound();
  if (bound && !llvm::is_contained(parametersOf(kernel), bound) && !matchPattern(bound, m_Constant()))
    return choose.emitOpError("expected a bound that is a constant or a parameter");
  return success();
}

SmallVector<ProbeCandidates> weft::groupByProbe(ChooseOp choose) {
  SmallVector<ProbeCandidates> groups;
  for (Probe probe : {Probe::Local, Probe::Global}) {
    ProbeCandidates group{probe, {}};
    for (auto [number, recall] : llvm::enumerate(choose.getRecalls()))
      if (recall.getDefiningOp<RecallOp>().getProbe() == probe)
        group.numbers.push_back(number);
    if (!group.numbers.empty())
      groups.push_back(std::move(group));
  }
  return groups;
}

namespace {

/// The runtime's RecallArgs has the same order.
enum RecallArg : unsigned {
  kQuery, kQueryStride, kTable, kQueryFirst, kQueryCount, kKeyOffsets, kPackedKey, kHeadIndex, kScratch, kStatistics,
  kNumRecallArgs,
};

/// The working memory of a recall function.
struct RecallShapes {
  explicit RecallShapes(const TileShapes &tiles) : tiles(tiles) {
    Type f32 = tiles.rowVector.getElementType();
    accumulator = MemRefType::get({tiles.rows, kTileGranule}, f32);
    auto place = [&](MemRefType type) {
      int64_t offset = bytes;
      bytes += llvm::alignTo(type.getNumElements() * type.getElementTypeBitWidth() / 8, 64);
      return offset;
    };
    query = place(tiles.query), scores = place(tiles.scores), weights = place(tiles.scores);
    unused = place(accumulator), correction = place(tiles.rowVector);
  }

  const TileShapes &tiles;
  /// An online softmax has one, which a recall does not read.
  MemRefType accumulator;
  int64_t query, scores, weights, unused, correction, bytes = 0;
};

/// Builds the function of one probe.
class RecallFormer {
public:
  RecallFormer(func::FuncOp kernel, BlockAttentionOp op, const TileShapes &tiles, const ProbeCandidates &group)
      : kernel(kernel), op(op), choose(recognitionOf(op)), shapes(tiles), group(group), b(op.getLoc(), op.getContext()) {
    int64_t tokens = probeTokens(op.getQueryGrid(), group.probe).size();
    keyBlocks = llvm::divideCeil(tokens, tiles.columns);
  }

  void form() {
    b.setInsertionPoint(kernel);
    std::string name = (kernel.getName() + ".recall_" + stringifyProbe(group.probe)).str();
    auto function = func::FuncOp::create(b, name, b.getFunctionType(types(), {}));
    for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
      if (isa<MemRefType>(type))
        function.setArgAttr(i, "llvm.noalias", b.getUnitAttr());
    b.setInsertionPointToStart(function.addEntryBlock());
    args = function.getArguments();
    formBody();
    func::ReturnOp::create(b);
  }

private:
  MemRefType state() { return stackOf(2, shapes.tiles.rowVector); }

  SmallVector<Type> types() {
    SmallVector<Type> types(kNumRecallArgs, b.getIndexType());
    types[kQuery] = MemRefType::get({}, op.getQuery().getType().getElementType());
    types[kTable] = MemRefType::get({4, op.getQueryGrid().getTokens()}, b.getI32Type());
    types[kKeyOffsets] = MemRefType::get({keyBlocks + 1}, b.getI32Type());
    types[kPackedKey] = stackOf(keyBlocks, shapes.tiles.key);
    types[kHeadIndex] = b.getI32Type();
    types[kScratch] = MemRefType::get({shapes.bytes}, b.getI8Type());
    types[kStatistics] = stackOf(1 + group.numbers.size(), state());
    for (BlockArgument parameter : parametersOf(kernel))
      types.push_back(parameter.getType());
    return types;
  }

  Value constant(int64_t value) { return arith::ConstantIndexOp::create(b, value); }

  void loop(Value end, int64_t step, llvm::function_ref<void(Value)> body) {
    auto loop = scf::ForOp::create(b, constant(0), end, constant(step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar());
  }

  void formBody() {
    auto view = [&](MemRefType type, int64_t offset) -> Value {
      return memref::ViewOp::create(b, type, args[kScratch], constant(offset), ValueRange{});
    };
    const TileShapes &tiles = shapes.tiles;
    query = view(tiles.query, shapes.query), scores = view(tiles.scores, shapes.scores);
    weights = view(tiles.scores, shapes.weights), correction = view(tiles.rowVector, shapes.correction);
    Value unused = view(shapes.accumulator, shapes.unused);
    LoadTileOp::create(b, args[kQuery], args[kQueryStride], args[kTable], args[kQueryFirst], args[kQueryCount], query,
                       tiles.headDim, Layout::Rows);
    for (size_t i = 0; i <= group.numbers.size(); ++i) {
      states.push_back(tileOf(b, args[kStatistics], constant(i), state()));
      auto part = [&](int64_t number) { return tileOf(b, states.back(), constant(number), tiles.rowVector); };
      Value maximum = part(0), sum = part(1);
      InitTileOp::create(b, unused, maximum, sum, args[kQueryCount]);
      maxima.push_back(maximum), sums.push_back(sum);
    }
    loop(constant(keyBlocks), 1, [&](Value block) { formBlock(block); });
  }

  /// A key block, and rows of the query block.
  struct Step {
    Value keyFirst, columns, key, rowFirst, rows;
  };

  void formBlock(Value block) {
    auto offset = [&](Value at) -> Value {
      Value loaded = memref::LoadOp::create(b, args[kKeyOffsets], ValueRange{at});
      return arith::IndexCastOp::create(b, b.getIndexType(), loaded);
    };
    Step step;
    step.keyFirst = offset(block);
    step.columns = arith::SubIOp::create(b, offset(arith::AddIOp::create(b, block, constant(1))), step.keyFirst);
    step.key = tileOf(b, args[kPackedKey], block, shapes.tiles.key);
    loop(args[kQueryCount], shapes.tiles.group, [&](Value row) {
      step.rowFirst = row;
      Value rest = arith::SubIOp::create(b, args[kQueryCount], row);
      step.rows = arith::MinSIOp::create(b, rest, constant(shapes.tiles.group));
      formScores(step);
      formSoftmax(step, 0, weights, nullptr);
      for (auto [i, number] : llvm::enumerate(group.numbers))
        formCandidate(step, i, choose.getRecalls()[number].getDefiningOp<RecallOp>().getMask());
    });
  }

  void formCandidate(const Step &step, size_t i, Value mask) {
    auto constantMask = mask.getDefiningOp<ConstantMaskOp>();
    if (constantMask && !constantMask.getValue())
      return;
    if (i > 0)
      formScores(step);
    formSoftmax(step, i + 1, scores, constantMask ? nullptr : &mask.getDefiningOp<PredicateOp>().getBody());
  }

  Value groupOf(const Step &step, Value buffer) { return rowsFrom(b, buffer, step.rowFirst, shapes.tiles.group); }

  void formScores(const Step &step) {
    ScoresOp::create(b, groupOf(step, query), step.key, scores, step.rows, step.columns, Value());
  }

  void formSoftmax(const Step &step, size_t state, Value into, Region *candidate) {
    Value table, queryFirst, keyFirst, head, given;
    if (candidate) {
      table = args[kTable], keyFirst = step.keyFirst, head = args[kHeadIndex];
      queryFirst = arith::AddIOp::create(b, args[kQueryFirst], step.rowFirst);
      given = arith::ConstantIntOp::create(b, 0, 1);
    }
    auto softmax = SoftmaxOp::create(b, scores, groupOf(step, maxima[state]), groupOf(step, sums[state]),
                                     groupOf(step, correction), into, step.rows, step.columns, /*bias=*/Value(), table,
                                     queryFirst, table, keyFirst, head, given, op.getScaleAttr());
    if (candidate)
      clonePredicate(*candidate, softmax.getBody());
  }

  /// Parameters become the function's arguments.
  void clonePredicate(Region &source, Region &target) {
    IRMapping mapping;
    for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
      mapping.map(parameter, args[kNumRecallArgs + i]);
    OpBuilder::InsertionGuard guard(b);
    Block &block = addCoordinateBlock(target, /*given=*/true, op.getLoc());
    b.setInsertionPointToStart(&block);
    Block &body = source.front();
    mapping.map(body.getArguments(), block.getArguments().take_front(body.getNumArguments()));
    for (Operation &inner : body)
      b.clone(inner, mapping);
  }

  func::FuncOp kernel;
  BlockAttentionOp op;
  ChooseOp choose;
  RecallShapes shapes;
  const ProbeCandidates &group;
  ImplicitLocOpBuilder b;
  int64_t keyBlocks;
  MutableArrayRef<BlockArgument> args;
  Value query, scores, weights, correction;
  SmallVector<Value> states, maxima, sums;
};

} // namespace

void weft::formRecognition(func::FuncOp kernel, BlockAttentionOp op, const TileShapes &shapes) {
  if (ChooseOp choose = recognitionOf(op))
    for (const ProbeCandidates &group : groupByProbe(choose))
      RecallFormer(kernel, op, shapes, group).form();
}

int64_t weft::recallScratchBytes(const TileShapes &shapes) { return RecallShapes(shapes).bytes; }

DictionaryAttr weft::describeRecognition(func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns,
                                         int64_t scratchBytes) {
  ChooseOp choose = recognitionOf(op);
  if (!choose)
    return {};
  Builder b(op.getContext());
  SmallVector<NamedAttribute> description;
  auto add = [&](StringRef name, Attribute value) { description.push_back(b.getNamedAttr(name, value)); };
  add("candidates", b.getI64IntegerAttr(choose.numCandidates()));
  add("rows", b.getI64IntegerAttr(rows));
  add("columns", b.getI64IntegerAttr(columns));
  add("scale", op.getScaleAttr());
  add("scratch_bytes", b.getI64IntegerAttr(scratchBytes));
  if (choose.getFallback())
    add("fallback", b.getUnitAttr());
  FloatAttr bound;
  if (choose.getBound() && matchPattern(choose.getBound(), m_Constant(&bound)))
    add("bound", bound);
  for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
    if (parameter == choose.getBound())
      add("parameter", b.getI64IntegerAttr(i));
  SmallVector<Attribute> probes;
  for (const ProbeCandidates &group : groupByProbe(choose))
    probes.push_back(b.getDictionaryAttr({b.getNamedAttr("probe", b.getStringAttr(stringifyProbe(group.probe))),
                                          b.getNamedAttr("candidates", b.getI64ArrayAttr(group.numbers))}));
  add("probes", b.getArrayAttr(probes));
  return b.getDictionaryAttr(description);
}
