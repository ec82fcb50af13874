// RUN: weft-opt %s --weft-cuda-form-hopper-kernel --split-input-file --verify-diagnostics | FileCheck %s

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>

// A kernel with a predicate: tensor maps by value, the list's pointers, and the dynamic parameter at the end. What the
// runtime must know is in the image: a block of 32 rows takes one consumer, so two CTAs share a multiprocessor.
// CHECK: weft.image = {block = 32 : i64,
// CHECK-SAME: cuda = {columns = 32 : i64, ctas_per_sm = 2 : i64, key_axes = array<i64: 0, 3>,
// CHECK-SAME: mask_givens = 1 : i64, mask_heads = 1 : i64, query_axes = array<i64: 3>,
// CHECK-SAME: rows = 64 : i64, shared_bytes = {{[0-9]+}} : i64, threads = 256 : i64}
// CHECK-SAME: head_dim = 72 : i64, heads = 2 : i64
// CHECK-SAME: kernels_masked = 1 : i64
// CHECK: llvm.mlir.global external @weft_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK-LABEL: llvm.func @weft_masked(
// CHECK-COUNT-6: llvm.byval = !llvm.array<128 x i8>
// CHECK-SAME: i32) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 256>, nvvm.minctasm = 2 : i32}
// CHECK: nvvm.mbarrier.init
// CHECK: nvvm.barrier0
// The producer.
// CHECK: nvvm.setmaxregister decrease 40
// CHECK: llvm.atomicrmw add {{.*}} syncscope("device") monotonic
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}isCTAOnly = true
// CHECK: nvvm.cp.async.bulk.shared.cluster.global
// An entry with a tile of bits: the key block's word says so, and the tile, 16 bytes for each of 64 rows, is a copy that
// the keys' barrier waits for too.
// CHECK: ^bb{{[0-9]+}}(%[[TILE:[0-9]+]]: i32):
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[NONE:.*]] = arith.cmpi eq, %[[TILE]], %[[ZERO]] : i32
// CHECK-NEXT: %[[BITS_FLAG:.*]] = arith.constant 16 : i32
// CHECK-NEXT: %[[WITH_BITS:.*]] = arith.ori %[[OTHERS:.*]], %[[BITS_FLAG]] : i32
// CHECK-NEXT: %[[WORD:.*]] = arith.select %[[NONE]], %[[OTHERS]], %[[WITH_BITS]] : i32
// CHECK: %[[TILE_BYTES:.*]] = arith.constant 1024 : i32
// CHECK-NEXT: %[[ALL_BYTES:.*]] = arith.addi %[[OTHER_BYTES:.*]], %[[TILE_BYTES]] : i32
// CHECK-NEXT: %[[BYTES:.*]] = arith.select %{{.*}}, %[[OTHER_BYTES]], %[[ALL_BYTES]] : i32
// CHECK: "st.shared.b32 [$0], $1;", "r,r" %{{.*}}, %[[WORD]] :
// CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %[[BYTES]] :
// CHECK: %[[HAS_TILE:.*]] = arith.cmpi ne, %[[TILE]], %{{.*}} : i32
// CHECK-NEXT: llvm.cond_br %[[HAS_TILE]]
// CHECK: arith.extui %[[TILE]] : i32 to i64
// CHECK: llvm.addrspacecast
// CHECK: %[[COPIED:.*]] = arith.constant 1024 : i32
// CHECK-NEXT: nvvm.cp.async.bulk.shared.cluster.global %{{.*}}, %{{.*}}, %{{.*}}, %[[COPIED]] :
// The consumer: 72 channels are five steps of the scores' product, and 72 columns of the output's.
// CHECK: nvvm.setmaxregister increase 216
// The words of bits are asked for before the scores are there.
// CHECK: %[[WORDS:.*]] = llvm.inline_asm has_side_effects {{.*}}@p ld.shared.b32 $0, [$3]; @p ld.shared.b32 $1, [$3+128];
// CHECK: %[[ROW:.*]] = llvm.extractvalue %[[WORDS]][0]
// CHECK-COUNT-5: wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16
// CHECK-NOT: wgmma.mma_async
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK: wgmma.wait_group.sync.aligned 0;
// Bits if the word says so, else the predicate.
// CHECK: %[[FLAGGED:.*]] = arith.andi %{{.*}}, %c16_i32{{.*}} : i32
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[HAS_BITS:.*]] = arith.cmpi ne, %[[FLAGGED]], %[[ZERO]] : i32
// CHECK-NEXT: llvm.cond_br %[[HAS_BITS]], ^[[READ:bb[0-9]+]], ^[[EVALUATE:bb[0-9]+]]
// CHECK: ^[[READ]]:
// CHECK-NOT: llvm.load
// CHECK-NOT: arith.remsi
// CHECK: and.b32 t, $2, 1; setp.eq.s32 p, t, 0; mov.b32 $0, $1; @p mad.lo.s32 $0, $0, $3, 0xFF800000; }", "=r,r,r,r" %{{.*}}, %[[ROW]],
// CHECK-NOT: arith.remsi
// CHECK: ^[[EVALUATE]]:
// CHECK: arith.remsi
// CHECK: llvm.nvvm.ex2.approx.ftz.f
// CHECK-COUNT-5: wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16
// CHECK-COUNT-2: wgmma.mma_async.sync.aligned.m64n72k16.f32.bf16.bf16
// The stage that finds out which pairs of partial blocks count.
// CHECK-LABEL: llvm.func @weft_masked_mask(
// CHECK-SAME: i32) attributes {nvvm.kernel
// CHECK: arith.remsi
// CHECK: llvm.store
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

