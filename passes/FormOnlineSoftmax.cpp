// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns block attention into tile steps of the online softmax.
//
// For one query block, with m the running maxima, l the running sums and O the
// unnormalised output, all per row, a visited key block does
//
//     S  = Q K^T                        weft.scores
//     m' = max(m, rowmax S)
//     P  = exp(scale (S - m'))          weft.softmax
//     a  = exp(scale (m - m'))
//     l  = a l + rowsum P
//     O  = a O + P V                    weft.accumulate
//
// and at the end out = O / l, lse = scale m + log l (weft.store_tile). Whatever the
// order of the blocks, m is the maximum of what was seen and every earlier term has
// been scaled to it, so the result is the softmax over all visited keys.

#include "passes/FormPrediction.h"
#include "passes/FormRecognition.h"
#include "passes/FormReuse.h"
#include "passes/KernelFunction.h"
#include "passes/PassCounts.h"
#include "passes/Passes.h"
#include "passes/TileShapes.h"
#include "passes/TileViews.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weft {
#define GEN_PASS_DEF_FORMONLINESOFTMAXPASS
#include "passes/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

/// Arguments of the attend function before the dynamic parameters; the runtime's AttendArgs has the same order.
enum AttendArg : unsigned {
  kQuery, kQueryStride, kOut, kOutStride, kLse, kLseStride, kWantLse, kQueryTable, kQueryFirst, kQueryCount,
  kKeyTable, kKeyOffsets, kPackedKey, kPackedValue, kPackedBias, kEntries, kBegin, kEnd, kHeadIndex, kScratch,
  kNumAttendArgs,
};

/// Arguments of the pack function; the runtime's PackArgs has the same order.
enum PackArg : unsigned {
  kPackKey, kPackKeyStride, kPackValue, kPackValueStride, kPackTable, kPackFirst, kPackCount, kPackedKeyTile,
  kPackedValueTile, kNumPackArgs,
};

/// Builds the two functions of one kernel.
class KernelFormer {
public:
  KernelFormer(func::FuncOp kernel, BlockAttentionOp op, const TileShapes &shapes)
      : kernel(kernel), op(op), shapes(shapes), b(op.getLoc(), op.getContext()),
        source(MemRefType::get({}, op.getQuery().getType().getElementType())),
        hasBias(op.getBias() || mergesKeys(op)) {
    b.setInsertionPoint(kernel);
  }

  void form() {
    formPrediction(kernel, op);
    formRecognition(kernel, op, shapes);
    formPack();
    formAttend();
    describe();
  }

private:
  Type index() { return b.getIndexType(); }
  MemRefType table(GridAttr grid) { return MemRefType::get({4, grid.getTokens()}, b.getI32Type()); }
  static MemRefType stack(int64_t count, MemRefType tile) { return stackOf(count, tile); }
  Value constant(int64_t value) { return arith::ConstantIndexOp::create(b, value); }

  func::FuncOp addFunction(StringRef suffix, ArrayRef<Type> types) {
    b.setInsertionPoint(kernel);
    auto function = func::FuncOp::create(b, (kernel.getName() + suffix).str(), b.getFunctionType(types, {}));
    for (auto [i, type] : llvm::enumerate(types))
      if (isa<MemRefType>(type))
        function.setArgAttr(i, "llvm.noalias", b.getUnitAttr());
    b.setInsertionPointToStart(function.addEntryBlock());
    return function;
  }

  void formPack() {
    SmallVector<Type> types(kNumPackArgs, index());
    types[kPackKey] = types[kPackValue] = source;
    types[kPackTable] = table(op.getKeyGrid());
    types[kPackedKeyTile] = shapes.key;
    types[kPackedValueTile] = shapes.value;
    auto args = addFunction(".pack", types).getArguments();
    auto load = [&](PackArg from, PackArg stride, PackArg tile, Layout layout) {
      LoadTileOp::create(b, args[from], args[stride], args[kPackTable], args[kPackFirst], args[kPackCount], args[tile],
                         shapes.headDim, layout);
    };
    load(kPackKey, kPackKeyStride, kPackedKeyTile, shapes.pairs ? Layout::KeyPairs : Layout::KeyPanels);
    load(kPackValue, kPackValueStride, kPackedValueTile, shapes.pairs ? Layout::ValuePairs : Layout::ValuePanels);
    func::ReturnOp::create(b);
  }

