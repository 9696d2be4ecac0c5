#include "plan.h"

#include <algorithm>
#include <cstring>

#include "../kernels.h"
#include "../runtime/queue.h"

namespace ditkit {

namespace {

constexpr int64_t kTile = 1024;         // floats: 4 KiB, several tiles fit the first-level cache
constexpr int64_t kChunk = 32768;       // elements that are worth waking a thread for
constexpr int64_t kShortRow = 192;      // shorter rows are walked several to a tile

struct Span {
  const char* first;
  const char* last;
  bool overlaps(const Span& other) const { return first < other.last && other.first < last; }
};

Span span_of(const View& view) {
  int64_t low = 0, high = 1;
  for (int d = 0; d < view.rank; ++d) {
    const int64_t reach = view.stride[d] * (view.shape[d] - 1);
    (reach < 0 ? low : high) += reach;
  }
  const int64_t size = size_of(view.dtype);
  return {view.data + low * size, view.data + high * size};
}

// Stride of `view` along axis `axis` of a broadcast shape of rank `rank`.
int64_t broadcast_stride(const View& view, int axis, int rank) {
  const int own = axis - (rank - view.rank);
  return own < 0 || view.shape[own] == 1 ? 0 : view.stride[own];
}

// Merges axes that every input walks as one. Axis `keep` and later are left alone.
void collapse(ElementwisePlan& plan, int keep) {
  int to = 0;
  for (int from = 1; from < plan.rank; ++from) {
    bool merge = from < keep;
    for (int i = 0; i < plan.program->inputs && merge; ++i) {
      merge = plan.in[i].stride[to] == plan.in[i].stride[from] * plan.shape[from];
    }
    merge = merge || (from < keep && plan.shape[to] == 1);
    if (!merge) ++to;
    plan.shape[to] = merge ? plan.shape[to] * plan.shape[from] : plan.shape[from];
    for (int i = 0; i < plan.program->inputs; ++i) plan.in[i].stride[to] = plan.in[i].stride[from];
  }
  plan.rank = to + 1;
}

void cut_into_tiles(ElementwisePlan& plan, bool whole_rows, bool all_linear) {
  plan.row = plan.shape[plan.rank - 1];
  if (whole_rows) {
    plan.tile = plan.row < kShortRow ? plan.row * (kTile / plan.row) : plan.row;
    plan.tiles = (plan.count + plan.tile - 1) / plan.tile;
  } else if (all_linear || plan.row < kShortRow) {
    plan.tile = std::min(kTile, plan.count);
    plan.tiles = (plan.count + plan.tile - 1) / plan.tile;
  } else {
    plan.tiles_per_row = (plan.row + kTile - 1) / kTile;
    plan.tile = std::min(plan.row, ((plan.row + plan.tiles_per_row - 1) / plan.tiles_per_row + 15) / 16 * 16);
    plan.tiles = plan.count / plan.row * plan.tiles_per_row;
  }
}

// Whether the instruction that makes output `o` may write to memory: nothing that it overwrites may be read later.
bool may_write_directly(const ElementwiseProgram& p, int o, const View* inputs, const View& output, bool per_row) {
  const int r = p.output[o];
  if (per_row || output.dtype != DType::F32 || p.defined_by[r] < 0) return false;
  for (int other = 0; other < o; ++other) {
    if (p.output[other] == r) return false;
  }
  const Span written = span_of(output);
  for (int i = 0; i < p.inputs; ++i) {
    if (p.last_use[i] > p.defined_by[r] && span_of(inputs[i]).overlaps(written)) return false;
  }
  return true;
}

// Rows of length 0 still have sums and maxima. Operands without elements are read as 0: only reductions can use them.
void walk_empty_rows(ElementwisePlan& plan, const View* inputs, const View* outputs) {
  static const float kZero = 0;
  int64_t rows = 0;
  for (int o = 0; o < plan.program->outputs; ++o) rows = std::max(rows, outputs[o].count);
  if (rows == 0) return;
  plan.empty_rows = true;
  plan.count = rows;
  plan.shape[plan.rank - 1] = 1;
  for (int o = 0; o < plan.program->outputs; ++o) {
    if (outputs[o].count == 0) plan.out[o] = {nullptr, DType::F32, false, false};
  }
  for (int i = 0; i < plan.program->inputs; ++i) {
    if (inputs[i].count > 0) continue;
    plan.in[i].data = reinterpret_cast<const char*>(&kZero);
    plan.in[i].dtype = DType::F32;
    std::fill(plan.in[i].stride, plan.in[i].stride + plan.rank, 0);
  }
}

}  // namespace

ElementwisePlan plan_elementwise(const ElementwiseProgram& program, int rank, const int64_t* shape, const View* inputs,
                                 const double* scalars, const View* outputs) {
  ElementwisePlan plan;
  plan.program = &program;
  plan.rank = std::max(rank, 1);
  plan.shape[0] = 1;
  for (int d = 0; d < rank; ++d) {
    plan.shape[d] = shape[d];
    plan.count *= shape[d];
  }
  for (int i = 0; i < program.inputs; ++i) {
    plan.in[i].data = inputs[i].data;
    plan.in[i].dtype = inputs[i].dtype;
    plan.in[i].linear = plan.in[i].unit = false;
    plan.in[i].stride[0] = 0;
    for (int d = 0; d < rank; ++d) plan.in[i].stride[d] = broadcast_stride(inputs[i], d, rank);
  }
  bool whole_rows = program.rows;
  for (int o = 0; o < program.outputs; ++o) {
    plan.out[o].data = outputs[o].data;
    plan.out[o].dtype = outputs[o].dtype;
    plan.out[o].per_row = outputs[o].count != plan.count;
    plan.out[o].direct = may_write_directly(program, o, inputs, outputs[o], plan.out[o].per_row);
    whole_rows |= plan.out[o].per_row;
  }
  if (plan.count == 0) walk_empty_rows(plan, inputs, outputs);
  for (int s = 0; s < program.scalars; ++s) plan.scalar[s] = static_cast<float>(scalars[s]);
  if (plan.count == 0) return plan;
  // With row reductions the last axis stays what it is.
  collapse(plan, whole_rows ? plan.rank - 1 : plan.rank);
  bool all_linear = true;
  for (int i = 0; i < program.inputs; ++i) {
    ElementwiseInput& in = plan.in[i];
    int64_t expected = 1;
    in.linear = in.dtype == DType::F32;
    for (int d = plan.rank - 1; d >= 0; --d) {
      if (plan.shape[d] != 1 && in.stride[d] != expected) in.linear = false;
      expected *= plan.shape[d];
    }
    in.unit = in.dtype == DType::F32 && (in.stride[plan.rank - 1] == 1 || plan.shape[plan.rank - 1] == 1);
    all_linear &= in.linear;
  }
  cut_into_tiles(plan, whole_rows, all_linear);
  return plan;
}

void run_elementwise(const ElementwisePlan& plan, Executor& executor) {
  if (plan.count == 0) return;
  const int64_t per_chunk = std::max<int64_t>(1, kChunk / plan.tile);
  const int64_t chunks = (plan.tiles + per_chunk - 1) / per_chunk;
  const size_t scratch = plan.scratch();
  const int threads = chunks == 1 ? 1 : executor.pool.threads();
  float* const memory = executor.workspace.get(7, scratch * threads);
  const auto kernel = executor.kernels.elementwise;
  executor.pool.run(chunks, [&](int64_t chunk, int thread) {
    kernel(plan, chunk * per_chunk, std::min(plan.tiles, (chunk + 1) * per_chunk), memory + scratch * thread);
  });
}

}  // namespace ditkit
