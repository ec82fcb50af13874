// RUN: weft-opt %s --weft-form-online-softmax --split-input-file --verify-diagnostics | FileCheck %s
// RUN: not weft-opt %s --weft-form-online-softmax=row-group=48 --split-input-file 2>&1 | FileCheck %s --check-prefix=GROUP
// GROUP: error: {{.*}}expected a row group that is a multiple of 32, but got 48
// RUN: weft-opt %s --weft-form-online-softmax=pairs --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=PAIRS
// RUN: not weft-opt %s --weft-form-online-softmax=depth-granule=2048 --split-input-file 2>&1 | FileCheck %s --check-prefix=DEEP
// DEEP: expected a depth granule that is a multiple of 8 from 8 to 1024, but got 2048

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 3]]> : tensor<1x3xi32>, entries = dense<[0, 0, 3]> : tensor<3xi32>>

func.func @masked(%q: tensor<?x2x64x32xbf16>, %k: tensor<?x2x64x32xbf16>, %v: tensor<?x2x64x32xbf16>,
                  %radius: i32 {weft.name = "radius", weft.default = 1 : i32}) -> (tensor<?x2x64x32xbf16>, tensor<?x2x64xf32>)
                  attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64}
    : tensor<?x2x64x32xbf16>, tensor<?x2x64x32xbf16> -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %radius : i32
    weft.yield %b : i1
  }
  return %o, %lse : tensor<?x2x64x32xbf16>, tensor<?x2x64xf32>
}

// What the runtime must know.
// CHECK: weft.image = {block = 32 : i64, dtype = bf16, given = false, head_dim = 32 : i64, heads = 2 : i64,
// CHECK-SAME: key_tile_bytes = 4096 : i64, name = "masked", parameters = [{type = i32, weft.default = 1 : i32, weft.name = "radius"}]
// CHECK-SAME: scratch_bytes = {{[0-9]+}} : i64, value_tile_bytes = 4096 : i64
// PAIRS: key_tile_bytes = 2048 : i64
// PAIRS-SAME: value_tile_bytes = 2048 : i64

// CHECK-LABEL: func.func @masked.pack
// CHECK: weft.load_tile {{.*}}layout = #weft.layout<key_panels>{{.*}}memref<1x32x32xf32>
// CHECK-NEXT: weft.load_tile {{.*}}layout = #weft.layout<value_panels>{{.*}}memref<1x32x32xf32>
// CHECK-NEXT: return
// PAIRS-LABEL: func.func @masked.pack
// PAIRS: weft.load_tile {{.*}}layout = #weft.layout<key_pairs>{{.*}}memref<1x16x64xbf16>
// PAIRS-NEXT: weft.load_tile {{.*}}layout = #weft.layout<value_pairs>{{.*}}memref<1x16x64xbf16>

// The steps of one query block, with two branches for the softmax; the parameter is the last argument.
// CHECK-LABEL: func.func @masked.attend
// CHECK-SAME: %[[RADIUS:[^ ]*]]: i32) {
// CHECK: weft.load_tile {{.*}}layout = #weft.layout<rows>
// CHECK: weft.init_tile
// CHECK: scf.for
// CHECK: %[[ENTRY:.*]] = memref.load
// CHECK: arith.shrui %[[ENTRY]]
// CHECK: scf.for %[[ROW:.*]] = %{{.*}} to %{{.*}} step
// CHECK: memref.subview %{{.*}}[%[[ROW]], 0] [32, 32] [1, 1]
// CHECK: weft.scores {{.*}} ahead
// CHECK: %[[BIT:.*]] = arith.andi %[[ENTRY]]
// CHECK: %[[PARTIAL:.*]] = arith.cmpi ne, %[[BIT]]
// CHECK: scf.if %[[PARTIAL]] {
// CHECK: weft.softmax {{.*}} tokens
// CHECK-NEXT: ^bb0(
// CHECK-NEXT: %[[KEEP:.*]] = arith.cmpi sle, %{{.*}}, %[[RADIUS]]
// CHECK-NEXT: weft.yield %[[KEEP]]
// CHECK: } else {
// CHECK-NEXT: weft.softmax
// CHECK-NOT: tokens
// CHECK-NOT: weft.yield
// CHECK: weft.accumulate {{.*}} ahead
// CHECK: weft.store_tile
// CHECK-NEXT: return
// CHECK-NOT: weft.block_attention

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

