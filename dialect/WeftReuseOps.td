// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Program level: tokens that take their neighbours' values.

#ifndef WEFT_DIALECT_WEFTREUSEOPS_TD
#define WEFT_DIALECT_WEFTREUSEOPS_TD

include "dialect/WeftProgramOps.td"

def Weft_SnapOp : Weft_Op<"snap", [Pure, AllTypesMatch<["operand", "result"]>]> {
  let summary = "tokens with the values of neighbours that they hardly differ from";
  let description = [{
    Along each of `axes` the video tokens are cut into windows of `window` consecutive tokens, the first of which begins
    at coordinate 0; what is left at the end of an axis is in no window. The deviation of a window a_1 .. a_K in one
    channel is

        deviation = sqrt(1/K * sum_i (a_i - mean)^2)

    and the window fires in a channel if this is less than the threshold; if `whole`, it fires in all channels if its
    deviation is less than the threshold in every one, and else in none. The donor of a token is found by following the
    first axis, in the order t, h, w, along which the token is not its window's first and the window fires, to the first
    token of that window, and so on from there until there is no such axis. All windows are judged on the operand.

        result[b, h, i, c] = operand[b, h, donor(b, h, i, c), c]

    Text tokens keep their values, and so does every token at threshold 0. NaN fires no window. Folds: a constant
    threshold of 0.

    ```mlir
    %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 2 : i64, axes = "thw", whole}
        : tensor<?x2x60x32xf32>
    ```

    Constraints:
    - (C1) the operand has rank 4 and as many tokens on axis 2 as the grid.
    - (C2) axes are one or more of the letters t, h and w, in this order.
    - (C3) window is at least 2 and at most the grid's extent in every axis.
    - (C4) a constant threshold is finite and at least 0.

    Source: arXiv 2511.12035, equation 3 and figure 6.
  }];
  let arguments = (ins Weft_Tokens:$operand, F64:$threshold, Weft_GridAttr:$grid, I64Attr:$window, StrAttr:$axes,
                       UnitAttr:$whole);
  let results = (outs Weft_Tokens:$result);
  let assemblyFormat = "$operand `threshold` $threshold attr-dict `:` type($operand)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = [{
    /// Whether windows lie along t, h and w.
    std::array<bool, 3> getAxisFlags();
  }];
}

#endif // WEFT_DIALECT_WEFTREUSEOPS_TD
