// RUN: weft-opt %s --weft-simplify-masks --split-input-file --verify-diagnostics | FileCheck %s

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>

// Two predicates and the lists in one formula: one predicate remains.
func.func @merge(%q: tensor<?x2x60x32xf32>, %blocks: !weft.blocks, %radius: i32) -> tensor<?x2x60x32xf32> {
  %near = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %d = arith.subi %qt, %kt : i32
    %b = arith.cmpi sle, %d, %radius : i32
    weft.yield %b : i1
  }
  %first = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c0 = arith.constant 0 : i32
    %b = arith.cmpi eq, %kt, %c0 : i32
    weft.yield %b : i1
  }
  %given = weft.given %blocks : !mask
  %absent = weft.mask_not %given : !mask
  %or = weft.mask_or %near, %absent : !mask
  %and = weft.mask_and %or, %first : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%and : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}
// CHECK-LABEL: func.func @merge
// CHECK-SAME: %[[Q:[^:]*]]: tensor<{{[^>]*}}>, %[[BLOCKS:[^:]*]]: !weft.blocks, %[[RADIUS:[^:]*]]: i32
// CHECK-NEXT: %[[MASK:.*]] = weft.predicate given(%[[BLOCKS]])
// CHECK-NEXT: ^bb0(%{{[^,]*}}, %[[QT:[^:]*]]: i32, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %[[KT:[^:]*]]: i32, {{.*}}, %[[GIVEN:[^:]*]]: i1):
// CHECK: %[[D:.*]] = arith.subi %[[QT]], %[[KT]]
// CHECK: %[[NEAR:.*]] = arith.cmpi sle, %[[D]], %[[RADIUS]]
// CHECK: %[[ABSENT:.*]] = arith.xori %[[GIVEN]], %{{.*}} : i1
// CHECK: %[[OR:.*]] = arith.ori %[[NEAR]], %[[ABSENT]]
// CHECK: %[[FIRST:.*]] = arith.cmpi eq, %[[KT]], %{{.*}}
// CHECK: %[[AND:.*]] = arith.andi %[[OR]], %[[FIRST]]
// CHECK: weft.yield %[[AND]]
// CHECK-NOT: weft.{{mask|predicate|given}}
// CHECK: weft.attention %[[Q]], %[[Q]], %[[Q]] mask(%[[MASK]]
// CHECK-NEXT: return

// -----

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>

// x or (x and y) is x; y is erased.
// CHECK-LABEL: func.func @absorb
// CHECK-NEXT: %[[MASK:.*]] = weft.given %{{.*}}
// CHECK-NEXT: weft.attention {{.*}} mask(%[[MASK]]
func.func @absorb(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks) -> tensor<?x2x60x32xf32> {
  %given = weft.given %x : !mask
  %y = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    weft.yield %qx : i1
  }
  %and = weft.mask_and %given, %y : !mask
  %or = weft.mask_or %given, %and : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%or : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// (y and x) and x is y and x: the outer op goes, the inner one is merged.
// CHECK-LABEL: func.func @repeat
// CHECK: weft.predicate given(
// CHECK: %[[B:.*]] = arith.andi
// CHECK-NEXT: weft.yield %[[B]]
func.func @repeat(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks) -> tensor<?x2x60x32xf32> {
  %given = weft.given %x : !mask
  %y = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    weft.yield %qx : i1
  }
  %inner = weft.mask_and %y, %given : !mask
  %outer = weft.mask_and %inner, %given : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%outer : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// x or not x are all pairs: no mask is left.
// CHECK-LABEL: func.func @all
// CHECK-NEXT: weft.attention %{{[^ ]*}}, %{{[^ ]*}}, %{{[^ ]*}} {
func.func @all(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks) -> tensor<?x2x60x32xf32> {
  %given = weft.given %x : !mask
  %absent = weft.mask_not %given : !mask
  %or = weft.mask_or %absent, %given : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%or : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// x and not x is no pair.
// CHECK-LABEL: func.func @none
// CHECK-NEXT: %[[NONE:.*]] = weft.constant_mask false
// CHECK-NEXT: weft.attention {{.*}} mask(%[[NONE]]
func.func @none(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks) -> tensor<?x2x60x32xf32> {
  %given = weft.given %x : !mask
  %absent = weft.mask_not %given : !mask
  %and = weft.mask_and %given, %absent : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%and : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// A mask that another op uses stays where it is.
// CHECK-LABEL: func.func @shared
// CHECK: %[[GIVEN:.*]] = weft.given
// CHECK: weft.predicate given(
// CHECK: weft.attention
// CHECK: return {{.*}}, %[[GIVEN]]
func.func @shared(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks) -> (tensor<?x2x60x32xf32>, !mask) {
  %given = weft.given %x : !mask
  %absent = weft.mask_not %given : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%absent : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o, %given : tensor<?x2x60x32xf32>, !mask
}

// -----

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>

func.func @two_lists(%q: tensor<?x2x60x32xf32>, %x: !weft.blocks, %y: !weft.blocks) -> tensor<?x2x60x32xf32> {
  %a = weft.given %x : !mask
  %b = weft.given %y : !mask
  %or = weft.mask_or %a, %b : !mask
  // expected-error @+1 {{expected at most one given list in a mask, but got 2}}
  %o, %lse = weft.attention %q, %q, %q mask(%or : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// -----

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>

func.func @argument(%q: tensor<?x2x60x32xf32>, %a: !mask, %b: !mask) -> tensor<?x2x60x32xf32> {
  %or = weft.mask_or %a, %b : !mask
  // expected-error @+1 {{expected a mask that ops define, but got an argument}}
  %o, %lse = weft.attention %q, %q, %q mask(%or : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}

// -----

#g = #weft.grid<3x4x5>
!mask = !weft.mask<query = #g, key = #g>

func.func private @other() -> !mask
func.func @called(%q: tensor<?x2x60x32xf32>) -> tensor<?x2x60x32xf32> {
  %a = func.call @other() : () -> !mask
  %or = weft.mask_not %a : !mask
  // expected-error @+1 {{expected a mask of mask ops, but got func.call}}
  %o, %lse = weft.attention %q, %q, %q mask(%or : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return %o : tensor<?x2x60x32xf32>
}
