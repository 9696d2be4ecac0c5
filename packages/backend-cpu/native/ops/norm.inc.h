// Layer norm with shift and scale over one row, and its gradient.

namespace {

// Σ f(i) over whole vectors and the rest, in two lanes of accumulators.
template <class F>
inline float sum_over(int64_t n, F f) {
  vf s0 = {}, s1 = {};
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    s0 += f(i, kWidth);
    s1 += f(i + kWidth, kWidth);
  }
  for (; i < n; i += kWidth) s0 += f(i, n - i < kWidth ? n - i : kWidth);
  return sum_lanes(s0 + s1);
}

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

}  // namespace

void norm_row(const float* x, const float* shift, const float* scale, int64_t n, float eps, float* out, float* mean,
              float* rstd) {
  const float m = static_cast<float>(sum_array(x, n) / static_cast<double>(n));
  const float squares = sum_over(n, [&](int64_t i, int64_t k) {
    const vf d = k == kWidth ? load(x + i) - m : (load_some(x + i, k) - m) * inside(k);
    return d * d;
  });
  const float r = 1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
  *mean = m;
  *rstd = r;
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t k = n - i < kWidth ? n - i : kWidth;
    vf v = (load_up_to(x + i, k) - m) * r;
    if (scale) v = v * (1.0f + load_up_to(scale + i, k));
    if (shift) v = v + load_up_to(shift + i, k);
    store_up_to(out + i, v, k);
  }
}

void norm_row_gradient(const float* x, const float* scale, const float* d_out, int64_t n, float mean, float rstd,
                       float* dx, float* d_shift, float* d_scale) {
  const auto normalised = [&](int64_t i, int64_t k) { return (load_up_to(x + i, k) - mean) * rstd; };
  const auto gradient = [&](int64_t i, int64_t k) {
    const vf g = load_up_to(d_out + i, k);
    return scale ? g * (1.0f + load_up_to(scale + i, k)) : g;
  };
  if (dx) {
    // Past the end of a row the gradient is 0, so both sums leave it out.
    const float g = sum_over(n, gradient) / static_cast<float>(n);
    const float gx = sum_over(n, [&](int64_t i, int64_t k) { return gradient(i, k) * normalised(i, k); }) /
                     static_cast<float>(n);
    for (int64_t i = 0; i < n; i += kWidth) {
      const int64_t k = n - i < kWidth ? n - i : kWidth;
      store_up_to(dx + i, rstd * (gradient(i, k) - g - normalised(i, k) * gx), k);
    }
  }
  if (!d_shift && !d_scale) return;
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t k = n - i < kWidth ? n - i : kWidth;
    const vf g = load_up_to(d_out + i, k);
    if (d_shift) store_up_to(d_shift + i, load_up_to(d_shift + i, k) + g, k);
    if (d_scale) store_up_to(d_scale + i, load_up_to(d_scale + i, k) + g * normalised(i, k), k);
  }
}

void gate_row_gradient(const float* y, const float* gate, const float* d_out, int64_t n, float* dy, float* d_gate,
                       float* d_bias) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t k = n - i < kWidth ? n - i : kWidth;
    const vf g = load_up_to(d_out + i, k);
    if (d_gate) store_up_to(d_gate + i, load_up_to(d_gate + i, k) + g * load_up_to(y + i, k), k);
    if (!dy && !d_bias) continue;
    const vf scaled = g * load_up_to(gate + i, k);
    if (dy) store_up_to(dy + i, scaled, k);
    if (d_bias) store_up_to(d_bias + i, load_up_to(d_bias + i, k) + scaled, k);
  }
}
