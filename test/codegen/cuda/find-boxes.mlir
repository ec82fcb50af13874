// RUN: weft-opt %s --weft-cuda-find-boxes --split-input-file | FileCheck %s

#g = #weft.grid<5x16x8>
#strips = #weft.order<by = (t, h, w) -> (w floordiv 4, t, h)>
#lattice = #weft.order<by = (t, h, w) -> ((h - w) mod 2)>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2, 3, 4, 5]]> : tensor<1x6xi32>, entries = dense<0> : tensor<5xi32>>

// Strips of 80 rows of four, in blocks of 32 rows: two boxes each. Keys lie anywhere.
// CHECK-LABEL: func.func @queries
// CHECK: weft.block_attention {{.*}}weft.query_boxes = array<i64: 16, 4>
// CHECK-NOT: weft.key_boxes
func.func @queries(%q: tensor<?x1x640x64xbf16>, %k: tensor<?x1x640x64xbf16>, %v: tensor<?x1x640x64xbf16>)
    -> (tensor<?x1x640x64xbf16>, tensor<?x1x640xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 128 : i64, query_grid = #g, key_grid = #g, query_order = #strips, key_order = #lattice, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x640x64xbf16>, tensor<?x1x640x64xbf16> -> tensor<?x1x640xf32> {}
  return %o, %lse : tensor<?x1x640x64xbf16>, tensor<?x1x640xf32>
}

// -----

#g = #weft.grid<5x16x8>
#strips = #weft.order<by = (t, h, w) -> (w floordiv 4, t, h)>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]> : tensor<1x11xi32>, entries = dense<0> : tensor<10xi32>>

// With 192 channels tiles of queries have 128 rows, whatever their blocks have; key tiles have 64.
// CHECK-LABEL: func.func @wide
// CHECK-NOT: weft.query_boxes
// CHECK: weft.block_attention {{.*}}weft.key_boxes = array<i64: 16, 4>
func.func @wide(%q: tensor<?x1x640x192xbf16>, %k: tensor<?x1x640x192xbf16>, %v: tensor<?x1x640x192xbf16>)
    -> (tensor<?x1x640x192xbf16>, tensor<?x1x640xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #strips, key_order = #strips, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x640x192xbf16>, tensor<?x1x640x192xbf16> -> tensor<?x1x640xf32> {}
  return %o, %lse : tensor<?x1x640x192xbf16>, tensor<?x1x640xf32>
}
