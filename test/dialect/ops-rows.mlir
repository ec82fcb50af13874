// RUN: weft-opt %s | FileCheck %s
// RUN: weft-opt %s | weft-opt | FileCheck %s
// RUN: weft-opt %s --mlir-print-op-generic | weft-opt | FileCheck %s
// Ops that select rows parse, print and parse again; what is a default is not printed.

// CHECK-LABEL: func.func @select_rows
// CHECK-SAME: (%[[LSE:.*]]: tensor<?x2x60xf32>, %[[DRIFT:.*]]: tensor<?x60xf32>, %[[AGE:.*]]: tensor<?x60xi32>, %[[X:.*]]: f64)
func.func @select_rows(%lse: tensor<?x2x60xf32>, %drift: tensor<?x60xf32>, %age: tensor<?x60xi32>, %x: f64)
    -> (tensor<?x60xi32>, tensor<?x60xi32>) {
  // CHECK: %[[S:.*]] = weft.importance %[[LSE]] drift %[[DRIFT]] age %[[AGE]] weight %[[X]] : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
  %s = weft.importance %lse drift %drift age %age weight %x
      : tensor<?x2x60xf32>, tensor<?x60xf32>, tensor<?x60xi32> -> tensor<?x60xf64>
  // CHECK: %[[R:.*]] = weft.select_rows %[[S]] keep %[[X]] : tensor<?x60xf64>
  %r = weft.select_rows %s keep %x : tensor<?x60xf64>
  // CHECK: %[[MORE:.*]] = weft.select_rows %[[S]] keep %[[X]] {always = array<i32: 0, 59>, min = 3 : i64} : tensor<?x60xf64>
  %more = weft.select_rows %s keep %x {min = 3 : i64, always = array<i32: 0, 59>} : tensor<?x60xf64>
  // CHECK: weft.advance_age %[[AGE]] rows %[[R]] : tensor<?x60xi32>
  %a = weft.advance_age %age rows %r : tensor<?x60xi32>
  // CHECK: weft.advance_age %[[AGE]] rows %[[MORE]] : tensor<?x60xi32>
  %b = weft.advance_age %age rows %more : tensor<?x60xi32>
  return %a, %b : tensor<?x60xi32>, tensor<?x60xi32>
}
