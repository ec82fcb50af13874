// RUN: weft-opt %s --weft-cuda-choose-blocks --split-input-file | FileCheck %s

#g = #weft.grid<4x8x16>

// Narrow heads: three warpgroups of queries.
// CHECK-LABEL: func.func @narrow
// CHECK: weft.attention {{.*}}query_block = 192 : i64
// CHECK-NOT: block = 64
func.func @narrow(%q: tensor<?x1x512x64xbf16>, %k: tensor<?x1x512x64xbf16>, %v: tensor<?x1x512x64xbf16>)
    -> (tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>) {
  %o, %lse = weft.attention %q, %k, %v {query_grid = #g, key_grid = #g, scale = 0.125 : f64}
    : tensor<?x1x512x64xbf16>, tensor<?x1x512x64xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>
}

// -----

#g = #weft.grid<4x8x16>

// Wide heads: fewer keys.
// CHECK-LABEL: func.func @wide
// CHECK: weft.attention {{.*}}{block = 64 : i64, {{.*}}query_block = 128 : i64
func.func @wide(%q: tensor<?x1x512x192xbf16>, %k: tensor<?x1x512x192xbf16>, %v: tensor<?x1x512x192xbf16>)
    -> (tensor<?x1x512x192xbf16>, tensor<?x1x512xf32>) {
  %o, %lse = weft.attention %q, %k, %v {query_grid = #g, key_grid = #g, scale = 0.125 : f64}
    : tensor<?x1x512x192xbf16>, tensor<?x1x512x192xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x192xbf16>, tensor<?x1x512xf32>
}

// -----

#g = #weft.grid<4x8x16>

// Heads between them: as many keys as the registers of three warpgroups allow.
// CHECK-LABEL: func.func @between
// CHECK: weft.attention {{.*}}{block = 112 : i64, {{.*}}query_block = 192 : i64
func.func @between(%q: tensor<?x1x512x96xbf16>, %k: tensor<?x1x512x96xbf16>, %v: tensor<?x1x512x96xbf16>)
    -> (tensor<?x1x512x96xbf16>, tensor<?x1x512xf32>) {
  %o, %lse = weft.attention %q, %k, %v {query_grid = #g, key_grid = #g, scale = 0.125 : f64}
    : tensor<?x1x512x96xbf16>, tensor<?x1x512x96xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x96xbf16>, tensor<?x1x512xf32>
}

// -----

#g = #weft.grid<4x8x16>

// Boxes of tokens are cut for tiles of 128.
// CHECK-LABEL: func.func @tiled
// CHECK: weft.attention
// CHECK-NOT: query_block
func.func @tiled(%q: tensor<?x1x512x96xbf16>, %k: tensor<?x1x512x96xbf16>, %v: tensor<?x1x512x96xbf16>)
    -> (tensor<?x1x512x96xbf16>, tensor<?x1x512xf32>) {
  %o, %lse = weft.attention %q, %k, %v {query_grid = #g, key_grid = #g, query_order = #weft.order<tiles>,
                                        key_order = #weft.order<tiles>, scale = 0.125 : f64}
    : tensor<?x1x512x96xbf16>, tensor<?x1x512x96xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x96xbf16>, tensor<?x1x512xf32>
}

// -----

#g = #weft.grid<4x8x16>

// A size that was asked for is kept as far as it fits.
// CHECK-LABEL: func.func @asked
// CHECK: weft.attention {{.*}}{block = 64 : i64, {{.*}}query_block = 96 : i64
func.func @asked(%q: tensor<?x1x512x192xbf16>, %k: tensor<?x1x512x192xbf16>, %v: tensor<?x1x512x192xbf16>)
    -> (tensor<?x1x512x192xbf16>, tensor<?x1x512xf32>) {
  %o, %lse = weft.attention %q, %k, %v {block = 96, query_grid = #g, key_grid = #g, scale = 0.125 : f64}
    : tensor<?x1x512x192xbf16>, tensor<?x1x512x192xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x192xbf16>, tensor<?x1x512xf32>
}

// -----

#g = #weft.grid<4x8x16>

// Given lists are of the caller's blocks.
// CHECK-LABEL: func.func @given
// CHECK: weft.attention
// CHECK-NOT: query_block
func.func @given(%q: tensor<?x1x512x64xbf16>, %k: tensor<?x1x512x64xbf16>, %v: tensor<?x1x512x64xbf16>, %blocks: !weft.blocks)
    -> (tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>) {
  %m = weft.given %blocks : !weft.mask<query = #g, key = #g>
  %o, %lse = weft.attention %q, %k, %v mask(%m : !weft.mask<query = #g, key = #g>) {query_grid = #g, key_grid = #g, scale = 0.125 : f64}
    : tensor<?x1x512x64xbf16>, tensor<?x1x512x64xbf16> -> tensor<?x1x512xf32>
  return %o, %lse : tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>
}
