// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Range evaluation of leaves, and the formula above them.

#include "passes/BlockClassifier.h"

#include "passes/RangeEvaluator.h"
#include "runtime/Threads.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

using namespace mlir;
using namespace weft;

namespace {

/// The ranges of one block's (or many blocks') coordinates on one side, indexed as the region's arguments of that side.
using SideRanges = std::array<Interval, 5>;

SideRanges rangesOf(const BlockBox &box) {
  int32_t text = box.text;
  return {box.t, box.h, box.w, box.index, Interval{text, text}};
}

SideRanges hullOf(ArrayRef<SideRanges> ranges) {
  SideRanges hull = ranges.front();
  for (const SideRanges &range : ranges.drop_front())
    for (auto [whole, part] : llvm::zip(hull, range))
      whole = {std::min(whole.low, part.low), std::max(whole.high, part.high)};
  return hull;
}

ConstantIntRanges toRange(Interval interval, unsigned width) {
  if (width == 1) {
    APInt low(1, interval.low & 1), high(1, interval.high & 1);
    return ConstantIntRanges::fromUnsigned(low, high);
  }
  return ConstantIntRanges::fromSigned(APInt(width, interval.low, true), APInt(width, interval.high, true));
}

bool isBoolean(Value value) { return value.getType().isInteger(1); }

bool isConnective(Operation *op) {
  return op && isa<arith::AndIOp, arith::OrIOp, arith::XOrIOp>(op) && isBoolean(op->getResult(0));
}

/// Shares rows of pairs out over the threads, in stripes of at least `pairsPerStripe`: fewer are not worth a thread.
void forEachStripe(int64_t rows, int64_t columns, int64_t pairsPerStripe,
                   const std::function<void(int64_t begin, int64_t end)> &work) {
  constexpr int64_t kMaxStripes = 64;
  int64_t stripes = std::clamp<int64_t>(rows * columns / pairsPerStripe, 1, kMaxStripes);
  rt::forEachItem(stripes, rt::defaultThreads(), [&](int64_t stripe, int) {
    int64_t begin = rows * stripe / stripes, end = rows * (stripe + 1) / stripes;
    if (begin < end)
      work(begin, end);
  });
}

/// A connective on classes: and is min, or is max; exclusive or is undecided if either is, else whether they differ.
void combine(Operation *op, ArrayRef<BlockClass> lhs, const BlockClass *rhs, BlockClass *result) {
  auto apply = [&](auto connective) {
    for (size_t i = 0; i < lhs.size(); ++i)
      result[i] = static_cast<BlockClass>(connective(static_cast<uint8_t>(lhs[i]), static_cast<uint8_t>(rhs[i])));
  };
  if (isa<arith::AndIOp>(op))
    apply([](uint8_t a, uint8_t b) { return std::min(a, b); });
  else if (isa<arith::OrIOp>(op))
    apply([](uint8_t a, uint8_t b) { return std::max(a, b); });
  else
    apply([](uint8_t a, uint8_t b) { return ((a | b) & 1) ? uint8_t(1) : uint8_t(a ^ b); });
}

/// Blocks of one side that look the same to a leaf: the class of each block, and each class's ranges. Classes are
/// sorted by their ranges, so that the hull of consecutive ones is tight.
struct SideClasses {
  const BlockPartition &partition;
  std::vector<int32_t> classOf;
  std::vector<SideRanges> ranges;
  /// A block of each class: its only one if `isOfOne`.
  std::vector<int32_t> blockOf;

  SideClasses(const BlockPartition &partition, unsigned usedArgs, bool isOfOne) : partition(partition) {
    std::map<std::array<int32_t, 11>, int32_t> known;
    std::vector<decltype(known)::iterator> entries;
    for (const BlockBox &box : partition.boxes) {
      SideRanges all = rangesOf(box);
      std::array<int32_t, 11> key{};
      for (unsigned i = 0; i < all.size(); ++i)
        if (usedArgs >> i & 1)
          key[2 * i] = all[i].low, key[2 * i + 1] = all[i].high;
      if (isOfOne)
        key.back() = entries.size();
      entries.push_back(known.try_emplace(key, 0).first);
    }
    for (auto &[key, number] : known) {
      number = ranges.size();
      SideRanges used;
      for (unsigned i = 0; i < used.size(); ++i)
        used[i] = {key[2 * i], key[2 * i + 1]};
      ranges.push_back(used);
    }
    blockOf.resize(ranges.size());
    for (auto [block, entry] : llvm::enumerate(entries)) {
      classOf.push_back(entry->second);
      blockOf[entry->second] = block;
    }
  }
};

} // namespace

