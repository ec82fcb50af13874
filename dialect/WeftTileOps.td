// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tile level: the steps of the online softmax on buffers.

#ifndef WEFT_DIALECT_WEFTTILEOPS_TD
#define WEFT_DIALECT_WEFTTILEOPS_TD

include "dialect/WeftProgramOps.td"

def Weft_Tile : MemRefOf<[F32, BF16]>;
def Weft_RowVector : MemRefRankOf<[F32], [1]>;
def Weft_Source : MemRefRankOf<[F32, BF16, F16], [0]>;
def Weft_LseSource : Type<CPred<"$_self == ::mlir::MemRefType::get({}, ::mlir::Float32Type::get($_self.getContext()))">,
    "a memref<f32>">, BuildableType<"::mlir::MemRefType::get({}, $_builder.getF32Type())">;
def Weft_Table : MemRefRankOf<[I32], [2]>;

def Weft_LoadTileOp : Weft_Op<"load_tile"> {
  let summary = "gathers rows of a token tensor into a tile";
  let description = [{
    For i < count and c < d: element c of token `table[0][first + i]`, which
    begins at `source + token * stride`, is converted and put into the tile:

    | layout | place |
    |---|---|
    | `rows` | `tile[i][c]` |
    | `key_panels` | `tile[i / n][c][i mod n]` |
    | `key_pairs` | `tile[i / n][c / 2][2 (i mod n) + c mod 2]` |
    | `value_panels` | `tile[c / n][i][c mod n]` |
    | `value_pairs` | `tile[c / n][i / 2][2 (c mod n) + i mod 2]` |

    A panel holds n columns of a product's right operand behind one another, so
    that what the inner loop reads is contiguous: in rows as wide as the tile
    it would lie on few of the first-level cache's sets. The rest of the tokens
    up to the next multiple of 32 is filled with zeros, and so is the tile
    beyond d.

    ```mlir
    weft.load_tile %source stride %stride tokens %table first %first count %count into %tile
        {d = 64 : i64, layout = #weft.layout<rows>} : memref<f32>, memref<4x512xi32>, memref<128x64xf32>
    ```

    Constraints:
    - (C1) the table has 4 rows.
    - (C2) d is a multiple of 8 and the tile holds d channels in the layout: rows have rank 2, panels rank 3.
    - (C3) the tile is f32, or bf16 from a bf16 source.
  }];
  let arguments = (ins Weft_Source:$source, Index:$stride, Weft_Table:$table,
                       Index:$first, Index:$count, Weft_Tile:$tile,
                       I64Attr:$d, Weft_LayoutAttr:$layout);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $source `stride` $stride `tokens` $table `first` $first `count` $count `into` $tile attr-dict
    `:` type($source) `,` type($table) `,` type($tile)
  }];
}

def Weft_InitTileOp : Weft_Op<"init_tile", [AllTypesMatch<["maximum", "sum"]>]> {
  let summary = "the online softmax's state before any key";
  let description = [{
    `accumulator = 0`, `maximum = -inf`, `sum = 0` for the first `rows` rows.

    ```mlir
    weft.init_tile %o, %m, %l rows %rows : memref<128x64xf32>, memref<128xf32>
    ```

    Constraints:
    - (C1) the accumulator is f32 and has as many rows as the row vectors.
  }];
  let arguments = (ins Weft_Tile:$accumulator, Weft_RowVector:$maximum,
                       Weft_RowVector:$sum, Index:$rows);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $accumulator `,` $maximum `,` $sum `rows` $rows attr-dict `:` type($accumulator) `,` type($maximum)
  }];
}

def Weft_ScoresOp : Weft_Op<"scores"> {
  let summary = "the product of a query tile and a key tile";
  let description = [{
    `scores[i][j] = sum_c query[i][c] * key[c][j]` for i < rows and j < columns,
    both rounded up to the target's register tile. `ahead` is a tile that is
    read soon: it may be brought nearer meanwhile.

    ```mlir
    weft.scores %q, %k into %s rows %rows columns %columns ahead %v
        : memref<128x64xf32>, memref<4x64x32xf32>, memref<128x128xf32>, memref<2x128x32xf32>
    ```

    Constraints:
    - (C1) query and key have one element type, and the scores are f32.
    - (C2) the shapes are those of a product: [rows, d], panels [ceil(columns / n), d, n] (pairs: [ceil(columns / n),
      d / 2, 2 n]) and [rows, columns].
  }];
  let arguments = (ins Weft_Tile:$query, Weft_Tile:$key, Weft_Tile:$scores,
                       Index:$rows, Index:$columns, Optional<Weft_Tile>:$ahead);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $query `,` $key `into` $scores `rows` $rows `columns` $columns (`ahead` $ahead^)? attr-dict
    `:` type($query) `,` type($key) `,` type($scores) (`,` type($ahead)^)?
  }];
}

