#include "push.h"

#include <memory>

#include "../device/decoder.h"
#include "plan.h"

namespace ditkit {

// program, rank, shape…, inputs…, scalars…, outputs…
void push_elementwise(Decoder& in) {
  in.name("elementwise");
  const std::shared_ptr<const ElementwiseProgram> program = in.device().program(in.integer(0, INT32_MAX, "program"));
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
  const ElementwisePlan plan = plan_elementwise(*program, target.rank, target.shape, inputs, scalars, outputs);
  in.queue().push([plan, program](Executor& executor) { run_elementwise(plan, executor); });
}

}  // namespace ditkit
