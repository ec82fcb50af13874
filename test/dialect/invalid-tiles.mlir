// RUN: weft-opt %s --split-input-file --verify-diagnostics
// Every constraint of a tile step has a case that breaks it alone.

func.func @load_tile_c1(%x: memref<f32>, %table: memref<3x64xi32>, %tile: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected a table of 4 rows, but got 'memref<3x64xi32>'}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 32 : i64, layout = #weft.layout<rows>}
    : memref<f32>, memref<3x64xi32>, memref<32x32xf32>
  return
}

// -----

func.func @load_tile_c2_multiple(%x: memref<f32>, %table: memref<4x64xi32>, %tile: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected d to be a multiple of 8 that the tile holds, but got 12 for 'memref<32x32xf32>'}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 12 : i64, layout = #weft.layout<rows>}
    : memref<f32>, memref<4x64xi32>, memref<32x32xf32>
  return
}

// -----

func.func @load_tile_c2_rows(%x: memref<f32>, %table: memref<4x64xi32>, %tile: memref<64x32xf32>, %i: index) {
  // expected-error@+1 {{expected d to be a multiple of 8 that the tile holds, but got 40}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 40 : i64, layout = #weft.layout<rows>}
    : memref<f32>, memref<4x64xi32>, memref<64x32xf32>
  return
}

// -----

func.func @load_tile_c2_keys(%x: memref<bf16>, %table: memref<4x64xi32>, %tile: memref<2x16x64xbf16>, %i: index) {
  // expected-error@+1 {{expected d to be a multiple of 8 that the tile holds, but got 40}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 40 : i64, layout = #weft.layout<key_pairs>}
    : memref<bf16>, memref<4x64xi32>, memref<2x16x64xbf16>
  return
}

// -----

func.func @load_tile_c2_values(%x: memref<bf16>, %table: memref<4x64xi32>, %tile: memref<2x16x64xbf16>, %i: index) {
  // expected-error@+1 {{expected d to be a multiple of 8 that the tile holds, but got 72}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 72 : i64, layout = #weft.layout<value_pairs>}
    : memref<bf16>, memref<4x64xi32>, memref<2x16x64xbf16>
  return
}

// -----

func.func @load_tile_c2_rank(%x: memref<f32>, %table: memref<4x64xi32>, %tile: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected d to be a multiple of 8 that the tile holds, but got 32 for 'memref<32x32xf32>'}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 32 : i64, layout = #weft.layout<key_panels>}
    : memref<f32>, memref<4x64xi32>, memref<32x32xf32>
  return
}

// -----

func.func @load_tile_c3(%x: memref<f16>, %table: memref<4x64xi32>, %tile: memref<32x32xbf16>, %i: index) {
  // expected-error@+1 {{expected an f32 tile, or bf16 from bf16, but got 'memref<32x32xbf16>' from 'memref<f16>'}}
  weft.load_tile %x stride %i tokens %table first %i count %i into %tile {d = 32 : i64, layout = #weft.layout<rows>}
    : memref<f16>, memref<4x64xi32>, memref<32x32xbf16>
  return
}

// -----

func.func @init_tile_c1(%o: memref<32x32xf32>, %m: memref<16xf32>, %rows: index) {
  // expected-error@+1 {{expected an f32 tile with the rows of 'memref<16xf32>', but got 'memref<32x32xf32>'}}
  weft.init_tile %o, %m, %m rows %rows : memref<32x32xf32>, memref<16xf32>
  return
}

// -----

func.func @scores_c1_operands(%q: memref<32x32xf32>, %k: memref<1x16x64xbf16>, %s: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected two operands of one element type and a result in f32}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xf32>, memref<1x16x64xbf16>, memref<32x32xf32>
  return
}

// -----

