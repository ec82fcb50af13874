// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Program level: the choice of a pattern for each head from the recall of attention mass.

#ifndef WEFT_DIALECT_WEFTRECOGNITIONOPS_TD
#define WEFT_DIALECT_WEFTRECOGNITIONOPS_TD

include "dialect/WeftProgramOps.td"

def Weft_Recalls : RankedTensorOf<[F32]>;

def Weft_RecallOp : Weft_Op<"recall", [Pure]> {
  let summary = "the share of the attention mass that a mask keeps, on a sample of tokens";
  let description = [{
    With the probe's tokens P as queries and as keys, for every batch b and head n:

        a_ij         = softmax_j(scale * sum_c query[b, n, i, c] * key[b, n, j, c])        i, j in P
        result[b, n] = 1 / |P| * sum_{i, j in P, (n, i, j) in mask} a_ij

    The probe `local` is the video tokens of one frame: the second, or the first if there is no other. `global` is every
    s-th video token from the first, where s is the least integer of at least t that has no common factor with h * w:
    as many tokens as a frame has or fewer, spread over all frames and never at one place twice.

    A row whose scores have a NaN, a +inf or nothing but -inf makes the recall NaN.

    ```mlir
    %r = weft.recall %q, %k mask(%m : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>) probe local
        {scale = 1.25e-01 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2xf32>
    ```

    Constraints:
    - (C1) q and k have rank 4 and the same element type, batch, heads and head dim.
    - (C2) the mask is over two equal grids, which have as many tokens as q and k.
    - (C3) scale and scale * log2(e) are positive and finite in f32.
    - (C4) the result is [batch, heads].
  }];
  let arguments = (ins Weft_Tokens:$query, Weft_Tokens:$key, Weft_MaskType:$mask, Weft_ProbeAttr:$probe,
                       F64Attr:$scale);
  let results = (outs Weft_Recalls:$recall);
  let assemblyFormat = [{
    $query `,` $key `mask` `(` $mask `:` qualified(type($mask)) `)` `probe` `` $probe attr-dict
    `:` type($query) `,` type($key) `->` type($recall)
  }];
  let hasVerifier = 1;
}

def Weft_ChooseOp : Weft_Op<"choose", [Pure, AttrSizedOperandSegments]> {
  let summary = "the number of the candidate that each head takes";
  let description = [{
    For every batch and head: the first of the candidates 0, 1, ... whose recall is at least `bound`. If none has it, or
    without `bound`: with `fallback` the candidate after those with recalls, else the one with the greatest recall, of
    equal ones the first. A NaN counts as 0.

    The result is an i32 that differs from head to head, and from batch element to batch element; only regions of
    weft.predicate may use it.

    ```mlir
    %c = weft.choose %column, %near bound %e fallback : tensor<?x2xf32>, tensor<?x2xf32>
    ```

    Constraints:
    - (C1) recalls have one type of rank 2, and there are 2 to 16 candidates.
    - (C2) a fallback comes with a bound.
    - (C3) a constant bound is from 0 to 1.
  }];
  let arguments = (ins Variadic<Weft_Recalls>:$recalls, Optional<F64>:$bound, UnitAttr:$fallback);
  let results = (outs I32:$choice);
  let assemblyFormat = [{
    $recalls (`bound` $bound^)? (`fallback` $fallback^)? attr-dict `:` type($recalls)
  }];
  let extraClassDeclaration = [{
    static constexpr int64_t kMaxCandidates = 16;
    int64_t numCandidates() { return static_cast<int64_t>(getRecalls().size()) + getFallback(); }
  }];
  let hasVerifier = 1;
}

#endif // WEFT_DIALECT_WEFTRECOGNITIONOPS_TD
