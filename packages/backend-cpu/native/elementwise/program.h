// Elementwise programs (see program.ts in core) in the form the interpreter runs: instructions over registers, and for
// each register the scratch tile it lives in.
#pragma once

#include <cstdint>
#include <vector>

namespace ditkit {

// The order of OPCODES in core's program.ts.
enum class Op : uint8_t {
  Neg, Abs, Exp, Log, Sqrt, Rsqrt, Reciprocal, Tanh, Sigmoid, Sin, Cos, Floor, Round, Sign,
  IsFinite, Not, Gelu, GeluGrad, RowSum, RowMax, Add, Sub, Mul, Div, Min, Max, Pow, Lt, Le,
  Eq, Ne, And, Or, Select, Fma,
};
constexpr int kOps = static_cast<int>(Op::Fma) + 1;
constexpr int kMaxInputs = 8, kMaxScalars = 8, kMaxInstructions = 48, kMaxOutputs = 4;
constexpr int kMaxRegisters = kMaxInputs + kMaxScalars + kMaxInstructions;

int arity(Op op);

struct Instruction {
  Op op;
  uint8_t result;
  uint8_t args[3];
};

struct ElementwiseProgram {
  int inputs = 0;
  int scalars = 0;
  int instructions = 0;
  int outputs = 0;
  Instruction code[kMaxInstructions];
  uint8_t output[kMaxOutputs];
  int8_t last_use[kMaxRegisters];  // the last instruction that reads a register; -1: none
  int8_t defined_by[kMaxRegisters];  // the instruction that writes it; -1: an input or scalar
  bool reduced[kMaxRegisters];       // read by a row reduction
  uint8_t tile[kMaxRegisters];     // scratch tile of each register; tiles are shared by registers not alive together
  int tiles = 0;
  bool rows = false;               // has a row reduction: whole rows are kept in scratch

  // From [inputs, scalars, instructions, outputs, (op, args…)…, output registers…]. Throws std::runtime_error saying
  // what is wrong with it.
  static ElementwiseProgram decode(const std::vector<double>& numbers);
};

}  // namespace ditkit
