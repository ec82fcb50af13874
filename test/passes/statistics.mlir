// RUN: weft-opt %s --weft-to-cpu=target=x86-64-v3 | FileCheck %s
// What each pass counted stands on the module: 4 x 8 tiles of 6x4x4 tokens; a token sees those at most five frames away: its own tile, part of the next, no other.

// CHECK: weft.statistics = {
// CHECK-SAME: "weft-choose-tiles" = {boxes_chosen = 2 : i64, tokens_padded = 0 : i64}
// CHECK-SAME: "weft-classify-blocks" = {blocks_empty = 384 : i64, blocks_full = 256 : i64, blocks_partial = 384 : i64}
// CHECK-SAME: "weft-cpu-add-entry-points" = {entry_points = 2 : i64}
// CHECK-SAME: "weft-cpu-lower-tiles" = {steps_lowered = 9 : i64}
// CHECK-SAME: "weft-fold-order" = {orders_folded = 5 : i64}
// CHECK-SAME: "weft-form-online-softmax" = {kernels = 1 : i64, kernels_masked = 1 : i64}
// CHECK-SAME: "weft-simplify-masks" = {masks_merged = 3 : i64, masks_simplified = 1 : i64}

#grid = #weft.grid<24x8x16>
!tokens = tensor<?x1x3072x32xf32>
!mask = !weft.mask<query = #grid, key = #grid>
func.func @near(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x1x3072xf32>) {
  %after = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %distance = arith.subi %kt, %qt : i32
    %reach = arith.constant 5 : i32
    %yes = arith.cmpi sle, %distance, %reach : i32
    weft.yield %yes : i1
  }
  %before = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %distance = arith.subi %qt, %kt : i32
    %reach = arith.constant 5 : i32
    %yes = arith.cmpi sle, %distance, %reach : i32
    weft.yield %yes : i1
  }
  %near = weft.mask_and %after, %before : !mask
  %again = weft.mask_or %near, %after : !mask
  %both = weft.mask_and %again, %before : !mask
  %o, %lse = weft.attention %q, %k, %v mask(%both : !mask)
      {query_grid = #grid, key_grid = #grid, query_order = #weft.order<tiles>, key_order = #weft.order<tiles>, scale = 1.25e-01 : f64}
      : !tokens, !tokens -> tensor<?x1x3072xf32>
  return %o, %lse : !tokens, tensor<?x1x3072xf32>
}
