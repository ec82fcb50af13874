// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes a kernel's image into its LLVM module.

#include "lib/Compiler/ImageBuilder.h"

#include "dialect/WeftDialect.h"
#include "runtime/StaticImage.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/Module.h"

using namespace weft;

namespace {

/// Builds constants of 8-byte fields.
class ConstantBuilder {
public:
  explicit ConstantBuilder(llvm::Module &module) : module(module), context(module.getContext()) {}

  llvm::Constant *integer(int64_t value) {
    return llvm::ConstantInt::getSigned(llvm::Type::getInt64Ty(context), value);
  }
  llvm::Constant *null() { return llvm::ConstantPointerNull::get(llvm::PointerType::get(context, 0)); }
  llvm::Constant *text(const std::string &value) { return place(llvm::ConstantDataArray::getString(context, value)); }
  llvm::Constant *integers(llvm::ArrayRef<int32_t> values) {
    return place(llvm::ConstantDataArray::get(context, values));
  }
  llvm::Constant *function(const std::string &name) { return module.getFunction(name); }
  llvm::Constant *record(llvm::ArrayRef<llvm::Constant *> fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }
  /// Records behind one another.
  llvm::Constant *array(llvm::ArrayRef<llvm::Constant *> records) {
    if (records.empty())
      return null();
    return place(llvm::ConstantArray::get(llvm::ArrayType::get(records.front()->getType(), records.size()), records));
  }
  /// A private constant in memory.
  llvm::Constant *place(llvm::Constant *value) { return add(value, llvm::GlobalValue::PrivateLinkage, ""); }
  llvm::Constant *add(llvm::Constant *value, llvm::GlobalValue::LinkageTypes linkage, const std::string &name) {
    return new llvm::GlobalVariable(module, value->getType(), /*isConstant=*/true, linkage, value, name);
  }

private:
  llvm::Module &module;
  llvm::LLVMContext &context;
};

llvm::SmallVector<int32_t> toVector(mlir::DenseIntElementsAttr values) {
  return llvm::to_vector(values.getValues<int32_t>());
}

} // namespace

void weft::embedImage(llvm::Module &code, mlir::ModuleOp module) {
  rt::KernelImage image = buildImage(module);
  ConstantBuilder b(code);
  llvm::SmallVector<llvm::Constant *> fields = {b.integer(rt::StaticImage::kVersion), b.text(image.name),
                                                b.integer(image.heads), b.integer(image.headDim),
                                                b.integer(static_cast<int64_t>(image.dtype))};
  for (const rt::TokenBlocks *blocks : {&image.query, &image.key})
    fields.append({b.integer(blocks->tokens), b.integer(blocks->count()), b.integers(blocks->offsets),
                   b.integers(blocks->table)});
  for (int64_t number : {image.keyTileBytes, image.valueTileBytes, image.biasTileBytes, image.scratchBytes,
                         static_cast<int64_t>(image.hasGiven), static_cast<int64_t>(image.hasBias),
                         static_cast<int64_t>(image.hasRows), static_cast<int64_t>(image.usesTiles),
                         static_cast<int64_t>(image.parameters.size())})
    fields.push_back(b.integer(number));
  llvm::SmallVector<llvm::Constant *> parameters, lists;
  for (const rt::Parameter &parameter : image.parameters)
    parameters.push_back(b.record({b.text(parameter.name), b.integer(parameter.isBool),
                                   b.integer(parameter.defaultValue.has_value()),
                                   b.integer(parameter.defaultValue.value_or(0))}));
  auto attributes = module->getAttrOfType<mlir::DictionaryAttr>("weft.image").getAs<mlir::ArrayAttr>("lists");
  for (auto attribute : attributes.getAsRange<BlockListsAttr>()) {
    auto offsets = toVector(attribute.getOffsets()), entries = toVector(attribute.getEntries());
    lists.push_back(b.record({b.integer(attribute.getOffsets().getType().getDimSize(0)), b.integer(entries.size()),
                              b.integers(offsets), b.integers(entries)}));
  }
  fields.append({b.array(parameters), b.integer(lists.size()), b.array(lists),
                 b.function("weft_" + image.name + "_pack"), b.function("weft_" + image.name + "_attend")});
  b.add(b.record(fields), llvm::GlobalValue::ExternalLinkage, "weft_" + image.name + "_image");
}
