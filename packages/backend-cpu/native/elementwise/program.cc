#include "program.h"

#include <stdexcept>
#include <string>

namespace ditkit {

int arity(Op op) {
  if (op <= Op::RowMax) return 1;
  return op <= Op::Or ? 2 : 3;
}

namespace {

class Numbers {
 public:
  explicit Numbers(const std::vector<double>& numbers) : numbers_(numbers) {}
  int next(int limit, const char* what) {
    if (at_ >= numbers_.size()) throw std::runtime_error("elementwise program: ends early");
    const double value = numbers_[at_++];
    if (!(value >= 0 && value <= limit) || value != static_cast<int>(value)) {
      throw std::runtime_error(std::string("elementwise program: bad ") + what);
    }
    return static_cast<int>(value);
  }
  void finish() const {
    if (at_ != numbers_.size()) throw std::runtime_error("elementwise program: too many numbers");
  }

 private:
  const std::vector<double>& numbers_;
  size_t at_ = 0;
};

// Gives registers scratch tiles: inputs and scalars keep theirs, as an input may be loaded and a scalar is filled once.
void assign_tiles(ElementwiseProgram& p) {
  const int fixed = p.inputs + p.scalars;
  for (int r = 0; r < fixed; ++r) p.tile[r] = static_cast<uint8_t>(r);
  std::vector<uint8_t> free;
  p.tiles = fixed;
  for (int i = 0; i < p.instructions; ++i) {
    const Instruction& instruction = p.code[i];
    for (int a = 0; a < arity(instruction.op); ++a) {
      const int r = instruction.args[a];
      bool repeated = false;
      for (int b = 0; b < a; ++b) repeated |= instruction.args[b] == r;
      if (r >= fixed && p.last_use[r] == i && !repeated) free.push_back(p.tile[r]);
    }
    // An instruction may write over an operand: every kernel reads an element before it writes it.
    if (free.empty()) free.push_back(static_cast<uint8_t>(p.tiles++));
    p.tile[instruction.result] = free.back();
    free.pop_back();
    if (p.last_use[instruction.result] < 0) free.push_back(p.tile[instruction.result]);
  }
}

}  // namespace

ElementwiseProgram ElementwiseProgram::decode(const std::vector<double>& numbers) {
  Numbers in(numbers);
  ElementwiseProgram p;
  p.inputs = in.next(kMaxInputs, "number of inputs");
  p.scalars = in.next(kMaxScalars, "number of scalars");
  p.instructions = in.next(kMaxInstructions, "number of instructions");
  p.outputs = in.next(kMaxOutputs, "number of outputs");
  if (p.outputs == 0) throw std::runtime_error("elementwise program: has no output");
  const int fixed = p.inputs + p.scalars;
  for (int r = 0; r < kMaxRegisters; ++r) p.last_use[r] = p.defined_by[r] = -1, p.reduced[r] = false;
  for (int i = 0; i < p.instructions; ++i) {
    Instruction& instruction = p.code[i];
    instruction.op = static_cast<Op>(in.next(kOps - 1, "operation"));
    instruction.result = static_cast<uint8_t>(fixed + i);
    p.defined_by[fixed + i] = static_cast<int8_t>(i);
    if (fixed + i == 0) throw std::runtime_error("elementwise program: an instruction has nothing to read");
    for (int a = 0; a < 3; ++a) {
      instruction.args[a] = instruction.args[0];
      if (a >= arity(instruction.op)) continue;
      instruction.args[a] = static_cast<uint8_t>(in.next(fixed + i - 1, "register"));
      p.last_use[instruction.args[a]] = static_cast<int8_t>(i);
    }
    const bool reduces = instruction.op == Op::RowSum || instruction.op == Op::RowMax;
    if (reduces) p.reduced[instruction.args[0]] = true;
    p.rows |= reduces;
  }
  for (int o = 0; o < p.outputs; ++o) {
    p.output[o] = static_cast<uint8_t>(in.next(fixed + p.instructions - 1, "output register"));
    p.last_use[p.output[o]] = static_cast<int8_t>(p.instructions);  // alive to the end
  }
  in.finish();
  assign_tiles(p);
  return p;
}

}  // namespace ditkit
