// RUN: weft-opt %s --split-input-file --verify-diagnostics --weft-form-online-softmax | FileCheck %s
// Rows that their importance selects: what the runtime is told, and what it cannot select by.

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

// CHECK: row_selection = {age_weight = 5.000000e-01 : f64, always = array<i32: 3, 9>, keep = 1 : i64, min = 2 : i64}, rows,
// CHECK-LABEL: func.func @selected.attend
// CHECK-NOT: weft.importance
// CHECK-NOT: weft.select_rows
func.func @selected(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %c = arith.constant 0.5 : f64
  %s = weft.importance %l drift %drift age %age weight %c : tensor<?x2x64xf32>, tensor<?x64xf32>, tensor<?x64xi32> -> tensor<?x64xf64>
  %r = weft.select_rows %s keep %keep {min = 2 : i64, always = array<i32: 3, 9>} : tensor<?x64xf64>
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %b : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @other_lse(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %s = weft.importance %other drift %drift age %age weight %w : tensor<?x2x64xf32>, tensor<?x64xf32>, tensor<?x64xi32> -> tensor<?x64xf64>
  %r = weft.select_rows %s keep %keep : tensor<?x64xf64>
  // expected-error @+1 {{expected rows that are selected by the log-sum-exp that they are written into}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %b : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @computed_keep(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %half = arith.mulf %keep, %keep : f64
  %s = weft.importance %l drift %drift age %age weight %w : tensor<?x2x64xf32>, tensor<?x64xf32>, tensor<?x64xi32> -> tensor<?x64xf64>
  %r = weft.select_rows %s keep %half : tensor<?x64xf64>
  // expected-error @+1 {{expected a selection of rows by constants or parameters}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %b : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @computed_drift(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %twice = arith.addf %drift, %drift : tensor<?x64xf32>
  %s = weft.importance %l drift %twice age %age weight %w : tensor<?x2x64xf32>, tensor<?x64xf32>, tensor<?x64xi32> -> tensor<?x64xf64>
  %r = weft.select_rows %s keep %keep : tensor<?x64xf64>
  // expected-error @+1 {{three tensors, i1, i32, f64, !weft.blocks and what the op names, but got 'tensor<?x64xf32>' as argument 5}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %b : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @other_importance(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %x: tensor<?x64xf64>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %r = weft.select_rows %x keep %keep : tensor<?x64xf64>
  // expected-error @+1 {{expected rows that are selected by the log-sum-exp that they are written into}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %b : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @other_age(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>) attributes {weft.kernel} {
  %s = weft.importance %l drift %drift age %age weight %w : tensor<?x2x64xf32>, tensor<?x64xf32>, tensor<?x64xi32> -> tensor<?x64xf64>
  %r = weft.select_rows %s keep %keep : tensor<?x64xf64>
  // expected-error @+1 {{expected a folded op whose results its function returns}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  %b = weft.advance_age %age rows %r : tensor<?x64xi32>
  return %out, %lse, %age : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>, tensor<?x64xi32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @cast_rows(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>,
    %drift: tensor<?x64xf32>, %age: tensor<?x64xi32>, %other: tensor<?x2x64xf32>, %w: f64, %keep: f64) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %r = builtin.unrealized_conversion_cast %w : f64 to !weft.rows
  // expected-error @+1 {{expected rows that are an argument or selected by importance, but got the result of builtin.unrealized_conversion_cast}}
  %out, %lse = weft.block_attention %q, %k, %v rows %r into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %out, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}
