// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Program level: masks and attention on whole tensors.

#ifndef WEFT_DIALECT_WEFTPROGRAMOPS_TD
#define WEFT_DIALECT_WEFTPROGRAMOPS_TD

include "dialect/WeftTypes.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Weft_PredicateOp : Weft_Op<"predicate", [Pure, RecursiveMemoryEffects, SingleBlock]> {
  let summary = "the pairs of tokens for which a predicate holds";
  let description = [{
    (head, q, k) is in the mask if the region yields true for its coordinates.
    The region's arguments are the head, then t, h, w, index and text of the
    query, then the same of the key: i32, and i1 for text. If `given` lists are
    named, a last i1 argument says whether they hold the pair's blocks. The
    region may use integers defined above it: dynamic parameters, and what is
    computed from them by ops that the region may hold.

    ```mlir
    %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
    ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
      %same = arith.cmpi eq, %qt, %kt : i32
      weft.yield %same : i1
    }
    ```

    Constraints:
    - (C1) the region's arguments have these types, with the i1 for `given` if and only if it is named.
    - (C2) the region yields one i1.
    - (C3) every op of the region is free of side effects and works on i1 and i32 scalars.
    - (C4) every op is one of arith's `addi`, `andi`, `ceildivsi`, `cmpi`, `constant`, `divsi`, `extsi`, `extui`,
      `floordivsi`, `maxsi`, `minsi`, `muli`, `ori`, `remsi`, `select`, `subi`, `trunci` and `xori`.
    - (C5) divisors are constants other than 0 and -1.
  }];
  let arguments = (ins Optional<Weft_BlocksType>:$given);
  let results = (outs Weft_MaskType:$mask);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "(`given` `(` $given^ `)`)? attr-dict `:` qualified(type($mask)) $body";
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
  let hasFolder = 0;
  let extraClassDeclaration = [{
    mlir::Value getYielded();
  }];
}

