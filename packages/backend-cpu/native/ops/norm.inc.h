// Layer norm with shift and scale, its gradient, and the gradient of a gated residual: blocks of rows, a few side by side, so
// that one row's sums wait less for each other and what all rows add to is fetched once for them.

namespace {

constexpr int kRowsAtOnce = 4;

inline vf load_up_to(const float* p, int64_t n) { return n == kWidth ? load(p) : load_some(p, n); }
inline void store_up_to(float* p, vf v, int64_t n) {
  if (n == kWidth) store(p, v);
  else store_some(p, v, n);
}
// Ones where there is an element, so that a difference from the mean is not counted past the end of a row.
inline vf inside(int64_t n) {
  float ones[kWidth];
  for (int i = 0; i < kWidth; ++i) ones[i] = i < n ? 1.0f : 0.0f;
  return load(ones);
}

// add(i, k, sums) for every vector of k elements, where sums are `kSums` running vectors; their totals, over n, go to `means`.
// Blocks are summed in f32 lanes and added up in double.
template <int kSums, class F>
inline void means_over(int64_t n, float* means, F add) {
  double totals[kSums] = {};
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t end = n - start < 4096 ? n : start + 4096;
    vf sums[kSums] = {};
    int64_t i = start;
    for (; i + kWidth <= end; i += kWidth) add(i, kWidth, sums);
    if (i < end) add(i, end - i, sums);
    for (int s = 0; s < kSums; ++s) totals[s] += sum_lanes(sums[s]);
  }
  for (int s = 0; s < kSums; ++s) means[s] = static_cast<float>(totals[s] / static_cast<double>(n));
}

// f(i, k) for every vector of k elements of a row
template <class F>
inline void over_vectors(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, kWidth);
  if (i < n) f(i, n - i);
}

// Where the rows from `row` on begin.
template <class T, int kRows>
struct Starts {
  T* at[kRows];
  Starts(const RowsOf<T>& rows, int64_t row) {
    for (int r = 0; r < kRows; ++r) at[r] = rows.data ? rows.at(row + r) : nullptr;
  }
  T* operator[](int r) const { return at[r]; }
};

template <int kRows>
inline void norm_some(const NormRows& a, int64_t row) {
  const Starts<const float, kRows> x(a.x, row), shift(a.shift, row), scale(a.scale, row);
  const Starts<float, kRows> out(a.out, row);
  const bool scales = a.scale.data != nullptr, shifts = a.shift.data != nullptr;
  float mean[kRows], variance[kRows], rstd[kRows];
  means_over<kRows>(a.channels, mean, [&](int64_t i, int64_t k, vf* sums) {
    for (int r = 0; r < kRows; ++r) sums[r] += load_up_to(x[r] + i, k);
  });
  means_over<kRows>(a.channels, variance, [&](int64_t i, int64_t k, vf* sums) {
    for (int r = 0; r < kRows; ++r) {
      vf d = load_up_to(x[r] + i, k) - mean[r];
      if (k != kWidth) d = d * inside(k);
      sums[r] += d * d;
    }
  });
  for (int r = 0; r < kRows; ++r) {
    rstd[r] = 1.0f / __builtin_sqrtf(variance[r] + a.eps);
    *a.mean.at(row + r) = mean[r];
    *a.rstd.at(row + r) = rstd[r];
  }
  over_vectors(a.channels, [&](int64_t i, int64_t k) {
    for (int r = 0; r < kRows; ++r) {
      vf v = (load_up_to(x[r] + i, k) - mean[r]) * rstd[r];
      if (scales) v = v * (1.0f + load_up_to(scale[r] + i, k));
      if (shifts) v = v + load_up_to(shift[r] + i, k);
      store_up_to(out[r] + i, v, k);
    }
  });
}

