// The arithmetic of AdamW on one stretch of a parameter, as PyTorch does it.

double sum_of_squares(const float* a, int64_t n) {
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t m = n - start < 4096 ? n - start : 4096;
    const float* const p = a + start;
    total += sum_over(m, [&](int64_t i, int64_t k) {
      const vf v = load_up_to(p + i, k);
      return v * v;
    });
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
