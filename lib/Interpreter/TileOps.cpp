// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The steps of the online softmax, each between reading its operands whole and writing its results.
//
// A row that has seen no key has the maximum -inf. Its scores are then referred to 0,
// so that -inf - (-inf) never occurs and all its weights are exp(-inf) = 0.

#include "lib/Interpreter/Ops.h"
#include "lib/Interpreter/Tile.h"

#include "llvm/Support/MathExtras.h"

#include <array>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::interp;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Tokens that tiles are padded to.
constexpr int64_t kGranule = 32;

} // namespace

LogicalResult interp::evaluate(LoadTileOp op, Scope &scope) {
  int64_t count = scope.getInteger(op.getCount()), stride = scope.getInteger(op.getStride()), d = op.getD();
  auto tokens = readTable(op, scope.get<Buffer>(op.getTable()), 0, scope.getInteger(op.getFirst()), count);
  if (failed(tokens))
    return failure();
  Matrix rows;
  for (int32_t token : *tokens) {
    FailureOr<Buffer> source = viewRow(op, scope.get<Buffer>(op.getSource()), token * stride, d);
    if (failed(source))
      return failure();
    rows.push_back(*readVector(op, *source, d));
  }
  const Buffer &tile = scope.get<Buffer>(op.getTile());
  Layout layout = op.getLayout();
  TileExtent padded{layout, static_cast<int64_t>(llvm::alignTo(rows.size(), kGranule)), channelsOf(tile.shape, layout)};
  return writeTile(op, tile, padded, rows);
}

LogicalResult interp::evaluate(InitTileOp op, Scope &scope) {
  const Buffer &accumulator = scope.get<Buffer>(op.getAccumulator());
  int64_t rows = scope.getInteger(op.getRows());
  if (failed(writeTile(op, accumulator, {Layout::Rows, rows, channelsOf(accumulator.shape, Layout::Rows)}, {})) ||
      failed(writeVector(op, scope.get<Buffer>(op.getMaximum()), Row(rows, -kInfinity))))
    return failure();
  return writeVector(op, scope.get<Buffer>(op.getSum()), Row(rows, 0));
}

/// Whether a product's operands, `tile` among them, hold two steps of the sum side by side.
static bool isPaired(Value tile) { return cast<MemRefType>(tile.getType()).getElementType().isBF16(); }

static double dot(const Row &a, const Row &b) {
  double sum = 0;
  for (size_t c = 0; c < a.size(); ++c)
    sum += a[c] * b[c];
  return sum;
}

LogicalResult interp::evaluate(ScoresOp op, Scope &scope) {
  const Buffer &queryTile = scope.get<Buffer>(op.getQuery());
  int64_t rows = scope.getInteger(op.getRows()), columns = scope.getInteger(op.getColumns());
  int64_t d = queryTile.shape[1];
  Layout keyLayout = isPaired(op.getKey()) ? Layout::KeyPairs : Layout::KeyPanels;
  FailureOr<Matrix> query = readTile(op, queryTile, {Layout::Rows, rows, d});
  FailureOr<Matrix> key = readTile(op, scope.get<Buffer>(op.getKey()), {keyLayout, columns, d});
  if (failed(query) || failed(key))
    return failure();
  Matrix scores(rows, Row(columns));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      scores[i][j] = dot((*query)[i], (*key)[j]);
  return writeTile(op, scope.get<Buffer>(op.getScores()), {Layout::Rows, rows, columns}, scores);
}

LogicalResult interp::evaluate(MeanRowOp op, Scope &scope) {
  const Buffer &mean = scope.get<Buffer>(op.getMean());
  int64_t count = scope.getInteger(op.getCount()), stride = scope.getInteger(op.getStride()), d = mean.shape[0];
  auto tokens = readTable(op, scope.get<Buffer>(op.getTable()), 0, scope.getInteger(op.getFirst()), count);
  if (failed(tokens))
    return failure();
  Row sums(d);
  for (int32_t token : *tokens) {
    FailureOr<Buffer> source = viewRow(op, scope.get<Buffer>(op.getSource()), token * stride, d);
    if (failed(source))
      return failure();
    Row row = *readVector(op, *source, d);
    for (int64_t c = 0; c < d; ++c)
      sums[c] += row[c];
  }
  for (double &sum : sums)
    sum /= count;
  return writeVector(op, mean, sums);
}

