// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The producer: a thread that draws items, walks their lists and asks for the copies.
//
// Keys of a step have room when the scores of the step but one before are there, values only when the product after those is
// done. So keys are asked for a step ahead of values: by a thread each that walk the same list, or, where two warps gather
// queries and none is left, by one thread in this order.

#include "codegen/CUDA/HopperKernel.h"
#include "codegen/CUDA/ItemPieces.h"
#include "codegen/CUDA/KeyBias.h"
#include "codegen/CUDA/MaskStage.h"
#include "codegen/CUDA/TokenGather.h"
#include "dialect/SortedBoxes.h"
#include "runtime/CUDA/Segment.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using rt::cuda::Segment;

namespace {

class Producer {
public:
  explicit Producer(HopperKernel &k) : k(k), e(k.e), s(k.s) {}

  void emit() {
    NVVM::SetMaxRegisterOp::create(e.b, e.b.getI32IntegerAttr(s.producerRegisters),
                                   NVVM::SetMaxRegisterActionAttr::get(e.b.getContext(),
                                                                       NVVM::SetMaxRegisterAction::decrease));
    exit = e.createBlock();
    Value warp = e.broadcastFirstLane(e.shiftRight(k.thread, 5));
    if (k.hasBias())
      emitWarps(e.equal(warp, HopperKernel::kBiasWarp), emitBias);
    if (k.hasValueThread())
      emitWarps(e.equal(warp, HopperKernel::kValueWarp), [&](HopperKernel &, Block *) { emitValues(); });
    if (k.gathers())
      emitWarps(e.less(e.i32(HopperKernel::kFirstGatherWarp - 1), warp), emitGather);
    Block *first = e.createBlock(), *start = e.createBlock();
    e.branchIf(e.equal(warp, 0), first, exit);
    e.enter(first);
    plan = s.problem.cutsItems ? planPieces(e, table(), k.lane) : planWholeItems(e, table());
    e.branchIf(e.equal(k.thread, 0), start, exit);
    e.enter(start);
    if (s.problem.cutsItems)
      e.store(plan.parts, partsAt(k), 4);
    emitItems();
    e.enter(exit);
    LLVM::ReturnOp::create(e.b, ValueRange());
  }

private:
  Type i32() { return e.b.getI32Type(); }

  /// Sends some warps to code of their own.
  void emitWarps(Value isTheirs, llvm::function_ref<void(HopperKernel &, Block *)> code) {
    Block *theirs = e.createBlock(), *others = e.createBlock();
    e.branchIf(isTheirs, theirs, others);
    e.enter(theirs);
    code(k, exit);
    e.enter(others);
  }

  ItemTable table() const { return {k.argument(kItems), k.argument(kNumItems), k.argument(kPieces)}; }

  Value drawTicket() {
    return LLVM::AtomicRMWOp::create(e.b, LLVM::AtomicBinOp::add, k.argument(kTicket), e.i32(1),
                                     LLVM::AtomicOrdering::monotonic, "device");
  }

  /// Loops over items; carries the uses of the stages and of the query buffers so far, and the ticket.
  void emitItems() {
    Block *next = e.createBlock({i32(), i32(), i32()});
    e.branch(next, {e.i32(0), e.i32(0), drawTicket()});
    e.enter(next);
    Value stageUses = next->getArgument(0), queryUses = next->getArgument(1), ticket = next->getArgument(2);
    HopperKernel::Slot query = k.querySlotOf(queryUses);
    k.waitFor(Barrier::EmptyQuery, query.index, e.bitXor(query.parity, 1));
    Block *some = e.createBlock(), *taken = e.createBlock(), *item = e.createBlock(), *end = e.createBlock();
    e.branchIf(e.below(ticket, plan.tickets), some, end);
    e.enter(end);
    emitEnd(query, ticket);
    e.enter(some);
    ItemPiece piece = pieceOf(e, table(), plan, ticket);
    e.branchIf(piece.isTaken, taken, item);
    e.enter(taken);
    e.branch(next, {stageUses, queryUses, drawTicket()});
    e.enter(item);
    // Drawn now, the next ticket is there when the list ends.
    Value nextTicket = drawTicket();
    Value uses = emitItem(query, piece, stageUses);
    e.branch(next, {uses, e.add(queryUses, 1), nextTicket});
  }

