// RUN: weft-opt %s --weft-form-online-softmax --split-input-file --verify-diagnostics | FileCheck %s
// The functions that measure recalls, what the runtime is told, and recognitions that belong to other heads.

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
!mask = !weft.mask<query = #g, key = #g>

// The second candidate is all pairs, the third has no probe.
// CHECK: module attributes {weft.image = {{{.*}}recognition = {candidates = 3 : i64, columns = 32 : i64, fallback, parameter = 1 : i64, probes = [{candidates = [0, 1], probe = "local"}], rows = 32 : i64, scale = 1.000000e+00 : f64, scratch_bytes = {{[0-9]+}} : i64}
// CHECK-LABEL: func.func @a.recall_local(
// CHECK-SAME: %[[Q:[a-z0-9]*]]: memref<f32> {{.*}}, %[[STRIDE:[a-z0-9]*]]: index, %[[TABLE:[a-z0-9]*]]: memref<4x64xi32> {{{.*}}}, %[[FIRST:[a-z0-9]*]]: index, %[[COUNT:[a-z0-9]*]]: index, %{{[a-z0-9]*}}: memref<3xi32> {{{.*}}}, %{{[a-z0-9]*}}: memref<2x1x32x32xf32> {{{.*}}}, %[[HEAD:[a-z0-9]*]]: i32, %{{[a-z0-9]*}}: memref<{{[0-9]+}}xi8> {{{.*}}}, %{{[a-z0-9]*}}: memref<3x2x32xf32> {{{.*}}}, %[[RADIUS:[a-z0-9]*]]: i32, %{{[a-z0-9]*}}: f64)
// CHECK: weft.load_tile %[[Q]] stride %[[STRIDE]] tokens %[[TABLE]] first %[[FIRST]] count %[[COUNT]]
// CHECK-COUNT-3: weft.init_tile
// CHECK: weft.scores
// CHECK-NEXT: memref.subview
// CHECK: weft.softmax {{.*}} {
// CHECK-NEXT: }
// CHECK: weft.softmax {{.*}} tokens %[[TABLE]]{{.*}} head %[[HEAD]]
// CHECK: arith.cmpi sle, %{{.*}}, %[[RADIUS]] : i32
// CHECK: weft.scores
// CHECK: weft.softmax {{.*}} {
// CHECK-NEXT: }
// CHECK-NOT: @a.recall_global
// CHECK-LABEL: func.func @a.attend(
// CHECK-SAME: %[[PARAMETER:[a-z0-9]*]]: i32, %{{[a-z0-9]*}}: f64, %[[CHOICE:[a-z0-9]*]]: i32)
// CHECK: weft.softmax {{.*}} tokens
// CHECK: arith.cmpi eq, %[[CHOICE]], %{{.*}} : i32
func.func @a(%q: !tokens, %k: !tokens, %v: !tokens, %radius: i32, %bound: f64) -> (!tokens, tensor<?x2x64xf32>) {
  %near = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %d = arith.subi %qh, %kh : i32
    %in = arith.cmpi sle, %d, %radius : i32
    weft.yield %in : i1
  }
  %all = weft.constant_mask true : !mask
  %r0 = weft.recall %q, %k mask(%near : !mask) probe local {scale = 1.0 : f64} : !tokens, !tokens -> tensor<?x2xf32>
  %r1 = weft.recall %q, %k mask(%all : !mask) probe local {scale = 1.0 : f64} : !tokens, !tokens -> tensor<?x2xf32>
  %choice = weft.choose %r0, %r1 bound %bound fallback : tensor<?x2xf32>, tensor<?x2xf32>
  %o, %lse = weft.block_attention %q, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64, scale = 1.0 : f64, folded}
      : !tokens, !tokens -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %one = arith.constant 1 : i32
    %in = arith.cmpi eq, %choice, %one : i32
    weft.yield %in : i1
  }
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
!mask = !weft.mask<query = #g, key = #g>
func.func @other_scale(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x2x64xf32>) {
  %all = weft.constant_mask true : !mask
  %r = weft.recall %q, %k mask(%all : !mask) probe local {scale = 2.0 : f64} : !tokens, !tokens -> tensor<?x2xf32>
  %choice = weft.choose %r, %r : tensor<?x2xf32>, tensor<?x2xf32>
  // expected-error@+1 {{expected recalls of its own queries and keys, with its scale}}
  %o, %lse = weft.block_attention %q, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64, scale = 1.0 : f64, folded}
      : !tokens, !tokens -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %in = arith.cmpi eq, %choice, %kh : i32
    weft.yield %in : i1
  }
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
!mask = !weft.mask<query = #g, key = #g>
func.func @two_choices(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x2x64xf32>) {
  %all = weft.constant_mask true : !mask
  %r = weft.recall %q, %k mask(%all : !mask) probe local {scale = 1.0 : f64} : !tokens, !tokens -> tensor<?x2xf32>
  %choice = weft.choose %r, %r : tensor<?x2xf32>, tensor<?x2xf32>
  %other = weft.choose %r, %r, %r : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>
  // expected-error@+1 {{expected at most one choice in a mask, but got 2}}
  %o, %lse = weft.block_attention %q, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64, scale = 1.0 : f64, folded}
      : !tokens, !tokens -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %in = arith.cmpi eq, %choice, %other : i32
    weft.yield %in : i1
  }
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}

// -----

!tokens = tensor<?x2x64x32xf32>
#g = #weft.grid<1x8x8>
#r = #weft.order<raster>
!mask = !weft.mask<query = #g, key = #g>
func.func @two_masks(%q: !tokens, %k: !tokens, %v: !tokens) -> (!tokens, tensor<?x2x64xf32>) {
  %all = weft.constant_mask true : !mask
  %not = weft.mask_not %all : !mask
  // expected-error@+1 {{expected a candidate that is one predicate without block lists and choices}}
  %r = weft.recall %q, %k mask(%not : !mask) probe local {scale = 1.0 : f64} : !tokens, !tokens -> tensor<?x2xf32>
  %choice = weft.choose %r, %r : tensor<?x2xf32>, tensor<?x2xf32>
  %o, %lse = weft.block_attention %q, %k, %v {query_grid = #g, key_grid = #g, query_order = #r, key_order = #r, block = 32 : i64, scale = 1.0 : f64, folded}
      : !tokens, !tokens -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %in = arith.cmpi eq, %choice, %kh : i32
    weft.yield %in : i1
  }
  return %o, %lse : !tokens, tensor<?x2x64xf32>
}
