// RUN: weft-opt %s --weft-cuda-form-mma-kernel --split-input-file --verify-diagnostics | FileCheck %s

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>

// Three tensors of an address and three strides each, the table of the keys' tokens, and the dynamic parameter at the
// end. A block of 32 rows has one row tile per warp, and its keys a step of 64 whose last
// columns do not count.
// CHECK: weft.image = {block = 32 : i64,
// CHECK-SAME: cuda = {columns = 64 : i64, ctas_per_sm = 2 : i64, key_axes = array<i64: 0, 3>, query_axes = array<i64: 3>,
// CHECK-SAME: query_parts = 1 : i64, rows = 64 : i64, shared_bytes = {{[0-9]+}} : i64, threads = 128 : i64}
// CHECK-SAME: kernels_masked = 1 : i64
// CHECK-LABEL: llvm.func @weft_masked(
// CHECK-SAME: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 128>, nvvm.minctasm = 2 : i32}
// CHECK: llvm.atomicrmw add {{.*}} syncscope("device") monotonic
// CHECK: cp.async.cg.shared.global
// The loop: 72 channels are five steps of the scores' product, and nine column tiles of the output's.
// CHECK: cp.async.wait_all
// CHECK-NEXT: nvvm.barrier0
// CHECK: ldmatrix.sync.aligned.m8n8.x4.shared.b16
// CHECK-COUNT-40: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// CHECK-NOT: mma.sync
// CHECK: arith.remsi
// CHECK: llvm.nvvm.ex2.approx.ftz.f
// CHECK: ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
// CHECK-COUNT-36: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// CHECK-NOT: mma.sync
func.func @masked(%q: tensor<?x2x64x72xbf16>, %k: tensor<?x2x64x72xbf16>, %v: tensor<?x2x64x72xbf16>,
                  %radius: i32 {weft.name = "radius", weft.default = 1 : i32}) -> (tensor<?x2x64x72xbf16>, tensor<?x2x64xf32>)
                  attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 32 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, scale = 0.25 : f64}
    : tensor<?x2x64x72xbf16>, tensor<?x2x64x72xbf16> -> tensor<?x2x64xf32> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %seven = arith.constant 7 : i32
    %r = arith.remsi %ki, %seven : i32
    %a = arith.cmpi sle, %r, %radius : i32
    %b = arith.cmpi sle, %qi, %radius : i32
    %c = arith.andi %a, %b : i1
    %d = arith.ori %c, %kx : i1
    weft.yield %d : i1
  }
  return %o, %lse : tensor<?x2x64x72xbf16>, tensor<?x2x64xf32>
}

