// RUN: weft-opt %s --weft-cpu-lower-tiles --split-input-file | FileCheck %s
// RUN: weft-opt %s --weft-cpu-lower-tiles="lanes=8 scalef=false" --split-input-file | FileCheck %s --check-prefix=LANES8
// RUN: weft-opt %s --weft-cpu-lower-tiles=bf16=tile-x86 --split-input-file | FileCheck %s --check-prefix=TILES
// RUN: weft-opt %s --weft-cpu-lower-tiles="lanes=4 scalef=false bf16=matrix-neon" --split-input-file \
// RUN:   | FileCheck %s --check-prefix=LANES4
// RUN: not weft-opt %s --weft-cpu-lower-tiles=lanes=12 --split-input-file 2>&1 | FileCheck %s --check-prefix=WRONG
// WRONG: error: expected 4, 8 or 16 lanes, but got

// Scores are sums of products in register tiles of whole vectors; no element stands alone.
// CHECK-LABEL: func.func @scores
// CHECK-NOT: weft.{{init|load|scores|softmax|accumulate|store}}
// CHECK: scf.for
// CHECK: vector.load {{.*}} vector<16xf32>
// CHECK: vector.broadcast %{{.*}} : f32 to vector<16xf32>
// CHECK: {{vector|math}}.fma {{.*}}vector<16xf32>
// CHECK: vector.store {{.*}} vector<16xf32>
// LANES8-LABEL: func.func @scores
// LANES8-NOT: vector<16xf32>
// LANES8: {{vector|math}}.fma {{.*}}vector<8xf32>
// With NEON four terms of a row are loaded at once, and multiplied by lane.
// LANES4-LABEL: func.func @scores
// LANES4-COUNT-4: vector.load %arg0{{.*}} vector<4xf32>
// LANES4: vector.shuffle {{.*}} [0, 0, 0, 0]
// LANES4: {{vector|math}}.fma {{.*}}vector<4xf32>
// LANES4: vector.shuffle {{.*}} [3, 3, 3, 3]
func.func @scores(%q: memref<32x32xf32>, %k: memref<1x32x32xf32>, %s: memref<32x32xf32>, %rows: index, %columns: index) {
  weft.scores %q, %k into %s rows %rows columns %columns : memref<32x32xf32>, memref<1x32x32xf32>, memref<32x32xf32>
  return
}

// -----

// A tile of 64 x 64 numbers has 256 lines: each of the 4 x 1 register tiles of the scores fetches 64.
// CHECK-LABEL: func.func @ahead
// CHECK-COUNT-64: memref.prefetch %{{.*}} read, locality<2>, data
// CHECK-NOT: memref.prefetch
func.func @ahead(%q: memref<32x32xf32>, %k: memref<1x32x32xf32>, %s: memref<32x32xf32>, %rows: index, %columns: index, %next: memref<64x64xf32>) {
  weft.scores %q, %k into %s rows %rows columns %columns ahead %next : memref<32x32xf32>, memref<1x32x32xf32>, memref<32x32xf32>, memref<64x64xf32>
  return
}

// -----

// Pairs of bf16 go to the dot product.
// TILES-LABEL: func.func @pairs
// TILES-COUNT-4: amx.tile_zero : !amx.tile<16x16xf32>
// TILES-COUNT-4: amx.tile_mulf
// TILES-COUNT-4: amx.tile_store
// CHECK-LABEL: func.func @pairs
// CHECK: x86vector.avx512.dot {{.*}} vector<32xbf16> -> vector<16xf32>
// With NEON products of matrices: 4 x 2 pairs of rows and vectors, four products for each; then sums go to their rows.
// LANES4-LABEL: func.func @pairs
// LANES4: vector.shuffle {{.*}} [0, 1, 8, 9, 2, 3, 10, 11]
// LANES4-COUNT-32: llvm.call_intrinsic "llvm.aarch64.neon.bfmmla"
// LANES4-NOT: bfmmla
// LANES4: vector.shuffle {{.*}} [0, 1, 4, 5]
// LANES4: vector.store
func.func @pairs(%q: memref<32x32xbf16>, %k: memref<1x16x64xbf16>, %s: memref<32x32xf32>, %rows: index, %columns: index) {
  weft.scores %q, %k into %s rows %rows columns %columns : memref<32x32xbf16>, memref<1x16x64xbf16>, memref<32x32xf32>
  return
}

// -----

// Biased scores are found in the walk for the maxima and stay where the scores were.
// CHECK-LABEL: func.func @bias
// CHECK-NOT: weft.softmax
// CHECK: %[[BIAS:.*]] = vector.load %arg5[{{.*}} vector<16xf32>
// CHECK: %[[SCORES:.*]] = vector.load %arg0
// CHECK: %[[BIASED:.*]] = vector.fma %[[SCORES]], %{{.*}}, %[[BIAS]]
// CHECK: vector.store %[[BIASED]], %arg0
func.func @bias(%s: memref<32x32xf32>, %m: memref<32xf32>, %l: memref<32xf32>, %c: memref<32xf32>, %rows: index, %b: memref<32xf32>) {
  weft.softmax %s, %m, %l, %c into %s rows %rows columns %rows scale 0.25 bias %b : memref<32xf32> : memref<32x32xf32>, memref<32xf32>, memref<32x32xf32> {}
  return
}