def Weft_YieldOp : Weft_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["PredicateOp", "BlockAttentionOp", "SoftmaxOp"]>]> {
  let summary = "ends a predicate's region";
  let description = [{
    ```mlir
    weft.yield %inside : i1
    ```
  }];
  let arguments = (ins I1:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

def Weft_ConstantMaskOp : Weft_Op<"constant_mask", [Pure, ConstantLike]> {
  let summary = "every pair, or none";
  let description = [{
    ```mlir
    %all = weft.constant_mask true : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
    ```
  }];
  let arguments = (ins BoolAttr:$value);
  let results = (outs Weft_MaskType:$mask);
  let assemblyFormat = "$value attr-dict `:` qualified(type($mask))";
  let hasFolder = 1;
}

def Weft_GivenOp : Weft_Op<"given", [Pure]> {
  let summary = "the pairs whose blocks are in lists passed or predicted at run time";
  let description = [{
    Canonical forms: a constant mask for lists that a constant share of 1, or of 0, selects.

    ```mlir
    %m = weft.given %blocks : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
    ```
  }];
  let arguments = (ins Weft_BlocksType:$blocks);
  let results = (outs Weft_MaskType:$mask);
  let assemblyFormat = "$blocks attr-dict `:` qualified(type($mask))";
  let hasCanonicalizeMethod = 1;
}

class Weft_BinaryMaskOp<string mnemonic, string what>
    : Weft_Op<mnemonic, [Pure, Commutative, SameOperandsAndResultType]> {
  let summary = what;
  let arguments = (ins Weft_MaskType:$lhs, Weft_MaskType:$rhs);
  let results = (outs Weft_MaskType:$mask);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` qualified(type($mask))";
  let hasFolder = 1;
}

def Weft_MaskAndOp : Weft_BinaryMaskOp<"mask_and", "the pairs in both masks"> {
  let description = [{
    Folds: x and x, x and all, x and none.

    ```mlir
    %m = weft.mask_and %a, %b : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
    ```
  }];
}

def Weft_MaskOrOp : Weft_BinaryMaskOp<"mask_or", "the pairs in either mask"> {
  let description = [{
    Folds: x or x, x or all, x or none.

    ```mlir
    %m = weft.mask_or %a, %b : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
    ```
  }];
}

def Weft_MaskNotOp : Weft_Op<"mask_not", [Pure, SameOperandsAndResultType]> {
  let summary = "the pairs outside a mask";
  let description = [{
    Folds: not not x, not all, not none.

    ```mlir
    %m = weft.mask_not %a : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
    ```
  }];
  let arguments = (ins Weft_MaskType:$operand);
  let results = (outs Weft_MaskType:$mask);
  let assemblyFormat = "$operand attr-dict `:` qualified(type($mask))";
  let hasFolder = 1;
}

def Weft_Element : AnyTypeOf<[F32, BF16, F16]>;
def Weft_Tokens : RankedTensorOf<[Weft_Element]>;
def Weft_Lse : RankedTensorOf<[F32]>;
def Weft_Bias : RankedTensorOf<[F32]>;

def Weft_AttentionOp : Weft_Op<"attention", [Pure, AttrSizedOperandSegments,
    AllTypesMatch<["key", "value"]>, AllTypesMatch<["query", "out"]>]> {
  let summary = "softmax attention over the pairs of a mask";
  let description = [{
    For every batch b, head n and query i, over the keys j with (n, i, j) in the
    mask (all keys if there is none):

        s_j    = scale * sum_c q[b, n, i, c] * k[b, n, j, c] + bias[b, n, j]
        lse    = log sum_j exp s_j
        out[c] = sum_j exp(s_j - lse) * v[b, n, j, c]

    A query without keys, or whose scores are all -inf, has out = 0 and lse = -inf;
    one with a score of +inf has NaN in both. Without `bias` it is 0; a bias of
    -inf gives its key the weight 0.

    With `rows` the results are those of `into`, except in the selected rows:
    these alone are computed. The mask is judged on all tokens: rows drop
    queries, and change nothing for those that stay.

    The orders choose how tokens
    are cut into blocks, `block` how many at most, and `query_block` how many queries if that differs; they do not
    change the meaning.

    ```mlir
    %o, %lse = weft.attention %q, %k, %v mask(%m : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>)
        {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>,
         query_order = #weft.order<tiles>, key_order = #weft.order<tiles>, scale = 1.25e-01 : f64}
        : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
    %p, %lse_p = weft.attention %q, %k, %v bias(%bias : tensor<1x2x60xf32>)
        rows %rows into(%o, %lse : tensor<?x2x60x32xf32>, tensor<?x2x60xf32>)
        {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.25e-01 : f64}
        : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
    ```

    Constraints:
    - (C1) q, k and v have rank 4 and the same element type, batch, heads and head dim; k and v have the same tokens;
      batch and heads are not 0.
    - (C2) the head dim is a multiple of 8 from 32 to 256.
    - (C3) the grids have as many tokens as q and k.
    - (C4) scale and scale * log2(e) are positive and finite in f32.
    - (C5) block is a multiple of 16 from 32 to 256, and so is query_block.
    - (C6) lse has q's batch, heads and tokens.
    - (C7) the mask is over these grids.
    - (C8) the bias is [batch or 1, heads or 1, key tokens], where a size that is not known until run time may be either.
    - (C9) rows and both operands of `into` come together, and `into` has the types of the results.
  }];
  let arguments = (ins Weft_Tokens:$query, Weft_Tokens:$key, Weft_Tokens:$value,
                       Optional<Weft_Bias>:$bias, Optional<Weft_MaskType>:$mask,
                       Optional<Weft_RowsType>:$rows, Optional<Weft_Tokens>:$into_out, Optional<Weft_Lse>:$into_lse,
                       Weft_GridAttr:$query_grid, Weft_GridAttr:$key_grid,
                       DefaultValuedAttr<Weft_OrderAttr,
                                         "::weft::OrderAttr::getRaster($_builder.getContext())">:$query_order,
                       DefaultValuedAttr<Weft_OrderAttr,
                                         "::weft::OrderAttr::getRaster($_builder.getContext())">:$key_order,
                       DefaultValuedAttr<I64Attr, "128">:$block,
                       OptionalAttr<I64Attr>:$query_block,
                       F64Attr:$scale);
  let results = (outs Weft_Tokens:$out, Weft_Lse:$lse);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`mask` `(` $mask^ `:` qualified(type($mask)) `)`)?
    (`rows` $rows^ `into` `(` $into_out `,` $into_lse `:` type($into_out) `,` type($into_lse) `)`)? attr-dict
    `:` type($query) `,` type($key) `->` type($lse)
  }];
  let extraClassDeclaration = [{
    /// Tokens of a query block at most: query_block, or block.
    int64_t getQueryBlockSize() { return getQueryBlock().value_or(getBlock()); }
  }];
  let hasVerifier = 1;
}

#endif // WEFT_DIALECT_WEFTPROGRAMOPS_TD