  /// Tells the consumers that there is nothing left. The last of the grid's CTAs makes the ticket ready for the next
  /// launch: each draws one ticket beyond the items.
  void emitEnd(HopperKernel::Slot query, Value ticket) {
    storeItem(query, {e.i32(-1), e.i32(0), e.i32(0), e.i32(0)});
    k.arrive(Barrier::FullQuery, query.index);
    Value ctas = NVVM::GridDimXOp::create(e.b, i32());
    Value last = e.add(e.add(plan.tickets, ctas), -1);
    e.when(e.equal(ticket, last), [&] { e.store(e.i32(0), k.argument(kTicket), 4); });
    e.branch(exit);
  }

  /// Stores a SharedItem.
  void storeItem(HopperKernel::Slot query, ArrayRef<Value> item) {
    Value at = e.sharedAddress(k.bufferAt(s.itemOffset, 16, query.index));
    e.assembly("st.shared.v4.b32 [$0], {$1, $2, $3, $4};", "r,r,r,r,r", {at, item[0], item[1], item[2], item[3]}, {});
    if (k.gathers() || k.hasValueThread())
      k.arrive(Barrier::FullItem, query.index);
  }

  /// Returns the uses of the stages afterwards.
  Value emitItem(HopperKernel::Slot query, const ItemPiece &item, Value stageUses) {
    if (s.problem.cutsItems)
      e.store(item.share, shareAt(k, query), 4);
    storeItem(query, {item.count, item.block, item.pair, item.offset});
    Block *empty = e.createBlock(), *some = e.createBlock(), *done = e.createBlock({i32()});
    e.branchIf(e.equal(item.count, 0), empty, some);
    e.enter(empty);
    k.arrive(Barrier::FullQuery, query.index);
    e.branch(done, stageUses);
    e.enter(some);
    copyQuery(query, item.block, item.pair);
    if (s.problem.readsMaskBits)
      maskRow = MaskReader(k).rowOf(item.block, item.pair);
    SharedItem shared{item.count, item.block, item.pair, item.offset};
    auto askForKey = [&](Value entry, HopperKernel::Slot stage) { copyKey(entry, item.pair, stage); };
    Value end = k.queriesAreGathered() && !k.keysAreGathered() ? walkListForBoth(shared, stageUses)
                                                               : walkList(shared, stageUses, askForKey);
    e.branch(done, end);
    e.enter(done);
    return done->getArgument(0);
  }

  /// How the tokens of one side lie.
  struct Side {
    GridAttr grid;
    OrderAttr order;
    int64_t rows;
    /// The argument that describes its blocks.
    unsigned table;
    std::optional<SortedBoxes> boxes;

    SmallVector<Segment> segments() const {
      SmallVector<Segment> some;
      if (grid.getText())
        some.push_back(Segment::Text);
      if (countTokensApart(grid, order))
        some.push_back(Segment::Apart);
      if (grid.getVideoTokens())
        some.push_back(Segment::Video);
      return some;
    }
    /// Rows that the copy of a video block writes: a box may be smaller than the tile.
    int64_t videoRows() const { return order.getTiled() ? llvm::product_of(tileExtents(grid, order)) : rows; }
  };

  /// Where a tile's copy begins: its block's coordinates, its head and its batch.
  struct Source {
    Values block;
    Value pair, head, batch;
    /// Where boxes of sorted tokens begin, if there are some.
    Values boxes;
  };

  Source sourceOf(const Side &side, Value block, Value pair) {
    Value batch = e.divide(pair, k.heads), entry = e.advance(k.argument(side.table), e.mul(e.extend(block), 16));
    Source source{e.load4(entry), pair, e.sub(pair, e.mul(batch, k.heads)), batch, {}};
    if (side.boxes)
      source.boxes = e.load4(e.advance(entry, e.i64(16 * countBlocks(side.grid, side.order, side.rows))));
    return source;
  }

  /// Asks for all channel groups of rows of a tile of `tileRows`: those that begin at `at`, without the channel.
  void copyRows(Value offset, int64_t tileRows, Value map, ArrayRef<Value> at, Value barrier) {
    for (int64_t group = 0; group < s.channelGroups; ++group) {
      Values coordinates = {e.i32(64 * group)};
      coordinates.append(at.begin(), at.end());
      Value target = e.shared(e.add(offset, group * tileRows * HopperSchedule::kRowBytes));
      NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
          e.b, target, map, coordinates, e.shared(barrier), ValueRange(), Value(), Value(),
          NVVM::TMALoadModeAttr::get(e.b.getContext(), NVVM::TMALoadMode::TILE), e.b.getBoolAttr(true),
          NVVM::CTAGroupKindAttr(), Value());
    }
  }

