#include "push.h"

#include "../device/decoder.h"
#include "plan.h"

namespace ditkit {

namespace {

// The plan is about a kilobyte, so it is made where it stays.
class ElementwiseCommand : public Command {
 public:
  ElementwiseCommand(const ElementwiseProgram& program, const View& target, const View* inputs, const double* scalars,
                     const View* outputs)
      : plan_(plan_elementwise(program, target.rank, target.shape, inputs, scalars, outputs)) {}
  void run(Executor& executor) override { run_elementwise(plan_, executor); }

 private:
  const ElementwisePlan plan_;
};

}  // namespace

// program, rank, shape…, inputs…, scalars…, outputs…
void push_elementwise(Decoder& in) {
  in.name("elementwise");
  const ElementwiseProgram* const program = in.device().program(in.integer(0, INT32_MAX, "program"));
  if (program == nullptr) in.fail("unknown program");
  View target;
  target.rank = static_cast<int>(in.integer(0, kMaxRank, "rank"));
  for (int d = 0; d < target.rank; ++d) {
    target.shape[d] = in.integer(0, int64_t{1} << 40, "size");
    in.require(target.shape[d] == 0 || target.count <= (int64_t{1} << 48) / target.shape[d], "the shape is too large");
    target.count *= target.shape[d];
  }
  View inputs[kMaxInputs];
  View outputs[kMaxOutputs];
  double scalars[kMaxScalars];
  for (int i = 0; i < program->inputs; ++i) {
    inputs[i] = in.view("input");
    in.require(broadcasts_to(inputs[i], target.rank, target.shape), "an input does not broadcast to the shape");
  }
  for (int s = 0; s < program->scalars; ++s) scalars[s] = in.number();
  for (int o = 0; o < program->outputs; ++o) {
    const View& output = outputs[o] = in.result("output");
    in.require(output.contiguous() && output.rank == target.rank, "outputs must be contiguous and of the shape's rank");
    for (int d = 0; d < target.rank; ++d) {
      in.require(output.shape[d] == target.shape[d] || (d == target.rank - 1 && output.shape[d] == 1),
                 "an output must have the shape, or the shape with last axis 1");
    }
  }
  in.finish();
  in.queue().push_as<ElementwiseCommand>(0, *program, target, inputs, scalars, outputs);
}

}  // namespace ditkit