func.func @scores_c1_result(%q: memref<32x32xbf16>, %k: memref<1x16x64xbf16>, %s: memref<32x32xbf16>, %i: index) {
  // expected-error@+1 {{expected two operands of one element type and a result in f32}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xbf16>, memref<1x16x64xbf16>, memref<32x32xbf16>
  return
}

// -----

func.func @scores_c2_depth(%q: memref<32x32xf32>, %k: memref<1x40x32xf32>, %s: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected the shapes of a product}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xf32>, memref<1x40x32xf32>, memref<32x32xf32>
  return
}

// -----

func.func @scores_c2_panels(%q: memref<32x32xf32>, %k: memref<2x32x32xf32>, %s: memref<32x96xf32>, %i: index) {
  // expected-error@+1 {{expected the shapes of a product}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xf32>, memref<2x32x32xf32>, memref<32x96xf32>
  return
}

// -----

func.func @scores_c2_rank(%q: memref<32x32xf32>, %k: memref<32x32xf32>, %s: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected the shapes of a product}}
  weft.scores %q, %k into %s rows %i columns %i : memref<32x32xf32>, memref<32x32xf32>, memref<32x32xf32>
  return
}

// -----

func.func @softmax_c1_rows(%s: memref<32x32xf32>, %m: memref<16xf32>, %i: index) {
  // expected-error@+1 {{expected an f32 tile with the rows of 'memref<16xf32>'}}
  weft.softmax %s, %m, %m, %m into %s rows %i columns %i scale 1.0 : memref<32x32xf32>, memref<16xf32>, memref<32x32xf32> {}
  return
}

// -----

func.func @softmax_c1_weights(%s: memref<32x32xf32>, %p: memref<32x64xf32>, %m: memref<32xf32>, %i: index) {
  // expected-error@+1 {{expected weights in the shape of the scores}}
  weft.softmax %s, %m, %m, %m into %p rows %i columns %i scale 1.0 : memref<32x32xf32>, memref<32xf32>, memref<32x64xf32> {}
  return
}

// -----

func.func @softmax_c2(%s: memref<32x32xf32>, %m: memref<32xf32>, %table: memref<4x64xi32>, %i: index, %head: i32, %given: i1) {
  // expected-error@+1 {{expected a predicate region if and only if coordinates are named}}
  weft.softmax %s, %m, %m, %m into %s rows %i columns %i scale 1.0 tokens %table[%i], %table[%i] head %head given %given
    : memref<32x32xf32>, memref<32xf32>, memref<32x32xf32>, memref<4x64xi32>, memref<4x64xi32> {}
  return
}

// -----

func.func @softmax_c3(%s: memref<32x32xf32>, %m: memref<32xf32>, %i: index) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got 0}}
  weft.softmax %s, %m, %m, %m into %s rows %i columns %i scale 0.0 : memref<32x32xf32>, memref<32xf32>, memref<32x32xf32> {}
  return
}

// -----

func.func @softmax_c4(%s: memref<32x64xf32>, %m: memref<32xf32>, %b: memref<32xf32>, %i: index) {
  // expected-error@+1 {{expected a bias for the columns of 'memref<32x64xf32>', but got 'memref<32xf32>'}}
  weft.softmax %s, %m, %m, %m into %s rows %i columns %i scale 1.0 bias %b : memref<32xf32> : memref<32x64xf32>, memref<32xf32>, memref<32x64xf32> {}
  return
}

// -----

func.func @accumulate_c1(%p: memref<32x32xbf16>, %v: memref<1x32x32xf32>, %c: memref<32xf32>, %o: memref<32x32xf32>, %i: index) {
  // expected-error@+1 {{expected two operands of one element type and a result in f32}}
  weft.accumulate %p, %v, %c into %o rows %i columns %i : memref<32x32xbf16>, memref<1x32x32xf32>, memref<32xf32>, memref<32x32xf32>
  return
}

// -----

