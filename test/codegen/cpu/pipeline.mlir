// RUN: weft-opt %s --weft-to-cpu=target=znver4 | FileCheck %s
// RUN: weft-opt %s --weft-to-cpu=target=x86-64-v3 | FileCheck %s --check-prefixes=CHECK,V3
// RUN: not weft-opt %s --weft-to-cpu=target=vax 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: expected target native, aarch64, aarch64-bf16, x86-64-v3, x86-64-v4, znver4 or sapphirerapids, but got 'vax'

// A program becomes functions of the LLVM dialect and an image for the runtime; nothing of Weft's own ops is left.
// CHECK: module attributes {weft.image = {
// CHECK-SAME: name = "dense"
// CHECK-NOT: weft.{{[a-z_]+}} %
// CHECK: llvm.func internal @dense.pack(
// CHECK: llvm.func @weft_dense_pack(%arg0: !llvm.ptr)
// CHECK: llvm.func internal @dense.attend(
// CHECK: llvm.func @weft_dense_attend(%arg0: !llvm.ptr)
// CHECK-NOT: unrealized_conversion_cast
// V3-NOT: vector<16xf32>

#g = #weft.grid<2x4x8>
!t = tensor<?x2x64x32xf32>

func.func @dense(%q: !t, %k: !t, %v: !t) -> (!t, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %o, %lse = weft.attention %q, %k, %v {query_grid = #g, key_grid = #g, scale = 0.25 : f64} : !t, !t -> tensor<?x2x64xf32>
  return %o, %lse : !t, tensor<?x2x64xf32>
}
