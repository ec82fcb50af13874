// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Types: masks, run-time block lists and run-time rows.

#ifndef WEFT_DIALECT_WEFTTYPES_TD
#define WEFT_DIALECT_WEFTTYPES_TD

include "dialect/WeftAttrs.td"

class Weft_Type<string name, string typeMnemonic> : TypeDef<Weft_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Weft_MaskType : Weft_Type<"Mask", "mask"> {
  let summary = "a set of (head, query token, key token) triples";
  let description = [{
    ```mlir
    !weft.mask<query = #weft.grid<3x4x5>, key = #weft.grid<3x4x5, text = 6>>
    ```
  }];
  let parameters = (ins "GridAttr":$query, "GridAttr":$key);
  let assemblyFormat = "`<` `query` `=` $query `,` `key` `=` $key `>`";
}

def Weft_BlocksType : Weft_Type<"Blocks", "blocks"> {
  let summary = "block lists that the caller passes at run time, or that queries and keys predict";
  let description = [{
    For every batch and head (or once for all batches, or for all heads too) and every query block the ascending
    list of key blocks that it may attend to, in the kernel's own partition.

    ```mlir
    !weft.blocks
    ```
  }];
}

def Weft_RowsType : Weft_Type<"Rows", "rows"> {
  let summary = "query tokens that the caller selects at run time, or that their importance does";
  let description = [{
    For every batch and head (or once for all of either) a set of query tokens,
    as positions in the sequence.

    ```mlir
    !weft.rows
    ```
  }];
}

#endif // WEFT_DIALECT_WEFTTYPES_TD
