// RUN: weft-opt %s --split-input-file --verify-diagnostics
// Every constraint of the ops that select rows.

func.func @importance_c1_lse(%l: tensor<?x2x60x1xf32>, %d: tensor<?x60xf32>, %a: tensor<?x60xi32>, %w: f64) {
  // expected-error@+1 {{expected lse as [batch, heads, tokens], but got 'tensor<?x2x60x1xf32>'}}
  %s = weft.importance %l drift %d age %a weight %w : tensor<?x2x60x1xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
  return
}

// -----

func.func @importance_c1_drift(%l: tensor<?x2x60xf32>, %d: tensor<?x1x60xf32>, %a: tensor<?x60xi32>, %w: f64) {
  // expected-error@+1 {{expected drift as [batch, tokens], but got 'tensor<?x1x60xf32>'}}
  %s = weft.importance %l drift %d age %a weight %w : tensor<?x2x60xf32>, tensor<?x1x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
  return
}

// -----

func.func @importance_c1_age(%l: tensor<?x2x60xf32>, %d: tensor<?x60xf32>, %a: tensor<?x59xi32>, %w: f64) {
  // expected-error@+1 {{expected ages with the batch and tokens of 'tensor<?x2x60xf32>', but got 'tensor<?x59xi32>'}}
  %s = weft.importance %l drift %d age %a weight %w : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x59xi32> -> tensor<?x60xf64>
  return
}

// -----

func.func @importance_c1_result(%l: tensor<?x2x60xf32>, %d: tensor<?x60xf32>, %a: tensor<?x60xi32>, %w: f64) {
  // expected-error@+1 {{expected an importance with the batch and tokens of 'tensor<?x2x60xf32>', but got 'tensor<3x60xf64>'}}
  %s = weft.importance %l drift %d age %a weight %w : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<3x60xf64>
  return
}

// -----

func.func @importance_c2(%l: tensor<?x2x60xf32>, %d: tensor<?x60xf32>, %a: tensor<?x60xi32>) {
  %w = arith.constant -0.5 : f64
  // expected-error@+1 {{expected a weight that is a finite number of at least 0, but got -5.000000e-01}}
  %s = weft.importance %l drift %d age %a weight %w : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
  return
}

// -----

func.func @select_rows_c1_rank(%s: tensor<?x1x60xf64>, %k: f64) {
  // expected-error@+1 {{expected an importance as [batch, tokens], but got 'tensor<?x1x60xf64>'}}
  %r = weft.select_rows %s keep %k : tensor<?x1x60xf64>
  return
}

// -----

func.func @select_rows_c1_min(%s: tensor<?x60xf64>, %k: f64) {
  // expected-error@+1 {{expected a min of at least 0, but got -1}}
  %r = weft.select_rows %s keep %k {min = -1 : i64} : tensor<?x60xf64>
  return
}

// -----

func.func @select_rows_c2(%s: tensor<?x60xf64>) {
  %k = arith.constant 1.5 : f64
  // expected-error@+1 {{expected a number from 0 to 1, but got 1.500000e+00}}
  %r = weft.select_rows %s keep %k : tensor<?x60xf64>
  return
}

// -----

func.func @select_rows_c3_order(%s: tensor<?x60xf64>, %k: f64) {
  // expected-error@+1 {{expected tokens to select always that ascend from 0 to 59, but got 5 after 5}}
  %r = weft.select_rows %s keep %k {always = array<i32: 5, 5>} : tensor<?x60xf64>
  return
}

// -----

func.func @select_rows_c3_range(%s: tensor<?x60xf64>, %k: f64) {
  // expected-error@+1 {{expected tokens to select always that ascend from 0 to 59, but got 60 after 7}}
  %r = weft.select_rows %s keep %k {always = array<i32: 7, 60>} : tensor<?x60xf64>
  return
}

// -----

func.func @advance_age_c1(%a: tensor<60xi32>, %r: !weft.rows) {
  // expected-error@+1 {{expected ages as [batch, tokens], but got 'tensor<60xi32>'}}
  %b = weft.advance_age %a rows %r : tensor<60xi32>
  return
}
