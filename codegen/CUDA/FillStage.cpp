// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Filling of merged key blocks: rows of donors, means of values, and the bias that a key has for those that it stands
// for.
//
// A thread per column notes the keys that stay, by their number among them, and whom each stands for. Then groups of lanes
// share these keys.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/BlockOfKeys.h"
#include "codegen/CUDA/MergedKeys.h"
#include "codegen/CUDA/ReuseStages.h"
#include "codegen/CUDA/RowGroup.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::FillShape;

namespace {

/// Keys and values with the strides of batch, head and token; what the caller adds to scores with the same, if the
/// attention has that; as BlockOfKeys has them, and the place of each block by set; what counting and planning wrote;
/// coordinates of all tokens. Then merged keys, values, biases, tokens and coordinates by pair, place and column; the
/// grid.
enum FillArgument : unsigned {
  kKey,
  kKeyBatchStride,
  kKeyHeadStride,
  kKeyTokenStride,
  kValue,
  kValueBatchStride,
  kValueHeadStride,
  kValueTokenStride,
  kGivenBias,
  kGivenBiasBatchStride,
  kGivenBiasHeadStride,
  kGivenBiasTokenStride,
  kFillTokens,
  kFillDonors,
  kFillBlockOf,
  kFillBaseOf,
  kFillPoolSets,
  kFillFlags,
  kFillFlagSets,
  kPlaceOf,
  kFillRanks,
  kFillStarts,
  kFillSizes,
  kTokenCoordinates,
  kNewKey,
  kNewValue,
  kNewBias,
  kNewTokens,
  kNewCoordinates,
  kFillGrid
};

class FillStage {
public:
  FillStage(func::FuncOp kernel, BlockAttentionOp op, int64_t columns)
      : k(kernel, "fill_keys", ("plllplllplllppppipipppppppppp" + CellGrid::kLetters).str(),
          rt::cuda::RowGroupShape::kThreads),
        e(k.e), rows(k, op),
        keys(k, op, columns,
             {kFillTokens, kFillDonors, kFillBlockOf, kFillBaseOf, kFillPoolSets, kFillFlags, kFillFlagSets},
             kFillGrid),
        merged(k, rows, op, columns, keys.grid.tokens,
               {kTokenCoordinates, kNewKey, kNewValue, kNewBias, kNewTokens, kNewCoordinates}),
        hasBias(op.getBias() != nullptr), cellTokens(mostTokensOfCell(op.getKey().getDefiningOp<SnapOp>())),
        keyRows(rows.chunkAddress(kKey, kKeyBatchStride, k.y)), value(rows.chunkAddress(kValue, kValueBatchStride, k.y)) {}

  void emit() {
    if (hasBias)
      bias = biasAddress();
    Value slots = e.shared(e.i32(Shape{keys.columns}.placeOffset())), number = e.advance(slots, e.i64(4));
    e.when(e.below(k.thread, e.i32(keys.columns)), [&] { noteKey(k.thread); });
    // By a warp that has no key.
    e.when(e.equal(k.thread, k.threads - 1), [&] { noteSlots(slots, number); });
    k.meet();
    Value first = e.load(k.i32(), slots, 4), count = e.load(k.i32(), number, 4);
    // All lanes of a warp come along, since they may look for members together.
    e.loop(e.i32(0), count, e.i32(rows.shape.groups()), [&](Value begin) {
      Value rank = e.add(begin, rows.group), stays = e.below(rank, count);
      Key key{stays, e.i32(0), e.i32(0), e.i32(0)};
      Values known = e.valuesWhen(
          stays, [&] { return Values{noted(kToken, rank), noted(kDonor, rank), noted(kMembers, rank)}; },
          {key.token, key.donor, key.members});
      key.token = known[0], key.donor = known[1], key.members = known[2];
      fill(key, e.add(first, rank));
    });
    pad();
    k.finish();
  }

private:
  /// A key that stays. In small cells, members are a bit for each place whose key it stands for.
  struct Key {
    Value stays, token, donor, members;
  };
  enum Note { kToken, kDonor, kMembers };
  static_assert(kMembers + 1 == Shape::kNotes);

  static int64_t mostTokensOfCell(SnapOp snap) {
    int64_t tokens = 1;
    for (bool isCut : snap.getAxisFlags())
      tokens *= isCut ? snap.getWindow() : 1;
    return tokens;
  }

  bool hasSmallCells() const { return cellTokens <= 32; }