  /// Asks for a tile of sorted tokens.
  void copyBoxes(Value offset, const Side &side, Value map, const Source &source, Value barrier) {
    int64_t tokens = side.boxes->rows * side.boxes->columns;
    for (int64_t box = 0; box < side.rows / tokens; ++box) {
      Value begin = source.boxes[box];
      copyRows(e.add(offset, box * tokens * HopperSchedule::kRowBytes), side.rows, map,
               {e.bitAnd(begin, 0xFFFF), e.shiftRight(begin, 16), e.i32(0), source.pair}, barrier);
    }
  }

  Value segmentOf(const Source &source) {
    return e.bitAnd(source.block[3], (1 << rt::cuda::kSegmentBits) - 1);
  }
  Value isSegment(const Source &source, Segment segment) {
    return e.equal(segmentOf(source), static_cast<int32_t>(segment));
  }

  Side querySide() { return {k.op.getQueryGrid(), k.op.getQueryOrder(), s.rows, kQueryBlocks, boxesOf(kQueryBoxes)}; }
  Side keySide() { return {k.op.getKeyGrid(), k.op.getKeyOrder(), s.columns, kKeyBlocks, boxesOf(kKeyBoxes)}; }
  std::optional<SortedBoxes> boxesOf(StringRef name) {
    auto extents = k.op->getAttrOfType<DenseI64ArrayAttr>(name);
    return extents ? std::optional(SortedBoxes{extents[0], extents[1]}) : std::nullopt;
  }

  /// Emits the copy of a tile of an operand, by its segment.
  void copyTileOf(const Side &side, unsigned operand, Value offset, const Source &source, Value barrier) {
    Block *done = e.createBlock();
    SmallVector<Segment> segments = side.segments();
    for (Segment segment : segments) {
      Block *other = nullptr;
      if (segment != segments.back()) {
        Block *mine = e.createBlock();
        other = e.createBlock();
        e.branchIf(isSegment(source, segment), mine, other);
        e.enter(mine);
      }
      Value map = k.operand(static_cast<unsigned>(segment) * kMapsPerSegment + operand);
      if (segment == Segment::Video && side.boxes)
        copyBoxes(offset, side, map, source, barrier);
      else if (segment == Segment::Video && side.order.getTiled())
        copyRows(offset, side.rows, map, {source.block[0], source.block[1], source.block[2], source.pair}, barrier);
      else
        copyRows(offset, side.rows, map, {source.block[0], source.head, source.batch}, barrier);
      e.branch(done);
      if (other)
        e.enter(other);
    }
    e.enter(done);
  }

  /// Bytes that the copy of one operand brings.
  Value tileBytes(const Side &side, const Source &source) {
    auto bytes = [&](int64_t count) { return e.i32(count * HopperSchedule::kRowBytes * s.channelGroups); };
    int64_t video = side.videoRows();
    if (side.segments().size() == 1 || video == side.rows)
      return bytes(video);
    return e.select(isSegment(source, Segment::Video), bytes(video), bytes(side.rows));
  }

  void copyCoordinates(Value block, unsigned table, int64_t bytes, Value offset, Value barrier) {
    if (bytes == 0)
      return;
    copyBytes(e.advance(k.argument(table), e.mul(e.extend(block), bytes)), offset, bytes, barrier);
  }

  void copyBytes(Value from, Value offset, int64_t bytes, Value barrier) {
    NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(e.b, inCluster(e.shared(offset)), from, e.shared(barrier),
                                                     e.i32(bytes), Value(), Value());
  }

  Value inCluster(Value pointer) {
    return LLVM::AddrSpaceCastOp::create(e.b, LLVM::LLVMPointerType::get(e.b.getContext(), 7), pointer);
  }