template <int kRows>
inline void norm_gradient_some(const NormGradientRows& a, int64_t row) {
  const Starts<const float, kRows> x(a.x, row), g(a.d_out, row), scale(a.scale, row), residual(a.residual, row);
  const Starts<float, kRows> to(a.dx, row);
  const bool scales = a.scale.data != nullptr, wants_dx = a.dx.data != nullptr, adds = a.residual.data != nullptr;
  float* const d_shift = a.d_shift;
  float* const d_scale = a.d_scale;
  float mean[kRows], rstd[kRows];
  for (int r = 0; r < kRows; ++r) mean[r] = *a.mean.at(row + r), rstd[r] = *a.rstd.at(row + r);
  const auto normalised = [&](int r, int64_t i, int64_t k) { return (load_up_to(x[r] + i, k) - mean[r]) * rstd[r]; };
  const auto scaled = [&](int r, int64_t i, int64_t k) {
    const vf v = load_up_to(g[r] + i, k);
    return scales ? v * (1.0f + load_up_to(scale[r] + i, k)) : v;
  };
  // Means of the gradient of the normalised row, and of its product with that row. Past the end of a row the gradient is 0.
  float means[2 * kRows];
  if (wants_dx) {
    means_over<2 * kRows>(a.channels, means, [&](int64_t i, int64_t k, vf* sums) {
      for (int r = 0; r < kRows; ++r) {
        const vf v = scaled(r, i, k);
        sums[2 * r] += v;
        sums[2 * r + 1] += v * normalised(r, i, k);
      }
    });
  }
  over_vectors(a.channels, [&](int64_t i, int64_t k) {
    vf shift_sum = d_shift ? load_up_to(d_shift + i, k) : splat(0.0f);
    vf scale_sum = d_scale ? load_up_to(d_scale + i, k) : splat(0.0f);
    for (int r = 0; r < kRows; ++r) {
      const vf v = load_up_to(g[r] + i, k), hat = normalised(r, i, k);
      shift_sum += v;
      scale_sum += v * hat;
      if (!wants_dx) continue;
      vf dx = rstd[r] * (scaled(r, i, k) - means[2 * r] - hat * means[2 * r + 1]);
      if (adds) dx += load_up_to(residual[r] + i, k);
      store_up_to(to[r] + i, dx, k);
    }
    if (d_shift) store_up_to(d_shift + i, shift_sum, k);
    if (d_scale) store_up_to(d_scale + i, scale_sum, k);
  });
}

template <int kRows>
inline void gate_gradient_some(const GateGradientRows& a, int64_t row) {
  const Starts<const float, kRows> y(a.y, row), gate(a.gate, row), d_out(a.d_out, row);
  const Starts<float, kRows> to(a.dy, row);
  const bool wants_dy = a.dy.data != nullptr;
  float* const d_gate = a.d_gate;
  float* const d_bias = a.d_bias;
  over_vectors(a.channels, [&](int64_t i, int64_t k) {
    vf gate_sum = d_gate ? load_up_to(d_gate + i, k) : splat(0.0f);
    vf bias_sum = d_bias ? load_up_to(d_bias + i, k) : splat(0.0f);
    for (int r = 0; r < kRows; ++r) {
      const vf g = load_up_to(d_out[r] + i, k);
      const vf dy = g * load_up_to(gate[r] + i, k);
      if (d_gate) gate_sum += g * load_up_to(y[r] + i, k);
      bias_sum += dy;
      if (wants_dy) store_up_to(to[r] + i, dy, k);
    }
    if (d_gate) store_up_to(d_gate + i, gate_sum, k);
    if (d_bias) store_up_to(d_bias + i, bias_sum, k);
  });
}

}  // namespace

void norm_rows(const NormRows& a) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= a.rows; row += kRowsAtOnce) norm_some<kRowsAtOnce>(a, row);
  for (; row < a.rows; ++row) norm_some<1>(a, row);
}

void norm_gradient_rows(const NormGradientRows& a) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= a.rows; row += kRowsAtOnce) norm_gradient_some<kRowsAtOnce>(a, row);
  for (; row < a.rows; ++row) norm_gradient_some<1>(a, row);
}

void gate_gradient_rows(const GateGradientRows& a) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= a.rows; row += kRowsAtOnce) gate_gradient_some<kRowsAtOnce>(a, row);
  for (; row < a.rows; ++row) gate_gradient_some<1>(a, row);
}
