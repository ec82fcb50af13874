// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plan level: reordered tensors and attention over block lists.

#ifndef WEFT_DIALECT_WEFTPLANOPS_TD
#define WEFT_DIALECT_WEFTPLANOPS_TD

include "dialect/WeftProgramOps.td"

class Weft_OrderOp<string mnemonic, string what>
    : Weft_Op<mnemonic, [Pure, SameOperandsAndResultType]> {
  let summary = what;
  let arguments = (ins AnyRankedTensor:$operand, Weft_GridAttr:$grid,
                       Weft_OrderAttr:$order, I64Attr:$block);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Weft_ReorderOp : Weft_OrderOp<"reorder", "tokens in the order of their blocks"> {
  let description = [{
    `result[b, h, p, ...] = operand[b, h, token(p), ...]` where token(p) is the
    p-th token of the order's partition into blocks. Folds: reorder of restore,
    and the raster order, which moves nothing.

    ```mlir
    %r = weft.reorder %q {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64}
        : tensor<?x2x60x32xf32>
    ```

    Constraints:
    - (C1) the operand has rank 3 or more and as many tokens on axis 2 as the grid.
    - (C2) the order is not open.
    - (C3) block is a multiple of 16 from 32 to 256.
  }];
}

def Weft_RestoreOp : Weft_OrderOp<"restore", "the inverse of weft.reorder"> {
  let description = [{
    `result[b, h, token(p), ...] = operand[b, h, p, ...]`. Folds: restore of reorder, and
    the raster order.

    ```mlir
    %s = weft.restore %o {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64}
        : tensor<?x2x60x32xf32>
    ```

    Constraints: those of weft.reorder.
  }];
}

def Weft_BlockAttentionOp : Weft_Op<"block_attention", [Pure, RecursiveMemoryEffects,
    AttrSizedOperandSegments, AllTypesMatch<["key", "value"]>, AllTypesMatch<["query", "out"]>]> {
  let summary = "attention that visits block lists";
  let description = [{
    As weft.attention, with the mask resolved into blocks. Query block i visits
    the key blocks that `lists` names for it. All pairs of a full entry count;
    those of a partial entry count where the region yields true (its arguments
    are those of weft.predicate, with the i1 for `given`). Without partial
    entries the region is empty.

    `lists` has one element, or two if `given` is named: the entries of a pair
    of blocks that the given lists lack, then of one that they hold. Without
    `lists` the region depends on dynamic parameters and the runtime makes the
    lists for their values, by the same classification.

    Tensors are in block order, or in sequence order if `folded`: then every
    access goes through the partition's table of tokens. The bias is in the keys'
    order and `into` in the queries'; rows are positions in the sequence always.
    Which rows may be computed together depends on the lists, and is found at run
    time (docs/design/0011-rows-by-pools.md).

    ```mlir
    %o, %lse = weft.block_attention %q, %k, %v {
      query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
      query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64,
      lists = [#weft.block_lists<offsets = dense<[[0, 1, 3]]> : tensor<1x3xi32>,
                                 entries = dense<[0, 0, 2]> : tensor<3xi32>>],
      scale = 1.25e-01 : f64} : tensor<?x1x64x32xf32>, tensor<?x1x64x32xf32> -> tensor<?x1x64xf32> {}
    ```

    Constraints:
    - (C1) those of weft.attention on q, k, v, scale, block, query_block, bias, rows and into.
    - (C2) no order is open.
    - (C3) every list set has one row per query block, one set or one per head, and names existing key blocks.
    - (C4) the region's arguments and result are those of a predicate; it is there if an entry is partial.
  }];
  let arguments = (ins Weft_Tokens:$query, Weft_Tokens:$key, Weft_Tokens:$value,
                       Optional<Weft_Bias>:$bias, Optional<Weft_BlocksType>:$given,
                       Optional<Weft_RowsType>:$rows, Optional<Weft_Tokens>:$into_out, Optional<Weft_Lse>:$into_lse,
                       Weft_GridAttr:$query_grid, Weft_GridAttr:$key_grid,
                       Weft_OrderAttr:$query_order, Weft_OrderAttr:$key_order,
                       I64Attr:$block, OptionalAttr<I64Attr>:$query_block, F64Attr:$scale,
                       OptionalAttr<TypedArrayAttrBase<Weft_BlockListsAttr, "one or two list sets">>:$lists,
                       UnitAttr:$folded);
  let results = (outs Weft_Tokens:$out, Weft_Lse:$lse);
  let regions = (region MaxSizedRegion<1>:$body);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`bias` `(` $bias^ `:` type($bias) `)`)? (`given` $given^)?
    (`rows` $rows^ `into` `(` $into_out `,` $into_lse `:` type($into_out) `,` type($into_lse) `)`)? attr-dict
    `:` type($query) `,` type($key) `->` type($lse) $body
  }];
  let extraClassDeclaration = [{
    /// Tokens of a query block at most: query_block, or block.
    int64_t getQueryBlockSize() { return getQueryBlock().value_or(getBlock()); }
  }];
  let hasVerifier = 1;
}

#endif // WEFT_DIALECT_WEFTPLANOPS_TD
