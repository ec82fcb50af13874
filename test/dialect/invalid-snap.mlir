// RUN: weft-opt %s --split-input-file --verify-diagnostics
// Every constraint of weft.snap.

func.func @snap_c1(%q: tensor<?x2x64x32xf32>, %t: f64) {
  // expected-error@+1 {{expected [batch, heads, 60 tokens, channels], but got 'tensor<?x2x64x32xf32>'}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 2 : i64, axes = "thw"} : tensor<?x2x64x32xf32>
  return
}

// -----

func.func @snap_c2(%q: tensor<?x2x60x32xf32>, %t: f64) {
  // expected-error@+1 {{expected axes of the letters t, h and w in this order, but got 'wt'}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 2 : i64, axes = "wt"} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @snap_c2_none(%q: tensor<?x2x60x32xf32>, %t: f64) {
  // expected-error@+1 {{expected axes of the letters t, h and w in this order, but got ''}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 2 : i64, axes = ""} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @snap_c3_short(%q: tensor<?x2x60x32xf32>, %t: f64) {
  // expected-error@+1 {{expected a window from 2 to 3, the grid's extent in t, but got 1}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 1 : i64, axes = "th"} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @snap_c3_long(%q: tensor<?x2x60x32xf32>, %t: f64) {
  // expected-error@+1 {{expected a window from 2 to 4, the grid's extent in h, but got 5}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 5 : i64, axes = "hw"} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @snap_c4(%q: tensor<?x2x60x32xf32>) {
  %t = arith.constant -0.5 : f64
  // expected-error@+1 {{expected a threshold that is a finite number of at least 0, but got -5.000000e-01}}
  %s = weft.snap %q threshold %t {grid = #weft.grid<3x4x5>, window = 2 : i64, axes = "thw"} : tensor<?x2x60x32xf32>
  return
}