  Value placeOfNote(Note what, Value rank) { return e.shared(e.shiftLeft(e.add(rank, what * keys.columns), 2)); }
  Value noted(Note what, Value rank) { return e.load(k.i32(), placeOfNote(what, rank), 4); }

  /// The first slot of the block's keys, and how many stay.
  void noteSlots(Value slots, Value number) {
    Value firstStart = e.mul(k.y, keys.keyBlocks + 1);
    auto startOf = [&](Value place) { return e.loadAt(k.i32(), k.argument(kFillStarts), e.add(firstStart, place)); };
    Value place = e.loadAt(k.i32(), k.argument(kPlaceOf), e.add(keys.poolSet, k.x)), start = startOf(place);
    e.store(e.add(e.mul(keys.base, keys.columns), e.sub(start, startOf(keys.base))), slots, 4);
    e.store(e.sub(startOf(e.add(place, 1)), start), number, 4);
  }

  void noteKey(Value column) {
    Value rank = e.loadAt(k.i32(), k.argument(kFillRanks), e.add(e.mul(keys.number, keys.columns), column));
    e.when(e.less(e.i32(-1), rank), [&] {
      Value token = keys.tokenOf(column), donor = keys.donorOf(token);
      e.store(token, placeOfNote(kToken, rank), 4), e.store(donor, placeOfNote(kDonor, rank), 4);
      e.store(hasSmallCells() ? findMembers(token, donor) : e.i32(0), placeOfNote(kMembers, rank), 4);
    });
  }

  Value findMembers(Value token, Value donor) {
    if (cellTokens <= 8)
      return keys.alikeInCell(token, donor, cellTokens);
    CellGrid::Cell cell = keys.grid.cellOf(token);
    return e.loop(e.i32(0), keys.grid.size, e.i32(1), e.i32(0), [&](Value position, ValueRange found) {
      Value isAlike = keys.isAlike(keys.grid.placeAt(cell, position).token, token, donor);
      return Values{e.bitOr(found[0], e.shiftLeft(e.extend(isAlike, 32), position))};
    })[0];
  }

  Value biasAddress() {
    Value batch = e.divide(k.y, rows.heads), head = e.sub(k.y, e.mul(batch, rows.heads));
    Value elements = e.add(e.mul(e.extend(batch), k.argument(kGivenBiasBatchStride)),
                           e.mul(e.extend(head), k.argument(kGivenBiasHeadStride)));
    return e.advance(k.argument(kGivenBias), elements, k.f32());
  }

  Value biasOf(Value token) {
    Value offset = e.mul(e.extend(token), k.argument(kGivenBiasTokenStride));
    return e.load(k.f32(), e.advance(bias, offset, k.f32()), 4);
  }

  using MemberBody = llvm::function_ref<Values(Value member, ValueRange carried)>;

  /// Combines something of every token that a key stands for. All lanes of the warp come here.
  Values overMembers(const Key &key, ValueRange carried, MemberBody body) {
    CellGrid::Cell cell = keys.grid.cellOf(key.token);
    if (hasSmallCells())
      return overPlaces(cell, e.i32(0), key.members, carried, body);
    return e.loop(e.i32(0), keys.grid.size, e.i32(rows.shape.lanes()), carried, [&](Value begin, ValueRange state) {
      Value other = keys.grid.placeAt(cell, e.add(begin, rows.lane)).token;
      Value alike = rows.ballot(keys.isAlike(e.select(key.stays, other, e.i32(-1)), key.token, key.donor));
      return overPlaces(cell, begin, alike, state, body);
    });
  }

  /// The same of places from `begin` on, of which `bits` has those that count.
  Values overPlaces(const CellGrid::Cell &cell, Value begin, Value bits, ValueRange carried, MemberBody body) {
    Values inside = {bits};
    inside.append(carried.begin(), carried.end());
    Values ends = e.loop(e.i32(0), e.countBits(bits), e.i32(1), inside, [&](Value, ValueRange current) {
      Value left = current[0], position = e.add(begin, e.lowestBit(left));
      Values next = {e.bitAnd(left, e.add(left, -1))};
      next.append(body(keys.grid.placeAt(cell, position).token, current.drop_front()));
      return next;
    });
    return Values(ArrayRef<Value>(ends).drop_front());
  }

  /// What members' biases are compared with.
  struct Weight {
    Value greatest, isInfinite;
  };

