#include "matmul.h"

#include <utility>

#include "../device/decoder.h"
#include "../gemm/gemm.h"
#include "../kernels.h"
#include "axes.h"
#include "copy.h"

namespace ditkit {

namespace {

// Batch axes (all but the last two) of a, b and out, merged where possible; operands 0, 1, 2.
Axes<3> batch_axes(Decoder& in, const View& a, const View& b, const View& out) {
  Axes<3> batch;
  for (int d = 0; d < out.rank - 2; ++d) {
    int64_t strides[3] = {0, 0, out.stride[d]};
    const View* const operands[2] = {&a, &b};
    for (int o = 0; o < 2; ++o) {
      const View& view = *operands[o];
      const int own = d - (out.rank - view.rank);
      if (own < 0 || view.shape[own] == 1) continue;
      in.require(view.shape[own] == out.shape[d], "batch axes of an operand do not broadcast to those of out");
      strides[o] = view.stride[own];
    }
    batch.add(out.shape[d], strides);
  }
  return batch;
}

// Whether gate, one value per (row, column), is gate[(row / *gate_row) * *gate_stride + column].
bool gate_layout(const View& gate, const View& out, int64_t* gate_row, int64_t* gate_stride) {
  Axes<1> rows;
  for (int d = 0; d < out.rank - 1; ++d) {
    const int own = d - (out.rank - gate.rank);
    rows.add(out.shape[d], {own < 0 || gate.shape[own] == 1 ? 0 : gate.stride[own]});
  }
  const int64_t n = out.shape[out.rank - 1];
  const bool unit = n == 1 || (gate.rank > 0 && gate.shape[gate.rank - 1] == n && gate.stride[gate.rank - 1] == 1);
  if (!unit || rows.rank > 2) return false;
  if (rows.rank == 2 && rows.stride[0][1] != 0) return false;
  const bool inner_constant = rows.rank > 0 && rows.stride[0][rows.rank - 1] == 0;
  *gate_row = inner_constant ? rows.size[rows.rank - 1] : 1;
  *gate_stride = rows.rank == 0 || (rows.rank == 1 && inner_constant) ? 0 : rows.stride[0][0];
  return true;
}

View expand(Decoder& in, const View& view, const View& out) {
  View expanded = out;
  expanded.data = view.data;
  expanded.dtype = view.dtype;
  for (int d = 0; d < out.rank; ++d) {
    const int own = d - (out.rank - view.rank);
    expanded.stride[d] = own < 0 || view.shape[own] == 1 ? 0 : view.stride[own];
  }
  return in.contiguous(expanded);
}

// Contiguous views of equal shape.
View sum_of(Decoder& in, const View& a, const View& b) {
  const View sum = in.temporary(DType::F32, a.rank, a.shape);
  in.queue().push([a, b, sum](Executor& executor) {
    run_copy(a, sum, executor);
    executor.kernels.add(sum.f32(), b.f32(), sum.count);
  });
  return sum;
}

}  // namespace

// a, b, out, bias?, activation, preActivation?, slope?, gate?, residual?, alpha, accumulate, compute
void push_matmul(Decoder& in) {
  in.name("matmul");
  Storage *a_storage, *b_storage;
  const View a = in.matrix("a", DType::F32, &a_storage);
  const View b = in.matrix("b", DType::F32, &b_storage);
  const View out = in.result("out", DType::F32);
  View bias = in.optional_view("bias", DType::F32);
  const Activation activation = static_cast<Activation>(in.integer(0, 3, "activation"));
  const View pre = in.optional_result("preActivation", DType::F32);
  const View slope = in.optional_result("slope", DType::F32);
  View gate = in.optional_view("gate", DType::F32);
  View residual = in.optional_view("residual", DType::F32);
  const double alpha = in.number();
  const bool accumulate = in.flag();
  const Compute compute = static_cast<Compute>(in.integer(0, 1, "compute"));
  in.finish();

  in.require(a.rank >= 2 && b.rank >= 2 && out.rank >= 2, "operands must have rank 2 or more");
  in.require(a.rank <= out.rank && b.rank <= out.rank, "out must have the larger rank of a and b");
  const int64_t m = out.shape[out.rank - 2], n = out.shape[out.rank - 1], k = a.shape[a.rank - 1];
  in.require(a.shape[a.rank - 2] == m && b.shape[b.rank - 1] == n && b.shape[b.rank - 2] == k,
             "shapes do not agree (a [..., M, K], b [..., K, N], out [..., M, N])");
  in.require(out.contiguous(), "out must be contiguous");
  if (bias.data) {
    in.require(bias.rank == 1 && bias.shape[0] == n, "bias must be [N]");
    bias = in.contiguous(bias);
  }
  if (pre.data) in.require(same_shape(pre, out) && pre.contiguous(), "preActivation must be contiguous, of out's shape");
  if (slope.data) in.require(same_shape(slope, out) && slope.contiguous(), "slope must be contiguous, of out's shape");
  if (residual.data) {
    in.require(broadcasts_to(residual, out.rank, out.shape), "residual must have out's shape");
    residual = expand(in, residual, out);
  }

  // The engine adds to c before the activation; what `out` holds counts after it, as one more residual.
  const bool linear = activation == Activation::None && !gate.data && !pre.data && !slope.data;
  if (accumulate && !linear) residual = residual.data ? sum_of(in, residual, out) : out;

  GemmArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.a = a.f32();
  args.a_row = a.stride[a.rank - 2];
  args.a_col = a.stride[a.rank - 1];
  args.b = b.f32();
  args.b_row = b.stride[b.rank - 2];
  args.b_col = b.stride[b.rank - 1];
  args.c = out.f32();
  args.c_row = n;
  args.alpha = static_cast<float>(alpha);
  args.beta = accumulate && linear ? 1.0f : 0.0f;
  args.bias = bias.data ? bias.f32() : nullptr;
  args.act = activation;
  args.pre = pre.data ? pre.f32() : nullptr;
  args.slope = slope.data ? slope.f32() : nullptr;
  args.residual = residual.data ? residual.f32() : nullptr;
  args.compute = compute;

  Axes<3> batch = batch_axes(in, a, b, out);
  // A batch that b does not take part in is more rows: one large product instead of many small ones.
  if (batch.rank > 0 && batch.stride[1][batch.rank - 1] == 0 && batch.stride[0][batch.rank - 1] == args.a_row * m) {
    args.m *= batch.size[--batch.rank];
  }
  if (gate.data) {
    in.require(broadcasts_to(gate, out.rank, out.shape), "gate does not broadcast to out");
    if (batch.rank > 0 || !gate_layout(gate, out, &args.gate_row, &args.gate_stride)) {
      gate = expand(in, gate, out);
      args.gate_row = 1;
      args.gate_stride = n;
    }
    args.gate = gate.f32();
  }
  // The engine takes four batch axes, and none beside a gate: the outer ones are walked here.
  const int walked = gate.data ? batch.rank : batch.rank > 4 ? batch.rank - 4 : 0;
  args.batch_rank = batch.rank - walked;
  for (int d = walked; d < batch.rank; ++d) {
    args.batch_shape[d - walked] = batch.size[d];
    args.a_batch[d - walked] = batch.stride[0][d];
    args.b_batch[d - walked] = batch.stride[1][d];
    args.c_batch[d - walked] = batch.stride[2][d];
  }
  if (out.count == 0) return;
  batch.rank = walked;
  const float* const packed =
      walked == 0 ? in.device().packed_weights().find(*b_storage, args, in.queue(), in.device().isa()) : nullptr;
  in.queue().push([args, batch, packed](Executor& executor) {
    if (packed != nullptr) return gemm_packed(args, packed, executor.pool, executor.isa, executor.workspace);
    for (int64_t i = 0; i < batch.count(); ++i) {
      GemmArgs one = args;
      one.a += batch.offset(0, i, batch.rank);
      one.b += batch.offset(1, i, batch.rank);
      const int64_t at = batch.offset(2, i, batch.rank);
      one.c += at;
      if (one.pre) one.pre += at;
      if (one.slope) one.slope += at;
      if (one.residual) one.residual += at;
      if (one.gate && batch.rank > 0) one.gate += at;
      gemm(one, executor.pool, executor.isa, executor.workspace);
    }
  });
}

}  // namespace ditkit
