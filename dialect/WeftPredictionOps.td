// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Program level: block lists that queries and keys themselves predict.

#ifndef WEFT_DIALECT_WEFTPREDICTIONOPS_TD
#define WEFT_DIALECT_WEFTPREDICTIONOPS_TD

include "dialect/WeftProgramOps.td"

def Weft_Means : RankedTensorOf<[F32]>;

def Weft_BlockMeansOp : Weft_Op<"block_means", [Pure]> {
  let summary = "the mean of the tokens of each block, or of each pool of a block";
  let description = [{
    The tokens are cut into blocks as for attention, and with `pool` each block into runs of at most `pool` tokens in
    block order. For pool p of tokens T:

        result[b, h, p, c] = 1 / |T| * sum_{i in T} operand[b, h, i, c]

    ```mlir
    %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64}
        : tensor<?x2x60x32xf32> -> tensor<?x2x?x32xf32>
    ```

    Constraints:
    - (C1) the operand has rank 4 and as many tokens on axis 2 as the grid.
    - (C2) block is a multiple of 32 from 32 to 256.
    - (C3) pool, if there is one, is at least 1.
    - (C4) the result has the operand's shape, but on axis 2 the number of pools or ?, the latter if the order is open.
  }];
  let arguments = (ins Weft_Tokens:$operand, Weft_GridAttr:$grid, Weft_OrderAttr:$order, I64Attr:$block,
                       OptionalAttr<I64Attr>:$pool);
  let results = (outs Weft_Means:$means);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($means)";
  let hasVerifier = 1;
}

def Weft_BlockScoresOp : Weft_Op<"block_scores", [Pure]> {
  let summary = "the scores of pairs of means";
  let description = [{
        result[b, h, i, j] = scale * sum_c query[b, h, i, c] * key[b, h, j, c]

    ```mlir
    %s = weft.block_scores %qm, %km {scale = 1.25e-01 : f64}
        : tensor<?x2x15x32xf32>, tensor<?x2x15x32xf32> -> tensor<?x2x15x15xf32>
    ```

    Constraints:
    - (C1) the means have rank 4 and the same batch, heads and channels.
    - (C2) the result has their batch and heads, then the query's and the key's axis 2.
    - (C3) scale and scale * log2(e) are positive and finite in f32.
  }];
  let arguments = (ins Weft_Means:$query, Weft_Means:$key, F64Attr:$scale);
  let results = (outs Weft_Means:$scores);
  let assemblyFormat = "$query `,` $key attr-dict `:` type($query) `,` type($key) `->` type($scores)";
  let hasVerifier = 1;
}

def Weft_MaxScoresOp : Weft_Op<"max_scores", [Pure]> {
  let summary = "the scores of pairs of blocks from those of their pools";
  let description = [{
    result[b, h, i, j] is the greatest score of a pool of query block i and a pool of key block j; NaN is greater than
    any number. Folds: blocks of one pool each.

    ```mlir
    %b = weft.max_scores %s {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>,
                             query_order = #weft.order<tiles = 3x4x2>, key_order = #weft.order<tiles = 3x4x2>,
                             query_block = 32 : i64, key_block = 32 : i64, pool = 8 : i64}
        : tensor<?x2x8x8xf32> -> tensor<?x2x3x3xf32>
    ```

    Constraints:
    - (C1) operand and result have rank 4 and the same batch and heads.
    - (C2) their other sizes are the numbers of pools and of blocks, or ?; ? if an order is open.
    - (C3) the blocks are multiples of 32 from 32 to 256, and pool is at least 1.
  }];
  let arguments = (ins Weft_Means:$operand, Weft_GridAttr:$query_grid, Weft_GridAttr:$key_grid,
                       Weft_OrderAttr:$query_order, Weft_OrderAttr:$key_order, I64Attr:$query_block,
                       I64Attr:$key_block, I64Attr:$pool);
  let results = (outs Weft_Means:$scores);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($scores)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

class Weft_SelectOp<string mnemonic, string amountName, string what> : Weft_Op<mnemonic, [Pure]> {
  let summary = what;
  let arguments = (ins Weft_Means:$scores, F64:$amount, DefaultValuedAttr<I64Attr, "0">:$min);
  let results = (outs Weft_BlocksType:$blocks);
  let assemblyFormat = "$scores `" # amountName # "` $amount attr-dict `:` type($scores)";
  let hasVerifier = 1;
}

def Weft_SelectTopKOp : Weft_SelectOp<"select_topk", "keep", "the greatest share of each row of scores"> {
  let description = [{
    Of the n scores of each row the max(min, ceil(keep * n)) greatest, all if these are more. NaN counts as +inf, and
    of equal scores that with the lower index is the greater. keep * n is computed in f64, and within 1e-9 of a whole
    number it is that number. The result has one set of lists for each batch and head.

    ```mlir
    %l = weft.select_topk %s keep %keep {min = 1 : i64} : tensor<?x2x15x15xf32>
    ```

    Constraints:
    - (C1) the scores have rank 4, and min is at least 0.
    - (C2) a constant keep is from 0 to 1.
  }];
}

def Weft_SelectTopPOp : Weft_SelectOp<"select_topp", "mass", "the fewest scores of each row with a share of its mass"> {
  let description = [{
    The shortest prefix of a row's scores, in the order of weft.select_topk, whose share of the softmax over the row
    is at least mass, and min scores at least. mass = 0 selects min, mass = 1 all. NaN counts as +inf; if the greatest
    score is infinite, those equal to it have equal shares and the others none.

    ```mlir
    %l = weft.select_topp %s mass %mass : tensor<?x2x15x15xf32>
    ```

    Constraints:
    - (C1) the scores have rank 4, and min is at least 0.
    - (C2) a constant mass is from 0 to 1.
  }];
}

def Weft_SelectThresholdOp : Weft_SelectOp<"select_threshold", "score", "the scores of each row that reach a bound"> {
  let description = [{
    The scores that are at least `score`, and the min greatest in any case. NaN counts as +inf.

    ```mlir
    %l = weft.select_threshold %s score %bound : tensor<?x2x15x15xf32>
    ```

    Constraints:
    - (C1) the scores have rank 4, and min is at least 0.
    - (C2) a constant score is finite.
  }];
}

#endif // WEFT_DIALECT_WEFTPREDICTIONOPS_TD
