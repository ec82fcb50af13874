// RUN: weft-opt %s --weft-classify-blocks --split-input-file --verify-diagnostics | FileCheck %s

#g = #weft.grid<3x4x8>
#tiles = #weft.order<tiles = 1x4x8>
!mask = !weft.mask<query = #g, key = #g>

// Frames are blocks; a query block sees its own frame and, from frame 1, the rows before its own of the next.
// Entry 2 k is a full, 2 k + 1 a partial block k.
func.func @frames(%q: tensor<?x2x96x32xf32>) -> (tensor<?x2x96x32xf32>, tensor<?x2x96xf32>) {
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c1 = arith.constant 1 : i32
    %same = arith.cmpi eq, %qt, %kt : i32
    %next = arith.addi %qt, %c1 : i32
    %is_next = arith.cmpi eq, %kt, %next : i32
    %row = arith.cmpi slt, %kh, %qh : i32
    %late = arith.cmpi sge, %qt, %c1 : i32
    %a = arith.andi %is_next, %row : i1
    %b = arith.andi %a, %late : i1
    %c = arith.ori %same, %b : i1
    weft.yield %c : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask)
    {query_grid = #g, key_grid = #g, query_order = #tiles, key_order = #tiles, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x96x32xf32>, tensor<?x2x96x32xf32> -> tensor<?x2x96xf32>
  return %o, %lse : tensor<?x2x96x32xf32>, tensor<?x2x96xf32>
}
// CHECK: #[[LISTS:.*]] = #weft.block_lists<offsets = dense<{{\[\[}}0, 1, 3, 4]]> : tensor<1x4xi32>, entries = dense<[0, 2, 5, 4]> : tensor<4xi32>>
// CHECK: #[[TILES:.*]] = #weft.order<tiles = 1x4x8>
// CHECK-LABEL: func.func @frames
// CHECK-SAME: (%[[Q:.*]]: tensor
// CHECK-NOT: weft.predicate
// CHECK: %[[QUERY:.*]] = weft.reorder %[[Q]] {{.*}}order = #[[TILES]]
// CHECK: %[[KEY:.*]] = weft.reorder %[[Q]]
// CHECK: %[[VALUE:.*]] = weft.reorder %[[Q]]
// CHECK: %[[O:.*]], %[[L:.*]] = weft.block_attention %[[QUERY]], %[[KEY]], %[[VALUE]] {{.*}}lists = [#[[LISTS]]]
// CHECK-NEXT: ^bb0(
// CHECK: weft.yield
// CHECK: %[[OUT:.*]] = weft.restore %[[O]]
// CHECK: %[[LSE:.*]] = weft.restore %[[L]]
// CHECK: return %[[OUT]], %[[LSE]]

// -----

#g = #weft.grid<3x4x8>
!mask = !weft.mask<query = #g, key = #g>