/// Leaves that look at the same coordinates: Booleans that are computed from them by other ops than connectives.
struct BlockClassifier::LeafGroup {
  /// Bit sets over the five arguments of each side.
  unsigned queryArgs = 0, keyArgs = 0;
  SmallVector<Value> leaves;
  SideClasses query, key;
  /// Whether the leaves look at tokens of one side only; its classes are of one block each.
  bool isOneSided() const { return (queryArgs == 0) != (keyArgs == 0); }

  /// For each leaf: [query class][key class]
  std::vector<std::vector<BlockClass>> tables;
  /// For each leaf: [query class][key block]
  std::vector<std::vector<BlockClass>> blockTables;

  /// Fills the rectangle of classes [q0, q1) x [k0, k1) of the leaves in `active`, splitting it for those that its hull
  /// leaves undecided.
  void fill(int64_t q0, int64_t q1, int64_t k0, int64_t k1, uint64_t active, Block &body, RangeEvaluator &evaluator) {
    auto hull = [](const SideClasses &side, int64_t begin, int64_t end) {
      return hullOf(ArrayRef(side.ranges).slice(begin, end - begin));
    };
    setRanges(evaluator, body, kQueryT, queryArgs, hull(query, q0, q1));
    setRanges(evaluator, body, kKeyT, keyArgs, hull(key, k0, k1));
    evaluator.evaluate(active);
    bool isSinglePair = q1 - q0 == 1 && k1 - k0 == 1;
    // All results before the first token: a leaf may be a part of another.
    std::array<BlockClass, RangeEvaluator::kMaxResults> results;
    for (unsigned leaf = 0; leaf < leaves.size(); ++leaf)
      if (active >> leaf & 1)
        results[leaf] = classOf(evaluator.get(leaf));
    uint64_t undecided = 0;
    for (unsigned leaf = 0; leaf < leaves.size(); ++leaf) {
      if (!(active >> leaf & 1))
        continue;
      BlockClass result = results[leaf];
      if (result == BlockClass::Partial && !isSinglePair) {
        undecided |= uint64_t(1) << leaf;
        continue;
      }
      if (result == BlockClass::Partial && isOneSided())
        result = queryArgs ? classOfTokens(query, q0, kQueryT, queryArgs, leaf, body, evaluator)
                           : classOfTokens(key, k0, kKeyT, keyArgs, leaf, body, evaluator);
      for (int64_t q = q0; q < q1; ++q)
        std::fill_n(tables[leaf].begin() + q * key.ranges.size() + k0, k1 - k0, result);
    }
    if (!undecided)
      return;
    if (q1 - q0 >= k1 - k0) {
      int64_t middle = (q0 + q1) / 2;
      fill(q0, middle, k0, k1, undecided, body, evaluator), fill(middle, q1, k0, k1, undecided, body, evaluator);
    } else {
      int64_t middle = (k0 + k1) / 2;
      fill(q0, q1, k0, middle, undecided, body, evaluator), fill(q0, q1, middle, k1, undecided, body, evaluator);
    }
  }

  /// Writes the classes of key blocks, where fill() has left those of key classes.
  void expand() {
    int64_t queryClasses = query.ranges.size(), keyClasses = key.ranges.size(), keyBlocks = key.classOf.size();
    blockTables.assign(leaves.size(), std::vector<BlockClass>(queryClasses * keyBlocks));
    for (auto [table, blockTable] : llvm::zip_equal(tables, blockTables))
      for (int64_t q = 0; q < queryClasses; ++q)
        for (int64_t k = 0; k < keyBlocks; ++k)
          blockTable[q * keyBlocks + k] = table[q * keyClasses + key.classOf[k]];
  }

  /// The classes of a leaf in the row of a query block.
  const BlockClass *row(int leaf, int64_t queryBlock) const {
    return blockTables[leaf].data() + query.classOf[queryBlock] * key.classOf.size();
  }

private:
  static void setRanges(RangeEvaluator &evaluator, Block &body, unsigned first, unsigned args,
                        const SideRanges &ranges) {
    for (unsigned i = 0; i < ranges.size(); ++i)
      if (args >> i & 1)
        evaluator.set(body.getArgument(first + i), toRange(ranges[i], i == 4 ? 1 : 32));
  }

