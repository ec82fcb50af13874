// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The target-independent passes, from program to tiles.

#ifndef WEFT_PASSES_PASSES_TD
#define WEFT_PASSES_PASSES_TD

include "mlir/Pass/PassBase.td"

def SimplifyMasksPass : Pass<"weft-simplify-masks", "mlir::ModuleOp"> {
  let summary = "simplifies the mask algebra and merges each mask into one predicate";
  let description = [{
    Before: masks are trees of mask_and, mask_or and mask_not over predicates,
    given lists and constants.

    After: every attention's mask is absent (all pairs), a constant, one
    weft.given, or one weft.predicate whose region computes the whole formula,
    with the membership in the given lists as an argument. Double negation,
    absorption (`x and (x or y)`) and complements (`x and not x`) are resolved
    on masks, before merging; the arithmetic that remains is left to
    canonicalisation and common subexpression elimination.

    Counts in `weft.statistics`: `masks_simplified`, masks removed by absorption or
    complement; `masks_merged`, masks merged into a predicate.

    Example: test/passes/simplify-masks.mlir.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "weft::WeftDialect"];
}

def ChooseTilesPass : Pass<"weft-choose-tiles", "mlir::ModuleOp"> {
  let summary = "chooses the box of an open tiled order for the grid";
  let description = [{
    Before: the order of an attention, and of the ops that predict its lists, may be `tiles`, without a box.

    After: every order is raster or has its box: the one that wastes the
    fewest rows and columns when its clipped tiles are rounded up to the
    target's granule, and among boxes within 3 % of the best the most compact
    one (least sum of the sides after scaling, so that a window meets few tiles).

    Counts in `weft.statistics`: `boxes_chosen`, orders whose box was chosen;
    `tokens_padded`, tokens by which the chosen boxes exceed their grids.

    Example: test/passes/choose-tiles.mlir.
  }];
  let options = [
    Option<"granule", "granule", "int64_t", "32", "tokens to which the target rounds a block up">,
  ];
  let dependentDialects = ["weft::WeftDialect"];
}

def ClassifyBlocksPass : Pass<"weft-classify-blocks", "mlir::ModuleOp"> {
  let summary = "resolves masks into lists of full and partial blocks";
  let description = [{
    Before: weft.attention over a mask of one predicate, given lists or all pairs.

    After: weft.block_attention over block lists between weft.reorder and
    weft.restore. Every pair of blocks was classified by integer-range
    inference of the predicate over the two coordinate boxes: a pair whose range
    is false is in no list, one whose range is true is full and carries no mask
    code. Masks that use dynamic parameters keep their predicate and have no
    lists: the runtime classifies them for the parameters' values.

    Counts in `weft.statistics`: `blocks_empty`, pairs of blocks that are never
    visited; `blocks_full`, pairs of blocks without mask code; `blocks_partial`,
    pairs of blocks that evaluate the predicate.

    Example: test/passes/classify-blocks.mlir.
  }];
  let dependentDialects = ["weft::WeftDialect"];
}

def FoldOrderPass : Pass<"weft-fold-order", "mlir::ModuleOp"> {
  let summary = "folds the token order into the addressing of loads and stores";
  let description = [{
    Before: block attention reads the results of weft.reorder and feeds
    weft.restore: whole tensors would be permuted.

    After: it works on tensors in sequence order (`folded`), and every block's
    rows are addressed through the partition's table of tokens. No permuted
    tensor exists.

    Counts in `weft.statistics`: `orders_folded`, reorderings that became
    addressing.

    Example: test/passes/fold-order.mlir.
  }];
  let dependentDialects = ["weft::WeftDialect"];
}

def FormOnlineSoftmaxPass : Pass<"weft-form-online-softmax", "mlir::ModuleOp"> {
  let summary = "turns block attention into tile steps of the online softmax";
  let description = [{
    Before: a kernel function with one folded weft.block_attention.

    After: two functions on buffers. `NAME.pack` brings one key block and its
    values into the layouts of the tile steps. `NAME.attend` computes one query
    block: it loads the queries, walks the block's list with weft.scores,
    weft.softmax and weft.accumulate for one group of rows after the other, and
    scatters output and log-sum-exp.
    A predicted mask adds `NAME.pool_queries`, `NAME.pool_keys` and
    `NAME.score`, which give the means of a pool of tokens and the scores of one such mean.
    Ops that select rows add no function: they become `row_selection` of the image.
    Queries and keys that are snapped leave no code: the runtime snaps them. Where
    keys merge, the functions add a bias as with one that the caller passes.
    Full and partial entries take two branches; only the second holds the
    predicate. With `overlap` the softmax of one group's rows stands between the
    products of its neighbours, panel by panel, in full entries. The module's `weft.image` attribute describes both for the
    runtime.

    Counts in `weft.statistics`: `kernels`, kernels formed; `kernels_masked`,
    kernels that hold a predicate.

    Example: test/passes/form-online-softmax.mlir.
  }];
  let options = [
    Option<"pairs", "pairs", "bool", "false",
           "keep bf16 operands as pairs for a dot-product instruction instead of converting them to f32">,
    Option<"depthGranule", "depth-granule", "int64_t", "8",
           "channels of queries and keys are padded with zeros to a multiple of this, itself a multiple of 8">,
    Option<"rowGroup", "row-group", "int64_t", "32",
           "rows of a query block, at most, that take a key block's steps together; a multiple of 32">,
    Option<"overlap", "overlap", "bool", "false",
           "with pairs: let the softmax of a group stand between parts of the products of its neighbours">,
  ];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::func::FuncDialect",
                           "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect", "weft::WeftDialect"];
}

#endif // WEFT_PASSES_PASSES_TD
