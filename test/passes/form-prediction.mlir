// RUN: weft-opt %s --weft-form-online-softmax --split-input-file --verify-diagnostics | FileCheck %s
// The functions that predict block lists, what the runtime is told, and predictions that belong to other blocks.

!tokens = tensor<?x2x64x32xf32>
!means = tensor<?x2x?x32xf32>
!scores = tensor<?x2x?x?xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#none = #weft.block_lists<offsets = dense<0> : tensor<1x3xi32>, entries = dense<> : tensor<0xi32>>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>

// CHECK: module attributes {weft.image = {{{.*}}given = true{{.*}}, prediction = {min = 1 : i64, parameter = 1 : i64, pool = 16 : i64, rule = "topk"}
// CHECK-LABEL: func.func @a.pool_queries(
// CHECK-SAME: %[[Q:.*]]: memref<f32>, %[[STRIDE:.*]]: index, %[[TABLE:.*]]: memref<4x64xi32>, %[[FIRST:.*]]: index, %[[COUNT:.*]]: index, %[[MEAN:.*]]: memref<32xf32>)
// CHECK-NEXT: weft.mean_row %[[Q]] stride %[[STRIDE]] tokens %[[TABLE]] first %[[FIRST]] count %[[COUNT]] into %[[MEAN]]
// CHECK-LABEL: func.func @a.pool_keys(
// CHECK: weft.mean_row
// CHECK-LABEL: func.func @a.score(
// CHECK-SAME: %[[ROW:.*]]: memref<32xf32>, %[[KEYS:.*]]: memref<4x32xf32>, %[[SCORES:.*]]: memref<4xf32>)
// CHECK-NEXT: weft.score_row %[[ROW]], %[[KEYS]] into %[[SCORES]] {scale = 1.000000e+00 : f64}
// CHECK-LABEL: func.func @a.pack(
// CHECK-LABEL: func.func @a.attend(
func.func @a(%q: !tokens, %k: !tokens, %v: !tokens, %radius: i32, %keep: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %qm = weft.block_means %q {grid = #g, order = #r, block = 32 : i64, pool = 16 : i64} : !tokens -> !means
  %km = weft.block_means %k {grid = #g, order = #r, block = 32 : i64, pool = 16 : i64} : !tokens -> !means
  %p = weft.block_scores %qm, %km {scale = 1.0 : f64} : !means, !means -> !scores
  %s = weft.max_scores %p {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, query_block = 32 : i64, key_block = 32 : i64, pool = 16 : i64} : !scores -> !scores
  %l = weft.select_topk %s keep %keep {min = 1 : i64} : !scores
  %o, %lse = weft.block_attention %q, %k, %v given %l {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#none, #all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
!means = tensor<?x2x?x32xf32>
!scores = tensor<?x2x?x?xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#none = #weft.block_lists<offsets = dense<0> : tensor<1x3xi32>, entries = dense<> : tensor<0xi32>>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @other_block(%q: !tokens, %k: !tokens, %v: !tokens, %keep: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %qm = weft.block_means %q {grid = #g, order = #r, block = 64 : i64} : !tokens -> !means
  %km = weft.block_means %k {grid = #g, order = #r, block = 32 : i64} : !tokens -> !means
  %s = weft.block_scores %qm, %km {scale = 1.0 : f64} : !means, !means -> !scores
  %l = weft.select_topk %s keep %keep : !scores
  // expected-error@+1 {{expected lists that are selected from the means of its own queries and keys, in its own blocks or pools of these}}
  %o, %lse = weft.block_attention %q, %k, %v given %l {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#none, #all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
!means = tensor<?x2x?x32xf32>
!scores = tensor<?x2x?x?xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#none = #weft.block_lists<offsets = dense<0> : tensor<1x3xi32>, entries = dense<> : tensor<0xi32>>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @computed_amount(%q: !tokens, %k: !tokens, %v: !tokens, %sparsity: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %one = arith.constant 1.0 : f64
  %keep = arith.subf %one, %sparsity : f64
  %qm = weft.block_means %q {grid = #g, order = #r, block = 32 : i64} : !tokens -> !means
  %km = weft.block_means %k {grid = #g, order = #r, block = 32 : i64} : !tokens -> !means
  %s = weft.block_scores %qm, %km {scale = 1.0 : f64} : !means, !means -> !scores
  %l = weft.select_topk %s keep %keep : !scores
  // expected-error@+1 {{expected a selection by a constant or a parameter}}
  %o, %lse = weft.block_attention %q, %k, %v given %l {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#none, #all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
#none = #weft.block_lists<offsets = dense<0> : tensor<1x3xi32>, entries = dense<> : tensor<0xi32>>
#all = #weft.block_lists<offsets = dense<[[0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
func.func @other_source(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x2x64xf32>) {
  %l = ub.poison : !weft.blocks
  // expected-error@+1 {{expected lists that are an argument or selected from scores, but got the result of ub.poison}}
  %o, %lse = weft.block_attention %q, %k, %v given %l {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64,
    lists = [#none, #all], scale = 1.0 : f64, folded} : !tokens, !tokens -> tensor<?x2x64xf32> {}
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}
