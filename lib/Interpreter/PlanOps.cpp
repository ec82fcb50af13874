// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plans: reordered tensors, and attention that visits block lists.

#include "lib/Interpreter/Ops.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

TokenBlocks::TokenBlocks(GridAttr grid, OrderAttr order, int64_t block)
    : partition(partitionTokens(grid, order, block)), blockOf(grid.getTokens()), positionOf(grid.getTokens()) {
  for (int32_t i = 0; i < partition.numBlocks(); ++i)
    for (int32_t position = partition.offsets[i]; position < partition.offsets[i + 1]; ++position) {
      blockOf[partition.tokens[position]] = i;
      positionOf[partition.tokens[position]] = position;
    }
}

/// result[position] = operand[source[position]].
static Tensor gather(const Tensor &operand, std::vector<int32_t> source) {
  return Tensor(operand.getShape(), [operand, source = std::move(source)](int64_t batch, int64_t head, int64_t token) {
    return operand.getRow(batch, head, source[token]);
  });
}

LogicalResult interp::evaluate(ReorderOp op, Scope &scope) {
  TokenBlocks blocks(op.getGrid(), op.getOrder(), op.getBlock());
  scope.bind(op, gather(scope.getTensor(op.getOperand()), blocks.partition.tokens));
  return success();
}

LogicalResult interp::evaluate(RestoreOp op, Scope &scope) {
  TokenBlocks blocks(op.getGrid(), op.getOrder(), op.getBlock());
  scope.bind(op, gather(scope.getTensor(op.getOperand()), blocks.positionOf));
  return success();
}

LogicalResult interp::verifyGiven(Operation *op, const rt::GivenLists &lists, const Tensor &query,
                                  int64_t queryBlocks, int64_t keyBlocks) {
  rt::Status status = lists.validate(query.getShape()[1], queryBlocks, keyBlocks, query.getShape()[0]);
  return status ? success() : op->emitOpError(status.message());
}

namespace {

/// What block_attention visits: the keys of a query, by block.
struct BlockVisits {
  TokenBlocks queries, keys;
  Mask mask;
  const rt::GivenLists *given;
  /// One list set, or those of blocks that the given lists lack and hold; null where the predicate alone decides.
  ArrayAttr lists;
  bool folded;
  int64_t heads;

  std::vector<int32_t> getVisible(int64_t batch, int64_t head, int64_t query) const;
  /// The sequence position of a row of the query tensor.
  int32_t getToken(int64_t query) const { return folded ? query : queries.partition.tokens[query]; }

private:
  int32_t getPosition(int32_t keyToken) const { return folded ? keyToken : keys.positionOf[keyToken]; }
  void visitBlock(Pair pair, bool full, std::vector<int32_t> &visible) const;
  void visitList(BlockListsAttr list, Pair pair, std::optional<bool> held, std::vector<int32_t> &visible) const;
};

void BlockVisits::visitBlock(Pair pair, bool full, std::vector<int32_t> &visible) const {
  const BlockPartition &partition = keys.partition;
  for (int32_t i = partition.offsets[pair.keyBlock]; i < partition.offsets[pair.keyBlock + 1]; ++i) {
    pair.key = partition.tokens[i];
    if (full || mask.contains(pair))
      visible.push_back(getPosition(pair.key));
  }
}

/// Visits the blocks of a list; with `held`, those alone that the given lists hold, or lack.
void BlockVisits::visitList(BlockListsAttr list, Pair pair, std::optional<bool> held,
                            std::vector<int32_t> &visible) const {
  auto offsets = list.getOffsets().getValues<int32_t>();
  auto entries = list.getEntries().getValues<int32_t>();
  ArrayRef<int64_t> shape = list.getOffsets().getType().getShape();
  int64_t row = (shape[0] == 1 ? 0 : pair.head) * shape[1] + pair.queryBlock;
  for (int32_t i = offsets[row]; i < offsets[row + 1]; ++i) {
    pair.keyBlock = entries[i] >> 1;
    bool partial = entries[i] & 1;
    if (!held || *held == holds(*given, pair))
      visitBlock(pair, !partial, visible);
  }
}

std::vector<int32_t> BlockVisits::getVisible(int64_t batch, int64_t head, int64_t query) const {
  int32_t token = getToken(query);
  Pair pair{batch, heads, head, token, 0, queries.blockOf[token], 0};
  std::vector<int32_t> visible;
  if (!lists)
    for (pair.keyBlock = 0; pair.keyBlock < keys.partition.numBlocks(); ++pair.keyBlock)
      visitBlock(pair, /*full=*/false, visible);
  else if (!given)
    visitList(cast<BlockListsAttr>(lists[0]), pair, std::nullopt, visible);
  else
    for (bool held : {false, true})
      visitList(cast<BlockListsAttr>(lists[held]), pair, held, visible);
  return visible;
}

} // namespace

LogicalResult interp::evaluate(BlockAttentionOp op, Scope &scope) {
  const rt::GivenLists *given = op.getGiven() ? scope.get<const rt::GivenLists *>(op.getGiven()) : nullptr;
  TokenBlocks queries(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
  TokenBlocks keys(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
  if (given && failed(verifyGiven(op, *given, scope.getTensor(op.getQuery()), queries.partition.numBlocks(),
                                  keys.partition.numBlocks())))
    return failure();
  FailureOr<Mask> mask = Mask{};
  if (!op.getBody().empty())
    mask = makePredicateMask(op.getBody(), op.getQueryGrid(), op.getKeyGrid(), given, scope);
  if (failed(mask))
    return failure();
  auto visits = std::make_shared<BlockVisits>(BlockVisits{std::move(queries), std::move(keys), std::move(*mask), given,
                                                          op.getListsAttr(), op.getFolded(),
                                                          op.getQuery().getType().getDimSize(1)});
  return bindAttention(
      op, scope,
      [visits](int64_t batch, int64_t head, int64_t query) { return visits->getVisible(batch, head, query); },
      [visits](int64_t row) { return visits->getToken(row); });
}
