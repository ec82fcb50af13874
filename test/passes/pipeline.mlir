// RUN: weft-opt %s --weft-to-plan | FileCheck %s
// RUN: weft-opt %s --weft-to-plan | weft-opt --weft-to-plan | FileCheck %s

// From mask algebra in an open order to block lists in a chosen one, on tensors in sequence order.
// CHECK: #[[LISTS:.*]] = #weft.block_lists<
// CHECK: #[[GRID:.*]] = #weft.grid<4x8x16>
// CHECK: #[[TILES:.*]] = #weft.order<tiles = {{[0-9]+x[0-9]+x[0-9]+}}>
// CHECK-LABEL: func.func @near
// CHECK-SAME: (%[[Q:.*]]: tensor<?x2x512x64xf32>, %[[K:.*]]: tensor<?x2x512x64xf32>, %[[V:.*]]: tensor<?x2x512x64xf32>)
// CHECK-NOT: weft.mask
// CHECK-NOT: weft.predicate
// CHECK-NOT: weft.re{{order|store}}
// CHECK: weft.block_attention %[[Q]], %[[K]], %[[V]]
// CHECK-SAME: folded, key_grid = #[[GRID]], key_order = #[[TILES]], lists = [#[[LISTS]]], query_grid = #[[GRID]], query_order = #[[TILES]]
// CHECK: arith.cmpi sle
// CHECK: return

#g = #weft.grid<4x8x16>
#open = #weft.order<tiles>
!mask = !weft.mask<query = #g, key = #g>
!t = tensor<?x2x512x64xf32>

func.func @near(%q: !t, %k: !t, %v: !t) -> (!t, tensor<?x2x512xf32>) attributes {weft.kernel} {
  %near = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %d = arith.subi %qt, %kt : i32
    %n = arith.subi %c0, %d : i32
    %a = arith.maxsi %d, %n : i32
    %b = arith.cmpi sle, %a, %c1 : i32
    weft.yield %b : i1
  }
  %none = weft.constant_mask false : !mask
  %or = weft.mask_or %near, %none : !mask
  %not = weft.mask_not %or : !mask
  %mask = weft.mask_not %not : !mask
  %o, %lse = weft.attention %q, %k, %v mask(%mask : !mask)
    {query_grid = #g, key_grid = #g, query_order = #open, key_order = #open, scale = 0.125 : f64} : !t, !t -> tensor<?x2x512xf32>
  return %o, %lse : !t, tensor<?x2x512xf32>
}