  SmallVector<Type> attendTypes() {
    SmallVector<Type> types(kNumAttendArgs, index());
    types[kQuery] = types[kOut] = source;
    types[kLse] = MemRefType::get({}, b.getF32Type());
    types[kWantLse] = b.getI1Type();
    types[kQueryTable] = table(op.getQueryGrid());
    types[kKeyTable] = table(op.getKeyGrid());
    types[kKeyOffsets] = MemRefType::get({shapes.keyBlocks + 1}, b.getI32Type());
    types[kPackedKey] = stack(shapes.keyBlocks, shapes.key);
    types[kPackedValue] = stack(shapes.keyBlocks, shapes.value);
    if (hasBias)
      types[kPackedBias] = stack(shapes.keyBlocks, shapes.bias);
    types[kEntries] = MemRefType::get({std::max<int64_t>(1, shapes.queryBlocks * shapes.keyBlocks)}, b.getI32Type());
    types[kHeadIndex] = b.getI32Type();
    types[kScratch] = MemRefType::get({shapes.scratchBytes}, b.getI8Type());
    for (BlockArgument parameter : parametersOf(kernel))
      types.push_back(parameter.getType());
    if (recognitionOf(op))
      types.push_back(b.getI32Type());
    return types;
  }

  void formAttend() {
    args = addFunction(".attend", attendTypes()).getArguments();
    auto view = [&](MemRefType type, int64_t offset) -> Value {
      return memref::ViewOp::create(b, type, args[kScratch], constant(offset), ValueRange{});
    };
    query = view(shapes.query, shapes.queryOffset);
    auto perGroup = [&](MemRefType tile) { return isOverlapped() ? stack(shapes.groupsInFlight, tile) : tile; };
    scores = view(perGroup(shapes.scores), shapes.scoresOffset);
    weights = shapes.pairs ? view(perGroup(shapes.weights), shapes.weightsOffset) : scores;
    accumulator = view(shapes.accumulator, shapes.accumulatorOffset);
    maximum = view(shapes.rowVector, shapes.maximumOffset);
    sum = view(shapes.rowVector, shapes.sumOffset);
    correction = view(shapes.rowVector, shapes.correctionOffset);

    LoadTileOp::create(b, args[kQuery], args[kQueryStride], args[kQueryTable], args[kQueryFirst], args[kQueryCount],
                       query, shapes.headDim, Layout::Rows);
    InitTileOp::create(b, accumulator, maximum, sum, args[kQueryCount]);
    auto loop = scf::ForOp::create(b, args[kBegin], args[kEnd], constant(1));
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      formStep(loop.getInductionVar());
    }
    StoreTileOp::create(b, accumulator, maximum, sum, args[kQueryTable], args[kQueryFirst], args[kQueryCount],
                        args[kOut], args[kOutStride], args[kLse], args[kLseStride], args[kWantLse],
                        // The maximum of biased scores is scaled already.
                        hasBias ? b.getF64FloatAttr(1) : op.getScaleAttr(),
                        b.getI64IntegerAttr(shapes.headDim));
    func::ReturnOp::create(b);
  }

  Value tileOf(Value stacked, Value block, MemRefType tile) { return weft::tileOf(b, stacked, block, tile); }

  Value bit(Value entry, int32_t mask) {
    Value masked = arith::AndIOp::create(b, entry, arith::ConstantIntOp::create(b, mask, 32));
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, masked, arith::ConstantIntOp::create(b, 0, 32));
  }

  Value loadEntry(Value at) { return memref::LoadOp::create(b, args[kEntries], ValueRange{at}); }

  Value blockOf(Value entry) {
    Value shifted = arith::ShRUIOp::create(b, entry, arith::ConstantIntOp::create(b, 2, 32));
    return arith::IndexCastOp::create(b, index(), shifted);
  }

  /// The key tile that comes after `at`, or the last once more.
  Value keyAfter(Value at) {
    Value last = arith::SubIOp::create(b, args[kEnd], constant(1));
    Value next = arith::MinSIOp::create(b, arith::AddIOp::create(b, at, constant(1)), last);
    return tileOf(args[kPackedKey], blockOf(loadEntry(next)), shapes.key);
  }

  /// A visited key block.
  struct KeyBlock {
    /// `key block * 4 + given * 2 + partial`.
    Value entry;
    /// Its first position and its tokens.
    Value first, columns;
    Value key, value, nextKey;
    /// Null without a bias.
    Value bias;
  };

  /// The rows of a query block that take a step together.
  struct Group {
    Value first, rows;
    Value query, accumulator, maximum, sum, correction, scores, weights;
  };

  bool isOverlapped() const { return shapes.groupsInFlight > 1; }

  /// One visited key block.
  void formStep(Value at) {
    KeyBlock keys;
    keys.entry = loadEntry(at);
    Value block = blockOf(keys.entry);
    auto offset = [&](Value at) -> Value {
      return arith::IndexCastOp::create(b, index(), memref::LoadOp::create(b, args[kKeyOffsets], ValueRange{at}));
    };
    keys.first = offset(block);
    keys.columns = arith::SubIOp::create(b, offset(arith::AddIOp::create(b, block, constant(1))), keys.first);
    keys.key = tileOf(args[kPackedKey], block, shapes.key);
    keys.value = tileOf(args[kPackedValue], block, shapes.value);
    keys.nextKey = keyAfter(at);
    if (hasBias)
      keys.bias = tileOf(args[kPackedBias], block, shapes.bias);
    if (!isOverlapped())
      return forGroups([&](const Group &group) { formGroupStep(keys, group); });
    ifMasked(
        keys, [&] { forGroups([&](const Group &group) { formGroupStep(keys, group); }); },
        [&] { formOverlappedStep(keys); });
  }

  void forGroups(llvm::function_ref<void(const Group &)> body) {
    auto loop = scf::ForOp::create(b, constant(0), args[kQueryCount], constant(shapes.group));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(groupFrom(loop.getInductionVar()));
  }

  /// `whole` alone for a kernel without a mask.
  void ifMasked(const KeyBlock &keys, llvm::function_ref<void()> partial, llvm::function_ref<void()> whole) {
    if (op.getBody().empty())
      return whole();
    auto branch = [this](llvm::function_ref<void()> body) {
      return [this, body](OpBuilder &, Location) {
        body();
        scf::YieldOp::create(b);
      };
    };
    scf::IfOp::create(b, bit(keys.entry, 1), branch(partial), branch(whole));
  }

  Value rowsFrom(Value buffer, Value first, int64_t count) { return weft::rowsFrom(b, buffer, first, count); }

  /// `count` columns of a tile.
  Value columnsFrom(Value tile, Value first, int64_t count) {
    OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    OpFoldResult rows = b.getIndexAttr(cast<MemRefType>(tile.getType()).getDimSize(0));
    return memref::SubViewOp::create(b, tile, ArrayRef<OpFoldResult>{zero, OpFoldResult(first)},
                                     ArrayRef<OpFoldResult>{rows, b.getIndexAttr(count)},
                                     ArrayRef<OpFoldResult>{one, one});
  }

  Group groupFrom(Value first) {
    Value rest = arith::SubIOp::create(b, args[kQueryCount], first);
    Value rows = arith::MinSIOp::create(b, rest, constant(shapes.group));
    auto part = [&](Value buffer) { return rowsFrom(buffer, first, shapes.group); };
    Group group{first, rows, part(query), part(accumulator), part(maximum), part(sum), part(correction), {}, {}};
    group.scores = scores, group.weights = weights;
    if (isOverlapped()) {
      Value number = arith::DivSIOp::create(b, first, constant(shapes.group));
      Value slot = arith::AndIOp::create(b, number, constant(shapes.groupsInFlight - 1));
      group.scores = tileOf(scores, slot, shapes.scores), group.weights = tileOf(weights, slot, shapes.weights);
    }
    return group;
  }

  Value flatten(Value tile) { return memref::CollapseShapeOp::create(b, tile, ReassociationIndices{0, 1, 2}); }

  /// The share that `count` rows from `first` have in fetching a tile that is read soon.
  Value shareOf(Value tile, Value first, int64_t count) {
    int64_t perRow = cast<MemRefType>(tile.getType()).getNumElements() / shapes.rows;
    OpFoldResult begin = arith::MulIOp::create(b, first, constant(perRow)).getResult();
    OpFoldResult size = b.getIndexAttr(perRow * count), stride = b.getIndexAttr(1);
    return memref::SubViewOp::create(b, flatten(tile), begin, size, stride);
  }
  Value shareOf(Value tile, const Group &group) { return shareOf(tile, group.first, shapes.group); }

  /// Each product brings a share of the next one's operand nearer.
  void formGroupStep(const KeyBlock &keys, const Group &group) {
    ScoresOp::create(b, group.query, keys.key, group.scores, group.rows, keys.columns, shareOf(keys.value, group));
    if (isOverlapped())
      formSoftmax(keys, group, /*masked=*/true);
    else
      ifMasked(
          keys, [&] { formSoftmax(keys, group, /*masked=*/true); },
          [&] { formSoftmax(keys, group, /*masked=*/false); });
    AccumulateOp::create(b, group.weights, keys.value, group.correction, group.accumulator, group.rows, keys.columns,
                         shareOf(keys.nextKey, group));
  }

  /// A product runs in other units of the processor than a softmax: between the softmaxes of a group's rows stand parts
  /// of the scores of the next group, and of the output of the one before, panel by panel.
  void formOverlappedStep(const KeyBlock &keys) {
    Group first = groupFrom(constant(0));
    ScoresOp::create(b, first.query, keys.key, first.scores, first.rows, keys.columns, flatten(keys.value));
    forGroups([&](const Group &group) { formOverlappedGroup(keys, group); });
    Value numbers = arith::DivSIOp::create(b, arith::SubIOp::create(b, args[kQueryCount], constant(1)),
                                           constant(shapes.group));
    Group last = groupFrom(arith::MulIOp::create(b, numbers, constant(shapes.group)));
    AccumulateOp::create(b, last.weights, keys.value, last.correction, last.accumulator, last.rows, keys.columns,
                         Value());
  }

  void formOverlappedGroup(const KeyBlock &keys, const Group &group) {
    Value next = arith::AddIOp::create(b, group.first, constant(shapes.group));
    Value before = arith::SubIOp::create(b, group.first, constant(shapes.group));
    Value hasNext = isLess(next, args[kQueryCount]), hasBefore = isLess(constant(0), group.first);
    // One softmax of `count` rows for each panel of keys.
    int64_t panels = shapes.columns / kPanel, count = shapes.group / llvm::PowerOf2Ceil(panels);
    int64_t covered = std::min(shapes.valueDim / kPanel, panels);
    auto loop = scf::ForOp::create(b, constant(0), constant(shapes.group / count), constant(1));
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      Value panel = loop.getInductionVar(), row = arith::MulIOp::create(b, panel, constant(count));
      Value isKeys = isLess(panel, constant(panels)), isValues = isLess(panel, constant(covered));
      ifTrue(arith::AndIOp::create(b, hasNext, isKeys), [&] { formPanelOfScores(keys, groupFrom(next), panel); });
      formSoftmax(keys, rowsOf(group, row, count), /*masked=*/false);
      ifTrue(arith::AndIOp::create(b, hasBefore, isValues), [&] {
        Value ahead = shareOf(keys.nextKey, arith::AddIOp::create(b, before, row), count);
        formPanelsOfOutput(keys, groupFrom(before), panel, 1, kPanel, ahead);
      });
    }
    if (int64_t rest = shapes.valueDim - covered * kPanel)
      ifTrue(hasBefore, [&] {
        int64_t restPanels = shapes.value.getDimSize(0) - covered;
        formPanelsOfOutput(keys, groupFrom(before), constant(covered), restPanels, rest, Value());
      });
  }

  Value isLess(Value lhs, Value rhs) { return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, lhs, rhs); }

  void ifTrue(Value condition, llvm::function_ref<void()> body) {
    scf::IfOp::create(b, condition, [&](OpBuilder &, Location) {
      body();
      scf::YieldOp::create(b);
    });
  }

  /// The scores of a group for the keys of one panel.
  void formPanelOfScores(const KeyBlock &keys, const Group &group, Value panel) {
    Value first = arith::MulIOp::create(b, panel, constant(kPanel));
    Value rest = arith::SubIOp::create(b, keys.columns, first);
    Value columns = arith::MaxSIOp::create(b, arith::MinSIOp::create(b, rest, constant(kPanel)), constant(0));
    ScoresOp::create(b, group.query, rowsFrom(keys.key, panel, 1), columnsFrom(group.scores, first, kPanel), group.rows,
                     columns, Value());
  }

  /// `width` columns of a group's output, whose values are in `panels` panels from `first`.
  void formPanelsOfOutput(const KeyBlock &keys, const Group &group, Value first, int64_t panels, int64_t width,
                          Value ahead) {
    Value column = arith::MulIOp::create(b, first, constant(kPanel));
    AccumulateOp::create(b, group.weights, rowsFrom(keys.value, first, panels), group.correction,
                         columnsFrom(group.accumulator, column, width), group.rows, keys.columns, ahead);
  }

  /// `count` rows of a group from `first`, as far as it has them.
  Group rowsOf(const Group &group, Value first, int64_t count) {
    Value rest = arith::SubIOp::create(b, group.rows, first);
    Value rows = arith::MaxSIOp::create(b, arith::MinSIOp::create(b, rest, constant(count)), constant(0));
    auto part = [&](Value buffer) { return rowsFrom(buffer, first, count); };
    return {arith::AddIOp::create(b, group.first, first),
            rows,
            part(group.query),
            part(group.accumulator),
            part(group.maximum),
            part(group.sum),
            part(group.correction),
            part(group.scores),
            part(group.weights)};
  }

  void formSoftmax(const KeyBlock &keys, const Group &group, bool masked) {
    Value queryTable, queryFirst, keyTable, keyFirst, head, given;
    if (masked) {
      queryTable = args[kQueryTable], keyTable = args[kKeyTable], keyFirst = keys.first;
      queryFirst = arith::AddIOp::create(b, args[kQueryFirst], group.first);
      head = args[kHeadIndex], given = bit(keys.entry, 2);
    }
    auto softmax = SoftmaxOp::create(b, group.scores, group.maximum, group.sum, group.correction, group.weights,
                                     group.rows, keys.columns, keys.bias, queryTable, queryFirst, keyTable, keyFirst, head, given,
                                     op.getScaleAttr());
    if (masked)
      clonePredicate(softmax.getBody());
  }

  /// Copies the predicate; parameters, and behind them the head's choice, become the new function's arguments.
  void clonePredicate(Region &target) {
    IRMapping mapping;
    for (auto [i, parameter] : llvm::enumerate(parametersOf(kernel)))
      mapping.map(parameter, args[kNumAttendArgs + i]);
    if (ChooseOp choose = recognitionOf(op))
      mapping.map(choose.getChoice(), args.back());
    OpBuilder::InsertionGuard guard(b);
    Block &block = addCoordinateBlock(target, /*given=*/true, op.getLoc());
    b.setInsertionPointToStart(&block);
    Block &body = op.getBody().front();
    mapping.map(body.getArguments(), block.getArguments().take_front(body.getNumArguments()));
    for (Operation &inner : body)
      b.clone(inner, mapping);
  }

  /// Leaves what the runtime must know as the module's `weft.image`.
  void describe() {
    SmallVector<NamedAttribute> image = describeKernel(kernel, op);
    auto add = [&](StringRef name, int64_t value) {
      image.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
    };
    auto bytes = [](MemRefType type) { return type.getNumElements() * type.getElementTypeBitWidth() / 8; };
    add("key_tile_bytes", bytes(shapes.key));
    add("value_tile_bytes", bytes(shapes.value));
    if (hasBias)
      add("bias_tile_bytes", bytes(shapes.bias));
    add("scratch_bytes", shapes.scratchBytes);
    if (DictionaryAttr recognition =
            describeRecognition(kernel, op, shapes.rows, shapes.columns, recallScratchBytes(shapes)))
      image.push_back(b.getNamedAttr("recognition", recognition));
    kernel->getParentOfType<ModuleOp>()->setAttr("weft.image", b.getDictionaryAttr(image));
  }

  func::FuncOp kernel;
  BlockAttentionOp op;
  TileShapes shapes;
  ImplicitLocOpBuilder b;
  MemRefType source;
  /// The caller's, or that of merged keys.
  bool hasBias;
  MutableArrayRef<BlockArgument> args;
  Value query, scores, weights, accumulator, maximum, sum, correction;
};

