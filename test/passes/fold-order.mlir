// RUN: weft-opt %s --weft-fold-order --split-input-file --verify-diagnostics | FileCheck %s

#g = #weft.grid<2x4x8>
#tiles = #weft.order<tiles = 1x4x8>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

// No reordered tensor is left: the op itself addresses tokens in the order of the tiles.
// CHECK-LABEL: func.func @tiles
// CHECK-SAME: (%[[Q:.*]]: tensor<?x2x64x32xf32>, %[[K:.*]]: tensor<?x2x64x32xf32>)
// CHECK-NEXT: %[[O:.*]], %[[LSE:.*]] = weft.block_attention %[[Q]], %[[K]], %[[K]] {{{.*}}folded
// CHECK-NOT: weft.re{{order|store}}
// CHECK: return %[[O]], %[[LSE]]
func.func @tiles(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %qr = weft.reorder %q {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %kr = weft.reorder %k {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %o, %lse = weft.block_attention %qr, %kr, %kr
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %or = weft.restore %o {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %lr = weft.restore %lse {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64xf32>
  return %or, %lr : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// A bias is in the keys' order, what rows are written into in the queries'.
// CHECK-LABEL: func.func @bias_and_rows
// CHECK-SAME: (%[[Q:.*]]: tensor<?x2x64x32xf32>, %[[BIAS:.*]]: tensor<?x?x64xf32>, %[[O:.*]]: tensor<?x2x64x32xf32>, %[[L:.*]]: tensor<?x2x64xf32>, %[[ROWS:.*]]: !weft.rows)
// CHECK-NEXT: weft.block_attention %[[Q]], %[[Q]], %[[Q]] bias(%[[BIAS]] : tensor<?x?x64xf32>) rows %[[ROWS]] into(%[[O]], %[[L]] : {{.*}}) {{{.*}}folded
// CHECK-NOT: weft.re{{order|store}}
// CHECK: return
func.func @bias_and_rows(%q: tensor<?x2x64x32xf32>, %bias: tensor<?x?x64xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>, %rows: !weft.rows)
    -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %qr = weft.reorder %q {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %kr = weft.reorder %q {grid = #g, order = #weft.order<tiles = 2x4x4>, block = 32 : i64} : tensor<?x2x64x32xf32>
  %br = weft.reorder %bias {grid = #g, order = #weft.order<tiles = 2x4x4>, block = 32 : i64} : tensor<?x?x64xf32>
  %into = weft.reorder %o {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %into_l = weft.reorder %l {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64xf32>
  %out, %lse = weft.block_attention %qr, %kr, %kr bias(%br : tensor<?x?x64xf32>)
    rows %rows into(%into, %into_l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #weft.order<tiles = 2x4x4>, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %or = weft.restore %out {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %lr = weft.restore %lse {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64xf32>
  return %or, %lr : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// In raster order there is nothing to fold.
// CHECK-LABEL: func.func @raster
// CHECK: weft.block_attention {{.*}}folded
func.func @raster(%q: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %o, %lse = weft.block_attention %q, %q, %q
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #weft.order<raster>, key_order = #weft.order<raster>, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// Another user keeps the reordered tensor alive.
// CHECK-LABEL: func.func @shared
// CHECK-SAME: (%[[Q:.*]]: tensor
// CHECK: %[[R:.*]] = weft.reorder %[[Q]]
// CHECK-NEXT: weft.block_attention %[[Q]], %[[Q]], %[[Q]] {{{.*}}folded
// CHECK: return {{.*}}, %[[R]]
func.func @shared(%q: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32>) {
  %r = weft.reorder %q {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  %o, %lse = weft.block_attention %r, %r, %r
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %or = weft.restore %o {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  return %or, %r : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32>
}

// -----

// The first frame is apart, and no tile divides the others: the queries' rows run on into the next frame, not the keys'.
#before = #weft.grid<3x5x8, text = 6 before>
#after = #weft.grid<3x5x8, text = 6>
#joined = #weft.order<tiles = 4x8, first = 1>
#boxes = #weft.order<tiles = 2x2x8, first = 1>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2, 3, 4, 5, 6]]> : tensor<1x7xi32>, entries = dense<[0, 2, 4, 6, 8, 10]> : tensor<6xi32>>

// CHECK-LABEL: func.func @first_frame
// CHECK-SAME: (%[[Q:.*]]: tensor<?x2x126x32xf32>, %[[K:.*]]: tensor<?x2x126x32xf32>)
// CHECK-NEXT: %[[O:.*]], %[[LSE:.*]] = weft.block_attention %[[Q]], %[[K]], %[[K]] {{{.*}}folded
// CHECK-NOT: weft.re{{order|store}}
// CHECK: return %[[O]], %[[LSE]]
func.func @first_frame(%q: tensor<?x2x126x32xf32>, %k: tensor<?x2x126x32xf32>) -> (tensor<?x2x126x32xf32>, tensor<?x2x126xf32>) {
  %qr = weft.reorder %q {grid = #before, order = #joined, block = 32 : i64} : tensor<?x2x126x32xf32>
  %kr = weft.reorder %k {grid = #after, order = #boxes, block = 32 : i64} : tensor<?x2x126x32xf32>
  %o, %lse = weft.block_attention %qr, %kr, %kr
    {block = 32 : i64, query_grid = #before, key_grid = #after, query_order = #joined, key_order = #boxes, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x126x32xf32>, tensor<?x2x126x32xf32> -> tensor<?x2x126xf32> {}
  %or = weft.restore %o {grid = #before, order = #joined, block = 32 : i64} : tensor<?x2x126x32xf32>
  %lr = weft.restore %lse {grid = #before, order = #joined, block = 32 : i64} : tensor<?x2x126xf32>
  return %or, %lr : tensor<?x2x126x32xf32>, tensor<?x2x126xf32>
}

// -----

#before = #weft.grid<3x5x8, text = 6 before>
#joined = #weft.order<tiles = 4x8, first = 1>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2, 3, 4, 5, 6]]> : tensor<1x7xi32>, entries = dense<[0, 2, 4, 6, 8, 10]> : tensor<6xi32>>

func.func @other_first_frames(%q: tensor<?x2x126x32xf32>) -> tensor<?x2x126x32xf32> {
  %r = weft.reorder %q {grid = #before, order = #joined, block = 32 : i64} : tensor<?x2x126x32xf32>
  // expected-error @+1 {{expected results that only weft.restore in the op's own order uses}}
  %o, %lse = weft.block_attention %r, %r, %r
    {block = 32 : i64, query_grid = #before, key_grid = #before, query_order = #joined, key_order = #joined, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x126x32xf32>, tensor<?x2x126x32xf32> -> tensor<?x2x126xf32> {}
  %or = weft.restore %o {grid = #before, order = #weft.order<tiles = 4x8, first = 2>, block = 32 : i64} : tensor<?x2x126x32xf32>
  return %or : tensor<?x2x126x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
#tiles = #weft.order<tiles = 1x4x8>
#other = #weft.order<tiles = 2x4x4>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @other_operand(%q: tensor<?x2x64x32xf32>) -> tensor<?x2x64x32xf32> {
  %r = weft.reorder %q {grid = #g, order = #other, block = 32 : i64} : tensor<?x2x64x32xf32>
  // expected-error @+1 {{expected operands from weft.reorder in the op's own order}}
  %o, %lse = weft.block_attention %r, %r, %r
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %or = weft.restore %o {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  return %or : tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
#tiles = #weft.order<tiles = 1x4x8>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @other_result(%q: tensor<?x2x64x32xf32>) -> tensor<?x2x64x32xf32> {
  %r = weft.reorder %q {grid = #g, order = #tiles, block = 32 : i64} : tensor<?x2x64x32xf32>
  // expected-error @+1 {{expected results that only weft.restore in the op's own order uses}}
  %o, %lse = weft.block_attention %r, %r, %r
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, lists = [#lists], scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o : tensor<?x2x64x32xf32>
}
