// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The builders.

#include "codegen/CUDA/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft::cuda;

Emitter::Emitter(ImplicitLocOpBuilder builder, StringRef sharedName)
    : b(builder), region(b.getInsertionBlock()->getParent()) {
  sharedBase = LLVM::AddressOfOp::create(b, LLVM::LLVMPointerType::get(b.getContext(), 3), sharedName);
  sharedBaseAddress = LLVM::PtrToIntOp::create(b, b.getI32Type(), sharedBase);
}

Value Emitter::constant(Type type, Attribute value) {
  return arith::ConstantOp::create(b, type, cast<TypedAttr>(value));
}

Value Emitter::i1(bool value) { return constant(b.getI1Type(), b.getBoolAttr(value)); }
Value Emitter::i32(int64_t value) {
  return constant(b.getI32Type(), b.getI32IntegerAttr(static_cast<int32_t>(value)));
}
Value Emitter::i64(int64_t value) { return constant(b.getI64Type(), b.getI64IntegerAttr(value)); }
Value Emitter::f32(double value) { return constant(b.getF32Type(), b.getF32FloatAttr(static_cast<float>(value))); }
Value Emitter::f64(double value) { return constant(b.getF64Type(), b.getF64FloatAttr(value)); }

static Value like(Emitter &e, Value value, int64_t number) {
  return value.getType().isInteger(64) ? e.i64(number) : e.i32(number);
}

Value Emitter::add(Value lhs, Value rhs) { return arith::AddIOp::create(b, lhs, rhs); }
Value Emitter::add(Value lhs, int64_t rhs) { return rhs ? add(lhs, like(*this, lhs, rhs)) : lhs; }
Value Emitter::sub(Value lhs, Value rhs) { return arith::SubIOp::create(b, lhs, rhs); }
Value Emitter::mul(Value lhs, Value rhs) { return arith::MulIOp::create(b, lhs, rhs); }
Value Emitter::mul(Value lhs, int64_t rhs) { return mul(lhs, like(*this, lhs, rhs)); }
Value Emitter::divide(Value lhs, int64_t rhs) { return arith::DivUIOp::create(b, lhs, like(*this, lhs, rhs)); }
Value Emitter::divide(Value lhs, Value rhs) { return arith::DivUIOp::create(b, lhs, rhs); }
Value Emitter::remainder(Value lhs, int64_t rhs) { return arith::RemUIOp::create(b, lhs, like(*this, lhs, rhs)); }
Value Emitter::bitAnd(Value lhs, int64_t rhs) { return bitAnd(lhs, like(*this, lhs, rhs)); }
Value Emitter::bitAnd(Value lhs, Value rhs) { return arith::AndIOp::create(b, lhs, rhs); }
Value Emitter::bitOr(Value lhs, Value rhs) { return arith::OrIOp::create(b, lhs, rhs); }
Value Emitter::bitXor(Value lhs, int64_t rhs) { return bitXor(lhs, like(*this, lhs, rhs)); }
Value Emitter::bitXor(Value lhs, Value rhs) { return arith::XOrIOp::create(b, lhs, rhs); }
Value Emitter::remainder(Value lhs, Value rhs) { return arith::RemUIOp::create(b, lhs, rhs); }
Value Emitter::shiftLeft(Value lhs, Value rhs) { return arith::ShLIOp::create(b, lhs, rhs); }
Value Emitter::shiftLeft(Value lhs, int64_t rhs) { return arith::ShLIOp::create(b, lhs, like(*this, lhs, rhs)); }
Value Emitter::shiftRight(Value lhs, int64_t rhs) { return shiftRight(lhs, like(*this, lhs, rhs)); }
Value Emitter::shiftRight(Value lhs, Value rhs) { return arith::ShRUIOp::create(b, lhs, rhs); }
Value Emitter::equal(Value lhs, Value rhs) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, lhs, rhs);
}
Value Emitter::equal(Value lhs, int64_t rhs) { return equal(lhs, like(*this, lhs, rhs)); }
Value Emitter::notEqual(Value lhs, int64_t rhs) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, lhs, like(*this, lhs, rhs));
}
Value Emitter::below(Value lhs, Value rhs) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, lhs, rhs);
}
Value Emitter::less(Value lhs, Value rhs) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, lhs, rhs);
}
Value Emitter::minimum(Value lhs, Value rhs) { return arith::MinSIOp::create(b, lhs, rhs); }
Value Emitter::greater(Value lhs, Value rhs) { return arith::MaxSIOp::create(b, lhs, rhs); }
Value Emitter::select(Value condition, Value ifTrue, Value ifFalse) {
  return arith::SelectOp::create(b, condition, ifTrue, ifFalse);
}
Value Emitter::extend(Value value, unsigned width) {
  return arith::ExtUIOp::create(b, b.getIntegerType(width), value);
}
Value Emitter::extendSigned(Value value) { return arith::ExtSIOp::create(b, b.getI64Type(), value); }

