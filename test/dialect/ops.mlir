// RUN: weft-opt %s | weft-opt | FileCheck %s
// RUN: weft-opt %s --mlir-print-op-generic | weft-opt | FileCheck %s
// RUN: weft-opt %s --emit-bytecode | weft-opt | FileCheck %s

// CHECK-DAG: #[[LISTS:.*]] = #weft.block_lists<offsets = dense<{{\[\[}}0, 1, 3]]> : tensor<1x3xi32>, entries = dense<[0, 1, 2]> : tensor<3xi32>>
// CHECK-DAG: #[[GRID:.*]] = #weft.grid<3x4x5>
// CHECK-DAG: #[[AFTER:.*]] = #weft.grid<3x4x5, text = 4>
// CHECK-DAG: #[[BEFORE:.*]] = #weft.grid<13x30x45, text = 226 before>
// CHECK-DAG: #[[RASTER:.*]] = #weft.order<raster>
// CHECK-DAG: #[[OPEN:.*]] = #weft.order<tiles>
// CHECK-DAG: #[[TILES:.*]] = #weft.order<tiles = 2x8x8>
// CHECK-DAG: #[[SORTED:.*]] = #weft.order<by = (d0, d1, d2) -> (d0, (d1 - d2) mod 2), first = 1>
// CHECK-DAG: #[[JOINED:.*]] = #weft.order<tiles = 8x16, first = 1>

#g = #weft.grid<3x4x5>
#text_after = #weft.grid<3x4x5, text = 4>
#text_before = #weft.grid<13x30x45, text = 226 before>
!mask = !weft.mask<query = #g, key = #g>

// CHECK-LABEL: func.func private @attributes
// CHECK-SAME: a_raster = #[[RASTER]], b_open = #[[OPEN]], c_sorted = #[[SORTED]], c_tiles = #[[TILES]], c_tiles_of_rows = #[[JOINED]], d_grid = #[[GRID]], e_grid = #[[AFTER]], f_grid = #[[BEFORE]], g_lists = #[[LISTS]]
func.func private @attributes() attributes {
  a_raster = #weft.order<raster>, b_open = #weft.order<tiles>, c_tiles = #weft.order<tiles = 2x8x8>,
  c_tiles_of_rows = #weft.order<tiles = 8x16, first = 1>,
  c_sorted = #weft.order<by = (t, h, w) -> (t, (h - w) mod 2), first = 1>, d_grid = #g, e_grid = #text_after,
  f_grid = #text_before, g_lists = #weft.block_lists<offsets = dense<[[0, 1, 3]]> : tensor<1x3xi32>, entries = dense<[0, 1, 2]> : tensor<3xi32>>}

// CHECK-LABEL: func.func private @types
// CHECK-SAME: (!weft.mask<query = #[[GRID]], key = #[[GRID]]>, !weft.blocks, !weft.rows)
func.func private @types(!mask, !weft.blocks, !weft.rows)

// CHECK-LABEL: func.func @predicate
func.func @predicate(%radius: i32) -> !mask {
  // CHECK: weft.predicate : {{.*}}<query = #[[GRID]], key = #[[GRID]]> {
  // CHECK-NEXT: ^bb0({{.*}}: i32, {{.*}}: i1):
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %d = arith.subi %qt, %kt : i32
    %near = arith.cmpi sle, %d, %radius : i32
  // CHECK: weft.yield %{{.*}} : i1
    weft.yield %near : i1
  }
  return %m : !mask
}

// CHECK-LABEL: func.func @predicate_given
func.func @predicate_given(%blocks: !weft.blocks) -> !mask {
  // CHECK: weft.predicate given(%{{.*}}) : 
  %m = weft.predicate given(%blocks) : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    %b = arith.ori %qx, %given : i1
    weft.yield %b : i1
  }
  return %m : !mask
}

// CHECK-LABEL: func.func @masks
func.func @masks(%blocks: !weft.blocks) -> !mask {
  // CHECK: weft.constant_mask true : 
  %all = weft.constant_mask true : !mask
  // CHECK: weft.constant_mask false : 
  %none = weft.constant_mask false : !mask
  // CHECK: weft.given %{{.*}} : 
  %given = weft.given %blocks : !mask
  // CHECK: weft.mask_and %{{.*}}, %{{.*}} : 
  %and = weft.mask_and %given, %all : !mask
  // CHECK: weft.mask_or %{{.*}}, %{{.*}} : 
  %or = weft.mask_or %and, %none : !mask
  // CHECK: weft.mask_not %{{.*}} : 
  %not = weft.mask_not %or : !mask
  return %not : !mask
}