  /// What all tokens of a class's block are to a leaf. Changes the evaluator's results.
  static BlockClass classOfTokens(const SideClasses &side, int64_t number, unsigned first, unsigned args, unsigned leaf,
                                  Block &body, RangeEvaluator &evaluator) {
    const BlockPartition &partition = side.partition;
    int64_t block = side.blockOf[number];
    std::optional<BlockClass> common;
    for (int32_t i = partition.offsets[block]; i < partition.offsets[block + 1]; ++i) {
      TokenCoordinates at = getCoordinates(partition.grid, partition.tokens[i]);
      setRanges(evaluator, body, first, args,
                rangesOf({{at.t, at.t}, {at.h, at.h}, {at.w, at.w}, {at.index, at.index}, at.text}));
      evaluator.evaluate(uint64_t(1) << leaf);
      BlockClass own = classOf(evaluator.get(leaf));
      if (own == BlockClass::Partial || own != common.value_or(own))
        return BlockClass::Partial;
      common = own;
    }
    return *common;
  }

  static BlockClass classOf(const ConstantIntRanges &range) {
    if (range.umin().isOne())
      return BlockClass::Full;
    return range.umax().isZero() ? BlockClass::Empty : BlockClass::Partial;
  }
};

/// A connective, or a leaf of a group if `group` is not negative.
struct BlockClassifier::Node {
  Operation *op = nullptr;
  int group = -1, leaf = -1, lhs = -1, rhs = -1;
};

BlockClassifier::~BlockClassifier() = default;

BlockClassifier::BlockClassifier(Region &body, const BlockPartition &query, const BlockPartition &key,
                                 Bindings bindings)
    : body(body), query(query), key(key), bindings(std::move(bindings)) {
  addNode(cast<YieldOp>(body.front().getTerminator()).getValue());
}

int BlockClassifier::addNode(Value value) {
  if (auto known = nodeOf.find(value); known != nodeOf.end())
    return known->second;
  Operation *op = value.getDefiningOp();
  Node node;
  if (isConnective(op) && op->getParentRegion() == &body) {
    node.op = op;
    node.lhs = addNode(op->getOperand(0));
    node.rhs = addNode(op->getOperand(1));
  } else {
    std::tie(node.group, node.leaf) = addLeaf(value);
  }
  nodes.push_back(std::move(node));
  return nodeOf[value] = nodes.size() - 1;
}

/// The region's arguments that a value depends on, as a bit set.
static unsigned findArguments(Region &body, Value value) {
  llvm::SmallPtrSet<Operation *, 16> seen;
  unsigned used = 0;
  SmallVector<Value> worklist = {value};
  while (!worklist.empty()) {
    Value next = worklist.pop_back_val();
    if (auto argument = dyn_cast<BlockArgument>(next); argument && argument.getOwner() == &body.front())
      used |= 1u << argument.getArgNumber();
    Operation *op = next.getDefiningOp();
    if (op && op->getParentRegion() == &body && seen.insert(op).second)
      llvm::append_range(worklist, op->getOperands());
  }
  return used;
}

std::pair<int, int> BlockClassifier::addLeaf(Value value) {
  unsigned used = findArguments(body, value);
  headUsed |= used >> kHead & 1;
  unsigned queryArgs = used >> kQueryT & 31, keyArgs = used >> kKeyT & 31;
  auto group = llvm::find_if(groups, [&](const LeafGroup &candidate) {
    return candidate.queryArgs == queryArgs && candidate.keyArgs == keyArgs &&
           candidate.leaves.size() < RangeEvaluator::kMaxResults;
  });
  if (group == groups.end()) {
    bool isOneSided = (queryArgs == 0) != (keyArgs == 0);
    groups.push_back({queryArgs, keyArgs, {}, SideClasses(query, queryArgs, isOneSided && queryArgs),
                      SideClasses(key, keyArgs, isOneSided && keyArgs), {}, {}});
    group = std::prev(groups.end());
  }
  group->leaves.push_back(value);
  return {static_cast<int>(group - groups.begin()), static_cast<int>(group->leaves.size()) - 1};
}

