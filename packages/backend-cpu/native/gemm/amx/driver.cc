#if defined(DITKIT_AMX)
#include "driver.h"

#include <algorithm>

#include "plan.h"
#include "task.h"

namespace ditkit {

namespace {

enum Slot { kParts = 1, kPerThread = 2 };

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

GemmArgs at_batch(GemmArgs args, int64_t batch) {
  for (int64_t d = args.batch_rank - 1; d >= 0; --d) {
    const int64_t index = batch % args.batch_shape[d];
    batch /= args.batch_shape[d];
    args.a += index * args.a_batch[d];
    args.b += index * args.b_batch[d];
    const int64_t c = index * args.c_batch[d];
    args.c += c;
    if (args.pre != nullptr) args.pre += c;
    if (args.residual != nullptr) args.residual += c;
  }
  return args;
}

}  // namespace

bool gemm_amx(const GemmArgs& args, ThreadPool& pool, Workspace& workspace) {
  int64_t batches = 1;
  for (int64_t d = 0; d < args.batch_rank; ++d) batches *= args.batch_shape[d];
  if (batches == 0) return false;
  const int parts = args.compute == Compute::Bf16 ? 1 : 3;
  const AmxPlan plan = plan_amx(batches, args.m, args.n, args.k, parts);
  if (!plan.pays) return false;
  const int64_t rows = ceil_div(args.m, kAmxBlock), columns = ceil_div(args.n, kAmxBlock);
  const int64_t steps = ceil_div(args.k, kAmxBlock);

  AmxTask largest{};
  largest.args = &args;
  largest.parts = parts;
  largest.rows = ceil_div(rows, plan.row_parts);
  largest.columns = ceil_div(columns, plan.column_parts);
  largest.steps = ceil_div(steps, plan.splits);
  largest.k_block = plan.k_block;
  const int64_t sums = plan.splits > 1 ? rows * columns * kAmxBlockFloats : 0;
  float* const split_sums = sums > 0 ? workspace.get(kParts, batches * plan.splits * sums) : nullptr;
  largest.sums = split_sums;
  const int64_t floats = ceil_div(amx_scratch_bytes(largest), 4096) * 1024;
  float* const scratch = workspace.get(kPerThread, floats * pool.threads());

  const int64_t tasks = plan.row_parts * plan.column_parts * plan.splits;
  pool.run(batches * tasks, [&](int64_t index, int thread) {
    const int64_t batch = index / tasks;
    int64_t rest = index % tasks;
    const GemmArgs own = at_batch(args, batch);
    AmxTask task = largest;
    task.args = &own;
    // Neighbouring tasks share their columns, so that these are in a shared cache.
    const auto cut = [](int64_t size, int64_t parts_of_it, int64_t part, int64_t* first, int64_t* count) {
      *first = size * part / parts_of_it;
      *count = size * (part + 1) / parts_of_it - *first;
    };
    cut(rows, plan.row_parts, rest % plan.row_parts, &task.first_row, &task.rows);
    rest /= plan.row_parts;
    cut(columns, plan.column_parts, rest % plan.column_parts, &task.first_column, &task.columns);
    const int64_t split = rest / plan.column_parts;
    cut(steps, plan.splits, split, &task.first_step, &task.steps);
    task.sums = sums > 0 ? split_sums + (batch * plan.splits + split) * sums : nullptr;
    task.scratch = reinterpret_cast<char*>(scratch + thread * floats);
    amx_run(task);
  });
  if (sums == 0) return true;
  pool.run(batches * rows * columns, [&](int64_t index, int) {
    const int64_t batch = index / (rows * columns), block = index % (rows * columns);
    amx_finish_split(at_batch(args, batch), block / columns, block % columns,
                     split_sums + batch * plan.splits * sums + block * kAmxBlockFloats, sums, plan.splits);
  });
  return true;
}

}  // namespace ditkit
#endif
