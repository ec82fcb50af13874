// RUN: weft-opt %s -split-input-file -verify-diagnostics

// One case per constraint of an attribute or op, named after it.

// expected-error@+1 {{expected a grid of at least 1x1x1 tokens, but got 3x0x5}}
func.func private @grid_c1() attributes {a = #weft.grid<3x0x5>}

// -----

// expected-error@+1 {{expected at least 0 text tokens, but got -1}}
func.func private @grid_c2() attributes {a = #weft.grid<3x4x5, text = -1>}

// -----

// expected-error@+1 {{expected fewer than 1048576 tokens, but got 1024x1024x1 and 0 of text}}
func.func private @grid_c3() attributes {a = #weft.grid<1024x1024x1>}

// -----

// expected-error@+1 {{expected fewer than 1048576 tokens, but got 1x1x1 and 1048575 of text}}
func.func private @grid_c3_text() attributes {a = #weft.grid<1x1x1, text = 1048575>}

// -----

// expected-error@+1 {{expected three sizes TxHxW, but got 2}}
func.func private @grid_sizes() attributes {a = #weft.grid<3x4>}

// -----

// expected-error@+1 {{expected tile sizes of at least 1 with a product of at most 256, but got 8x8x8}}
func.func private @order_c1() attributes {a = #weft.order<tiles = 8x8x8>}

// -----

// expected-error@+1 {{expected tile sizes of at least 1}}
func.func private @order_c1_zero() attributes {a = #weft.order<tiles = 0x0x0>}

// -----

// expected-error@+1 {{expected tile sizes of at least 1}}
func.func private @order_c1_zero_width() attributes {a = #weft.order<tiles = 1x1x0>}

// -----

// expected-error@+1 {{expected tile sizes of at least 1 with a product of at most 256, but got 32x16}}
func.func private @order_c1_joined() attributes {a = #weft.order<tiles = 32x16>}

// -----

// expected-error@+1 {{expected at least 0 first frames, but got -1}}
func.func private @order_c2() attributes {a = #weft.order<tiles = 8x16, first = -1>}

// -----

// expected-error@+1 {{expected at least 0 first frames, but got -1}}
func.func private @order_c2_sorted() attributes {a = #weft.order<by = (t, h, w) -> (h), first = -1>}

// -----

// expected-error@+1 {{expected a map of (t, h, w) to at least one number, but got affine_map<(d0, d1) -> (d0)>}}
func.func private @order_c3_dims() attributes {a = #weft.order<by = (h, w) -> (h)>}

// -----

// expected-error@+1 {{expected a map of (t, h, w) to at least one number, but got affine_map<(d0, d1, d2) -> ()>}}
func.func private @order_c3_results() attributes {a = #weft.order<by = (t, h, w) -> ()>}

// -----

// expected-error@+1 {{expected a map of (t, h, w) to at least one number, but got affine_map<(d0, d1, d2)[s0] -> (d0 floordiv s0)>}}
func.func private @order_c3_symbols() attributes {a = #weft.order<by = (t, h, w)[n] -> (t floordiv n)>}

// -----

// expected-error@+1 {{expected positive constants as divisors, but got}}
func.func private @order_c3_divisor() attributes {a = #weft.order<by = (t, h, w) -> (t mod (-2))>}

// -----

// expected-error@+1 {{expected sizes TxHxW or HxW, but got 1}}
func.func private @order_sizes() attributes {a = #weft.order<tiles = 32>}

// -----

// expected-error@+1 {{expected raster, tiles or by, but got tile}}
func.func private @order_kind() attributes {a = #weft.order<tile>}

// -----

// expected-error@+1 {{expected offsets of rank 2 and entries of rank 1 in i32}}
func.func private @block_lists_c1() attributes {a = #weft.block_lists<offsets = dense<[0, 1]> : tensor<2xi32>, entries = dense<0> : tensor<1xi32>>}

// -----

// expected-error@+1 {{expected offsets of rank 2 and entries of rank 1 in i32}}
func.func private @block_lists_c1_type() attributes {a = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi64>, entries = dense<0> : tensor<1xi32>>}

// -----

// expected-error@+1 {{expected offsets from 0 to the number of entries 1}}
func.func private @block_lists_c2_start() attributes {a = #weft.block_lists<offsets = dense<[[1, 1]]> : tensor<1x2xi32>, entries = dense<0> : tensor<1xi32>>}

// -----

// expected-error@+1 {{expected offsets that never fall, but got 1 after 2}}
func.func private @block_lists_c2_fall() attributes {a = #weft.block_lists<offsets = dense<[[0, 2, 1]]> : tensor<1x3xi32>, entries = dense<[0, 2]> : tensor<2xi32>>}

// -----

// expected-error@+1 {{expected offsets from 0 to the number of entries 2}}
func.func private @block_lists_c2_end() attributes {a = #weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0, 2]> : tensor<2xi32>>}

// -----

// expected-error@+1 {{expected ascending key blocks in row 0}}
func.func private @block_lists_c3() attributes {a = #weft.block_lists<offsets = dense<[[0, 2]]> : tensor<1x2xi32>, entries = dense<[2, 3]> : tensor<2xi32>>}

// -----

// expected-error@+1 {{expected at most 16 dynamic parameters, but got 17}}
func.func @kernel_parameters(%p0: i32, %p1: i32, %p2: i32, %p3: i32, %p4: i32, %p5: i32, %p6: i32, %p7: i32, %p8: i32, %p9: i32, %p10: i32, %p11: i32, %p12: i32, %p13: i32, %p14: i32, %p15: i32, %p16: i32) attributes {weft.kernel} {
  return
}

// -----

// expected-error@+1 {{expected weft.kernel on a function only}}
module attributes {weft.kernel} {
}

// -----

func.func @predicate_c1() {
  // expected-error@+1 {{expected a region with arguments}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32):
    %t = arith.constant true
    weft.yield %t : i1
  }
  return
}

// -----

func.func @predicate_c1_given(%b: !weft.blocks) {
  // expected-error@+1 {{expected a region with arguments}}
  %m = weft.predicate given(%b) : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c1_extra() {
  // expected-error@+1 {{expected a region with arguments}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1, %given: i1):
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c2() {
  // expected-error@+1 {{expected a region that ends with weft.yield}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    func.return
  }
  return
}

// -----

func.func @predicate_c2_type() {
  // expected-note@+2 {{prior use here}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    // expected-error@+1 {{use of value '%qt' expects different type than prior uses: 'i1' vs 'i32'}}
    weft.yield %qt : i1
  }
  return
}

// -----

func.func @predicate_c3_effect(%buffer: memref<i32>) {
  // expected-error@+1 {{expected ops without effects on i1 and i32 scalars, but got memref.load}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = memref.load %buffer[] : memref<i32>
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c3_type() {
  // expected-error@+1 {{expected ops without effects on i1 and i32 scalars, but got arith.extsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.extsi %qt : i32 to i64
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c3_capture(%wide: i64) {
  // expected-error@+1 {{expected ops without effects on i1 and i32 scalars, but got arith.trunci}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.trunci %wide : i64 to i1
    weft.yield %x : i1
  }
  return
}

// -----

func.func @predicate_c3_region(%c: i1) {
  // expected-error@+1 {{expected ops without effects on i1 and i32 scalars, but got weft.predicate}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %n = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
    ^bb0(%nhead: i32, %nqt: i32, %nqh: i32, %nqw: i32, %nqi: i32, %nqx: i1, %nkt: i32, %nkh: i32, %nkw: i32, %nki: i32, %nkx: i1):
      weft.yield %nqx : i1
    }
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c4_divui() {
  // expected-error@+1 {{expected an op that predicates may use, but got arith.divui}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.divui %qt, %qh : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c4_remui() {
  // expected-error@+1 {{expected an op that predicates may use, but got arith.remui}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.remui %qt, %qh : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c4_shrui() {
  // expected-error@+1 {{expected an op that predicates may use, but got arith.shrui}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.shrui %qt, %qh : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c4_ipowi() {
  // expected-error@+1 {{expected an op that predicates may use, but got math.ipowi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = math.ipowi %qt, %qh : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c4_poison() {
  // expected-error@+1 {{expected an op that predicates may use, but got ub.poison}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = ub.poison : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_divsi() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.divsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.divsi %qt, %kt : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_floordivsi() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.floordivsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.floordivsi %qt, %kt : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_ceildivsi() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.ceildivsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.ceildivsi %qt, %kt : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_remsi() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.remsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.remsi %qt, %kt : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_zero() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.divsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c = arith.constant 0 : i32
    %x = arith.divsi %qt, %c : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_minus_one() {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.divsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %c = arith.constant -1 : i32
    %x = arith.divsi %qt, %c : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @predicate_c5_parameter(%p: i32) {
  // expected-error@+1 {{expected a constant divisor other than 0 and -1, but got arith.remsi}}
  %m = weft.predicate : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>> {
  ^bb0(%head: i32, %qt: i32, %qh: i32, %qw: i32, %qi: i32, %qx: i1, %kt: i32, %kh: i32, %kw: i32, %ki: i32, %kx: i1):
    %x = arith.remsi %qt, %p : i32
    weft.yield %qx : i1
  }
  return
}

// -----

func.func @yield_parent(%b: i1) {
  // expected-error@+1 {{expects parent op to be one of}}
  weft.yield %b : i1
}

// -----

func.func @attention_c1_rank(%q: tensor<2x60x32xf32>, %k: tensor<2x60x32xf32>) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type, batch, heads and head dim}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<2x60x32xf32>, tensor<2x60x32xf32> -> tensor<2x60xf32>
  return
}

// -----

func.func @attention_c1_type(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xbf16>) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xbf16> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c1_heads(%q: tensor<?x2x60x32xf32>, %k: tensor<?x1x60x32xf32>) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x1x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c1_head_dim(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x64xf32>) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x64xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c1_batch(%q: tensor<?x2x60x32xf32>, %k: tensor<3x2x60x32xf32>) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<3x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c1_static(%q: tensor<?x?x60x32xf32>, %k: tensor<?x?x60x32xf32>) {
  // expected-error@+1 {{expected static heads, tokens and head dim}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x?x60x32xf32>, tensor<?x?x60x32xf32> -> tensor<?x?x60xf32>
  return
}

// -----

func.func @attention_c1_no_heads(%q: tensor<?x0x60x32xf32>) {
  // expected-error@+1 {{expected at least 1 batch and head, but got}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x0x60x32xf32>, tensor<?x0x60x32xf32> -> tensor<?x0x60xf32>
  return
}

// -----

func.func @attention_c1_no_batch(%q: tensor<0x2x60x32xf32>) {
  // expected-error@+1 {{expected at least 1 batch and head, but got}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<0x2x60x32xf32>, tensor<0x2x60x32xf32> -> tensor<0x2x60xf32>
  return
}

// -----

func.func @attention_c2_small(%q: tensor<?x2x60x24xf32>, %k: tensor<?x2x60x24xf32>) {
  // expected-error@+1 {{expected a head dim that is a multiple of 8 from 32 to 256, but got 24}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x24xf32>, tensor<?x2x60x24xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c2_odd(%q: tensor<?x2x60x36xf32>, %k: tensor<?x2x60x36xf32>) {
  // expected-error@+1 {{expected a head dim that is a multiple of 8 from 32 to 256, but got 36}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x36xf32>, tensor<?x2x60x36xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c2_large(%q: tensor<?x2x60x264xf32>, %k: tensor<?x2x60x264xf32>) {
  // expected-error@+1 {{expected a head dim that is a multiple of 8 from 32 to 256, but got 264}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x264xf32>, tensor<?x2x60x264xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c3_query(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected 64 query tokens as in}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5, text = 4>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c3_key(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected 64 key tokens as in}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5, text = 4>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_zero(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got 0}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 0.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_nan(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 0x7FF8000000000000 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_infinite(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 0x7FF0000000000000 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_large(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0e40 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_large_product(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 3.0e38 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c4_small(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got}}
  %o, %lse = weft.attention %q, %q, %q {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0e-50 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c5(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a block that is a multiple of 16 from 32 to 256, but got 40}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, block = 40, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c5_large(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a block that is a multiple of 16 from 32 to 256, but got 288}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, block = 288, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c6(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected lse as [batch, heads, tokens] of q}}
  %o, %lse = weft.attention %q, %k, %k {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x59xf32>
  return
}

// -----

func.func @attention_c7(%q: tensor<?x2x60x32xf32>, %k: tensor<?x2x60x32xf32>, %m: !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<5x4x3>>) {
  // expected-error@+1 {{expected a mask of type}}
  %o, %lse = weft.attention %q, %k, %k mask(%m : !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<5x4x3>>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c8_rank(%q: tensor<?x2x60x32xf32>, %b: tensor<2x60xf32>) {
  // expected-error@+1 {{expected a bias as [batch or 1, heads or 1, tokens] of k, but got 'tensor<2x60xf32>' for 'tensor<?x2x60x32xf32>'}}
  %o, %lse = weft.attention %q, %q, %q bias(%b : tensor<2x60xf32>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c8_heads(%q: tensor<?x2x60x32xf32>, %b: tensor<1x3x60xf32>) {
  // expected-error@+1 {{expected a bias as [batch or 1, heads or 1, tokens] of k, but got 'tensor<1x3x60xf32>' for 'tensor<?x2x60x32xf32>'}}
  %o, %lse = weft.attention %q, %q, %q bias(%b : tensor<1x3x60xf32>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c8_batch(%q: tensor<?x2x60x32xf32>, %b: tensor<4x2x60xf32>) {
  // expected-error@+1 {{expected a bias as [batch or 1, heads or 1, tokens] of k, but got 'tensor<4x2x60xf32>' for 'tensor<?x2x60x32xf32>'}}
  %o, %lse = weft.attention %q, %q, %q bias(%b : tensor<4x2x60xf32>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c8_tokens(%q: tensor<?x2x60x32xf32>, %b: tensor<1x1x59xf32>) {
  // expected-error@+1 {{expected a bias as [batch or 1, heads or 1, tokens] of k, but got 'tensor<1x1x59xf32>' for 'tensor<?x2x60x32xf32>'}}
  %o, %lse = weft.attention %q, %q, %q bias(%b : tensor<1x1x59xf32>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c9_type(%q: tensor<?x2x60x32xf32>, %r: !weft.rows, %i: tensor<?x2x60x64xf32>, %l: tensor<?x2x60xf32>) {
  // expected-error@+1 {{expected rows to be written into 'tensor<?x2x60x32xf32>' and 'tensor<?x2x60xf32>', but got 'tensor<?x2x60x64xf32>' and 'tensor<?x2x60xf32>'}}
  %o, %lse = weft.attention %q, %q, %q rows %r into(%i, %l : tensor<?x2x60x64xf32>, tensor<?x2x60xf32>) {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64} : tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32> -> tensor<?x2x60xf32>
  return
}

// -----

func.func @attention_c9_rows(%q: tensor<?x2x60x32xf32>, %l: tensor<?x2x60xf32>) {
  // expected-error@+1 {{expected rows and both tensors that they are written into, or none of these}}
  %o, %lse = "weft.attention"(%q, %q, %q, %q, %l) <{operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 1, 1>, query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64}>
    : (tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32>, tensor<?x2x60xf32>) -> (tensor<?x2x60x32xf32>, tensor<?x2x60xf32>)
  return
}

// -----

func.func @attention_c9_into(%q: tensor<?x2x60x32xf32>, %r: !weft.rows) {
  // expected-error@+1 {{expected rows and both tensors that they are written into, or none of these}}
  %o, %lse = "weft.attention"(%q, %q, %q, %r) <{operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 1, 0, 0>, query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, scale = 1.0 : f64}>
    : (tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32>, tensor<?x2x60x32xf32>, !weft.rows) -> (tensor<?x2x60x32xf32>, tensor<?x2x60xf32>)
  return
}

// -----

func.func @reorder_c1_rank(%x: tensor<2x60xf32>) {
  // expected-error@+1 {{expected 60 tokens on axis 2, but got}}
  %y = weft.reorder %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<2x60xf32>
  return
}

// -----

func.func @reorder_c1_tokens(%x: tensor<1x2x61xf32>) {
  // expected-error@+1 {{expected 60 tokens on axis 2, but got}}
  %y = weft.reorder %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<1x2x61xf32>
  return
}

// -----

func.func @reorder_c2(%x: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected an order with its tile sizes chosen}}
  %y = weft.reorder %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles>, block = 32 : i64} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @restore_c1_rank(%x: tensor<2x60xf32>) {
  // expected-error@+1 {{expected 60 tokens on axis 2, but got}}
  %y = weft.restore %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<2x60xf32>
  return
}

// -----

func.func @restore_c1_tokens(%x: tensor<1x2x61xf32>) {
  // expected-error@+1 {{expected 60 tokens on axis 2, but got}}
  %y = weft.restore %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles = 1x2x2>, block = 32 : i64} : tensor<1x2x61xf32>
  return
}

// -----

func.func @restore_c2(%x: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected an order with its tile sizes chosen}}
  %y = weft.restore %x {grid = #weft.grid<3x4x5>, order = #weft.order<tiles>, block = 32 : i64} : tensor<?x2x60x32xf32>
  return
}

// -----

func.func @block_attention_c1(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected a block that is a multiple of 16 from 32 to 256, but got 40}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 40 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<0> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c1_bias(%q: tensor<?x2x64x32xf32>, %b: tensor<1x1x60xf32>) {
  // expected-error@+1 {{expected a bias as [batch or 1, heads or 1, tokens] of k}}
  %o, %lse = weft.block_attention %q, %q, %q bias(%b : tensor<1x1x60xf32>) {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 64 : i64, scale = 1.0 : f64,
    lists = [#weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>]}
    : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {}
  return
}

// -----

func.func @block_attention_c2_query(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected orders with their tile sizes chosen}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<tiles>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<0> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c2_key(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected orders with their tile sizes chosen}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<tiles>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<0> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c3_rows(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected offsets for 2 query blocks and 1 or 2 list sets}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1]]> : tensor<1x2xi32>, entries = dense<[0]> : tensor<1xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c3_heads(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected offsets for 2 query blocks and 1 or 2 list sets}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 0, 0], [0, 0, 0], [0, 1, 1]]> : tensor<3x3xi32>, entries = dense<[0]> : tensor<1xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c3_keys(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected key blocks below 2, but got 2}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 1]]> : tensor<1x3xi32>, entries = dense<[4]> : tensor<1xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c3_given(%q: tensor<?x2x64x32xf32>, %b: !weft.blocks) {
  // expected-error@+1 {{expected 2 list sets, but got 1}}
  %o, %lse = weft.block_attention %q, %q, %q given %b {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 0]> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c3_two(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected 1 list sets, but got 2}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 0]> : tensor<2xi32>>, #weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<[0, 0]> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c4_partial(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected a predicate region, since a block may be partial}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 1]]> : tensor<1x3xi32>, entries = dense<[1]> : tensor<1xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c4_open(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected a predicate region, since a block may be partial}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  }
  return
}

// -----

func.func @block_attention_c4_region(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected a region with arguments}}
  %o, %lse = weft.block_attention %q, %q, %q {query_grid = #weft.grid<1x8x8>, key_grid = #weft.grid<1x8x8>,
    query_order = #weft.order<raster>, key_order = #weft.order<raster>, block = 32 : i64, lists = [#weft.block_lists<offsets = dense<[[0, 1, 2]]> : tensor<1x3xi32>, entries = dense<0> : tensor<2xi32>>], scale = 1.0 : f64} : tensor<?x2x64x32xf32>, tensor<?x2x64x32xf32> -> tensor<?x2x64xf32> {
  ^bb0(%x: i1):
    weft.yield %x : i1
  }
  return
}

// -----

func.func @block_means_c1(%q: tensor<?x2x64x32xf32>) {
  // expected-error@+1 {{expected [batch, heads, 60 tokens, channels], but got 'tensor<?x2x64x32xf32>'}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 32 : i64} : tensor<?x2x64x32xf32> -> tensor<?x2x2x32xf32>
  return
}

// -----

func.func @block_means_c2(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a block that is a multiple of 32 from 32 to 256, but got 48}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 48 : i64} : tensor<?x2x60x32xf32> -> tensor<?x2x2x32xf32>
  return
}

// -----

func.func @block_means_c3(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected a pool of at least 1 token, but got 0}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 32 : i64, pool = 0 : i64} : tensor<?x2x60x32xf32> -> tensor<?x2x2x32xf32>
  return
}

// -----

func.func @block_means_c4(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected means with the batch, heads and channels of 'tensor<?x2x60x32xf32>', but got 'tensor<?x3x2x32xf32>'}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 32 : i64} : tensor<?x2x60x32xf32> -> tensor<?x3x2x32xf32>
  return
}

// -----

func.func @block_means_c4_pools(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected 8 pools or ?, but got 2}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<raster>, block = 32 : i64, pool = 8 : i64} : tensor<?x2x60x32xf32> -> tensor<?x2x2x32xf32>
  return
}

// -----

func.func @block_means_c4_open(%q: tensor<?x2x60x32xf32>) {
  // expected-error@+1 {{expected ? pools, since the order is open, but got 2}}
  %m = weft.block_means %q {grid = #weft.grid<3x4x5>, order = #weft.order<tiles>, block = 32 : i64} : tensor<?x2x60x32xf32> -> tensor<?x2x2x32xf32>
  return
}

// -----

func.func @block_scores_c1(%q: tensor<?x2x4x32xf32>, %k: tensor<?x2x4x40xf32>) {
  // expected-error@+1 {{expected means with equal batch, heads and channels, but got}}
  %s = weft.block_scores %q, %k {scale = 1.0 : f64} : tensor<?x2x4x32xf32>, tensor<?x2x4x40xf32> -> tensor<?x2x4x4xf32>
  return
}

// -----

func.func @block_scores_c2(%q: tensor<?x2x4x32xf32>, %k: tensor<?x2x5x32xf32>) {
  // expected-error@+1 {{expected scores of shape [}}
  %s = weft.block_scores %q, %k {scale = 1.0 : f64} : tensor<?x2x4x32xf32>, tensor<?x2x5x32xf32> -> tensor<?x2x4x4xf32>
  return
}

// -----

func.func @block_scores_c3(%q: tensor<?x2x4x32xf32>) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got 0}}
  %s = weft.block_scores %q, %q {scale = 0.0 : f64} : tensor<?x2x4x32xf32>, tensor<?x2x4x32xf32> -> tensor<?x2x4x4xf32>
  return
}

// -----

func.func @max_scores_c1(%s: tensor<?x2x8x8xf32>) {
  // expected-error@+1 {{expected scores with equal batch and heads, but got}}
  %b = weft.max_scores %s {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, query_order = #weft.order<raster>, key_order = #weft.order<raster>,
    query_block = 32 : i64, key_block = 32 : i64, pool = 8 : i64} : tensor<?x2x8x8xf32> -> tensor<?x3x2x2xf32>
  return
}

// -----

func.func @max_scores_c2(%s: tensor<?x2x8x8xf32>) {
  // expected-error@+1 {{expected 2 blocks or ?, but got 3}}
  %b = weft.max_scores %s {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, query_order = #weft.order<raster>, key_order = #weft.order<raster>,
    query_block = 32 : i64, key_block = 32 : i64, pool = 8 : i64} : tensor<?x2x8x8xf32> -> tensor<?x2x2x3xf32>
  return
}

// -----

func.func @max_scores_c3(%s: tensor<?x2x8x8xf32>) {
  // expected-error@+1 {{expected a block that is a multiple of 32 from 32 to 256, but got 33}}
  %b = weft.max_scores %s {query_grid = #weft.grid<3x4x5>, key_grid = #weft.grid<3x4x5>, query_order = #weft.order<raster>, key_order = #weft.order<raster>,
    query_block = 32 : i64, key_block = 33 : i64, pool = 8 : i64} : tensor<?x2x8x8xf32> -> tensor<?x2x2x2xf32>
  return
}

// -----

func.func @select_c1(%s: tensor<2x8x8xf32>, %keep: f64) {
  // expected-error@+1 {{expected scores of rank 4, but got 'tensor<2x8x8xf32>'}}
  %l = weft.select_topk %s keep %keep : tensor<2x8x8xf32>
  return
}

// -----

func.func @select_c1_min(%s: tensor<1x2x8x8xf32>, %mass: f64) {
  // expected-error@+1 {{expected a min of at least 0, but got -1}}
  %l = weft.select_topp %s mass %mass {min = -1 : i64} : tensor<1x2x8x8xf32>
  return
}

// -----

func.func @select_c2_share(%s: tensor<1x2x8x8xf32>) {
  %keep = arith.constant 1.5 : f64
  // expected-error@+1 {{expected a number from 0 to 1, but got 1.5}}
  %l = weft.select_topk %s keep %keep : tensor<1x2x8x8xf32>
  return
}

// -----

func.func @select_c2_score(%s: tensor<1x2x8x8xf32>) {
  %bound = arith.constant 0x7FF0000000000000 : f64
  // expected-error@+1 {{expected a finite score, but got INF}}
  %l = weft.select_threshold %s score %bound : tensor<1x2x8x8xf32>
  return
}

// -----

!mask = !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
func.func @recall_c1(%q: tensor<1x2x60x32xf32>, %k: tensor<1x3x60x32xf32>, %m: !mask) {
  // expected-error@+1 {{expected q and k as [batch, heads, tokens, head dim] with equal element type, batch, heads and head dim, but got 'tensor<1x2x60x32xf32>' and 'tensor<1x3x60x32xf32>'}}
  %r = weft.recall %q, %k mask(%m : !mask) probe local {scale = 1.0 : f64} : tensor<1x2x60x32xf32>, tensor<1x3x60x32xf32> -> tensor<1x2xf32>
  return
}

// -----

!mask = !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x5x4>>
func.func @recall_c2(%q: tensor<1x2x60x32xf32>, %m: !mask) {
  // expected-error@+1 {{expected a mask over two equal grids, but got}}
  %r = weft.recall %q, %q mask(%m : !mask) probe local {scale = 1.0 : f64} : tensor<1x2x60x32xf32>, tensor<1x2x60x32xf32> -> tensor<1x2xf32>
  return
}

// -----

!mask = !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
func.func @recall_c2_tokens(%q: tensor<1x2x61x32xf32>, %m: !mask) {
  // expected-error@+1 {{expected 60 tokens as in #weft.grid<3x4x5>, but got 61 queries and 61 keys}}
  %r = weft.recall %q, %q mask(%m : !mask) probe global {scale = 1.0 : f64} : tensor<1x2x61x32xf32>, tensor<1x2x61x32xf32> -> tensor<1x2xf32>
  return
}

// -----

!mask = !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
func.func @recall_c3(%q: tensor<1x2x60x32xf32>, %m: !mask) {
  // expected-error@+1 {{expected a scale that is positive and finite in f32, but got 0}}
  %r = weft.recall %q, %q mask(%m : !mask) probe local {scale = 0.0 : f64} : tensor<1x2x60x32xf32>, tensor<1x2x60x32xf32> -> tensor<1x2xf32>
  return
}

// -----

!mask = !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5>>
func.func @recall_c4(%q: tensor<1x2x60x32xf32>, %m: !mask) {
  // expected-error@+1 {{expected a recall as [batch, heads] of q, but got 'tensor<2x1xf32>' for 'tensor<1x2x60x32xf32>'}}
  %r = weft.recall %q, %q mask(%m : !mask) probe local {scale = 1.0 : f64} : tensor<1x2x60x32xf32>, tensor<1x2x60x32xf32> -> tensor<2x1xf32>
  return
}

// -----

func.func @choose_c1(%r: tensor<1x2xf32>) {
  // expected-error@+1 {{expected 2 to 16 candidates, but got 1}}
  %c = weft.choose %r : tensor<1x2xf32>
  return
}

// -----

func.func @choose_c1_types(%r: tensor<1x2xf32>, %s: tensor<1x3xf32>) {
  // expected-error@+1 {{expected recalls of one type [batch, heads], but got 'tensor<1x2xf32>', 'tensor<1x3xf32>'}}
  %c = weft.choose %r, %s : tensor<1x2xf32>, tensor<1x3xf32>
  return
}

// -----

func.func @choose_c2(%r: tensor<1x2xf32>) {
  // expected-error@+1 {{expected a bound where there is a fallback}}
  %c = weft.choose %r fallback : tensor<1x2xf32>
  return
}

// -----

func.func @choose_c3(%r: tensor<1x2xf32>) {
  %bound = arith.constant -0.5 : f64
  // expected-error@+1 {{expected a bound that is a number from 0 to 1, but got -5.000000e-01}}
  %c = weft.choose %r, %r bound %bound : tensor<1x2xf32>, tensor<1x2xf32>
  return
}
