// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The weft dialect: its definition and the base class of its ops.

#ifndef WEFT_DIALECT_WEFTDIALECT_TD
#define WEFT_DIALECT_WEFTDIALECT_TD

include "mlir/IR/OpBase.td"

def Weft_Dialect : Dialect {
  let name = "weft";
  let cppNamespace = "::weft";
  let summary = "sparse attention over video tokens";
  let description = [{
    The dialect speaks on three levels.

    *Programs* state on whole tensors what is to be computed: an attention, the
    set of (query, key) pairs that count (a mask), and where each token sits in
    memory (an order). Masks form a Boolean algebra over predicates on token
    coordinates and over block lists given at run time.

    *Plans* state how, per block: queries and keys are cut into blocks, every
    pair of blocks is empty, full or partial, and only the last two are visited.

    *Tiles* are the steps of the online softmax on one pair of blocks, in
    buffers. A target's code generator knows how to lower these.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    /// Function attribute of a program's entry point.
    static constexpr llvm::StringLiteral kKernelAttrName = "weft.kernel";
    /// Argument attributes of a dynamic parameter: its name and its default.
    static constexpr llvm::StringLiteral kParameterNameAttrName = "weft.name";
    static constexpr llvm::StringLiteral kParameterDefaultAttrName = "weft.default";
    /// What a kernel's call has room for.
    static constexpr int64_t kMaxParameters = 16;
    /// A text token's t, h and w: far from every video token.
    static constexpr int32_t kTextCoordinate = 1 << 20;
  }];
}

class Weft_Op<string mnemonic, list<Trait> traits = []>
    : Op<Weft_Dialect, mnemonic, traits>;

#endif // WEFT_DIALECT_WEFTDIALECT_TD
