// RUN: weft-opt %s --weft-cuda-choose-generator=hopper=true --split-input-file | FileCheck %s --check-prefixes=CHECK,HOPPER
// RUN: weft-opt %s --weft-cuda-choose-generator --split-input-file | FileCheck %s --check-prefixes=CHECK,OTHER

#g = #weft.grid<2x4x8>

// bf16 on sm_90a has wgmma; every other target has mma.sync.
// HOPPER: weft.generator = "hopper"
// OTHER: weft.generator = "mma"
// CHECK-LABEL: func.func @half(
func.func @half(%q: tensor<?x2x64x64xbf16>, %k: tensor<?x2x64x64xbf16>, %v: tensor<?x2x64x64xbf16>)
    -> (tensor<?x2x64x64xbf16>, tensor<?x2x64xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #weft.order<raster>, key_order = #weft.order<raster>, scale = 0.25 : f64,
     lists = [#weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>]}
    : tensor<?x2x64x64xbf16>, tensor<?x2x64x64xbf16> -> tensor<?x2x64xf32> {
  }
  return %o, %lse : tensor<?x2x64x64xbf16>, tensor<?x2x64xf32>
}
