// RUN: weft-opt %s --weft-form-online-softmax --split-input-file --verify-diagnostics | FileCheck %s
// What the runtime is told about snapped tokens, the bias that merged keys need, and tokens that are snapped otherwise.

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>

// CHECK: module attributes {weft.image = {bias_tile_bytes = 128 : i64,
// CHECK-SAME: reuse = {by_cells, key_axes = "w", one_pool, parameter = 1 : i64, query_axes = "hw", whole, window = 2 : i64}
// CHECK-LABEL: func.func @whole.attend(
// CHECK: weft.softmax {{.*}} bias
func.func @whole(%q: !tokens, %k: !tokens, %v: !tokens, %radius: i32, %t: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %qs = weft.snap %q threshold %t {grid = #g, window = 2 : i64, axes = "hw", whole} : !tokens
  %ks = weft.snap %k threshold %t {grid = #g, window = 2 : i64, axes = "w", whole} : !tokens
  %o, %lse = weft.block_attention %qs, %ks, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>

// CHECK: module attributes {weft.image = {
// CHECK-NOT: bias_tile_bytes
// CHECK-SAME: reuse = {query_axes = "hw", threshold = 5.000000e-01 : f64, window = 4 : i64}
// CHECK-LABEL: func.func @channels.attend(
// CHECK: weft.softmax
// CHECK-NOT: bias
func.func @channels(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x2x64xf32>) {
  %t = arith.constant 0.5 : f64
  %qs = weft.snap %q threshold %t {grid = #g, window = 4 : i64, axes = "hw"} : !tokens
  %o, %lse = weft.block_attention %qs, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @other_window(%q: !tokens, %k: !tokens, %v: !tokens, %t: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %qs = weft.snap %q threshold %t {grid = #g, window = 2 : i64, axes = "hw", whole} : !tokens
  %ks = weft.snap %k threshold %t {grid = #g, window = 4 : i64, axes = "hw", whole} : !tokens
  // expected-error@+1 {{expected queries and keys that are snapped by one threshold and window}}
  %o, %lse = weft.block_attention %qs, %ks, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @other_queries(%q: !tokens, %k: !tokens, %v: !tokens, %t: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %qs = weft.snap %q threshold %t {grid = #weft.grid<8x8x1>, window = 2 : i64, axes = "t"} : !tokens
  // expected-error@+1 {{expected queries that are snapped in #weft.grid<1x8x8>, but got #weft.grid<8x8x1>}}
  %o, %lse = weft.block_attention %qs, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @other_keys(%q: !tokens, %k: !tokens, %v: !tokens, %t: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %ks = weft.snap %k threshold %t {grid = #weft.grid<8x8x1>, window = 2 : i64, axes = "t"} : !tokens
  // expected-error@+1 {{expected keys that are snapped in #weft.grid<1x8x8>, but got #weft.grid<8x8x1>}}
  %o, %lse = weft.block_attention %q, %ks, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @computed(%q: !tokens, %k: !tokens, %v: !tokens, %t: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %u = arith.addf %t, %t : f64
  %qs = weft.snap %q threshold %u {grid = #g, window = 2 : i64, axes = "hw"} : !tokens
  // expected-error@+1 {{expected a reuse by a constant or a parameter}}
  %o, %lse = weft.block_attention %qs, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}
