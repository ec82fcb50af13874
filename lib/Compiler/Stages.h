// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The compiler's stages, from text to machine code: what the tools print and what the just-in-time compiler runs.

#ifndef WEFT_LIB_COMPILER_STAGES_H
#define WEFT_LIB_COMPILER_STAGES_H

#include "codegen/CPU/Target.h"
#include "codegen/CUDA/Pipeline.h"
#include "lib/Frontend/MLIRGen.h"
#include "runtime/Status.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <memory>
#include <string>
#include <variant>

namespace weft {

/// What to compile, for which shape and target.
struct CompileRequest {
  /// Text of a .weft program, or of an MLIR module with one kernel function if `isModule`.
  std::string source;
  /// Named in messages.
  std::string sourceName = "<text>";
  bool isModule = false;
  /// For a .weft program: the attention, its static values, grids, heads, head dim, element type and block.
  GenerateOptions options;
  std::string target = "native";
};

/// A context with the dialects and translations that compilation needs.
std::unique_ptr<mlir::MLIRContext> createContext();

/// Text to a program of the weft dialect. The error holds every diagnostic; `warnings` gets those that do not fail.
rt::Result<mlir::OwningOpRef<mlir::ModuleOp>> buildProgram(mlir::MLIRContext &context, const CompileRequest &request,
                                                           std::string *warnings = nullptr);


/// What code is generated for.
using Target = std::variant<CPUTarget, CUDATarget>;

/// A program to its plan, in place.
rt::Status lowerToPlan(mlir::ModuleOp module, const Target &target = CPUTarget());

/// A plan to the LLVM dialect, for a GPU with NVVM's ops, in place; the module keeps its `weft.image`.
rt::Status lowerToLLVM(mlir::ModuleOp module, const Target &target);

/// What a request is led through before code is generated.
enum class Stage { Program, Plan, LLVM };

/// A module with its context, which who keeps a copy of the module shares.
struct StagedModule {
  std::shared_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// Called with the module of every stage on the way; an error ends the compilation.
using StageObserver = llvm::function_ref<rt::Status(Stage, const StagedModule &)>;

/// A request's module at `last`. `warnings` gets those of the program before the observer is called.
rt::Result<StagedModule> compileTo(Stage last, const CompileRequest &request, const Target &target,
                                   StageObserver observe = nullptr, std::string *warnings = nullptr);

/// An object alone, or one that also holds the kernel's image for programs that link it.
enum class CodeKind { LLVM, Assembly, Object, LinkableObject };

/// The LLVM dialect to optimised LLVM IR text, assembly text or an object file.
rt::Result<llvm::SmallVector<char, 0>> emitCode(mlir::ModuleOp module, const CPUTarget &target, CodeKind kind);

} // namespace weft

#endif // WEFT_LIB_COMPILER_STAGES_H
