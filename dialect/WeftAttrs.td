// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attributes: the token grid, the memory order and block lists.

#ifndef WEFT_DIALECT_WEFTATTRS_TD
#define WEFT_DIALECT_WEFTATTRS_TD

include "dialect/WeftDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class Weft_Attr<string name, string attrMnemonic> : AttrDef<Weft_Dialect, name> {
  let mnemonic = attrMnemonic;
  let genMnemonicAlias = 1;
}

def Weft_GridAttr : Weft_Attr<"Grid", "grid"> {
  let summary = "the tokens of one sequence: a t x h x w box of video tokens and a run of text tokens";
  let description = [{
    Video tokens are in raster order, t slowest and w fastest. `text` tokens
    stand after them, or before them if so said.

    ```mlir
    #weft.grid<13x30x45>
    #weft.grid<13x30x45, text = 226>
    #weft.grid<13x30x45, text = 226 before>
    ```

    Constraints:
    - (C1) t, h and w are at least 1.
    - (C2) text is at least 0.
    - (C3) the sequence has fewer than 2^20 tokens.
  }];
  let parameters = (ins "int64_t":$t, "int64_t":$h, "int64_t":$w,
                        "int64_t":$text, "bool":$textFirst);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t getVideoTokens() const { return getT() * getH() * getW(); }
    int64_t getTokens() const { return getVideoTokens() + getText(); }
    /// Sequence position of the first video token.
    int64_t getVideoBegin() const { return getTextFirst() ? getText() : 0; }
    /// Sequence position of the first text token.
    int64_t getTextBegin() const { return getTextFirst() ? 0 : getVideoTokens(); }
  }];
}

def Weft_OrderAttr : Weft_Attr<"Order", "order"> {
  let constBuilderCall = "$0";
  let summary = "the memory order in which tokens are cut into blocks";
  let description = [{
    `raster` keeps the sequence as it is. `tiles = TxHxW` walks the video tokens
    box by box, boxes in raster order and clipped at the grid's end; text tokens
    stay where they are. `tiles = HxW` does so as if the frames lay below each
    other in one picture: rows of a box run on into the next frame. With
    `first = N` the first N frames stand apart: they are cut into runs of as many
    tokens as a box has, and boxes walk the others.
    `tiles` alone leaves the box to `weft-choose-tiles`.

    `by = map` sorts the video tokens: by the first number that the map gives for
    a token's t, h and w, then by the second and so on; equal ones keep the order
    of the sequence. Blocks are runs of sorted tokens, as they are of the
    sequence in the raster order, and first frames are runs of their own.

    ```mlir
    #weft.order<raster>
    #weft.order<tiles>
    #weft.order<tiles = 2x8x8>
    #weft.order<tiles = 8x16, first = 1>
    #weft.order<by = (t, h, w) -> ((h - w) mod 2), first = 1>
    ```

    Constraints:
    - (C1) a tile's sizes are at least 1 and their product is at most 256.
    - (C2) first is at least 0.
    - (C3) the map has three dimensions, no symbols and at least one result; its
      divisors are positive constants.
  }];
  let parameters = (ins "bool":$tiled, "int64_t":$t, "int64_t":$h, "int64_t":$w,
                        DefaultValuedParameter<"int64_t", "0">:$first,
                        DefaultValuedParameter<"mlir::AffineMap", "mlir::AffineMap()">:$by);
  let builders = [AttrBuilder<(ins "bool":$tiled, "int64_t":$t, "int64_t":$h, "int64_t":$w), [{
    return $_get($_ctxt, tiled, t, h, w, /*first=*/0, mlir::AffineMap());
  }]>, AttrBuilder<(ins "bool":$tiled, "int64_t":$t, "int64_t":$h, "int64_t":$w, "int64_t":$first), [{
    return $_get($_ctxt, tiled, t, h, w, first, mlir::AffineMap());
  }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    static constexpr int64_t kMaxTileVolume = 256;
    static OrderAttr getRaster(mlir::MLIRContext *context) { return get(context, false, 0, 0, 0); }
    static OrderAttr getChosenTiles(mlir::MLIRContext *context) { return get(context, true, 0, 0, 0); }
    static OrderAttr getSorted(mlir::AffineMap by, int64_t first);
    /// Whether blocks are runs of sorted tokens.
    bool isSorted() const { return static_cast<bool>(getBy()); }
    /// Whether block order differs from that of the sequence.
    bool permutes() const { return getTiled() || isSorted(); }
    /// Whether the box is still to be chosen.
    bool isOpen() const { return getTiled() && getW() == 0; }
    /// Whether rows of a box run on into the next frame.
    bool joinsFrames() const { return getTiled() && getT() == 0 && getW() != 0; }
    /// Extents t, h and w of a box.
    std::array<int64_t, 3> getBox() const { return {joinsFrames() ? 1 : getT(), getH(), getW()}; }
    int64_t getVolume() const { return getBox()[0] * getH() * getW(); }
  }];
}

def Weft_BlockListsAttr : Weft_Attr<"BlockLists", "block_lists"> {
  let summary = "which key blocks each query block visits";
  let description = [{
    Compressed rows: query block i of list set l visits
    `entries[offsets[l][i]] .. entries[offsets[l][i + 1] - 1]`, in ascending
    order of the key block. An entry is `key_block * 2 + partial`. There is one
    list set for all heads, or one per head.

    ```mlir
    #weft.block_lists<offsets = dense<[[0, 1, 3]]> : tensor<1x3xi32>, entries = dense<[0, 1, 2]> : tensor<3xi32>>
    ```

    Constraints:
    - (C1) offsets is a 2-D and entries a 1-D tensor of i32.
    - (C2) offsets start at 0, never fall, and end at the number of entries.
    - (C3) the key blocks of a row ascend strictly.
  }];
  let parameters = (ins "mlir::DenseIntElementsAttr":$offsets,
                        "mlir::DenseIntElementsAttr":$entries);
  let assemblyFormat = "`<` `offsets` `=` $offsets `,` `entries` `=` $entries `>`";
  let genVerifyDecl = 1;
}

def Weft_Layout : I32EnumAttr<"Layout", "how a tile of rows lies in its buffer", [
    I32EnumAttrCase<"Rows", 0, "rows">,
    I32EnumAttrCase<"KeyPanels", 1, "key_panels">,
    I32EnumAttrCase<"KeyPairs", 2, "key_pairs">,
    I32EnumAttrCase<"ValuePanels", 3, "value_panels">,
    I32EnumAttrCase<"ValuePairs", 4, "value_pairs">]> {
  let cppNamespace = "::weft";
  let genSpecializedAttr = 0;
}
def Weft_LayoutAttr : EnumAttr<Weft_Dialect, Weft_Layout, "layout"> {
  let assemblyFormat = "`<` $value `>`";
}

def Weft_Probe : I32EnumAttr<"Probe", "which video tokens stand for all in a measure of recall", [
    I32EnumAttrCase<"Local", 0, "local">,
    I32EnumAttrCase<"Global", 1, "global">]> {
  let cppNamespace = "::weft";
  let genSpecializedAttr = 0;
}
def Weft_ProbeAttr : EnumAttr<Weft_Dialect, Weft_Probe, "probe"> {
  let assemblyFormat = "$value";
}

#endif // WEFT_DIALECT_WEFTATTRS_TD