  void copyQuery(HopperKernel::Slot query, Value block, Value pair) {
    if (k.queriesAreGathered()) {
      k.expect(Barrier::FullQuery, query.index, e.i32(s.queryCoordinateBytes()));
      return copyQueryCoordinates(query, block);
    }
    Source source = sourceOf(querySide(), block, pair);
    Value bytes = tileBytes(querySide(), source);
    k.expect(Barrier::FullQuery, query.index, e.add(bytes, s.queryCoordinateBytes()));
    Value barrier = k.barrier(Barrier::FullQuery, query.index);
    Value offset = k.bufferAt(s.queryOffset, s.queryBytes(), query.index);
    copyTileOf(querySide(), kQueryMap, offset, source, barrier);
    copyQueryCoordinates(query, block);
  }

  void copyQueryCoordinates(HopperKernel::Slot query, Value block) {
    copyCoordinates(block, kQueryCoordinates, s.queryCoordinateBytes(),
                    k.bufferAt(s.queryCoordinatesOffset, s.queryCoordinateBytes(), query.index),
                    k.barrier(Barrier::FullQuery, query.index));
  }

  Value loadEntry(Value at) { return e.load(i32(), e.advance(k.argument(kEntries), e.extend(at), i32()), 4); }

  /// Walks a list that is not empty, one entry read ahead. Returns the uses of the stages afterwards.
  Value walkList(const SharedItem &item, Value stageUses, llvm::function_ref<void(Value, HopperKernel::Slot)> copy) {
    Block *step = e.createBlock({i32(), i32(), i32()}), *done = e.createBlock();
    e.branch(step, {e.i32(0), stageUses, loadEntry(item.offset)});
    e.enter(step);
    Value number = step->getArgument(0), use = step->getArgument(1), entry = step->getArgument(2);
    Value next = e.add(number, 1);
    Value ahead = loadEntry(e.add(item.offset, e.minimum(next, e.add(item.count, -1))));
    copy(entry, k.slotOf(use));
    Value nextUse = e.add(use, 1);
    e.branchIf(e.below(next, item.count), step, {next, nextUse, ahead}, done, {});
    e.enter(done);
    return nextUse;
  }

  /// Walks a list likewise and asks for the keys of each entry before the values of the one before it.
  Value walkListForBoth(const SharedItem &item, Value stageUses) {
    auto load = [&](Value number) { return loadEntry(e.add(item.offset, e.minimum(number, e.add(item.count, -1)))); };
    Block *step = e.createBlock({i32(), i32(), i32(), i32()}), *keys = e.createBlock(), *values = e.createBlock();
    Block *done = e.createBlock();
    Value first = load(e.i32(0)), second = load(e.i32(1));
    copyKey(first, item.pair, k.slotOf(stageUses));
    e.branch(step, {e.i32(1), stageUses, first, second});
    e.enter(step);
    Value next = step->getArgument(0), use = step->getArgument(1), entry = step->getArgument(2);
    Value nextEntry = step->getArgument(3), nextUse = e.add(use, 1), hasNext = e.below(next, item.count);
    Value ahead = load(e.add(next, 1));
    e.branchIf(hasNext, keys, values);
    e.enter(keys);
    copyKey(nextEntry, item.pair, k.slotOf(nextUse));
    e.branch(values);
    e.enter(values);
    copyValue(entry, item.pair, k.slotOf(use));
    e.branchIf(hasNext, step, {e.add(next, 1), nextUse, nextEntry, ahead}, done, {});
    e.enter(done);
    return nextUse;
  }

  /// The thread that asks for values: loops over items, and carries the uses of the query buffers and of the stages so far.
  void emitValues() {
    Block *first = e.createBlock(), *next = e.createBlock({i32(), i32()}), *item = e.createBlock(), *some = e.createBlock();
    e.branchIf(e.equal(k.lane, 0), first, exit);
    e.enter(first);
    e.branch(next, {e.i32(0), e.i32(0)});
    e.enter(next);
    Value queryUses = next->getArgument(0), stageUses = next->getArgument(1), nextQueryUses = e.add(queryUses, 1);
    HopperKernel::Slot query = k.querySlotOf(queryUses);
    k.waitFor(Barrier::FullItem, query.index, query.parity);
    SharedItem shared = loadItem(k, query);
    k.arrive(Barrier::EmptyQuery, query.index);
    e.branchIf(e.less(shared.count, e.i32(0)), exit, item);
    e.enter(item);
    e.branchIf(e.equal(shared.count, 0), next, {nextQueryUses, stageUses}, some, {});
    e.enter(some);
    Value uses = walkList(shared, stageUses,
                          [&](Value entry, HopperKernel::Slot stage) { copyValue(entry, shared.pair, stage); });
    e.branch(next, {nextQueryUses, uses});
  }