def Weft_SoftmaxOp : Weft_Op<"softmax", [AttrSizedOperandSegments, RecursiveMemoryEffects,
    AllTypesMatch<["maximum", "sum", "correction"]>]> {
  let summary = "one step of the online softmax";
  let description = [{
    For every row i < rows, over the columns j < columns that count (all, or
    those for which the region yields true):

        m'         = max(maximum[i], max_j scores[i][j])
        correction = exp(scale (maximum[i] - m'))
        weights    = exp(scale (scores[i][j] - m')),  0 for columns that do not count
        sum[i]     = sum[i] * correction + sum_j weights[i][j]
        maximum[i] = m'

    With `bias` the scores are `scale scores[i][j] + bias[j]`, and then the scale
    of these formulas is 1: the maximum is one of biased scores.

    A row without any key so far keeps m' = -inf and has weights and correction
    0. Columns up to the next multiple of 32 get weight 0. `coordinates`
    are `query table, query first, key table, key first, head, given`, and give
    the region's arguments.

    ```mlir
    weft.softmax %s, %m, %l, %c into %p rows %rows columns %columns scale 1.25e-01
        : memref<128x128xf32>, memref<128xf32>, memref<128x128xf32> {}
    ```

    Constraints:
    - (C1) scores are f32, weights have their shape, and the row vectors their rows.
    - (C2) the region has the arguments and the result of a predicate with `given`, if and only if coordinates are
      named.
    - (C3) scale and scale * log2(e) are positive and finite in f32.
    - (C4) the bias has an element per column of the scores.
  }];
  let arguments = (ins Weft_Tile:$scores, Weft_RowVector:$maximum, Weft_RowVector:$sum,
                       Weft_RowVector:$correction, Weft_Tile:$weights,
                       Index:$rows, Index:$columns, Optional<Weft_RowVector>:$bias,
                       Optional<Weft_Table>:$query_table, Optional<Index>:$query_first,
                       Optional<Weft_Table>:$key_table, Optional<Index>:$key_first,
                       Optional<I32>:$head, Optional<I1>:$given,
                       F64Attr:$scale);
  let regions = (region MaxSizedRegion<1>:$body);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $scores `,` $maximum `,` $sum `,` $correction `into` $weights
    `rows` $rows `columns` $columns `scale` $scale (`bias` $bias^ `:` type($bias))?
    (`tokens` $query_table^ `[` $query_first `]` `,` $key_table `[` $key_first `]` `head` $head `given` $given)?
    attr-dict `:` type($scores) `,` type($maximum) `,` type($weights)
    (`,` type($query_table)^ `,` type($key_table))? $body
  }];
}

def Weft_AccumulateOp : Weft_Op<"accumulate"> {
  let summary = "corrects the accumulator and adds weighted values";
  let description = [{
    `accumulator[i][c] = accumulator[i][c] * correction[i] + sum_j weights[i][j] * value[j][c]`
    for i < rows, j < columns and every c. `ahead` is a tile that is read soon:
    it may be brought nearer meanwhile.

    ```mlir
    weft.accumulate %p, %v, %c into %o rows %rows columns %columns ahead %k
        : memref<128x128xf32>, memref<2x128x32xf32>, memref<128xf32>, memref<128x64xf32>, memref<4x64x32xf32>
    ```

    Constraints:
    - (C1) weights and value have one element type, and the accumulator is f32.
    - (C2) the shapes are those of a product: [rows, columns], panels [ceil(d / n), columns, n] (pairs: [ceil(d / n),
      columns / 2, 2 n]) and [rows, d].
  }];
  let arguments = (ins Weft_Tile:$weights, Weft_Tile:$value, Weft_RowVector:$correction,
                       Weft_Tile:$accumulator, Index:$rows, Index:$columns,
                       Optional<Weft_Tile>:$ahead);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $weights `,` $value `,` $correction `into` $accumulator `rows` $rows `columns` $columns (`ahead` $ahead^)? attr-dict
    `:` type($weights) `,` type($value) `,` type($correction) `,` type($accumulator) (`,` type($ahead)^)?
  }];
}