// -----

#g = #weft.grid<2x8x16>
#tiles = #weft.order<tiles = 2x6x10>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2, 3, 4]]> : tensor<1x5xi32>, entries = dense<[0, 0, 2, 2]> : tensor<4xi32>>

// Boxes of 120 tokens leave the tile's last rows as they are: the kernel clears them once. Boxes are copied by maps of
// five axes.
// CHECK: cuda = {columns = 128 : i64, ctas_per_sm = 1 : i64, cuts_items, key_axes = array<i64>, query_axes = array<i64>, rows = 128 : i64,
// CHECK-SAME: kernels_masked = 0 : i64
// CHECK-LABEL: llvm.func @weft_boxes(
// CHECK: st.shared.v4.b32
// CHECK: nvvm.fence.proxy
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}box[%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}]
// CHECK: nvvm.setmaxregister increase 232
// CHECK: wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16
// CHECK: cvt.rn.f16x2.f32
func.func @boxes(%q: tensor<?x1x256x64xf16>, %k: tensor<?x1x256x64xf16>, %v: tensor<?x1x256x64xf16>)
    -> (tensor<?x1x256x64xf16>, tensor<?x1x256xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 128 : i64, query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x256x64xf16>, tensor<?x1x256x64xf16> -> tensor<?x1x256xf32> {}
  return %o, %lse : tensor<?x1x256x64xf16>, tensor<?x1x256xf32>
}

// -----

#g = #weft.grid<2x4x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>

func.func @single(%q: tensor<?x1x64x64xf32>, %k: tensor<?x1x64x64xf32>, %v: tensor<?x1x64x64xf32>)
    -> (tensor<?x1x64x64xf32>, tensor<?x1x64xf32>) attributes {weft.kernel} {
  // expected-error @below {{expected elements of bf16 or f16 for sm_90a, but got 'f32'}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x64x64xf32>, tensor<?x1x64x64xf32> -> tensor<?x1x64xf32> {}
  return %o, %lse : tensor<?x1x64x64xf32>, tensor<?x1x64xf32>
}

// -----

#g = #weft.grid<1x8x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>

