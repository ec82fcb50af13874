// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weftc: compiles a program ahead of time, as far as asked.

#include "lib/Compiler/Stages.h"
#include "lib/Frontend/ASTPrinter.h"
#include "lib/Frontend/Frontend.h"
#include "tools/ToolOptions.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace llvm;
using namespace weft;

namespace {

enum class Emit { AST, Weft, Plan, LLVM, Asm, Obj };

cl::OptionCategory category("weftc options");
ToolOptions tool(category);
cl::opt<Emit> emit("emit", cl::desc("what to write"), cl::init(Emit::Plan), cl::cat(category),
                   cl::values(clEnumValN(Emit::AST, "ast", "the syntax tree"),
                              clEnumValN(Emit::Weft, "weft", "the program in the weft dialect"),
                              clEnumValN(Emit::Plan, "plan", "the plan: block lists and tiles"),
                              clEnumValN(Emit::LLVM, "llvm", "optimised LLVM IR"),
                              clEnumValN(Emit::Asm, "asm", "assembly"), clEnumValN(Emit::Obj, "obj", "an object file")));
cl::opt<std::string> output("o", cl::desc("the file to write; - is standard output"), cl::init("-"),
                            cl::value_desc("FILE"), cl::cat(category));

rt::Result<std::string> printAST(const CompileRequest &request) {
  SourceFile file(request.sourceName, request.source);
  weft::Diagnostics diagnostics(file);
  std::unique_ptr<Program> program = parseProgram(file, diagnostics);
  if (!program)
    return rt::Status::error(diagnostics.render());
  errs() << diagnostics.render();
  return printProgram(*program, file);
}

std::string printModule(mlir::ModuleOp module) {
  std::string text;
  raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  // Lists of a large grid would fill megabytes.
  flags.elideLargeElementsAttrs(1024);
  module.print(stream, flags);
  stream << "\n";
  return text;
}

rt::Result<std::string> compile(const CompileRequest &request) {
  if (emit == Emit::AST)
    return printAST(request);
  std::string error;
  std::optional<CPUTarget> target = CPUTarget::parse(request.target, error);
  if (!target)
    return rt::Status::error("--target: " + error);
  std::unique_ptr<mlir::MLIRContext> context = createContext();
  std::string warnings;
  auto module = buildProgram(*context, request, &warnings);
  if (!module)
    return module.status();
  errs() << warnings;
  if (emit == Emit::Weft)
    return printModule(**module);
  if (rt::Status status = lowerToPlan(**module); !status)
    return status;
  if (emit == Emit::Plan)
    return printModule(**module);
  if (rt::Status status = lowerToLLVM(**module, *target); !status)
    return status;
  if (emit == Emit::Obj && !(**module)->getAttrOfType<mlir::DictionaryAttr>("weft.image").get("lists"))
    return rt::Status::error("--emit=obj: expected a mask without dynamic parameters, whose block lists only the "
                             "just-in-time compiler can make");
  CodeKind kind = emit == Emit::LLVM  ? CodeKind::LLVM
                  : emit == Emit::Asm ? CodeKind::Assembly
                                      : CodeKind::LinkableObject;
  auto code = emitCode(**module, *target, kind);
  if (!code)
    return code.status();
  return std::string(code->begin(), code->end());
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Weft's ahead-of-time compiler\n");
  auto request = tool.request(/*needsGrid=*/emit != Emit::AST);
  if (!request)
    return reportError("weftc", request.message());
  auto text = compile(*request);
  if (!text)
    return reportError("weftc", text.message());
  // The file appears only now, so that a failed compilation leaves nothing behind.
  std::error_code error;
  ToolOutputFile file(output, error, emit == Emit::Obj ? sys::fs::OF_None : sys::fs::OF_Text);
  if (error)
    return reportError("weftc", output + ": " + error.message());
  file.os() << *text;
  file.keep();
  return 0;
}