Value Emitter::addF(Value lhs, Value rhs) { return arith::AddFOp::create(b, lhs, rhs); }
Value Emitter::subF(Value lhs, Value rhs) { return arith::SubFOp::create(b, lhs, rhs); }
Value Emitter::mulF(Value lhs, Value rhs) { return arith::MulFOp::create(b, lhs, rhs); }
Value Emitter::divideF(Value lhs, Value rhs) { return arith::DivFOp::create(b, lhs, rhs); }
Value Emitter::negate(Value value) { return arith::NegFOp::create(b, value); }
Value Emitter::fma(Value a, Value x, Value y) { return LLVM::FMAOp::create(b, a, x, y); }
Value Emitter::maximum(Value lhs, Value rhs) { return LLVM::MaxNumOp::create(b, lhs, rhs); }
Value Emitter::maximumOrNaN(Value lhs, Value rhs) { return LLVM::MaximumOp::create(b, lhs, rhs); }
Value Emitter::equalF(Value lhs, Value rhs) {
  return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, lhs, rhs);
}
Value Emitter::greaterF(Value lhs, Value rhs) {
  return arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, lhs, rhs);
}
Value Emitter::absolute(Value value) { return LLVM::FAbsOp::create(b, value); }
Value Emitter::squareRoot(Value value) { return LLVM::SqrtOp::create(b, value); }
Value Emitter::countToF32(Value value) { return arith::SIToFPOp::create(b, b.getF32Type(), value); }
Value Emitter::toF32(Value value) {
  return value.getType().isF32() ? value : Value(arith::ExtFOp::create(b, b.getF32Type(), value));
}
Value Emitter::toF64(Value value) { return arith::ExtFOp::create(b, b.getF64Type(), toF32(value)); }

static Value callIntrinsic(Emitter &e, StringRef name, Value operand) {
  return LLVM::CallIntrinsicOp::create(e.b, operand.getType(), e.b.getStringAttr(name), operand).getResult(0);
}

Value Emitter::exp2(Value value) { return callIntrinsic(*this, "llvm.nvvm.ex2.approx.ftz.f", value); }
Value Emitter::log2(Value value) { return callIntrinsic(*this, "llvm.nvvm.lg2.approx.ftz.f", value); }
Value Emitter::reciprocal(Value value) { return callIntrinsic(*this, "llvm.nvvm.rcp.approx.ftz.f", value); }

Value Emitter::reduce(ArrayRef<Value> values, Combine combine, size_t chains) {
  Values partial(values.take_front(chains));
  for (size_t i = partial.size(); i < values.size(); ++i)
    partial[i % chains] = combine(partial[i % chains], values[i]);
  while (partial.size() > 1) {
    Values next;
    for (size_t i = 0; i + 1 < partial.size(); i += 2)
      next.push_back(combine(partial[i], partial[i + 1]));
    if (partial.size() % 2)
      next.push_back(partial.back());
    partial = next;
  }
  return partial.front();
}

Value Emitter::exchange(Value value, int64_t distance) {
  auto ofWord = [&](Value word) -> Value {
    return NVVM::ShflOp::create(b, word.getType(), i32(-1), word, i32(distance), i32(31), NVVM::ShflKind::bfly,
                                UnitAttr());
  };
  if (!value.getType().isF64())
    return ofWord(value);
  Type pair = VectorType::get(2, b.getI32Type());
  Value words = LLVM::BitcastOp::create(b, pair, value), result = LLVM::PoisonOp::create(b, pair);
  for (int64_t i = 0; i < 2; ++i)
    result = LLVM::InsertElementOp::create(b, result, ofWord(LLVM::ExtractElementOp::create(b, words, i32(i))), i32(i));
  return LLVM::BitcastOp::create(b, value.getType(), result);
}

Value Emitter::reduceLanes(Value value, int64_t lanes, Combine combine) {
  for (int64_t distance = lanes / 2; distance > 0; distance /= 2)
    value = combine(value, exchange(value, distance));
  return value;
}

