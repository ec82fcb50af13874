// RUN: weft-opt %s --weft-choose-tiles | FileCheck %s
// RUN: weft-opt %s --weft-choose-tiles=granule=64 | FileCheck %s --check-prefix=COARSE
// RUN: not weft-opt %s --weft-choose-tiles=granule=0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not weft-opt %s --weft-choose-tiles=granule=100000 2>&1 | FileCheck %s --check-prefix=LARGE
// ZERO: error: expected a granule from 1 to 1024 tokens, but got 0
// LARGE: error: expected a granule from 1 to 1024 tokens, but got 100000

#video = #weft.grid<13x30x45, text = 7>
#cube = #weft.grid<8x8x8>
#flat = #weft.grid<1x4x5>
#open = #weft.order<tiles>

// Clipped tiles of 4x8x4 tokens round up to multiples of 32 with little waste.
// CHECK-DAG: #[[BOX:.*]] = #weft.order<tiles = 4x8x4>
// CHECK-DAG: #[[CUBE:.*]] = #weft.order<tiles = 3x4x8>
// CHECK-DAG: #[[FLAT:.*]] = #weft.order<tiles = 1x4x5>
// CHECK-DAG: #[[SMALL:.*]] = #weft.order<tiles = 2x6x5>
// CHECK-DAG: #[[FIXED:.*]] = #weft.order<tiles = 2x8x8>

// The granule decides: with 64 tokens another box wastes least.
// COARSE: #weft.order<tiles = 7x6x3>
// CHECK-LABEL: func.func @video
// CHECK: weft.attention {{.*}}key_order = #[[BOX]], {{.*}}query_order = #[[BOX]]
func.func @video(%q: tensor<?x2x17557x64xf32>) -> tensor<?x2x17557x64xf32> {
  %o, %lse = weft.attention %q, %q, %q
    {query_grid = #video, key_grid = #video, query_order = #open, key_order = #open, scale = 1.0 : f64}
    : tensor<?x2x17557x64xf32>, tensor<?x2x17557x64xf32> -> tensor<?x2x17557xf32>
  return %o : tensor<?x2x17557x64xf32>
}

// The box holds at most `block` tokens.
// CHECK-LABEL: func.func @block
// CHECK: weft.attention {{.*}}key_order = #[[SMALL]], {{.*}}query_order = #[[SMALL]]
func.func @block(%q: tensor<?x2x17557x64xf32>) -> tensor<?x2x17557x64xf32> {
  %o, %lse = weft.attention %q, %q, %q
    {query_grid = #video, key_grid = #video, query_order = #open, key_order = #open, block = 64 : i64, scale = 1.0 : f64}
    : tensor<?x2x17557x64xf32>, tensor<?x2x17557x64xf32> -> tensor<?x2x17557xf32>
  return %o : tensor<?x2x17557x64xf32>
}

// Queries and keys have boxes of their own.
// CHECK-LABEL: func.func @rectangular
// CHECK: weft.attention {{.*}}key_order = #[[FLAT]], {{.*}}query_order = #[[CUBE]]
func.func @rectangular(%q: tensor<?x2x512x64xf32>, %k: tensor<?x2x20x64xf32>) -> tensor<?x2x512x64xf32> {
  %o, %lse = weft.attention %q, %k, %k
    {query_grid = #cube, key_grid = #flat, query_order = #open, key_order = #open, scale = 1.0 : f64}
    : tensor<?x2x512x64xf32>, tensor<?x2x20x64xf32> -> tensor<?x2x512xf32>
  return %o : tensor<?x2x512x64xf32>
}

// What is chosen already stays.
// CHECK-LABEL: func.func @chosen
// CHECK-NOT: key_order
// CHECK: query_order = #[[FIXED]]
func.func @chosen(%q: tensor<?x2x512x64xf32>) -> tensor<?x2x512x64xf32> {
  %o, %lse = weft.attention %q, %q, %q
    {query_grid = #cube, key_grid = #cube, query_order = #weft.order<tiles = 2x8x8>, key_order = #weft.order<raster>, scale = 1.0 : f64}
    : tensor<?x2x512x64xf32>, tensor<?x2x512x64xf32> -> tensor<?x2x512xf32>
  return %o : tensor<?x2x512x64xf32>
}

// The blocks that predict have the attention's box.
// CHECK-LABEL: func.func @prediction
func.func @prediction(%q: tensor<?x1x1024x32xf32>, %keep: f64) -> !weft.blocks {
  // CHECK: weft.block_means {{.*}}order = [[ORDER:#order[0-9]*]]
  %m = weft.block_means %q {grid = #weft.grid<4x16x16>, order = #weft.order<tiles>, block = 128 : i64, pool = 32 : i64} : tensor<?x1x1024x32xf32> -> tensor<?x1x?x32xf32>
  // CHECK: weft.block_scores
  %p = weft.block_scores %m, %m {scale = 1.0 : f64} : tensor<?x1x?x32xf32>, tensor<?x1x?x32xf32> -> tensor<?x1x?x?xf32>
  // CHECK: weft.max_scores {{.*}}key_order = [[ORDER]]{{.*}}query_order = [[ORDER]]
  %s = weft.max_scores %p {query_grid = #weft.grid<4x16x16>, key_grid = #weft.grid<4x16x16>, query_order = #weft.order<tiles>, key_order = #weft.order<tiles>,
    query_block = 128 : i64, key_block = 128 : i64, pool = 32 : i64} : tensor<?x1x?x?xf32> -> tensor<?x1x?x?xf32>
  %l = weft.select_topk %s keep %keep : tensor<?x1x?x?xf32>
  // CHECK: weft.attention {{.*}}key_order = [[ORDER]]{{.*}}query_order = [[ORDER]]
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<4x16x16>, key_grid = #weft.grid<4x16x16>,
    query_order = #weft.order<tiles>, key_order = #weft.order<tiles>, scale = 1.0 : f64} : tensor<?x1x1024x32xf32>, tensor<?x1x1024x32xf32> -> tensor<?x1x1024xf32>
  return %l : !weft.blocks
}
