// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Program level: query tokens that are selected by their importance.

#ifndef WEFT_DIALECT_WEFTROWOPS_TD
#define WEFT_DIALECT_WEFTROWOPS_TD

include "dialect/WeftProgramOps.td"

def Weft_Drift : RankedTensorOf<[F32]>;
def Weft_Ages : RankedTensorOf<[I32]>;
def Weft_Importance : RankedTensorOf<[F64]>;

def Weft_ImportanceOp : Weft_Op<"importance", [Pure]> {
  let summary = "how much each token wants to be computed again";
  let description = [{
    With the heads H of batch element b whose log-sum-exp for token i is not -inf:

        result[b, i] = (1 / |H| * sum_{h in H} lse[b, h, i]) * drift[b, i] + weight * exp(age[b, i])

    and 0 for the mean if H is empty. Computed in f64, the sum in the order of the heads. This is the token score of
    Astraea (arXiv 2506.05096, equation 4).

    ```mlir
    %s = weft.importance %lse drift %drift age %age weight %w
        : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
    ```

    Constraints:
    - (C1) lse is [batch, heads, tokens], and drift, age and the result are [batch, tokens].
    - (C2) a constant weight is finite and at least 0.
    - (C3) ages are from 0 to 80 at run time.
  }];
  let arguments = (ins Weft_Lse:$lse, Weft_Drift:$drift, Weft_Ages:$age, F64:$weight);
  let results = (outs Weft_Importance:$importance);
  let assemblyFormat = [{
    $lse `drift` $drift `age` $age `weight` $weight attr-dict
    `:` type($lse) `,` type($drift) `,` type($age) `->` type($importance)
  }];
  let hasVerifier = 1;
}

def Weft_SelectRowsOp : Weft_Op<"select_rows", [Pure]> {
  let summary = "the query tokens of greatest importance";
  let description = [{
    Of the n tokens of each batch element the max(min, ceil(keep * n)) of greatest importance, all if these are more,
    and the tokens `always`, whether they are among those or not. NaN is greater than any number, and of equal
    importances that with the lower index is the greater. keep * n is computed in f64, and within 1e-9 of a whole number
    it is that number. The result has one set of rows for each batch element, which its heads share.

    ```mlir
    %r = weft.select_rows %s keep %keep {min = 1 : i64, always = array<i32: 0, 59>} : tensor<?x60xf64>
    ```

    Constraints:
    - (C1) the importance has rank 2, and min is at least 0.
    - (C2) a constant keep is from 0 to 1.
    - (C3) the tokens of `always` ascend strictly and are tokens of the importance.
  }];
  let arguments = (ins Weft_Importance:$importance, F64:$keep, DefaultValuedAttr<I64Attr, "0">:$min,
                       DefaultValuedAttr<DenseI32ArrayAttr, "{}">:$always);
  let results = (outs Weft_RowsType:$rows);
  let assemblyFormat = "$importance `keep` $keep attr-dict `:` type($importance)";
  let hasVerifier = 1;
}

def Weft_AdvanceAgeOp : Weft_Op<"advance_age", [Pure, AllTypesMatch<["age", "advanced"]>]> {
  let summary = "for how many calls in a row each token was not computed";
  let description = [{
    result[b, i] is 0 if the rows of batch element b hold i, else min(age[b, i] + 1, 80): the exponential of an age stays
    finite in f32.

    ```mlir
    %a = weft.advance_age %age rows %rows : tensor<?x60xi32>
    ```

    Constraints:
    - (C1) the ages are [batch, tokens].
    - (C2) at run time ages are from 0 to 80, and the rows one set for all heads.
  }];
  let arguments = (ins Weft_Ages:$age, Weft_RowsType:$rows);
  let results = (outs Weft_Ages:$advanced);
  let assemblyFormat = "$age `rows` $rows attr-dict `:` type($age)";
  let hasVerifier = 1;
}

#endif // WEFT_DIALECT_WEFTROWOPS_TD
