// RUN: weft-opt %s -canonicalize | FileCheck %s

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>
!tokens = tensor<?x2x60x32xf32>

#before = #weft.grid<3x5x7, text = 8 before>
#after = #weft.grid<3x5x7, text = 8>
#joined = #weft.order<tiles = 4x4, first = 1>
#boxes = #weft.order<tiles = 2x2x4, first = 1>
!with_text = tensor<?x2x113x32xf32>

// CHECK-LABEL: func.func @and_same
// CHECK-SAME: (%[[A:.*]]: !weft.mask
func.func @and_same(%a: !mask) -> !mask {
  // CHECK-NEXT: return %[[A]]
  %m = weft.mask_and %a, %a : !mask
  return %m : !mask
}

// CHECK-LABEL: func.func @and_all
// CHECK-SAME: (%[[A:.*]]: !weft.mask
func.func @and_all(%a: !mask) -> (!mask, !mask) {
  // CHECK-NEXT: return %[[A]], %[[A]]
  %all = weft.constant_mask true : !mask
  %m = weft.mask_and %a, %all : !mask
  %n = weft.mask_and %all, %a : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @and_none
func.func @and_none(%a: !mask) -> (!mask, !mask) {
  // CHECK-NEXT: %[[NONE:.*]] = weft.constant_mask false
  // CHECK-NEXT: return %[[NONE]], %[[NONE]]
  %none = weft.constant_mask false : !mask
  %m = weft.mask_and %a, %none : !mask
  %n = weft.mask_and %none, %a : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @or_same
// CHECK-SAME: (%[[A:.*]]: !weft.mask
func.func @or_same(%a: !mask) -> !mask {
  // CHECK-NEXT: return %[[A]]
  %m = weft.mask_or %a, %a : !mask
  return %m : !mask
}

// CHECK-LABEL: func.func @or_all
func.func @or_all(%a: !mask) -> (!mask, !mask) {
  // CHECK-NEXT: %[[ALL:.*]] = weft.constant_mask true
  // CHECK-NEXT: return %[[ALL]], %[[ALL]]
  %all = weft.constant_mask true : !mask
  %m = weft.mask_or %a, %all : !mask
  %n = weft.mask_or %all, %a : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @or_none
// CHECK-SAME: (%[[A:.*]]: !weft.mask
func.func @or_none(%a: !mask) -> (!mask, !mask) {
  // CHECK-NEXT: return %[[A]], %[[A]]
  %none = weft.constant_mask false : !mask
  %m = weft.mask_or %a, %none : !mask
  %n = weft.mask_or %none, %a : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @not_not
// CHECK-SAME: (%[[A:.*]]: !weft.mask
func.func @not_not(%a: !mask) -> !mask {
  // CHECK-NEXT: return %[[A]]
  %m = weft.mask_not %a : !mask
  %n = weft.mask_not %m : !mask
  return %n : !mask
}

// CHECK-LABEL: func.func @not_constant
func.func @not_constant() -> (!mask, !mask) {
  // CHECK-DAG: %[[ALL:.*]] = weft.constant_mask true
  // CHECK-DAG: %[[NONE:.*]] = weft.constant_mask false
  // CHECK: return %[[NONE]], %[[ALL]]
  %all = weft.constant_mask true : !mask
  %none = weft.constant_mask false : !mask
  %m = weft.mask_not %all : !mask
  %n = weft.mask_not %none : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @predicate_all
func.func @predicate_all() -> !mask {
  // CHECK-NEXT: %[[ALL:.*]] = weft.constant_mask true
  // CHECK-NEXT: return %[[ALL]]
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %same = arith.cmpi sle, %qt, %qt : i32
    weft.yield %same : i1
  }
  return %m : !mask
}

// CHECK-LABEL: func.func @predicate_none
func.func @predicate_none() -> !mask {
  // CHECK-NEXT: %[[NONE:.*]] = weft.constant_mask false
  // CHECK-NEXT: return %[[NONE]]
  %false = arith.constant false
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    weft.yield %false : i1
  }
  return %m : !mask
}

// CHECK-LABEL: func.func @predicate_is_given
// CHECK-SAME: (%[[BLOCKS:.*]]: !weft.blocks)
func.func @predicate_is_given(%blocks: !weft.blocks) -> !mask {
  // CHECK-NEXT: %[[M:.*]] = weft.given %[[BLOCKS]]
  // CHECK-NEXT: return %[[M]]
  %m = weft.predicate given(%blocks) : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    weft.yield %given : i1
  }
  return %m : !mask
}

// A parameter decides: the predicate stays.
// CHECK-LABEL: func.func @predicate_parameter
func.func @predicate_parameter(%b: i1) -> !mask {
  // CHECK-NEXT: weft.predicate
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    weft.yield %b : i1
  }
  return %m : !mask
}

// CHECK-LABEL: func.func @reorder_restore
// CHECK-SAME: (%[[X:.*]]: tensor
func.func @reorder_restore(%x: !tokens) -> (!tokens, !tokens) {
  // CHECK-NEXT: return %[[X]], %[[X]]
  %a = weft.restore %x {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : !tokens
  %b = weft.reorder %a {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : !tokens
  %c = weft.reorder %x {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : !tokens
  %d = weft.restore %c {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : !tokens
  return %b, %d : !tokens, !tokens
}

// Rows run on into the next frame, the first frame is apart, and no axis is divided, with text on either side.
// CHECK-LABEL: func.func @reorder_restore_first_frame
// CHECK-SAME: (%[[X:.*]]: tensor
func.func @reorder_restore_first_frame(%x: !with_text) -> (!with_text, !with_text) {
  // CHECK-NEXT: return %[[X]], %[[X]]
  %a = weft.restore %x {grid = #before, order = #joined, block = 32 : i64} : !with_text
  %b = weft.reorder %a {grid = #before, order = #joined, block = 32 : i64} : !with_text
  %c = weft.reorder %x {grid = #after, order = #boxes, block = 32 : i64} : !with_text
  %d = weft.restore %c {grid = #after, order = #boxes, block = 32 : i64} : !with_text
  return %b, %d : !with_text, !with_text
}

// Other first frames, frames of their own and text on the other side are other orders.
// CHECK-LABEL: func.func @reorder_restore_other_frames
func.func @reorder_restore_other_frames(%x: !with_text) -> (!with_text, !with_text, !with_text) {
  // CHECK-NEXT: %[[A:.*]] = weft.restore
  // CHECK-NEXT: %[[B:.*]] = weft.reorder %[[A]]
  // CHECK-NEXT: %[[C:.*]] = weft.reorder %[[A]]
  // CHECK-NEXT: %[[D:.*]] = weft.reorder %[[A]]
  // CHECK-NEXT: return %[[B]], %[[C]], %[[D]]
  %a = weft.restore %x {grid = #before, order = #joined, block = 32 : i64} : !with_text
  %b = weft.reorder %a {grid = #before, order = #weft.order<tiles = 4x4, first = 2>, block = 32 : i64} : !with_text
  %c = weft.reorder %a {grid = #before, order = #weft.order<tiles = 1x4x4, first = 1>, block = 32 : i64} : !with_text
  %d = weft.reorder %a {grid = #after, order = #joined, block = 32 : i64} : !with_text
  return %b, %c, %d : !with_text, !with_text, !with_text
}

// CHECK-LABEL: func.func @raster_moves_nothing
// CHECK-SAME: (%[[X:.*]]: tensor
func.func @raster_moves_nothing(%x: !tokens) -> (!tokens, !tokens) {
  // CHECK-NEXT: return %[[X]], %[[X]]
  %a = weft.restore %x {grid = #g, order = #weft.order<raster>, block = 32 : i64} : !tokens
  %b = weft.reorder %x {grid = #g, order = #weft.order<raster>, block = 32 : i64} : !tokens
  return %a, %b : !tokens, !tokens
}

// Another tile is another order: nothing cancels.
// CHECK-LABEL: func.func @reorder_restore_other_tile
func.func @reorder_restore_other_tile(%x: !tokens) -> !tokens {
  // CHECK-NEXT: weft.restore
  // CHECK-NEXT: weft.reorder
  %a = weft.restore %x {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : !tokens
  %b = weft.reorder %a {grid = #g, order = #weft.order<tiles = 2x2x1>, block = 32 : i64} : !tokens
  return %b : !tokens
}

// CHECK-LABEL: func.func @select_all
func.func @select_all(%s: tensor<1x2x8x8xf32>) -> (!mask, !mask) {
  // CHECK-DAG: %[[ALL:.*]] = weft.constant_mask true
  // CHECK-DAG: %[[NONE:.*]] = weft.constant_mask false
  // CHECK: return %[[ALL]], %[[NONE]]
  %one = arith.constant 1.0 : f64
  %zero = arith.constant 0.0 : f64
  %a = weft.select_topk %s keep %one : tensor<1x2x8x8xf32>
  %b = weft.select_topp %s mass %zero : tensor<1x2x8x8xf32>
  %all = weft.given %a : !mask
  %none = weft.given %b : !mask
  return %all, %none : !mask, !mask
}

// CHECK-LABEL: func.func @select_some
func.func @select_some(%s: tensor<1x2x8x8xf32>) -> (!mask, !mask) {
  // CHECK: weft.select_topk {{.*}} {min = 1 : i64}
  // CHECK: weft.select_threshold
  // CHECK: weft.given
  // CHECK: weft.given
  %one = arith.constant 1.0 : f64
  %zero = arith.constant 0.0 : f64
  %a = weft.select_topk %s keep %zero {min = 1 : i64} : tensor<1x2x8x8xf32>
  %b = weft.select_threshold %s score %one : tensor<1x2x8x8xf32>
  %m = weft.given %a : !mask
  %n = weft.given %b : !mask
  return %m, %n : !mask, !mask
}

// CHECK-LABEL: func.func @max_of_one_pool
// CHECK-SAME: (%[[S:.*]]: tensor
func.func @max_of_one_pool(%s: tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32> {
  // CHECK-NEXT: return %[[S]]
  %b = weft.max_scores %s {query_grid = #g, key_grid = #g, query_order = #weft.order<raster>, key_order = #weft.order<raster>,
    query_block = 32 : i64, key_block = 32 : i64, pool = 32 : i64} : tensor<1x2x2x2xf32> -> tensor<1x2x2x2xf32>
  return %b : tensor<1x2x2x2xf32>
}
