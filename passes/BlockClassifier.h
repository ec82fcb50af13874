// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Classification of block pairs under a predicate, by integer-range inference.
//
// A block of tokens is a small box of coordinates. If a predicate is evaluated on
// ranges instead of numbers, its value over all pairs of two boxes comes out as
// false, true or undecided: an empty, full or partial pair. MLIR knows the ranges of
// every arith op, so a predicate may use any of them.
//
// Evaluating each of the N^2 pairs like that would take a microsecond a pair. A few
// observations make it fast:
//
// * A predicate is a Boolean formula over leaves such as |q.t - k.t| <= 1, and a leaf
//   looks at few coordinates. Blocks with the same ranges of these fall into one
//   class, and a leaf needs one evaluation per pair of classes: 17 frames of tiles
//   make 289 evaluations, however many tiles there are.
// * Classes are sorted, so neighbours are alike. A leaf is first evaluated on the hull
//   of many classes at once; only undecided rectangles are split.
// * A leaf that looks at one side only, such as k.h mod 2 == k.w mod 2, may be constant on
//   the tokens of a block and not on their ranges, if tokens are sorted by it. Undecided,
//   it is evaluated token by token, until two of them differ.
// * Leaves that look at the same coordinates are evaluated together, so that what they
//   share is inferred once.
// * The formula above the leaves is min, max and complement on bytes, a row of key
//   blocks at a time.
// * Stripes of classes, and rows, are shared out over threads.

#ifndef WEFT_PASSES_BLOCKCLASSIFIER_H
#define WEFT_PASSES_BLOCKCLASSIFIER_H

#include "dialect/BlockPartition.h"
#include "dialect/WeftDialect.h"

#include <vector>

namespace weft {

/// What a pair of blocks is to a mask. The order makes `and` min and `or` max.
enum class BlockClass : uint8_t { Empty, Partial, Full };

/// The block lists of one mask, as in BlockListsAttr.
struct ClassifiedLists {
  /// Offsets are i32.
  static constexpr int64_t kMaxEntries = INT32_MAX;
  int64_t lists = 0;
  std::vector<int32_t> offsets, entries;
  int64_t numEmpty = 0, numFull = 0, numPartial = 0;
};

/// Values of the integers that a predicate captures from above its region (dynamic parameters).
using Bindings = llvm::DenseMap<mlir::Value, int64_t>;

/// Classifies block pairs for one predicate region.
class BlockClassifier {
public:
  BlockClassifier(mlir::Region &body, const BlockPartition &query, const BlockPartition &key,
                  Bindings bindings = Bindings());

  /// Whether the predicate looks at the head.
  bool usesHead() const { return headUsed; }

  /// The class of every pair [query block][key block], for one head and one value of `given`.
  std::vector<BlockClass> classify(int64_t head, bool given);

  /// Lists for all heads: one set if the predicate does not look at the head, else one each. Fails if there are more
  /// entries than offsets can count.
  llvm::FailureOr<ClassifiedLists> buildLists(int64_t heads, bool given);

private:
  struct Node;
  struct LeafGroup;

  int addNode(mlir::Value value);
  std::pair<int, int> addLeaf(mlir::Value value);
  using Rows = std::vector<std::vector<BlockClass>>;
  const BlockClass *evaluateRow(int64_t queryBlock, Rows &rows) const;
  void prepareGroup(LeafGroup &group, int64_t head, bool given);

  mlir::Region &body;
  const BlockPartition &query, &key;
  Bindings bindings;
  std::vector<Node> nodes;
  std::vector<LeafGroup> groups;
  llvm::DenseMap<mlir::Value, int> nodeOf;
  bool headUsed = false;

public:
  ~BlockClassifier();
};

/// Whether a predicate region uses values defined above it other than constants: dynamic parameters.
bool capturesParameters(mlir::Region &body);

/// Lists in which every pair has the same class (Empty or Full). Fails as BlockClassifier::buildLists does.
llvm::FailureOr<ClassifiedLists> buildUniformLists(int64_t queryBlocks, int64_t keyBlocks, BlockClass blockClass);

} // namespace weft

#endif // WEFT_PASSES_BLOCKCLASSIFIER_H