// Each key block has its tile of the packed bias, and biased scores are scaled already. Rows are the runtime's work: the
// functions know nothing of them.
// CHECK: weft.image = {bias, bias_tile_bytes = 128 : i64, block = 32 : i64,
// CHECK-SAME: rows, scratch_bytes
// CHECK-LABEL: func.func @biased.attend
// CHECK-SAME: memref<2x32xf32> {llvm.noalias}, %{{[^ ]*}}: memref<4xi32>
// CHECK: %[[BIAS:.*]] = memref.subview %{{.*}} [1, 32] [1, 1] : memref<2x32xf32> to memref<32xf32,
// CHECK: weft.softmax {{.*}} scale 2.500000e-01 bias %[[BIAS]] :
// CHECK: weft.store_tile {{.*}} scale 1.000000e+00
// CHECK-NOT: weft.rows
func.func @biased(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %b: tensor<?x?x64xf32>,
                  %o: tensor<?x2x64x32xf32>, %l: tensor<?x2x64xf32>, %rows: !weft.rows) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %out, %lse = weft.block_attention %q, %k, %v bias(%b : tensor<?x?x64xf32>) rows %rows into(%o, %l : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %out, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @computed_bias(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %b: tensor<?x?x64xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %n = arith.negf %b : tensor<?x?x64xf32>
  // expected-error @+1 {{i1, i32, f64, !weft.blocks and what the op names, but got 'tensor<?x?x64xf32>' as argument 3}}
  %o, %lse = weft.block_attention %q, %k, %v bias(%n : tensor<?x?x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @constant_bias(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %n = arith.constant dense<1.0> : tensor<1x1x64xf32>
  // expected-error @+1 {{expected arguments of the function as bias, rows, what these are written into and what they are selected by}}
  %o, %lse = weft.block_attention %q, %k, %v bias(%n : tensor<1x1x64xf32>)
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

// Full blocks only: one softmax without a branch, in f32 whether pairs are wanted or not.
func.func @full(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}
// CHECK: lists = [#
// CHECK-LABEL: func.func @full.attend
// CHECK-NOT: scf.if
// CHECK: weft.softmax
// CHECK-NOT: scf.if
// CHECK: weft.store_tile
// PAIRS-LABEL: func.func @full.pack
// PAIRS: layout = #weft.layout<key_panels>

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>

// What the predicate uses is computed beside it, from the function's own parameters.
// CHECK-LABEL: func.func @computed.attend
// CHECK-SAME: %[[RADIUS:[^ ]*]]: i32) {
// CHECK: weft.softmax {{.*}} tokens
// CHECK-NEXT: ^bb0(
// CHECK-NEXT: %[[ONE:.*]] = arith.constant 1
// CHECK-NEXT: %[[MORE:.*]] = arith.addi %[[RADIUS]], %[[ONE]]
// CHECK-NEXT: %[[TWICE:.*]] = arith.muli %[[MORE]], %[[RADIUS]]
// CHECK-NEXT: arith.cmpi sle, %{{.*}}, %[[TWICE]]
func.func @computed(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %radius: i32) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %one = arith.constant 1 : i32
  %more = arith.addi %radius, %one : i32
  %twice = arith.muli %more, %radius : i32
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %twice : i32
    weft.yield %b : i1
  }
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

// expected-error @+1 {{expected a module with one weft.block_attention, but got 0}}
module {
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @open(%q: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  // expected-error @+1 {{expected a folded op whose results its function returns}}
  %o, %lse = weft.block_attention %q, %q, %q
    {block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @swapped(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  // expected-error @+1 {{expected arguments 0, 1 and 2 of the function as query, key and value}}
  %o, %lse = weft.block_attention %k, %q, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @computed(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %n = arith.negf %q : tensor<?x2x64x32xf32>
  // expected-error @+1 {{expected arguments 0, 1 and 2 of the function as query, key and value}}
  %o, %lse = weft.block_attention %n, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @four_tensors(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %on: i1, %w: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  // expected-error @+1 {{expected a function of three tensors, i1, i32, f64, !weft.blocks and what the op names, but got 'tensor<?x2x64x32xf32>' as argument 4}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @two_given(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>, %a: !weft.blocks, %b: !weft.blocks) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  // expected-error @+1 {{expected a function of at most one !weft.blocks, but got 2}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @effects(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  // expected-error @+1 {{expected a function without other effects, but got func.call}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  func.call @other() : () -> ()
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}
func.func private @other()

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func private @other() -> i32
func.func @called(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  %radius = func.call @other() : () -> i32
  // expected-error @+1 {{expected a function without other effects, but got func.call}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %radius : i32
    weft.yield %b : i1
  }
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>

func.func @two_blocks(%q: tensor<?x2x64x32xf32>, %k: tensor<?x2x64x32xf32>, %v: tensor<?x2x64x32xf32>) -> (tensor<?x2x64x32xf32>, tensor<?x2x64xf32>) {
  cf.br ^next
^next:
  // expected-error @+1 {{expected a function of one block}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64, lists = [#lists]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return %o, %lse : tensor<?x2x64x32xf32>, tensor<?x2x64xf32>
}