Value Emitter::reduceQuad(Value value, Combine combine) { return reduceLanes(value, 4, combine); }

Value Emitter::reduceWarp(Value value, Combine combine) { return reduceLanes(value, 32, combine); }

Value Emitter::sumWarp(Value value) {
  return assembly("redux.sync.add.s32 $0, $1, 0xffffffff;", "=r,r", value, b.getI32Type())[0];
}

Value Emitter::broadcastFirstLane(Value value) { return broadcastLane(value, i32(0)); }

Value Emitter::broadcastLane(Value value, Value lane) {
  return NVVM::ShflOp::create(b, value.getType(), i32(-1), value, lane, i32(31), NVVM::ShflKind::idx, UnitAttr());
}

Value Emitter::broadcastOfEight(Value value, int64_t number) {
  constexpr int64_t kEights = (0x18 << 8) | 31;
  return NVVM::ShflOp::create(b, value.getType(), i32(-1), value, i32(number), i32(kEights), NVVM::ShflKind::idx,
                              UnitAttr());
}

Value Emitter::ballot(Value condition) {
  return NVVM::VoteSyncOp::create(b, b.getI32Type(), i32(-1), condition, NVVM::VoteSyncKind::ballot);
}

Value Emitter::lanesWith(Value value) {
  return assembly("match.any.sync.b32 $0, $1, 0xffffffff;", "=r,r", value, b.getI32Type())[0];
}

Value Emitter::countBits(Value value) { return LLVM::CtPopOp::create(b, value); }

Value Emitter::lowestBit(Value value) {
  return LLVM::CountTrailingZerosOp::create(b, value.getType(), value, /*is_zero_poison=*/true);
}

Value Emitter::advance(Value pointer, Value bytes) { return advance(pointer, bytes, b.getI8Type()); }

Value Emitter::advance(Value pointer, Value count, Type element) {
  return LLVM::GEPOp::create(b, pointer.getType(), element, pointer, ArrayRef<LLVM::GEPArg>{count});
}

Value Emitter::load(Type type, Value pointer, unsigned alignment) {
  return LLVM::LoadOp::create(b, type, pointer, alignment);
}

void Emitter::store(Value value, Value pointer, unsigned alignment) {
  LLVM::StoreOp::create(b, value, pointer, alignment);
}

Values Emitter::load4(Value pointer) {
  Value packed = load(VectorType::get(4, b.getI32Type()), pointer, 16);
  Values result;
  for (int64_t i = 0; i < 4; ++i)
    result.push_back(LLVM::ExtractElementOp::create(b, packed, i32(i)));
  return result;
}

void Emitter::store4(ArrayRef<Value> values, Value pointer) {
  Value packed = LLVM::PoisonOp::create(b, VectorType::get(4, b.getI32Type()));
  for (int64_t i = 0; i < 4; ++i)
    packed = LLVM::InsertElementOp::create(b, packed, values[i], i32(i));
  store(packed, pointer, 16);
}

Value Emitter::loadAt(Type type, Value array, Value index) { return load(type, advance(array, extend(index), type), 4); }

void Emitter::storeAt(Value value, Value array, Value index) {
  store(value, advance(array, extend(index), value.getType()), 4);
}

Value Emitter::atomicAdd(Value pointer, Value value) {
  return LLVM::AtomicRMWOp::create(b, LLVM::AtomicBinOp::add, pointer, value, LLVM::AtomicOrdering::monotonic,
                                   "device");
}

Value Emitter::takeNumber(Value array, Value index, Value lane) {
  Value same = lanesWith(index), leader = lowestBit(same);
  Value before = bitAnd(same, add(shiftLeft(i32(1), lane), -1));
  Value takes = bitAnd(equal(leader, lane), less(i32(-1), index));
  Value first = valueWhen(
      takes, [&] { return atomicAdd(advance(array, extend(index), b.getI32Type()), countBits(same)); }, i32(0));
  return add(broadcastLane(first, leader), countBits(before));
}

Value Emitter::isGiven(Value pointer) {
  return notEqual(LLVM::PtrToIntOp::create(b, b.getI64Type(), pointer), 0);
}
Value Emitter::shared(Value offset) { return advance(sharedBase, offset); }
Value Emitter::sharedAddress(Value offset) { return add(sharedBaseAddress, offset); }

