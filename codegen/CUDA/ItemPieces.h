// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Items in pieces.
//
// CTAs draw items until none is left. Of n items of one length, c CTAs draw n / c each; the last n mod c take as long as
// a whole turn in which most CTAs may have nothing to do. So these are cut along their lists into pieces, which are drawn
// as items are. A piece leaves accumulator, maximum and sum of its rows in memory, and whoever is the last of an item's
// pieces adds them up, in the order of the list: the result does not depend on who that was. It does so behind its last
// piece, where no other rows take registers.
//
// How many pieces is decided in the kernel, since the device alone may know how many items there are: each lane of a warp
// counts the steps that one number would take.

#ifndef WEFT_CODEGEN_CUDA_ITEMPIECES_H
#define WEFT_CODEGEN_CUDA_ITEMPIECES_H

#include "codegen/CUDA/RegisterSoftmax.h"
#include "runtime/CUDA/StageShapes.h"

namespace weft::cuda {

/// Items in device memory, four i32 each, and how many there are; memory for pieces as PieceShape says, or null to cut
/// none.
struct ItemTable {
  mlir::Value items, numItems, pieces;
};

/// What tickets stand for, i32: the first `whole` for items, the others for pieces, of which an item has `parts`.
struct PiecePlan {
  mlir::Value whole, parts, tickets;
};

/// Plans a launch's pieces; all lanes of the warp come here.
PiecePlan planPieces(Emitter &e, const ItemTable &table, mlir::Value lane);

/// Without pieces.
PiecePlan planWholeItems(Emitter &e, const ItemTable &table);

/// An item, or a part of it.
struct ItemPiece {
  /// What the item table says: query block, batch * heads + head, the list's first entry and their number; both of the
  /// piece's own part.
  mlir::Value block, pair, offset, count;
  /// The item's number from PiecePlan::whole on in the upper half, the piece's among all in the lower; or -1 if it is the
  /// whole item.
  mlir::Value share;
  /// Whether another ticket has it already: i1.
  mlir::Value isTaken;
};

/// What a ticket below PiecePlan::tickets stands for.
ItemPiece pieceOf(Emitter &e, const ItemTable &table, const PiecePlan &plan, mlir::Value ticket);

/// A thread's part of 16 rows as the softmax leaves them; sums are of its own columns.
struct PartialRows {
  Values accumulator;
  RowPair maximum, sum;

  Values flat() const;
  static PartialRows from(mlir::ValueRange values);
};

/// Adds up the pieces of items, each warp its own 16 rows: of the items whose last piece was its own, and not before it has
/// drawn its last, when its registers are free.
class PieceStore {
public:
  /// Words of shared memory that each tile needs at `notes`.
  static constexpr int64_t kNoteWords = rt::cuda::PieceShape::kMostItems / 32;

  /// The warp's rows are tile `tile` of an item; `notes` is an offset in shared memory, an i32.
  PieceStore(Emitter &e, mlir::Value pieces, const rt::cuda::PieceShape &shape, mlir::Value tile, mlir::Value lane,
             mlir::Value notes)
      : e(e), shape(shape), pieces(pieces), tile(tile), lane(lane), notesOffset(notes) {}

  // All lanes of the warp come to each of these.

  /// Before anything else.
  void clear();
  /// Leaves what piece `share` has of its rows.
  void leave(mlir::Value share, mlir::Value parts, const PartialRows &own);
  /// Adds up the pieces of items that this warp was the last of; `item` counts from PiecePlan::whole on.
  void addUpLast(mlir::Value parts, double factor,
                 llvm::function_ref<void(mlir::Value item, const PartialRows &rows)> store);

private:
  static constexpr int64_t kRegistersAtOnce = 32;

  mlir::Value pieceAt(mlir::Value number);
  mlir::Value counterAt(mlir::Value item);
  void write(mlir::Value at, const PartialRows &rows);
  /// Registers of a piece's accumulator and statistics, as PartialRows::flat() has them.
  Values read(mlir::Value piece, int64_t first, int64_t count);
  RowPair factorsOf(llvm::ArrayRef<mlir::Value> maximum, const RowPair &reference, double factor);
  PartialRows addUp(mlir::Value first, mlir::Value parts, double factor);
  mlir::Value notesAt(mlir::Value word);
  void fence();

  Emitter &e;
  rt::cuda::PieceShape shape;
  mlir::Value pieces, tile, lane, notesOffset;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_ITEMPIECES_H