// Rows: the queries' tensor behind the maps, two warps that copy listed rows, and the stages that make tiles of them.
// CHECK: cuda = {columns = 64 : i64
// CHECK-SAME: query_order = #order, rows}
// CHECK-LABEL: llvm.func @weft_listed(
// CHECK-COUNT-6: llvm.byval = !llvm.array<128 x i8>
// CHECK-SAME: !llvm.ptr<1>, %{{[^:]*}}: i64, %{{[^:]*}}: i64, %{{[^:]*}}: i64
// CHECK: cp.async.cg.shared.global
// CHECK: cp.async.wait_all
// CHECK-NEXT: nvvm.fence.proxy
// CHECK: nvvm.setmaxregister increase
// CHECK-LABEL: llvm.func @weft_listed_count_rows(
// CHECK: match.any.sync.b32
// CHECK-LABEL: llvm.func @weft_listed_plan_rows(
// CHECK-LABEL: llvm.func @weft_listed_scatter_rows(
func.func @listed(%q: tensor<?x1x64x64xbf16>, %k: tensor<?x1x64x64xbf16>, %v: tensor<?x1x64x64xbf16>,
                  %out: tensor<?x1x64x64xbf16>, %outLse: tensor<?x1x64xf32>, %rows: !weft.rows)
    -> (tensor<?x1x64x64xbf16>, tensor<?x1x64xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v rows %rows into(%out, %outLse : tensor<?x1x64x64xbf16>, tensor<?x1x64xf32>)
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x64x64xbf16>, tensor<?x1x64x64xbf16> -> tensor<?x1x64xf32> {}
  return %o, %lse : tensor<?x1x64x64xbf16>, tensor<?x1x64xf32>
}

// -----

#g = #weft.grid<1x8x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>

// A bias is a warp that stores three bf16 per key, and one step of 16 channels of bf16 in the scores' product.
// CHECK-LABEL: llvm.func @weft_biased(
// CHECK: nvvm.mbarrier.init %{{.*}}, %{{.*}}
// CHECK: st.shared.v2.b32
// CHECK: cvt.rn.bf16x2.f32
// CHECK: nvvm.fence.proxy
// CHECK: nvvm.setmaxregister increase
// CHECK-COUNT-4: wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16
// CHECK: wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16
// CHECK: nvvm.wgmma.commit.group.sync.aligned
func.func @biased(%q: tensor<?x1x64x64xf16>, %k: tensor<?x1x64x64xf16>, %v: tensor<?x1x64x64xf16>, %b: tensor<?x?x64xf32>)
    -> (tensor<?x1x64x64xf16>, tensor<?x1x64xf32>) attributes {weft.kernel} {
  %o, %lse = weft.block_attention %q, %k, %v bias(%b : tensor<?x?x64xf32>)
    {folded, block = 64 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x64x64xf16>, tensor<?x1x64x64xf16> -> tensor<?x1x64xf32> {}
  return %o, %lse : tensor<?x1x64x64xf16>, tensor<?x1x64xf32>
}

// -----

#g = #weft.grid<2x8x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>

func.func @wide(%q: tensor<?x1x128x136xbf16>, %k: tensor<?x1x128x136xbf16>, %v: tensor<?x1x128x136xbf16>)
    -> (tensor<?x1x128x136xbf16>, tensor<?x1x128xf32>) attributes {weft.kernel} {
  // expected-error @below {{expected query blocks of at most 128 and key blocks of at most 64 tokens for sm_90a and head dim 136, but got 128 and 128}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 128 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x128x136xbf16>, tensor<?x1x128x136xbf16> -> tensor<?x1x128xf32> {}
  return %o, %lse : tensor<?x1x128x136xbf16>, tensor<?x1x128xf32>
}

// -----

#g = #weft.grid<8x8x8>
#raster = #weft.order<raster>
#lists = #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 0]> : tensor<2xi32>>

func.func @long(%q: tensor<?x1x512x64xbf16>, %k: tensor<?x1x512x64xbf16>, %v: tensor<?x1x512x64xbf16>)
    -> (tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>) attributes {weft.kernel} {
  // expected-error @below {{expected query blocks of at most 192 and key blocks of at most 128 tokens for sm_90a and head dim 64, but got 256 and 256}}
  %o, %lse = weft.block_attention %q, %k, %v
    {folded, block = 256 : i64, query_grid = #g, key_grid = #g, query_order = #raster, key_order = #raster, lists = [#lists], scale = 0.25 : f64}
    : tensor<?x1x512x64xbf16>, tensor<?x1x512x64xbf16> -> tensor<?x1x512xf32> {}
  return %o, %lse : tensor<?x1x512x64xbf16>, tensor<?x1x512xf32>
}

// -----

// expected-error @below {{expected a module with one weft.block_attention, but got 0}}
module {}