static LLVM::InlineAsmOp createAssembly(Emitter &e, StringRef text, StringRef constraints, ValueRange operands,
                                        TypeRange results, bool hasSideEffects) {
  return LLVM::InlineAsmOp::create(e.b, results, operands, text, constraints, hasSideEffects,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr::get(e.b.getContext(), LLVM::AsmDialect::AD_ATT),
                                   /*operand_attrs=*/nullptr);
}

Value Emitter::convert(StringRef text, StringRef constraints, ValueRange operands, Type result) {
  return createAssembly(*this, text, constraints, operands, result, /*hasSideEffects=*/false)->getResult(0);
}

Values Emitter::assembly(StringRef text, StringRef constraints, ValueRange operands, ArrayRef<Type> results) {
  Type type;
  if (results.size() == 1)
    type = results[0];
  else if (results.size() > 1)
    type = LLVM::LLVMStructType::getLiteral(b.getContext(), results);
  SmallVector<Type> types;
  if (type)
    types.push_back(type);
  auto op = createAssembly(*this, text, constraints, operands, types, /*hasSideEffects=*/true);
  if (results.size() < 2)
    return Values(op->getResults());
  Values values;
  for (int64_t i = 0, e = results.size(); i < e; ++i)
    values.push_back(LLVM::ExtractValueOp::create(b, op->getResult(0), ArrayRef<int64_t>{i}));
  return values;
}

void Emitter::tie(StringRef text, ArrayRef<Values *> registers) {
  Values all;
  for (Values *group : registers)
    all.append(*group);
  std::string outputs, inputs;
  SmallVector<Type> types;
  for (auto [i, value] : llvm::enumerate(all)) {
    outputs += std::string(i ? "," : "") + (value.getType().isF32() ? "=f" : "=r");
    inputs += "," + std::to_string(i);
    types.push_back(value.getType());
  }
  Values tied = assembly(text, outputs + inputs, all, types);
  size_t next = 0;
  for (Values *group : registers)
    for (Value &value : *group)
      value = tied[next++];
}

Block *Emitter::createBlock(ArrayRef<Type> arguments) {
  auto *block = new Block();
  region->push_back(block);
  for (Type type : arguments)
    block->addArgument(type, b.getLoc());
  return block;
}

void Emitter::enter(Block *block) {
  block->moveBefore(region, region->end());
  b.setInsertionPointToEnd(block);
}

void Emitter::branch(Block *target, ValueRange arguments) { LLVM::BrOp::create(b, arguments, target); }

void Emitter::branchIf(Value condition, Block *ifTrue, ValueRange trueArguments, Block *ifFalse,
                       ValueRange falseArguments) {
  LLVM::CondBrOp::create(b, condition, ifTrue, trueArguments, ifFalse, falseArguments);
}

Values Emitter::loop(Value begin, Value end, Value step, ValueRange carried, LoopBody body) {
  SmallVector<Type> types = {b.getI32Type()};
  llvm::append_range(types, carried.getTypes());
  Block *test = createBlock(types), *inside = createBlock(), *behind = createBlock();
  Values first = {begin};
  first.append(carried.begin(), carried.end());
  branch(test, first);
  enter(test);
  Value index = test->getArgument(0);
  ValueRange current = ValueRange(test->getArguments()).drop_front();
  branchIf(below(index, end), inside, behind);
  enter(inside);
  Values next = body(index, current);
  next.insert(next.begin(), add(index, step));
  branch(test, next);
  enter(behind);
  return Values(current);
}

void Emitter::loop(Value begin, Value end, Value step, llvm::function_ref<void(Value)> body) {
  loop(begin, end, step, ValueRange(), [&](Value index, ValueRange) {
    body(index);
    return Values();
  });
}

void Emitter::when(Value condition, llvm::function_ref<void()> body) {
  Block *inside = createBlock(), *behind = createBlock();
  branchIf(condition, inside, behind);
  enter(inside);
  body();
  branch(behind);
  enter(behind);
}

Value Emitter::valueWhen(Value condition, llvm::function_ref<Value()> body, Value otherwise) {
  return valuesWhen(condition, [&] { return Values{body()}; }, otherwise)[0];
}

Values Emitter::valuesWhen(Value condition, llvm::function_ref<Values()> body, ValueRange otherwise) {
  Block *inside = createBlock(), *behind = createBlock(llvm::to_vector(otherwise.getTypes()));
  branchIf(condition, inside, {}, behind, otherwise);
  enter(inside);
  Values results = body();
  branch(behind, results);
  enter(behind);
  return Values(behind->args_begin(), behind->args_end());
}