func.func @accumulate_c2(%p: memref<32x32xf32>, %v: memref<1x32x32xf32>, %c: memref<32xf32>, %o: memref<32x64xf32>, %i: index) {
  // expected-error@+1 {{expected the shapes of a product}}
  weft.accumulate %p, %v, %c into %o rows %i columns %i : memref<32x32xf32>, memref<1x32x32xf32>, memref<32xf32>, memref<32x64xf32>
  return
}

// -----

func.func @store_tile_c1(%o: memref<32x32xf32>, %m: memref<32xf32>, %table: memref<5x64xi32>, %x: memref<f32>, %lse: memref<f32>, %i: index, %want: i1) {
  // expected-error@+1 {{expected a table of 4 rows}}
  weft.store_tile %o, %m, %m tokens %table first %i count %i to %x stride %i lse %lse stride %i if %want scale 1.0 {d = 32 : i64}
    : memref<32x32xf32>, memref<32xf32>, memref<5x64xi32>, memref<f32>
  return
}

// -----

func.func @store_tile_c2(%o: memref<32x32xf32>, %m: memref<32xf32>, %table: memref<4x64xi32>, %x: memref<f32>, %lse: memref<f32>, %i: index, %want: i1) {
  // expected-error@+1 {{expected an accumulator at least d wide, but got 'memref<32x32xf32>' for d = 40}}
  weft.store_tile %o, %m, %m tokens %table first %i count %i to %x stride %i lse %lse stride %i if %want scale 1.0 {d = 40 : i64}
    : memref<32x32xf32>, memref<32xf32>, memref<4x64xi32>, memref<f32>
  return
}

// -----

func.func @store_tile_c3(%o: memref<32x32xf32>, %m: memref<32xf32>, %table: memref<4x64xi32>, %x: memref<f32>, %lse: memref<f32>, %i: index, %want: i1) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got -1}}
  weft.store_tile %o, %m, %m tokens %table first %i count %i to %x stride %i lse %lse stride %i if %want scale -1.0 {d = 32 : i64}
    : memref<32x32xf32>, memref<32xf32>, memref<4x64xi32>, memref<f32>
  return
}

// -----

func.func @mean_row_c1(%source: memref<f32>, %table: memref<3x512xi32>, %i: index, %mean: memref<64xf32>) {
  // expected-error@+1 {{expected a table of 4 rows, but got 'memref<3x512xi32>'}}
  weft.mean_row %source stride %i tokens %table first %i count %i into %mean : memref<f32>, memref<3x512xi32>, memref<64xf32>
  return
}

// -----

func.func @mean_row_c2(%source: memref<f32>, %table: memref<4x512xi32>, %i: index, %mean: memref<60xf32>) {
  // expected-error@+1 {{expected a multiple of 8 channels, but got 'memref<60xf32>'}}
  weft.mean_row %source stride %i tokens %table first %i count %i into %mean : memref<f32>, memref<4x512xi32>, memref<60xf32>
  return
}

// -----

func.func @score_row_c1(%q: memref<64xf32>, %k: memref<9x32xf32>, %s: memref<12xf32>) {
  // expected-error@+1 {{expected query and keys of the same multiple of 8 channels, but got}}
  weft.score_row %q, %k into %s {scale = 1.0 : f64} : memref<64xf32>, memref<9x32xf32>, memref<12xf32>
  return
}

// -----

func.func @score_row_c2(%q: memref<64xf32>, %k: memref<9x64xf32>, %s: memref<9xf32>) {
  // expected-error@+1 {{expected 12 scores for 'memref<9x64xf32>', but got 'memref<9xf32>'}}
  weft.score_row %q, %k into %s {scale = 1.0 : f64} : memref<64xf32>, memref<9x64xf32>, memref<9xf32>
  return
}

// -----

func.func @score_row_c3(%q: memref<64xf32>, %k: memref<9x64xf32>, %s: memref<12xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got -1}}
  weft.score_row %q, %k into %s {scale = -1.0 : f64} : memref<64xf32>, memref<9x64xf32>, memref<12xf32>
  return
}