LogicalResult interp::evaluate(ScoreRowOp op, Scope &scope) {
  const Buffer &queryRow = scope.get<Buffer>(op.getQuery()), &keyRows = scope.get<Buffer>(op.getKeys());
  FailureOr<Row> query = readVector(op, queryRow, queryRow.shape[0]);
  FailureOr<Matrix> keys = readTile(op, keyRows, {Layout::Rows, keyRows.shape[0], keyRows.shape[1]});
  if (failed(query) || failed(keys))
    return failure();
  Row scores;
  for (const Row &key : *keys)
    scores.push_back(op.getScale().convertToDouble() * dot(*query, key));
  return writeVector(op, scope.get<Buffer>(op.getScores()), scores);
}

/// The table's rows are index, t, h, w; text tokens are far from every video token.
static FailureOr<std::vector<TokenCoordinates>> readCoordinates(Operation *op, const Buffer &table, int64_t first,
                                                                int64_t count) {
  std::array<std::vector<int32_t>, 4> numbers;
  for (int64_t row = 0; row < 4; ++row) {
    auto read = readTable(op, table, row, first, count);
    if (failed(read))
      return failure();
    numbers[row] = std::move(*read);
  }
  const auto &[index, t, h, w] = numbers;
  std::vector<TokenCoordinates> tokens;
  for (size_t i = 0; i < index.size(); ++i)
    tokens.push_back({t[i], h[i], w[i], index[i], t[i] == WeftDialect::kTextCoordinate});
  return tokens;
}

namespace {

/// Which columns count, row by row.
using Counting = std::vector<std::vector<bool>>;

/// A row's state; `correction` is what the last step multiplies earlier sums with.
struct RowState {
  double maximum, sum, correction;
};

} // namespace

static FailureOr<Counting> findCounting(SoftmaxOp op, const Scope &scope, int64_t rows, int64_t columns) {
  Counting counting(rows, std::vector<bool>(columns, true));
  if (op.getBody().empty())
    return counting;
  auto queries = readCoordinates(op, scope.get<Buffer>(op.getQueryTable()), scope.getInteger(op.getQueryFirst()), rows);
  auto keys = readCoordinates(op, scope.get<Buffer>(op.getKeyTable()), scope.getInteger(op.getKeyFirst()), columns);
  FailureOr<Predicate> predicate =
      Predicate::prepare(op.getBody(), [&](Value value) -> FailureOr<int64_t> { return scope.getInteger(value); });
  if (failed(queries) || failed(keys) || failed(predicate))
    return failure();
  int64_t head = scope.getInteger(op.getHead());
  bool given = scope.getInteger(op.getGiven()) != 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      counting[i][j] = predicate->holds(head, (*queries)[i], (*keys)[j], given);
  return counting;
}

static void addBias(Matrix &scores, double scale, const Row &bias) {
  for (Row &row : scores)
    for (size_t j = 0; j < row.size(); ++j)
      row[j] = scale * row[j] + bias[j];
}

/// One step for one row: advances its state, and gives the weights.
static Row weigh(const Row &scores, const std::vector<bool> &counts, double scale, RowState &state) {
  double previous = state.maximum;
  for (size_t j = 0; j < scores.size(); ++j)
    if (counts[j])
      state.maximum = std::max(state.maximum, scores[j]);
  double reference = state.maximum == -kInfinity ? 0 : state.maximum;
  state.correction = std::exp(scale * (previous - reference));
  state.sum *= state.correction;
  Row weights(scores.size());
  for (size_t j = 0; j < scores.size(); ++j) {
    weights[j] = counts[j] ? std::exp(scale * (scores[j] - reference)) : 0;
    state.sum += weights[j];
  }
  return weights;
}

