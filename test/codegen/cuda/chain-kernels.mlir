// RUN: weft-opt %s --weft-cuda-chain-kernels | FileCheck %s

// The runtime learns that every kernel waits.
// CHECK: module attributes
// CHECK-SAME: weft.image = {cuda = {rows = 64 : i64, waits}, name = "attention"}
// CHECK-SAME: weft.statistics = {"weft-cuda-chain-kernels" = {kernels_chained = 2 : i64}}
module attributes {weft.image = {name = "attention", cuda = {rows = 64 : i64}}} {

// CHECK-LABEL: llvm.func @weft_attention_pool(
// CHECK-NEXT: llvm.inline_asm has_side_effects asm_dialect = att "griddepcontrol.launch_dependents; griddepcontrol.wait;", "~{memory}"
// CHECK-NEXT: llvm.load
llvm.func @weft_attention_pool(%address: !llvm.ptr<1>) attributes {nvvm.kernel} {
  %number = llvm.load %address : !llvm.ptr<1> -> i32
  llvm.store %number, %address : i32, !llvm.ptr<1>
  llvm.return
}

// CHECK-LABEL: llvm.func @weft_attention(
// CHECK-NEXT: llvm.inline_asm has_side_effects
llvm.func @weft_attention() attributes {nvvm.kernel} {
  llvm.return
}

// CHECK-LABEL: llvm.func @helper(
// CHECK-NEXT: llvm.return
llvm.func @helper() {
  llvm.return
}

}