def Weft_StoreTileOp : Weft_Op<"store_tile", [AllTypesMatch<["maximum", "sum"]>]> {
  let summary = "normalises the accumulator and scatters its rows";
  let description = [{
    For i < count, with token = `table[0][first + i]`: writes
    `accumulator[i][c] / sum[i]` to `out + token * stride + c`, and
    `scale * maximum[i] + log sum[i]` to `lse + token * lse_stride` if `want_lse`.
    A row with sum 0 gets 0 and -inf.

    ```mlir
    weft.store_tile %o, %m, %l tokens %table first %first count %count
        to %out stride %stride lse %lse stride %lse_stride if %want scale 1.25e-01 {d = 64 : i64}
        : memref<128x64xf32>, memref<128xf32>, memref<4x512xi32>, memref<f32>
    ```

    Constraints:
    - (C1) the table has 4 rows.
    - (C2) the accumulator is f32 and at least d wide, with as many rows as the row vectors.
    - (C3) scale and scale * log2(e) are positive and finite in f32.
  }];
  let arguments = (ins Weft_Tile:$accumulator, Weft_RowVector:$maximum, Weft_RowVector:$sum,
                       Weft_Table:$table, Index:$first, Index:$count,
                       Weft_Source:$out, Index:$stride,
                       Weft_LseSource:$lse, Index:$lse_stride, I1:$want_lse,
                       F64Attr:$scale, I64Attr:$d);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $accumulator `,` $maximum `,` $sum `tokens` $table `first` $first `count` $count
    `to` $out `stride` $stride `lse` $lse `stride` $lse_stride `if` $want_lse `scale` $scale attr-dict
    `:` type($accumulator) `,` type($maximum) `,` type($table) `,` type($out)
  }];
}

def Weft_MeanRowOp : Weft_Op<"mean_row"> {
  let summary = "the mean of some rows of a token tensor";
  let description = [{
    `mean[c] = 1 / count * sum_i source[table[0][first + i]][c]` for i < count, the row of a token beginning at
    `source + token * stride`. The sum is formed in f32.

    ```mlir
    weft.mean_row %source stride %stride tokens %table first %first count %count into %mean
        : memref<bf16>, memref<4x512xi32>, memref<64xf32>
    ```

    Constraints:
    - (C1) the table has 4 rows.
    - (C2) the mean has a multiple of 8 channels.
  }];
  let arguments = (ins Weft_Source:$source, Index:$stride, Weft_Table:$table, Index:$first, Index:$count,
                       Weft_RowVector:$mean);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $source `stride` $stride `tokens` $table `first` $first `count` $count `into` $mean attr-dict
    `:` type($source) `,` type($table) `,` type($mean)
  }];
}

def Weft_ScoreRowOp : Weft_Op<"score_row"> {
  let summary = "the scores of one mean with all others";
  let description = [{
    `scores[j] = scale * sum_c query[c] * keys[j][c]` for every row j of the keys; the rest of the scores, up to a
    multiple of 4, is unspecified.

    ```mlir
    weft.score_row %q, %k into %s {scale = 1.25e-01 : f64} : memref<64xf32>, memref<9x64xf32>, memref<12xf32>
    ```

    Constraints:
    - (C1) query and keys have the same multiple of 8 channels.
    - (C2) there are as many scores as keys, rounded up to a multiple of 4.
    - (C3) scale and scale * log2(e) are positive and finite in f32.
  }];
  let arguments = (ins Weft_RowVector:$query, MemRefRankOf<[F32], [2]>:$keys, Weft_RowVector:$scores, F64Attr:$scale);
  let hasVerifier = 1;
  let assemblyFormat = [{
    $query `,` $keys `into` $scores attr-dict `:` type($query) `,` type($keys) `,` type($scores)
  }];
}

#endif // WEFT_DIALECT_WEFTTILEOPS_TD
