#include "norm.h"

#include <algorithm>
#include <string>

#include "../device/decoder.h"
#include "../kernels.h"

namespace ditkit {

namespace {

constexpr int64_t kBlockRows = 32;  // rows of a partial sum over tokens
constexpr int kPartials = 6;        // workspace slot

// [B, N, C] with C contiguous; row (b, n) starts at data + b * batch + n * token. Broadcast axes have stride 0.
struct Rows {
  float* data = nullptr;
  int64_t batch = 0;
  int64_t token = 0;
  float* at(int64_t b, int64_t n) const { return data ? data + b * batch + n * token : nullptr; }
  RowsOf<const float> from(int64_t b, int64_t n) const { return {at(b, n), token}; }
  RowsOf<float> to(int64_t b, int64_t n) const { return {at(b, n), token}; }
};

struct Size {
  int64_t batch, tokens, channels;
};

// `view`, broadcastable to [B, N, C] or [B, N, 1]; absent when its data is null. Its last axis must be contiguous.
Rows rows_of(Decoder& in, View view, const Size& size, int64_t channels, const char* what) {
  Rows rows;
  if (view.data == nullptr) return rows;
  const int64_t shape[3] = {size.batch, size.tokens, channels};
  if (!broadcasts_to(view, 3, shape) || (view.rank > 0 ? view.shape[view.rank - 1] : 1) != channels) {
    in.fail(std::string(what) + " does not broadcast to the rows of x");
  }
  if (channels > 1 && view.stride[view.rank - 1] != 1) view = in.contiguous(view);
  rows.data = view.f32();
  if (view.rank >= 2 && view.shape[view.rank - 2] != 1) rows.token = view.stride[view.rank - 2];
  if (view.rank >= 3 && view.shape[0] != 1) rows.batch = view.stride[0];
  return rows;
}

// A result: as above but never a copy, and of exactly this shape.
Rows result_rows(Decoder& in, const View& view, int64_t batch, int64_t tokens, int64_t channels, const char* what) {
  Rows rows;
  if (view.data == nullptr) return rows;
  const bool shape = view.rank == 3 && view.shape[0] == batch && view.shape[1] == tokens && view.shape[2] == channels;
  if (!shape || (channels > 1 && view.stride[2] != 1)) {
    in.fail(std::string(what) + " has another shape, or channels that are not contiguous");
  }
  rows.data = view.f32();
  rows.batch = view.stride[0];
  rows.token = view.stride[1];
  return rows;
}

Size size_of_rows(Decoder& in, const View& x) {
  in.require(x.rank == 3, "x must be [B, N, C]");
  return {x.shape[0], x.shape[1], x.shape[2]};
}

// One row of zeros for each batch.
void clear(const Rows& rows, const Size& size) {
  if (rows.data == nullptr) return;
  for (int64_t b = 0; b < size.batch; ++b) std::fill(rows.at(b, 0), rows.at(b, 0) + size.channels, 0.0f);
}

// Runs rows(b, first, count, sums) over blocks of the rows of a batch; `sums` are `parts` rows of C to add to. They are added up
// in order to what `totals` hold, one per batch, or one for all where the batch stride is 0 (null data = not wanted).
template <class F>
void over_rows(const Size& size, int parts, const Rows* totals, Executor& executor, F rows) {
  const int64_t blocks = (size.tokens + kBlockRows - 1) / kBlockRows;
  const int64_t width = size.channels * parts;
  float* const partial = width > 0 ? executor.workspace.get(kPartials, size.batch * blocks * width) : nullptr;
  executor.pool.run(size.batch * blocks, [&](int64_t k, int) {
    float* const sums = partial + k * width;
    std::fill(sums, sums + width, 0.0f);
    const int64_t b = k / blocks, first = k % blocks * kBlockRows;
    rows(b, first, std::min(kBlockRows, size.tokens - first), sums);
  });
  for (int64_t b = 0; b < size.batch; ++b) {
    for (int part = 0; part < parts; ++part) {
      float* const total = totals[part].at(b, 0);
      if (total == nullptr) continue;
      for (int64_t block = 0; block < blocks; ++block) {
        executor.kernels.add(total, partial + (b * blocks + block) * width + part * size.channels, size.channels);
      }
    }
  }
}

}  // namespace

// x, shift?, scale?, eps, out, mean, rstd
void push_layer_norm(Decoder& in) {
  in.name("layerNorm");
  const View x_view = in.view("x", DType::F32);
  const View shift_view = in.optional_view("shift", DType::F32);
  const View scale_view = in.optional_view("scale", DType::F32);
  const float eps = static_cast<float>(in.number());
  const View out_view = in.result("out", DType::F32);
  const View mean_view = in.result("mean", DType::F32);
  const View rstd_view = in.result("rstd", DType::F32);
  in.finish();
  const Size size = size_of_rows(in, x_view);
  const int64_t c = size.channels;
  const Rows x = rows_of(in, x_view, size, c, "x");
  const Rows shift = rows_of(in, shift_view, size, c, "shift"), scale = rows_of(in, scale_view, size, c, "scale");
  const Rows out = result_rows(in, out_view, size.batch, size.tokens, c, "out");
  const Rows mean = result_rows(in, mean_view, size.batch, size.tokens, 1, "mean");
  const Rows rstd = result_rows(in, rstd_view, size.batch, size.tokens, 1, "rstd");
  if (out_view.count == 0) return;
  in.queue().push([=](Executor& executor) {
    over_rows(size, 0, nullptr, executor, [&](int64_t b, int64_t n, int64_t count, float*) {
      executor.kernels.norm_rows({count, c, eps, x.from(b, n), shift.from(b, n), scale.from(b, n), out.to(b, n),
                                  mean.to(b, n), rstd.to(b, n)});
    });
  });
}

// x, scale?, mean, rstd, dOut, dx?, dShift?, dScale?, residual?, accumulate
void push_layer_norm_backward(Decoder& in) {
  in.name("layerNormBackward");
  const View x_view = in.view("x", DType::F32);
  const View scale_view = in.optional_view("scale", DType::F32);
  const View mean_view = in.view("mean", DType::F32);
  const View rstd_view = in.view("rstd", DType::F32);
  const View d_out_view = in.view("dOut", DType::F32);
  const View dx_view = in.optional_result("dx", DType::F32);
  const View d_shift_view = in.optional_result("dShift", DType::F32);
  const View d_scale_view = in.optional_result("dScale", DType::F32);
  const View residual_view = in.optional_view("residual", DType::F32);
  const bool accumulate = in.flag();
  in.finish();
  const Size size = size_of_rows(in, x_view);
  const int64_t c = size.channels;
  const Rows x = rows_of(in, x_view, size, c, "x"), scale = rows_of(in, scale_view, size, c, "scale");
  const Rows mean = rows_of(in, mean_view, size, 1, "mean"), rstd = rows_of(in, rstd_view, size, 1, "rstd");
  const Rows d_out = rows_of(in, d_out_view, size, c, "dOut");
  const Rows residual = rows_of(in, residual_view, size, c, "residual");
  const Rows dx = result_rows(in, dx_view, size.batch, size.tokens, c, "dx");
  const Rows d_shift = result_rows(in, d_shift_view, size.batch, 1, c, "dShift");
  const Rows d_scale = result_rows(in, d_scale_view, size.batch, 1, c, "dScale");
  in.queue().push([=](Executor& executor) {
    if (!accumulate) {
      clear(d_shift, size);
      clear(d_scale, size);
    }
    const Rows totals[2] = {d_shift, d_scale};
    over_rows(size, 2, totals, executor, [&](int64_t b, int64_t n, int64_t count, float* sums) {
      executor.kernels.norm_gradient_rows({count, c, x.from(b, n), scale.from(b, n), mean.from(b, n), rstd.from(b, n),
                                           d_out.from(b, n), residual.from(b, n), dx.to(b, n),
                                           d_shift.data ? sums : nullptr, d_scale.data ? sums + c : nullptr});
    });
  });
}

// y, gate, dOut, dy?, dGate?, dBias?, accumulate
void push_gated_residual_backward(Decoder& in) {
  in.name("gatedResidualBackward");
  const View y_view = in.view("y", DType::F32);
  const View gate_view = in.view("gate", DType::F32);
  const View d_out_view = in.view("dOut", DType::F32);
  const View dy_view = in.optional_result("dy", DType::F32);
  const View d_gate_view = in.optional_result("dGate", DType::F32);
  const View d_bias_view = in.optional_result("dBias", DType::F32);
  const bool accumulate = in.flag();
  in.finish();
  const Size size = size_of_rows(in, y_view);
  const int64_t c = size.channels;
  const Rows y = rows_of(in, y_view, size, c, "y"), gate = rows_of(in, gate_view, size, c, "gate");
  const Rows d_out = rows_of(in, d_out_view, size, c, "dOut");
  const Rows dy = result_rows(in, dy_view, size.batch, size.tokens, c, "dy");
  const Rows d_gate = result_rows(in, d_gate_view, size.batch, 1, c, "dGate");
  Rows d_bias;
  if (d_bias_view.data != nullptr) {
    in.require(d_bias_view.rank == 1 && d_bias_view.count == c && d_bias_view.contiguous(), "dBias must be [C]");
    d_bias.data = d_bias_view.f32();
  }
  in.queue().push([=](Executor& executor) {
    // `accumulate` is the gate's alone.
    if (d_bias.data) std::fill(d_bias.data, d_bias.data + c, 0.0f);
    if (!accumulate) clear(d_gate, size);
    const Rows totals[2] = {d_gate, d_bias};
    over_rows(size, 2, totals, executor, [&](int64_t b, int64_t n, int64_t count, float* sums) {
      executor.kernels.gate_gradient_rows({count, c, y.from(b, n), gate.from(b, n), d_out.from(b, n), dy.to(b, n),
                                           d_gate.data ? sums : nullptr, d_bias.data ? sums + c : nullptr});
    });
  });
}

}  // namespace ditkit