  /// Bytes of a stage's keys, which are those of its values, that the copy engine brings.
  Value stageBytes(const Source &source) {
    return k.keysAreRuns() ? e.i32(s.keyBytes()) : tileBytes(keySide(), source);
  }

  void copyValue(Value entry, Value pair, HopperKernel::Slot stage) {
    Source source = sourceOf(keySide(), e.shiftRight(entry, 2), pair);
    Value bytes = stageBytes(source);
    k.waitFor(Barrier::EmptyValue, stage.index, e.bitXor(stage.parity, 1));
    k.expect(Barrier::FullValue, stage.index, bytes);
    copyOperand(Barrier::FullValue, s.valueOffset, kValueMap, source, stage);
  }

  void copyKey(Value entry, Value pair, HopperKernel::Slot stage) {
    Value block = e.shiftRight(entry, 2);
    Source source = sourceOf(keySide(), block, pair);
    Value bytes = k.keysAreGathered() ? e.i32(0) : stageBytes(source);

    Value maskClass = e.shiftRight(source.block[3], rt::cuda::kSegmentBits);
    Value isShort = e.select(e.equal(maskClass, 0), e.i32(0), e.i32(kShortFlag));
    if (s.usualColumns()) // class 1 has these
      isShort = e.select(e.equal(maskClass, 1), e.i32(kTailFlag), isShort);
    Values columns = e.load4(e.advance(k.argument(kColumnMasks), e.mul(e.extend(maskClass), 16)));
    Value flag = e.bitOr(e.bitAnd(entry, 3), isShort);
    Value tile, barrier = k.barrier(Barrier::FullKey, stage.index), keyBytes = e.add(bytes, s.keyCoordinateBytes());
    if (s.problem.readsMaskBits) {
      tile = MaskReader(k).findTile(maskRow, entry);
      flag = e.select(e.equal(tile, 0), flag, e.bitOr(flag, e.i32(kBitsFlag)));
      keyBytes = e.select(e.equal(tile, 0), keyBytes, e.add(keyBytes, s.maskBitsBytes()));
    }

    k.waitFor(Barrier::EmptyKey, stage.index, e.bitXor(stage.parity, 1));
    Value maskAt = e.sharedAddress(k.bufferAt(s.maskOffset, 16, stage.index));
    e.assembly("st.shared.v4.b32 [$0], {$1, $2, $3, $4};", "r,r,r,r,r",
               {maskAt, columns[0], columns[1], columns[2], columns[3]}, {});
    e.assembly("st.shared.b32 [$0], $1;", "r,r", {e.sharedAddress(k.bufferAt(s.flagOffset, 4, stage.index)), flag},
               {});
    k.expect(Barrier::FullKey, stage.index, keyBytes);
    if (tile)
      e.when(e.notEqual(tile, 0), [&] {
        copyBytes(MaskReader(k).tileAt(tile), k.bufferAt(s.maskBitsOffset, s.maskBitsBytes(), stage.index),
                  s.maskBitsBytes(), barrier);
      });
    if (!k.keysAreGathered())
      copyOperand(Barrier::FullKey, s.keyOffset, kKeyMap, source, stage);
    copyCoordinates(block, kKeyCoordinates, s.keyCoordinateBytes(),
                    k.bufferAt(s.keyCoordinatesOffset, s.keyCoordinateBytes(), stage.index), barrier);
  }

  void copyOperand(Barrier full, int64_t base, unsigned operand, const Source &source, HopperKernel::Slot stage) {
    Value offset = k.bufferAt(base, s.keyBytes(), stage.index), barrier = k.barrier(full, stage.index);
    if (k.keysAreRuns())
      return copyRows(offset, s.columns, k.operand(operand), {source.block[0], source.head, source.batch}, barrier);
    copyTileOf(keySide(), operand, offset, source, barrier);
  }

  HopperKernel &k;
  Emitter &e;
  const HopperSchedule &s;
  Block *exit = nullptr;
  PiecePlan plan;
  /// Of the item's row in the index of mask tiles.
  Value maskRow;
};

} // namespace

void weft::cuda::emitProducer(HopperKernel &kernel) { Producer(kernel).emit(); }
