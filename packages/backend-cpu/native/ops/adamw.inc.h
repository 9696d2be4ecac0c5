// The arithmetic of AdamW on one stretch of a parameter, as PyTorch does it.

// Blocks are summed in f32 lanes and added up in double.
double sum_of_squares(const float* a, int64_t n) {
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t end = n - start < 4096 ? n : start + 4096;
    vf s0 = {}, s1 = {}, s2 = {}, s3 = {};
    int64_t i = start;
    for (; i + 4 * kWidth <= end; i += 4 * kWidth) {
      const vf v0 = load(a + i), v1 = load(a + i + kWidth), v2 = load(a + i + 2 * kWidth), v3 = load(a + i + 3 * kWidth);
      s0 += v0 * v0, s1 += v1 * v1, s2 += v2 * v2, s3 += v3 * v3;
    }
    for (; i < end; i += kWidth) {
      const vf v = load_up_to(a + i, end - i < kWidth ? end - i : kWidth);
      s0 += v * v;
    }
    total += sum_lanes((s0 + s1) + (s2 + s3));
  }
  return total;
}

void adamw_update(const AdamWFactors& f, int64_t n, float* parameter, const float* gradient, float* first, float* second,
                  float* average) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t k = n - i < kWidth ? n - i : kWidth;
    const vf g = load_up_to(gradient + i, k) * f.clip;
    const vf m = f.beta1 * load_up_to(first + i, k) + (1.0f - f.beta1) * g;
    const vf v = f.beta2 * load_up_to(second + i, k) + (1.0f - f.beta2) * (g * g);
    store_up_to(first + i, m, k);
    store_up_to(second + i, v, k);
    float root[kWidth];
    store(root, v);
    for (int l = 0; l < kWidth; ++l) root[l] = __builtin_sqrtf(root[l]);
    const vf denominator = load(root) / f.root_correction2 + f.eps;
    const vf p = load_up_to(parameter + i, k) * f.shrink - f.rate * (m / denominator);
    store_up_to(parameter + i, p, k);
    if (average) {
      store_up_to(average + i, f.ema_decay * load_up_to(average + i, k) + (1.0f - f.ema_decay) * p, k);
    }
  }
}