// CHECK-LABEL: func.func @attention
func.func @attention(%q: tensor<?x2x64x32xbf16>, %k: tensor<?x2x60x32xbf16>) -> (tensor<?x2x64x32xbf16>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  // CHECK: %{{.*}}, %{{.*}} = weft.attention %{{.*}}, %{{.*}}, %{{.*}} {key_grid = #{{.*}}, query_grid = #{{.*}}, scale = 1.250000e-01 : f64} : tensor<?x2x64x32xbf16>, tensor<?x2x60x32xbf16> -> tensor<?x2x64xf32>
  %o, %lse = weft.attention %q, %k, %k {query_grid = #text_after, key_grid = #g, scale = 1.250000e-01 : f64}
    : tensor<?x2x64x32xbf16>, tensor<?x2x60x32xbf16> -> tensor<?x2x64xf32>
  return %o, %lse : tensor<?x2x64x32xbf16>, tensor<?x2x64xf32>
}

// CHECK-LABEL: func.func @attention_mask
func.func @attention_mask(%q: tensor<?x2x60x32xf16>, %m: !mask) -> tensor<?x2x60xf32> {
  // CHECK: weft.attention {{.*}} mask(%{{.*}} : !weft.mask<query = #{{.*}}, key = #{{.*}}>) {block = 64 : i64, {{.*}}key_order = #{{.*}}, {{.*}}query_order = #{{.*}}}
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask)
    {query_grid = #g, key_grid = #g, query_order = #weft.order<tiles>, key_order = #weft.order<tiles = 1x2x3>, block = 64, scale = 1.250000e-01 : f64}
    : tensor<?x2x60x32xf16>, tensor<?x2x60x32xf16> -> tensor<?x2x60xf32>
  return %lse : tensor<?x2x60xf32>
}

// CHECK-LABEL: func.func @attention_bias
func.func @attention_bias(%q: tensor<?x2x60x32xf16>, %b: tensor<?x?x60xf32>, %m: !mask) -> tensor<?x2x60xf32> {
  // CHECK: weft.attention {{.*}} bias(%{{.*}} : tensor<?x?x60xf32>) mask(%{{.*}} : !weft.mask<query = #{{.*}}, key = #{{.*}}>) {
  %o, %lse = weft.attention %q, %q, %q bias(%b : tensor<?x?x60xf32>) mask(%m : !mask)
    {query_grid = #g, key_grid = #g, scale = 1.250000e-01 : f64}
    : tensor<?x2x60x32xf16>, tensor<?x2x60x32xf16> -> tensor<?x2x60xf32>
  return %lse : tensor<?x2x60xf32>
}

// CHECK-LABEL: func.func @attention_rows
func.func @attention_rows(%q: tensor<?x2x60x32xf16>, %o: tensor<?x2x60x32xf16>, %l: tensor<?x2x60xf32>, %rows: !weft.rows) -> tensor<?x2x60xf32> {
  // CHECK: weft.attention {{.*}} rows %{{.*}} into(%{{.*}}, %{{.*}} : tensor<?x2x60x32xf16>, tensor<?x2x60xf32>) {
  %out, %lse = weft.attention %q, %q, %q rows %rows into(%o, %l : tensor<?x2x60x32xf16>, tensor<?x2x60xf32>)
    {query_grid = #g, key_grid = #g, scale = 1.250000e-01 : f64}
    : tensor<?x2x60x32xf16>, tensor<?x2x60x32xf16> -> tensor<?x2x60xf32>
  return %lse : tensor<?x2x60xf32>
}

// CHECK-LABEL: func.func @orders
func.func @orders(%q: tensor<?x2x60x32xf32>, %lse: tensor<?x2x60xf32>) -> (tensor<?x2x60x32xf32>, tensor<?x2x60xf32>) {
  // CHECK: weft.reorder %{{.*}} {block = 32 : i64, grid = #{{.*}}, order = #{{.*}}} : tensor<?x2x60x32xf32>
  %a = weft.reorder %q {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<?x2x60x32xf32>
  // CHECK: weft.restore %{{.*}} {block = 32 : i64, grid = #{{.*}}, order = #{{.*}}} : tensor<?x2x60xf32>
  %b = weft.restore %lse {grid = #g, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<?x2x60xf32>
  return %a, %b : tensor<?x2x60x32xf32>, tensor<?x2x60xf32>
}

// CHECK-LABEL: func.func @block_attention
func.func @block_attention(%q: tensor<?x1x64x32xf32>) -> tensor<?x1x64xf32> {
  // CHECK: weft.block_attention %{{.*}}, %{{.*}}, %{{.*}} {{{.*}}lists = [#{{.*}}]{{.*}}} : tensor<?x1x64x32xf32>, tensor<?x1x64x32xf32> -> tensor<?x1x64xf32> {
  // CHECK-NEXT: }
  %o, %lse = weft.block_attention %q, %q, %q {
    query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64,
    lists = [#weft.block_lists<offsets = dense<[[0, 1, 3]]> : tensor<1x3xi32>, entries = dense<[0, 0, 2]> : tensor<3xi32>>],
    scale = 1.250000e-01 : f64} : tensor<?x1x64x32xf32>, tensor<?x1x64x32xf32> -> tensor<?x1x64xf32> {
  }
  return %lse : tensor<?x1x64xf32>
}

// CHECK-LABEL: func.func @block_attention_given
func.func @block_attention_given(%q: tensor<?x1x64x32xf32>, %blocks: !weft.blocks) -> tensor<?x1x64xf32> {
  // CHECK: weft.block_attention %{{.*}}, %{{.*}}, %{{.*}} given %{{.*}} {{{.*}}folded{{.*}}}
  // CHECK-NEXT: ^bb0(
  %o, %lse = weft.block_attention %q, %q, %q given %blocks {
    query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<tiles = 1x4x8>, key_order = #weft.order<raster>, block = 32 : i64, folded,
    scale = 1.250000e-01 : f64} : tensor<?x1x64x32xf32>, tensor<?x1x64x32xf32> -> tensor<?x1x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    weft.yield %given : i1
  }
  return %lse : tensor<?x1x64xf32>
}

// CHECK-LABEL: func.func @block_attention_all
func.func @block_attention_all(%q: tensor<?x1x64x32xf32>, %bias: tensor<1x1x64xf32>, %blocks: !weft.blocks, %rows: !weft.rows,
                               %o: tensor<?x1x64x32xf32>, %l: tensor<?x1x64xf32>) -> tensor<?x1x64xf32> {
  // CHECK: weft.block_attention {{.*}} bias(%{{.*}} : tensor<1x1x64xf32>) given %{{.*}} rows %{{.*}} into(%{{.*}}, %{{.*}} : tensor<?x1x64x32xf32>, tensor<?x1x64xf32>) {
  %out, %lse = weft.block_attention %q, %q, %q bias(%bias : tensor<1x1x64xf32>) given %blocks
      rows %rows into(%o, %l : tensor<?x1x64x32xf32>, tensor<?x1x64xf32>) {
    query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64,
    scale = 1.250000e-01 : f64} : tensor<?x1x64x32xf32>, tensor<?x1x64x32xf32> -> tensor<?x1x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    weft.yield %given : i1
  }
  return %lse : tensor<?x1x64xf32>
}

// CHECK-LABEL: func.func @tiles
func.func @tiles(%source: memref<f32>, %table: memref<4x512xi32>, %lse: memref<f32>, %tile: memref<128x64xf32>, %keys: memref<4x64x32xf32>, %values: memref<2x128x32xf32>, %key_pairs: memref<4x32x64xf32>, %value_pairs: memref<2x64x64xf32>,
                 %s: memref<128x128xf32>, %m: memref<128xf32>, %l: memref<128xf32>, %c: memref<128xf32>, %i: index, %head: i32, %want: i1) {
  // CHECK: weft.load_tile %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} {d = 64 : i64, layout = {{.*}}rows{{.*}}} : memref<f32>, memref<4x512xi32>,
  weft.load_tile %source stride %i tokens %table first %i count %i into %tile {d = 64 : i64, layout = #weft.layout<rows>} : memref<f32>, memref<4x512xi32>, memref<128x64xf32>
  // CHECK: weft.load_tile %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} {d = 64 : i64, layout = {{.*}}key_panels{{.*}}} : memref<f32>, memref<4x512xi32>,
  weft.load_tile %source stride %i tokens %table first %i count %i into %keys {d = 64 : i64, layout = #weft.layout<key_panels>} : memref<f32>, memref<4x512xi32>, memref<4x64x32xf32>
  // CHECK: weft.load_tile %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} {d = 64 : i64, layout = {{.*}}value_panels{{.*}}} : memref<f32>, memref<4x512xi32>,
  weft.load_tile %source stride %i tokens %table first %i count %i into %values {d = 64 : i64, layout = #weft.layout<value_panels>} : memref<f32>, memref<4x512xi32>, memref<2x128x32xf32>
  // CHECK: weft.load_tile %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} {d = 64 : i64, layout = {{.*}}key_pairs{{.*}}} : memref<f32>, memref<4x512xi32>,
  weft.load_tile %source stride %i tokens %table first %i count %i into %key_pairs {d = 64 : i64, layout = #weft.layout<key_pairs>} : memref<f32>, memref<4x512xi32>, memref<4x32x64xf32>
  // CHECK: weft.load_tile %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} {d = 64 : i64, layout = {{.*}}value_pairs{{.*}}} : memref<f32>, memref<4x512xi32>,
  weft.load_tile %source stride %i tokens %table first %i count %i into %value_pairs {d = 64 : i64, layout = #weft.layout<value_pairs>} : memref<f32>, memref<4x512xi32>, memref<2x64x64xf32>
  // CHECK: weft.init_tile %{{.*}}, %{{.*}}, %{{.*}} rows %{{.*}} : memref<128x64xf32>, memref<128xf32>
  weft.init_tile %tile, %m, %l rows %i : memref<128x64xf32>, memref<128xf32>
  // CHECK: weft.scores %{{.*}}, %{{.*}} into %{{.*}} rows %{{.*}} columns %{{.*}} :
  weft.scores %tile, %keys into %s rows %i columns %i : memref<128x64xf32>, memref<4x64x32xf32>, memref<128x128xf32>
  // CHECK: weft.scores {{.*}} ahead %{{.*}} : {{.*}}, memref<2x128x32xf32>
  weft.scores %tile, %keys into %s rows %i columns %i ahead %values : memref<128x64xf32>, memref<4x64x32xf32>, memref<128x128xf32>, memref<2x128x32xf32>
  // CHECK: weft.softmax {{.*}} rows %{{.*}} columns %{{.*}} scale 1.250000e-01 : memref<128x128xf32>, memref<128xf32>, memref<128x128xf32> {
  // CHECK-NEXT: }
  weft.softmax %s, %m, %l, %c into %s rows %i columns %i scale 1.250000e-01 : memref<128x128xf32>, memref<128xf32>, memref<128x128xf32> {
  }
  // CHECK: weft.softmax {{.*}} scale 1.250000e-01 bias %{{.*}} : memref<128xf32> : memref<128x128xf32>,
  weft.softmax %s, %m, %l, %c into %s rows %i columns %i scale 1.250000e-01 bias %m : memref<128xf32> : memref<128x128xf32>, memref<128xf32>, memref<128x128xf32> {
  }
  // CHECK: weft.softmax {{.*}} scale 1.250000e-01 tokens %[[TABLE:.*]][%{{.*}}], %[[TABLE]][%{{.*}}] head %{{.*}} given %{{.*}} :
  // CHECK-NEXT: ^bb0(
  weft.softmax %s, %m, %l, %c into %s rows %i columns %i scale 1.250000e-01 tokens %table[%i], %table[%i] head %head given %want
      : memref<128x128xf32>, memref<128xf32>, memref<128x128xf32>, memref<4x512xi32>, memref<4x512xi32> {
  ^bb0(%hd: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    weft.yield %given : i1
  }
  // CHECK: weft.accumulate %{{.*}}, %{{.*}}, %{{.*}} into %{{.*}} rows %{{.*}} columns %{{.*}} :
  weft.accumulate %s, %values, %c into %tile rows %i columns %i : memref<128x128xf32>, memref<2x128x32xf32>, memref<128xf32>, memref<128x64xf32>
  // CHECK: weft.accumulate {{.*}} ahead %{{.*}} : {{.*}}, memref<4x64x32xf32>
  weft.accumulate %s, %values, %c into %tile rows %i columns %i ahead %keys : memref<128x128xf32>, memref<2x128x32xf32>, memref<128xf32>, memref<128x64xf32>, memref<4x64x32xf32>
  // CHECK: weft.store_tile {{.*}} tokens {{.*}} first {{.*}} count {{.*}} to {{.*}} stride {{.*}} lse {{.*}} stride {{.*}} if {{.*}} scale 1.250000e-01 {d = 64 : i64}
  weft.store_tile %tile, %m, %l tokens %table first %i count %i to %source stride %i lse %lse stride %i if %want scale 1.250000e-01 {d = 64 : i64}
      : memref<128x64xf32>, memref<128xf32>, memref<4x512xi32>, memref<f32>
  return
}

// CHECK-LABEL: func.func @prediction
func.func @prediction(%q: tensor<?x2x60x32xbf16>, %amount: f64) -> (!weft.blocks, !weft.blocks, !weft.blocks) {
  // CHECK: weft.block_means %{{.*}} {block = 32 : i64, grid = #grid, order = #order, pool = 8 : i64} : tensor<?x2x60x32xbf16> -> tensor<?x2x8x32xf32>
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 32 : i64, pool = 8 : i64} : tensor<?x2x60x32xbf16> -> tensor<?x2x8x32xf32>
  // CHECK: weft.block_scores %{{.*}}, %{{.*}} {scale = 1.250000e-01 : f64} : tensor<?x2x8x32xf32>, tensor<?x2x8x32xf32> -> tensor<?x2x8x8xf32>
  %s = weft.block_scores %m, %m {scale = 1.25e-01 : f64} : tensor<?x2x8x32xf32>, tensor<?x2x8x32xf32> -> tensor<?x2x8x8xf32>
  // CHECK: weft.max_scores %{{.*}} {{{.*}}pool = 8 : i64{{.*}}} : tensor<?x2x8x8xf32> -> tensor<?x2x2x2xf32>
  %b = weft.max_scores %s {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, query_order = #weft.order<raster>, key_order = #weft.order<raster>,
    query_block = 32 : i64, key_block = 32 : i64, pool = 8 : i64} : tensor<?x2x8x8xf32> -> tensor<?x2x2x2xf32>
  // CHECK: weft.select_topk %{{.*}} keep %{{.*}} : tensor<?x2x2x2xf32>
  %k = weft.select_topk %b keep %amount : tensor<?x2x2x2xf32>
  // CHECK: weft.select_topp %{{.*}} mass %{{.*}} {min = 2 : i64} : tensor<?x2x2x2xf32>
  %p = weft.select_topp %b mass %amount {min = 2 : i64} : tensor<?x2x2x2xf32>
  // CHECK: weft.select_threshold %{{.*}} score %{{.*}} : tensor<?x2x2x2xf32>
  %t = weft.select_threshold %b score %amount : tensor<?x2x2x2xf32>
  return %k, %p, %t : !weft.blocks, !weft.blocks, !weft.blocks
}

// CHECK-LABEL: func.func @recognition
func.func @recognition(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>, %m: !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>, %bound: f64) -> (i32, i32) {
  // CHECK: weft.recall %{{.*}}, %{{.*}} mask(%{{.*}} : !weft.mask<query = #{{.*}}, key = #{{.*}}>) probe local {scale = 1.250000e-01 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2xf32>
  %l = weft.recall %q, %k mask(%m : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>) probe local
      {scale = 1.25e-01 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2xf32>
  // CHECK: weft.recall %{{.*}} probe global {
  %g = weft.recall %q, %k mask(%m : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>) probe global
      {scale = 1.25e-01 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2xf32>
  // CHECK: weft.choose %{{.*}}, %{{.*}} bound %{{.*}} fallback : tensor<?x2xf32>, tensor<?x2xf32>
  %c = weft.choose %l, %g bound %bound fallback : tensor<?x2xf32>, tensor<?x2xf32>
  // CHECK: weft.choose %{{.*}}, %{{.*}} : tensor<?x2xf32>, tensor<?x2xf32>
  %d = weft.choose %l, %g : tensor<?x2xf32>, tensor<?x2xf32>
  return %c, %d : i32, i32
}

// CHECK-LABEL: func.func @prediction_tiles
func.func @prediction_tiles(%source: memref<bf16>, %table: memref<4x512xi32>, %i: index, %mean: memref<64xf32>, %keys: memref<9x64xf32>, %s: memref<12xf32>) {
  // CHECK: weft.mean_row %{{.*}} stride %{{.*}} tokens %{{.*}} first %{{.*}} count %{{.*}} into %{{.*}} : memref<bf16>, memref<4x512xi32>, memref<64xf32>
  weft.mean_row %source stride %i tokens %table first %i count %i into %mean : memref<bf16>, memref<4x512xi32>, memref<64xf32>
  // CHECK: weft.score_row %{{.*}}, %{{.*}} into %{{.*}} {scale = 1.250000e-01 : f64} : memref<64xf32>, memref<9x64xf32>, memref<12xf32>
  weft.score_row %mean, %keys into %s {scale = 1.25e-01 : f64} : memref<64xf32>, memref<9x64xf32>, memref<12xf32>
  return
}