struct FormOnlineSoftmax final : weft::impl::FormOnlineSoftmaxPassBase<FormOnlineSoftmax> {
  using Base::Base;

  void runOnOperation() override {
    numKernels = numMasked = 0;
    SmallVector<BlockAttentionOp> ops;
    getOperation().walk([&](BlockAttentionOp op) { ops.push_back(op); });
    if (ops.size() != 1) {
      getOperation().emitError("expected a module with one weft.block_attention, but got ") << ops.size();
      return signalPassFailure();
    }
    BlockAttentionOp op = ops.front();
    auto kernel = dyn_cast<func::FuncOp>(op->getParentOp());
    if (failed(checkKernel(kernel, op)))
      return signalPassFailure();
    if (depthGranule < 8 || depthGranule > 1024 || depthGranule % 8) {
      op.emitOpError("expected a depth granule that is a multiple of 8 from 8 to 1024, but got ")
          << depthGranule.getValue();
      return signalPassFailure();
    }
    if (rowGroup < kTileGranule || rowGroup % kTileGranule) {
      op.emitOpError("expected a row group that is a multiple of ") << kTileGranule << ", but got "
                                                                    << rowGroup.getValue();
      return signalPassFailure();
    }
    bool usePairs = pairs && op.getQuery().getType().getElementType().isBF16();
    int64_t groupsInFlight = usePairs && overlap ? 2 : 1;
    KernelFormer(kernel, op, TileShapes(op, usePairs, depthGranule, rowGroup, groupsInFlight)).form();
    ++numKernels;
    if (!op.getBody().empty())
      ++numMasked;
    kernel.erase();
    recordCounts(getOperation(), getArgument(), {{"kernels", numKernels}, {"kernels_masked", numMasked}});
  }

  int64_t numKernels = 0;
  int64_t numMasked = 0;
};

} // namespace
