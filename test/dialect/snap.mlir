// RUN: weft-opt %s | weft-opt | FileCheck %s
// RUN: weft-opt %s -canonicalize | FileCheck %s --check-prefix=FOLD
// weft.snap reads back as it was written; a constant threshold of 0 folds.

!tokens = tensor<?x2x66x32xbf16>
#g = #weft.grid<3x4x5, text = 6>

// CHECK-LABEL: func.func @snap
func.func @snap(%q: !tokens, %t: f64) -> (!tokens, !tokens) {
  // CHECK: weft.snap %{{.*}} threshold %{{.*}} {axes = "thw", grid = #grid, window = 2 : i64} : tensor<?x2x66x32xbf16>
  %a = weft.snap %q threshold %t {grid = #g, window = 2 : i64, axes = "thw"} : !tokens
  // CHECK: weft.snap %{{.*}} threshold %{{.*}} {axes = "hw", grid = #grid, whole, window = 4 : i64} : tensor<?x2x66x32xbf16>
  %b = weft.snap %q threshold %t {grid = #g, window = 4 : i64, axes = "hw", whole} : !tokens
  return %a, %b : !tokens, !tokens
}

// FOLD-LABEL: func.func @exact
// FOLD-SAME: (%[[Q:.*]]: tensor<?x2x66x32xbf16>)
func.func @exact(%q: !tokens) -> (!tokens, !tokens) {
  // FOLD: %[[S:.*]] = weft.snap %[[Q]]
  // FOLD-NEXT: return %[[Q]], %[[S]]
  %zero = arith.constant 0.0 : f64
  %half = arith.constant 0.5 : f64
  %a = weft.snap %q threshold %zero {grid = #g, window = 2 : i64, axes = "t"} : !tokens
  %b = weft.snap %q threshold %half {grid = #g, window = 2 : i64, axes = "t"} : !tokens
  return %a, %b : !tokens, !tokens
}
