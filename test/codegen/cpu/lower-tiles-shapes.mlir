// RUN: weft-opt %s --weft-cpu-lower-tiles --split-input-file --verify-diagnostics
// Tiles that whole vectors and register tiles would leave.

func.func @width(%o: memref<96x30xf32>, %m: memref<96xf32>, %rows: index) {
  // expected-error @+1 {{expected a multiple of 32 rows and of 16 columns, but got 'memref<96x30xf32>'}}
  weft.init_tile %o, %m, %m rows %rows : memref<96x30xf32>, memref<96xf32>
  return
}

// -----

func.func @rows(%s: memref<26x32xf32>, %m: memref<26xf32>, %i: index) {
  // expected-error @+1 {{expected a multiple of 4 rows and of 32 columns, but got 'memref<26x32xf32>'}}
  weft.softmax %s, %m, %m, %m into %s rows %i columns %i scale 1.0 : memref<26x32xf32>, memref<26xf32>, memref<26x32xf32> {}
  return
}

// -----

func.func @dynamic(%o: memref<?x32xf32>, %m: memref<?xf32>, %rows: index) {
  // expected-error @+1 {{expected tiles of static shape, but got 'memref<?x32xf32>'}}
  weft.init_tile %o, %m, %m rows %rows : memref<?x32xf32>, memref<?xf32>
  return
}

// -----

func.func @panels(%q: memref<32x32xf32>, %k: memref<2x32x16xf32>, %s: memref<32x32xf32>, %i: index) {
  // expected-error @+1 {{expected panels of 32 numbers, but got 'memref<2x32x16xf32>'}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xf32>, memref<2x32x16xf32>, memref<32x32xf32>
  return
}

// -----

func.func @pairs(%p: memref<32x32xbf16>, %v: memref<1x16x32xbf16>, %c: memref<32xf32>, %o: memref<32x16xf32>, %i: index) {
  // expected-error @+1 {{expected panels of 64 numbers, but got 'memref<1x16x32xbf16>'}}
  weft.accumulate %p, %v, %c into %o rows %i columns %i : memref<32x32xbf16>, memref<1x16x32xbf16>, memref<32xf32>, memref<32x16xf32>
  return
}
