// RUN: weft-opt %s --weft-form-online-softmax="pairs overlap" --split-input-file | FileCheck %s
// RUN: weft-opt %s --weft-form-online-softmax=overlap --split-input-file | FileCheck %s --check-prefix=FLOATS

#g = #weft.grid<4x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

// Two groups of 32 rows, two panels of 32 keys, one panel of 32 values and a half: the first group's scores stand alone.
// In the loop over the groups a softmax of 16 rows stands between a panel of the next group's scores and one of the
// output of the group before; the last group's output stands alone.
// CHECK-LABEL: func.func @full.attend
// CHECK: memref.view {{.*}} to memref<2x32x64xf32>
// CHECK: memref.view {{.*}} to memref<2x32x64xbf16>
// CHECK: scf.for
// CHECK: weft.scores {{.*}} ahead {{.*}} memref<2x24x64xbf16
// CHECK: scf.for
// CHECK: scf.for
// CHECK: scf.if
// CHECK: weft.scores {{.*}} memref<1x24x64xbf16{{.*}} memref<32x32xf32
// CHECK: }
// CHECK: weft.softmax {{.*}} memref<16x64xf32{{.*}} memref<16x64xbf16
// CHECK: scf.if
// CHECK: weft.accumulate {{.*}} ahead {{.*}} memref<1x32x64xbf16{{.*}} memref<32x32xf32
// CHECK: }
// CHECK: }
// CHECK: scf.if
// CHECK: weft.accumulate {{.*}} memref<1x32x64xbf16{{.*}} memref<32x16xf32
// CHECK: }
// CHECK: }
// CHECK: weft.accumulate {{.*}} memref<2x32x64xbf16{{.*}} memref<32x48xf32
// CHECK: }
// CHECK-NOT: weft.{{scores|softmax|accumulate}}
// Without pairs the products are the vectors' own.
// FLOATS-LABEL: func.func @full.attend
// FLOATS: weft.scores
// FLOATS-NOT: weft.scores
// FLOATS: weft.store_tile
// FLOATS-LABEL: func.func @masked.pack
func.func @full(%q: tensor<?x2x128x48xbf16>, %k: tensor<?x2x128x48xbf16>, %v: tensor<?x2x128x48xbf16>)
    -> (tensor<?x2x128x48xbf16>, tensor<?x2x128xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster,
     lists = [#lists], scale = 0.25 : f64}
    : tensor<?x2x128x48xbf16>, tensor<?x2x128x48xbf16> -> tensor<?x2x128xf32> {}
  return %o, %lse : tensor<?x2x128x48xbf16>, tensor<?x2x128xf32>
}

// -----

#g = #weft.grid<4x4x8>
#raster = #weft.order<raster>

// Partial blocks take one group after the other.
// CHECK-LABEL: func.func @masked.attend
// CHECK: scf.if
// CHECK: scf.for
// CHECK: weft.scores
// CHECK: weft.softmax {{.*}} tokens
// CHECK: weft.accumulate
// CHECK: } else {
// CHECK: weft.scores
// CHECK-NOT: weft.softmax {{.*}} tokens
// CHECK: weft.store_tile
func.func @masked(%q: tensor<?x2x128x32xbf16>, %k: tensor<?x2x128x32xbf16>, %v: tensor<?x2x128x32xbf16>)
    -> (tensor<?x2x128x32xbf16>, tensor<?x2x128xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster,
     scale = 0.25 : f64}
    : tensor<?x2x128x32xbf16>, tensor<?x2x128x32xbf16> -> tensor<?x2x128xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %qt : i32
    weft.yield %b : i1
  }
  return %o, %lse : tensor<?x2x128x32xbf16>, tensor<?x2x128xf32>
}