  Value infinity() { return e.f32(std::numeric_limits<double>::infinity()); }

  /// A member's part of the sum: e^(its bias - the greatest), or 1 for each if that is infinite.
  Value weightOf(const Weight &weight, Value member) {
    if (!hasBias)
      return e.f32(1);
    Value distance = e.mulF(e.subF(biasOf(member), weight.greatest), e.f32(M_LOG2E));
    return e.select(weight.isInfinite, e.f32(1), e.exp2(distance));
  }

  /// The greatest bias that is a number.
  Weight compareBiases(const Key &key) {
    if (!hasBias)
      return {};
    Value greatest = overMembers(key, e.negate(infinity()), [&](Value member, ValueRange state) {
      return Values{e.maximum(state[0], biasOf(member))};
    })[0];
    return {greatest, e.equalF(e.absolute(greatest), infinity())};
  }

  /// log sum exp of the biases, or log n.
  Value totalBias(const Weight &weight, Value sum, Value isNaN) {
    Value logarithm = e.mulF(e.log2(sum), e.f32(M_LN2));
    if (!hasBias)
      return logarithm;
    Value total = e.select(weight.isInfinite, weight.greatest, e.addF(weight.greatest, logarithm));
    return e.select(isNaN, e.f32(std::numeric_limits<double>::quiet_NaN()), total);
  }

  void fill(const Key &key, Value slot) {
    Weight weight = compareBiases(key);
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass) {
      Value takesPart = e.bitAnd(key.stays, rows.hasChunk(pass));
      Values sums = overMembers(key, Values(rows.elements + 2, e.f32(0)), [&](Value member, ValueRange state) {
        return e.valuesWhen(rows.hasChunk(pass), [&] { return addMember(weight, member, state, pass); }, state);
      });
      e.when(takesPart, [&] {
        merged.storeKey(slot, rows.load(rows.chunkAt(keyRows, key.donor, k.argument(kKeyTokenStride), pass)), pass);
        merged.storeValue(slot, mean(sums), pass);
        if (pass == 0)
          e.when(rows.isLeader, [&] {
            Value isNaN = e.equal(e.extend(e.equalF(sums.back(), sums.back()), 32), 0);
            merged.describe(slot, key.token, totalBias(weight, sums[rows.elements], isNaN));
          });
      });
    }
  }

  /// Channels' sums, the sum of the weights, and something that is NaN if a bias is.
  Values addMember(const Weight &weight, Value member, ValueRange state, int64_t pass) {
    Value share = weightOf(weight, member);
    Value chunk = rows.load(rows.chunkAt(value, member, k.argument(kValueTokenStride), pass));
    Values next;
    for (int64_t i = 0; i < rows.elements; ++i)
      next.push_back(e.fma(share, e.toF32(rows.at(chunk, i)), state[i]));
    next.push_back(e.addF(state[rows.elements], share));
    Value isNumber = hasBias ? biasOf(member) : e.f32(0);
    Value nothing = e.select(e.equalF(isNumber, isNumber), e.f32(0), isNumber);
    next.push_back(e.addF(state[rows.elements + 1], nothing));
    return next;
  }

  Value mean(ArrayRef<Value> sums) {
    Value chunk = LLVM::PoisonOp::create(e.b, VectorType::get(rows.elements, rows.element));
    for (int64_t i = 0; i < rows.elements; ++i) {
      Value number = e.divideF(sums[i], sums[rows.elements]);
      if (!rows.element.isF32())
        number = arith::TruncFOp::create(e.b, rows.element, number);
      chunk = LLVM::InsertElementOp::create(e.b, chunk, number, e.i32(i));
    }
    return chunk;
  }

  /// The columns behind the last key of the merged block in place x.
  void pad() {
    Value size = e.loadAt(k.i32(), k.argument(kFillSizes), keys.number), block = e.mul(k.x, keys.columns);
    Value begin = e.select(e.equal(size, 0), e.i32(keys.columns), size);
    merged.clear(e.add(block, begin), e.add(block, keys.columns));
  }

  StageKernel k;
  Emitter &e;
  RowGroup rows;
  BlockOfKeys keys;
  MergedKeys merged;
  bool hasBias;
  int64_t cellTokens;
  Value keyRows, value, bias;
};

} // namespace

void weft::cuda::formFillKeys(func::FuncOp kernel, BlockAttentionOp op, int64_t columns) {
  FillStage(kernel, op, columns).emit();
}