// -----

// All maxima are found before the first weight is computed. The exponential is a polynomial; with AVX-512 its argument
// and its exponent come from reduce and scalef, otherwise from integer arithmetic.
// CHECK-LABEL: func.func @softmax
// CHECK-NOT: math.exp
// CHECK: scf.for
// CHECK-NOT: scalef
// CHECK: scf.for
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.mask.reduce.ps.512"
// CHECK: scalef
// CHECK-NOT: math.exp
// CHECK-LABEL: func.func @accumulate
// CHECK-NOT: weft.{{init|load|scores|softmax|accumulate|store}}
// CHECK: vector.store
// LANES8-LABEL: func.func @softmax
// LANES8-NOT: scalef
// LANES8: arith.shli
// LANES8-NOT: scalef
// LANES8-LABEL: func.func @accumulate
func.func @softmax(%s: memref<32x32xf32>, %m: memref<32xf32>, %l: memref<32xf32>, %c: memref<32xf32>, %rows: index, %columns: index) {
  weft.softmax %s, %m, %l, %c into %s rows %rows columns %columns scale 2.500000e-01 : memref<32x32xf32>, memref<32xf32>, memref<32x32xf32> {}
  return
}
func.func @accumulate(%p: memref<32x32xf32>, %v: memref<1x32x32xf32>, %c: memref<32xf32>, %o: memref<32x32xf32>, %rows: index, %columns: index) {
  weft.accumulate %p, %v, %c into %o rows %rows columns %columns : memref<32x32xf32>, memref<1x32x32xf32>, memref<32xf32>, memref<32x32xf32>
  return
}

// -----

// A predicate is computed for 16 keys at a time; query coordinates are broadcast.
// CHECK-LABEL: func.func @masked
// CHECK-DAG: %[[Q:.*]] = vector.broadcast %{{.*}} : i32 to vector<16xi32>
// CHECK-DAG: vector.load {{.*}} : memref<4x64xi32>, vector<16xi32>
// CHECK: arith.cmpi sle, {{.*}} : vector<16xi32>
// CHECK: arith.select {{.*}} : vector<16xi1>, vector<16xf32>
// CHECK-NOT: weft.{{init|load|scores|softmax|accumulate|store}}
func.func @masked(%s: memref<32x32xf32>, %m: memref<32xf32>, %l: memref<32xf32>, %c: memref<32xf32>, %rows: index, %columns: index,
                  %tokens: memref<4x64xi32>, %first: index, %head: i32, %given: i1) {
  weft.softmax %s, %m, %l, %c into %s rows %rows columns %columns scale 2.500000e-01 tokens %tokens[%first], %tokens[%first] head %head given %given
    : memref<32x32xf32>, memref<32xf32>, memref<32x32xf32>, memref<4x64xi32>, memref<4x64xi32> {
  ^bb0(%hd: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %g: i1):
    %keep = arith.cmpi sle, %kt, %qt : i32
    weft.yield %keep : i1
  }
  return
}

// -----

// CHECK-LABEL: func.func @load_init_store
// CHECK-NOT: weft.{{init|load|scores|softmax|accumulate|store}}
// CHECK: vector.load {{.*}} vector<16xbf16>
// CHECK: arith.extf {{.*}} vector<16xbf16> to vector<16xf32>
// CHECK: vector.store
// CHECK: arith.truncf {{.*}} vector<16xf32> to vector<16xbf16>
// CHECK: scf.if
// CHECK: math.log
// CHECK-NOT: weft.{{init|load|scores|softmax|accumulate|store}}
func.func @load_init_store(%x: memref<bf16>, %stride: index, %tokens: memref<4x64xi32>, %first: index, %rows: index, %tile: memref<32x32xf32>,
                           %m: memref<32xf32>, %l: memref<32xf32>, %out: memref<bf16>, %lse: memref<f32>, %want: i1) {
  weft.load_tile %x stride %stride tokens %tokens first %first count %rows into %tile {d = 32 : i64, layout = #weft.layout<rows>}
    : memref<bf16>, memref<4x64xi32>, memref<32x32xf32>
  weft.init_tile %tile, %m, %l rows %rows : memref<32x32xf32>, memref<32xf32>
  weft.store_tile %tile, %m, %l tokens %tokens first %first count %rows to %out stride %stride lse %lse stride %stride if %want scale 2.500000e-01 {d = 32 : i64}
    : memref<32x32xf32>, memref<32xf32>, memref<4x64xi32>, memref<bf16>
  return
}