// A bias goes with the keys, rows and what they are written into with the queries.
// CHECK-DAG: #[[KEYS:.*]] = #weft.order<tiles = 3x4x2>
// CHECK-DAG: #[[QUERIES:.*]] = #weft.order<tiles = 1x4x8>
// CHECK-LABEL: func.func @bias_and_rows
// CHECK-SAME: (%[[Q:.*]]: tensor<?x2x96x32xf32>, %[[BIAS:.*]]: tensor<1x1x96xf32>, %[[OUT:.*]]: tensor<?x2x96x32xf32>, %[[LSE:.*]]: tensor<?x2x96xf32>, %[[ROWS:.*]]: !weft.rows)
// CHECK: %[[B:.*]] = weft.reorder %[[BIAS]] {{.*}}order = #[[KEYS]]
// CHECK: %[[INTO:.*]] = weft.reorder %[[OUT]] {{.*}}order = #[[QUERIES]]
// CHECK: %[[INTO_LSE:.*]] = weft.reorder %[[LSE]] {{.*}}order = #[[QUERIES]]
// CHECK: weft.block_attention {{.*}} bias(%[[B]] : {{.*}}) rows %[[ROWS]] into(%[[INTO]], %[[INTO_LSE]] :
func.func @bias_and_rows(%q: tensor<?x2x96x32xf32>, %bias: tensor<1x1x96xf32>, %o: tensor<?x2x96x32xf32>, %l: tensor<?x2x96xf32>,
                         %rows: !weft.rows) -> (tensor<?x2x96x32xf32>, tensor<?x2x96xf32>) {
  %out, %lse = weft.attention %q, %q, %q bias(%bias : tensor<1x1x96xf32>)
    rows %rows into(%o, %l : tensor<?x2x96x32xf32>, tensor<?x2x96xf32>)
    {query_grid = #g, key_grid = #g, query_order = #weft.order<tiles = 1x4x8>, key_order = #weft.order<tiles = 3x4x2>, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x96x32xf32>, tensor<?x2x96x32xf32> -> tensor<?x2x96xf32>
  return %out, %lse : tensor<?x2x96x32xf32>, tensor<?x2x96xf32>
}

// -----

#g = #weft.grid<3x4x8>
!mask = !weft.mask<query = #g, key = #g>

// Whole blocks only: no code for the mask remains. In raster order nothing is reordered.
// CHECK: dense<{{\[\[}}0, 1, 2, 3]]> : tensor<1x4xi32>, entries = dense<[0, 2, 4]>
// CHECK-LABEL: func.func @full
// CHECK-NOT: weft.reorder
// CHECK: weft.block_attention %[[Q:[^ ]*]], %[[Q]], %[[Q]] {
// CHECK-NOT: ^bb0
// CHECK-NOT: weft.restore
// CHECK: return
func.func @full(%q: tensor<?x2x96x32xf32>) -> tensor<?x2x96x32xf32> {
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %same = arith.cmpi eq, %qt, %kt : i32
    weft.yield %same : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x96x32xf32>, tensor<?x2x96x32xf32> -> tensor<?x2x96xf32>
  return %o : tensor<?x2x96x32xf32>
}

// -----

#g = #weft.grid<3x4x8>
!mask = !weft.mask<query = #g, key = #g>

// A mask that looks at the head has one set of lists for each.
// CHECK: dense<{{\[\[}}0, 3, 6, 9], [9, 9, 9, 9]]> : tensor<2x4xi32>, entries = dense<[0, 2, 4, 0, 2, 4, 0, 2, 4]>
// CHECK-LABEL: func.func @heads
func.func @heads(%q: tensor<?x2x96x32xf32>) -> tensor<?x2x96x32xf32> {
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c0 = arith.constant 0 : i32
    %first = arith.cmpi eq, %head, %c0 : i32
    weft.yield %first : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x96x32xf32>, tensor<?x2x96x32xf32> -> tensor<?x2x96xf32>
  return %o : tensor<?x2x96x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
!mask = !weft.mask<query = #g, key = #g>

// With given lists there are two lists: for blocks that they do not name, and for blocks that they name.
// CHECK-DAG: #[[ABSENT:.*]] = #weft.block_lists<offsets = dense<{{\[\[}}0, 1, 2]]> : tensor<1x3xi32>, entries = dense<0> : tensor<2xi32>>
// CHECK-DAG: #[[PRESENT:.*]] = #weft.block_lists<offsets = dense<{{\[\[}}0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
// CHECK-LABEL: func.func @given
// CHECK: weft.block_attention {{.*}} given %{{[^ ]*}} {{.*}}lists = [#[[ABSENT]], #[[PRESENT]]]
func.func @given(%q: tensor<?x2x64x32xf32>, %blocks: !weft.blocks) -> tensor<?x2x64x32xf32> {
  %m = weft.predicate given(%blocks) : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    %c0 = arith.constant 0 : i32
    %sink = arith.cmpi eq, %kt, %c0 : i32
    %any = arith.ori %given, %sink : i1
    weft.yield %any : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// CHECK-LABEL: func.func @given_alone
// CHECK: weft.block_attention {{.*}} given %{{[^ ]*}} {
// CHECK-NOT: ^bb0
// CHECK: return
func.func @given_alone(%q: tensor<?x2x64x32xf32>, %blocks: !weft.blocks) -> tensor<?x2x64x32xf32> {
  %m = weft.given %blocks : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
!mask = !weft.mask<query = #g, key = #g>

// CHECK-DAG: #[[ALL:.*]] = #weft.block_lists<offsets = dense<{{\[\[}}0, 2, 4]]> : tensor<1x3xi32>, entries = dense<[0, 2, 0, 2]> : tensor<4xi32>>
// CHECK-DAG: #[[NONE:.*]] = #weft.block_lists<offsets = dense<0> : tensor<1x3xi32>, entries = dense<> : tensor<0xi32>>
// CHECK-LABEL: func.func @dense
// CHECK: lists = [#[[ALL]]]
func.func @dense(%q: tensor<?x2x64x32xf32>) -> tensor<?x2x64x32xf32> {
  %o, %lse = weft.attention %q, %q, %q {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// CHECK-LABEL: func.func @none
// CHECK: lists = [#[[NONE]]]
func.func @none(%q: tensor<?x2x64x32xf32>) -> tensor<?x2x64x32xf32> {
  %m = weft.constant_mask false : !mask
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// A dynamic parameter decides at run time: the predicate stays and there are no lists.
// CHECK-LABEL: func.func @dynamic
// CHECK-SAME: %[[RADIUS:[^:]*]]: i32
// CHECK: weft.block_attention
// CHECK-NOT: lists
// CHECK: arith.cmpi sle, %{{.*}}, %[[RADIUS]]
func.func @dynamic(%q: tensor<?x2x64x32xf32>, %radius: i32) -> tensor<?x2x64x32xf32> {
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %radius : i32
    weft.yield %b : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// What is computed from parameters moves into the region; both uses of a mask have their own.
// CHECK-LABEL: func.func @computed
// CHECK-SAME: %[[RADIUS:[^:]*]]: i32
// CHECK-NEXT: weft.block_attention
// CHECK: %[[TWICE:.*]] = arith.addi %[[RADIUS]], %[[RADIUS]]
// CHECK-NEXT: arith.cmpi sle, %{{.*}}, %[[TWICE]]
// CHECK: weft.block_attention
// CHECK: arith.addi %[[RADIUS]], %[[RADIUS]]
func.func @computed(%q: tensor<?x2x64x32xf32>, %radius: i32) -> (tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32>) {
  %twice = arith.addi %radius, %radius : i32
  %m = weft.predicate : !mask {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %b = arith.cmpi sle, %kt, %twice : i32
    weft.yield %b : i1
  }
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  %p, %plse = weft.attention %o, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o, %p : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
!mask = !weft.mask<query = #g, key = #g>

func.func @open(%q: tensor<?x2x64x32xf32>) -> tensor<?x2x64x32xf32> {
  // expected-error @+1 {{expected orders with their tile sizes chosen, as weft-choose-tiles leaves them}}
  %o, %lse = weft.attention %q, %q, %q
    {query_grid = #g, key_grid = #g, query_order = #weft.order<tiles>, key_order = #weft.order<tiles>, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
!mask = !weft.mask<query = #g, key = #g>

func.func @algebra(%q: tensor<?x2x64x32xf32>, %blocks: !weft.blocks) -> tensor<?x2x64x32xf32> {
  %given = weft.given %blocks : !mask
  %m = weft.mask_not %given : !mask
  // expected-error @+1 {{expected a mask of one predicate, as weft-simplify-masks leaves it, but got weft.mask_not}}
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<2x4x8>
!mask = !weft.mask<query = #g, key = #g>

func.func @argument(%q: tensor<?x2x64x32xf32>, %m: !mask) -> tensor<?x2x64x32xf32> {
  // expected-error @+1 {{expected a mask that ops define, but got an argument}}
  %o, %lse = weft.attention %q, %q, %q mask(%m : !mask) {query_grid = #g, key_grid = #g, block = 32 : i64, scale = 1.0 : f64}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32>
  return %o : tensor<?x2x64x32xf32>
}

// -----

#g = #weft.grid<1x300x300>
#tokens = #weft.order<tiles = 1x1x1>

func.func @many(%q: tensor<?x2x90000x32xf32>) -> tensor<?x2x90000x32xf32> {
  // expected-error @+1 {{expected at most 2147483647 visited pairs of blocks, but got more}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #g, key_grid = #g, query_order = #tokens, key_order = #tokens, scale = 1.0 : f64}
    : tensor<?x2x90000x32xf32>, tensor<?x2x90000x32xf32> -> tensor<?x2x90000xf32>
  return %o : tensor<?x2x90000x32xf32>
}
