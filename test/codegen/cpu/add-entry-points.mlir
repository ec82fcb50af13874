// RUN: weft-opt %s --weft-cpu-add-entry-points | FileCheck %s

// Argument i comes from byte 8 i of the operand; a Boolean is any integer but 0.
// CHECK-LABEL: llvm.func internal @near.attend
// CHECK-LABEL: llvm.func @weft_near_attend(%arg0: !llvm.ptr) {
// CHECK: %[[P0:.*]] = llvm.getelementptr %arg0[0] : (!llvm.ptr) -> !llvm.ptr, i64
// CHECK: %[[A0:.*]] = llvm.load %[[P0]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[P1:.*]] = llvm.getelementptr %arg0[1] : (!llvm.ptr) -> !llvm.ptr, i64
// CHECK: %[[A1:.*]] = llvm.load %[[P1]] : !llvm.ptr -> i64
// CHECK: %[[P2:.*]] = llvm.getelementptr %arg0[2]
// CHECK: %[[SLOT:.*]] = llvm.load %[[P2]] : !llvm.ptr -> i64
// CHECK: %[[ZERO:.*]] = llvm.mlir.constant(0 : i64)
// CHECK: %[[A2:.*]] = llvm.icmp "ne" %[[SLOT]], %[[ZERO]]
// CHECK: %[[P3:.*]] = llvm.getelementptr %arg0[3]
// CHECK: %[[A3:.*]] = llvm.load %[[P3]] : !llvm.ptr -> i32
// CHECK: llvm.call @near.attend(%[[A0]], %[[A1]], %[[A2]], %[[A3]])
// CHECK: llvm.return
llvm.func @near.attend(%q: !llvm.ptr, %stride: i64, %want: i1, %head: i32) {
  llvm.return
}

// CHECK-LABEL: llvm.func internal @near.pack
// CHECK-LABEL: llvm.func @weft_near_pack(%arg0: !llvm.ptr)
llvm.func @near.pack(%k: !llvm.ptr) {
  llvm.return
}

// Other functions and declarations stay alone.
// CHECK: llvm.func @helper()
// CHECK: llvm.func @logf(f32) -> f32
// CHECK: llvm.func @other.pack(!llvm.ptr)
// CHECK-NOT: @weft_
llvm.func @helper() {
  llvm.return
}
llvm.func @logf(f32) -> f32
llvm.func @other.pack(!llvm.ptr)