LogicalResult interp::evaluate(SoftmaxOp op, Scope &scope) {
  int64_t rows = scope.getInteger(op.getRows()), columns = scope.getInteger(op.getColumns());
  const Buffer &maximumBuffer = scope.get<Buffer>(op.getMaximum()), &sumBuffer = scope.get<Buffer>(op.getSum());
  FailureOr<Matrix> matrix = readTile(op, scope.get<Buffer>(op.getScores()), {Layout::Rows, rows, columns});
  FailureOr<Row> maximum = readVector(op, maximumBuffer, rows), sum = readVector(op, sumBuffer, rows);
  if (failed(matrix) || failed(maximum) || failed(sum))
    return failure();
  FailureOr<Counting> counting = findCounting(op, scope, rows, columns);
  if (failed(counting))
    return failure();
  double scale = op.getScale().convertToDouble();
  if (op.getBias()) {
    FailureOr<Row> bias = readVector(op, scope.get<Buffer>(op.getBias()), columns);
    if (failed(bias))
      return failure();
    addBias(*matrix, scale, *bias);
    scale = 1;
  }
  Row correction(rows);
  for (int64_t i = 0; i < rows; ++i) {
    RowState state{(*maximum)[i], (*sum)[i], 0};
    (*matrix)[i] = weigh((*matrix)[i], (*counting)[i], scale, state);
    (*maximum)[i] = state.maximum, (*sum)[i] = state.sum, correction[i] = state.correction;
  }
  TileExtent padded{Layout::Rows, rows, static_cast<int64_t>(llvm::alignTo(columns, kGranule))};
  if (failed(writeTile(op, scope.get<Buffer>(op.getWeights()), padded, *matrix)) ||
      failed(writeVector(op, maximumBuffer, *maximum)) || failed(writeVector(op, sumBuffer, *sum)))
    return failure();
  return writeVector(op, scope.get<Buffer>(op.getCorrection()), correction);
}

LogicalResult interp::evaluate(AccumulateOp op, Scope &scope) {
  const Buffer &tile = scope.get<Buffer>(op.getAccumulator());
  int64_t rows = scope.getInteger(op.getRows()), columns = scope.getInteger(op.getColumns());
  TileExtent extent{Layout::Rows, rows, channelsOf(tile.shape, Layout::Rows)};
  Layout valueLayout = isPaired(op.getValue()) ? Layout::ValuePairs : Layout::ValuePanels;
  FailureOr<Matrix> weights = readTile(op, scope.get<Buffer>(op.getWeights()), {Layout::Rows, rows, columns});
  FailureOr<Matrix> value = readTile(op, scope.get<Buffer>(op.getValue()), {valueLayout, columns, extent.channels});
  FailureOr<Row> correction = readVector(op, scope.get<Buffer>(op.getCorrection()), rows);
  FailureOr<Matrix> accumulator = readTile(op, tile, extent);
  if (failed(weights) || failed(value) || failed(correction) || failed(accumulator))
    return failure();
  for (int64_t i = 0; i < rows; ++i) {
    Row &sums = (*accumulator)[i];
    for (double &sum : sums)
      sum *= (*correction)[i];
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t c = 0; c < extent.channels; ++c)
        sums[c] += (*weights)[i][j] * (*value)[j][c];
  }
  return writeTile(op, tile, extent, *accumulator);
}

/// Writes one row of an output.
static LogicalResult storeRow(Operation *op, const Buffer &out, int64_t first, const Row &row) {
  FailureOr<Buffer> target = viewRow(op, out, first, row.size());
  return failed(target) ? failure() : writeVector(op, *target, row);
}

LogicalResult interp::evaluate(StoreTileOp op, Scope &scope) {
  int64_t count = scope.getInteger(op.getCount());
  auto tokens = readTable(op, scope.get<Buffer>(op.getTable()), 0, scope.getInteger(op.getFirst()), count);
  FailureOr<Matrix> rows = readTile(op, scope.get<Buffer>(op.getAccumulator()),
                                    {Layout::Rows, count, static_cast<int64_t>(op.getD())});
  FailureOr<Row> maximum = readVector(op, scope.get<Buffer>(op.getMaximum()), count);
  FailureOr<Row> sum = readVector(op, scope.get<Buffer>(op.getSum()), count);
  if (failed(tokens) || failed(rows) || failed(maximum) || failed(sum))
    return failure();
  bool wantLse = scope.getInteger(op.getWantLse()) != 0;
  for (auto [i, token] : llvm::enumerate(*tokens)) {
    bool isEmpty = (*sum)[i] == 0;
    for (double &element : (*rows)[i])
      element = isEmpty ? 0 : element / (*sum)[i];
    double lse = isEmpty ? -kInfinity : op.getScale().convertToDouble() * (*maximum)[i] + std::log((*sum)[i]);
    if (failed(storeRow(op, scope.get<Buffer>(op.getOut()), token * scope.getInteger(op.getStride()), (*rows)[i])))
      return failure();
    if (wantLse &&
        failed(storeRow(op, scope.get<Buffer>(op.getLse()), token * scope.getInteger(op.getLseStride()), {lse})))
      return failure();
  }
  return success();
}
