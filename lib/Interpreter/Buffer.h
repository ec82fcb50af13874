// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Buffer: memory of doubles with typed views, as the tile level sees memory.

#ifndef WEFT_LIB_INTERPRETER_BUFFER_H
#define WEFT_LIB_INTERPRETER_BUFFER_H

#include "mlir/IR/Operation.h"

#include <memory>
#include <vector>

namespace weft::interp {

/// A view of memory that all its views share.
///
/// Memory holds one double per byte, and an element of k bytes is the double at its first byte. So views of one memory
/// overlap if and only if their elements do, and what was written through one type is not read through another. Bytes
/// that nobody wrote are NaN.
struct Buffer {
  std::shared_ptr<std::vector<double>> storage;
  /// The byte of the first element.
  int64_t offset = 0;
  /// Bytes per element.
  int64_t unit = 1;
  /// In elements.
  std::vector<int64_t> strides, shape;

  /// The element, which must be inside: see checkIndices.
  double &at(llvm::ArrayRef<int64_t> indices) const;
};

/// Bytes per element of `type`, which must be an integer, an index or a float.
int64_t getBytes(mlir::Type type);

/// New memory, as a vector of bytes.
Buffer allocateBytes(int64_t count);

/// New memory with 32-bit integers.
Buffer allocateIntegers(llvm::ArrayRef<int32_t> values);

/// An error at `op` unless the element [indices...] is in `buffer`.
mlir::LogicalResult checkIndices(mlir::Operation *op, const Buffer &buffer, llvm::ArrayRef<int64_t> indices);

/// Row-major elements of `unit` bytes from byte `offset` of the vector `bytes`; an error at `op` if it is shorter.
mlir::FailureOr<Buffer> viewBytes(mlir::Operation *op, const Buffer &bytes, int64_t offset, int64_t unit,
                                  std::vector<int64_t> shape);

/// `count` elements behind one another from element `first` of the memory at `base`, whose shape is not asked; an error
/// at `op` if the memory ends before.
mlir::FailureOr<Buffer> viewRow(mlir::Operation *op, const Buffer &base, int64_t first, int64_t count);

/// The integer at [indices...]; an error at `op` if there is none.
mlir::FailureOr<int64_t> loadInteger(mlir::Operation *op, const Buffer &buffer, llvm::ArrayRef<int64_t> indices);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_BUFFER_H