void BlockClassifier::prepareGroup(LeafGroup &group, int64_t head, bool given) {
  Block &block = body.front();
  RangeEvaluator evaluator(body, group.leaves);
  for (auto [value, integer] : bindings)
    evaluator.setInteger(value, integer);
  evaluator.setInteger(block.getArgument(kHead), head);
  if (block.getNumArguments() > kGiven)
    evaluator.setInteger(block.getArgument(kGiven), given);
  int64_t queryClasses = group.query.ranges.size(), keyClasses = group.key.ranges.size();
  group.tables.assign(group.leaves.size(), std::vector<BlockClass>(queryClasses * keyClasses, BlockClass::Partial));
  uint64_t all = ~uint64_t(0) >> (64 - group.leaves.size());
  forEachStripe(queryClasses, keyClasses, /*pairsPerStripe=*/128, [&](int64_t begin, int64_t end) {
    RangeEvaluator own = evaluator;
    group.fill(begin, end, 0, keyClasses, all, block, own);
  });
  group.expand();
}

/// Evaluates the formula for the key blocks of one query block. `rows` has room for the row of each connective.
const BlockClass *BlockClassifier::evaluateRow(int64_t queryBlock, Rows &rows) const {
  auto rowOf = [&](int number) {
    const Node &node = nodes[number];
    return node.group < 0 ? rows[number].data() : groups[node.group].row(node.leaf, queryBlock);
  };
  for (auto [number, node] : llvm::enumerate(nodes))
    if (node.group < 0)
      combine(node.op, ArrayRef(rowOf(node.lhs), rows[number].size()), rowOf(node.rhs), rows[number].data());
  return rowOf(nodes.size() - 1);
}

std::vector<BlockClass> BlockClassifier::classify(int64_t head, bool given) {
  for (LeafGroup &group : groups)
    prepareGroup(group, head, given);
  int64_t keyBlocks = key.numBlocks();
  std::vector<BlockClass> classes(query.numBlocks() * keyBlocks);
  forEachStripe(query.numBlocks(), keyBlocks, /*pairsPerStripe=*/65536, [&](int64_t begin, int64_t end) {
    Rows rows(nodes.size());
    for (auto [node, row] : llvm::zip_equal(nodes, rows))
      if (node.group < 0)
        row.resize(keyBlocks);
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(evaluateRow(i, rows), keyBlocks, classes.begin() + i * keyBlocks);
    }
  });
  return classes;
}

/// Appends one row of entries.
static void appendRow(ClassifiedLists &lists, ArrayRef<BlockClass> row) {
  for (auto [block, blockClass] : llvm::enumerate(row)) {
    if (blockClass == BlockClass::Empty) {
      ++lists.numEmpty;
      continue;
    }
    bool partial = blockClass == BlockClass::Partial;
    ++(partial ? lists.numPartial : lists.numFull);
    lists.entries.push_back(static_cast<int32_t>(block) * 2 + partial);
  }
  lists.offsets.push_back(lists.entries.size());
}

FailureOr<ClassifiedLists> BlockClassifier::buildLists(int64_t heads, bool given) {
  ClassifiedLists result;
  result.lists = headUsed ? heads : 1;
  for (int64_t head = 0; head < result.lists; ++head) {
    std::vector<BlockClass> classes = classify(head, given);
    int64_t visited = classes.size() - llvm::count(classes, BlockClass::Empty);
    if (static_cast<int64_t>(result.entries.size()) + visited > ClassifiedLists::kMaxEntries)
      return failure();
    result.offsets.push_back(result.entries.size());
    for (int64_t i = 0; i < query.numBlocks(); ++i)
      appendRow(result, ArrayRef(classes).slice(i * key.numBlocks(), key.numBlocks()));
  }
  return result;
}

FailureOr<ClassifiedLists> weft::buildUniformLists(int64_t queryBlocks, int64_t keyBlocks, BlockClass blockClass) {
  if (blockClass != BlockClass::Empty && queryBlocks * keyBlocks > ClassifiedLists::kMaxEntries)
    return failure();
  ClassifiedLists result;
  result.lists = 1;
  result.offsets.push_back(0);
  std::vector<BlockClass> row(keyBlocks, blockClass);
  for (int64_t i = 0; i < queryBlocks; ++i)
    appendRow(result, row);
  return result;
}

bool weft::capturesParameters(Region &body) {
  for (Operation &op : body.front())
    for (Value operand : op.getOperands())
      if (operand.getParentRegion() != &body && !matchPattern(operand, m_Constant()))
        return true;
  return false;
}
