// Reductions down columns: rows of `a` are folded into `acc`, so memory is read in order.

namespace {

template <class F>
void fold_rows(float* acc, const float* a, int64_t rows, int64_t row_stride, int64_t columns, F f) {
  int64_t c = 0;
  for (; c + 4 * kWidth <= columns; c += 4 * kWidth) {
    vf s0 = load(acc + c), s1 = load(acc + c + kWidth), s2 = load(acc + c + 2 * kWidth), s3 = load(acc + c + 3 * kWidth);
    const float* p = a + c;
    for (int64_t r = 0; r < rows; ++r, p += row_stride) {
      s0 = f(load(p), s0);
      s1 = f(load(p + kWidth), s1);
      s2 = f(load(p + 2 * kWidth), s2);
      s3 = f(load(p + 3 * kWidth), s3);
    }
    store(acc + c, s0);
    store(acc + c + kWidth, s1);
    store(acc + c + 2 * kWidth, s2);
    store(acc + c + 3 * kWidth, s3);
  }
  for (; c < columns; c += kWidth) {
    const int64_t width = columns - c < kWidth ? columns - c : kWidth;
    vf s = load_some(acc + c, width);
    for (int64_t r = 0; r < rows; ++r) s = f(load_some(a + r * row_stride + c, width), s);
    store_some(acc + c, s, width);
  }
}

}  // namespace

void reduce_columns(ReduceKind kind, float* acc, const float* a, int64_t rows, int64_t row_stride, int64_t columns) {
  switch (kind) {
    case ReduceKind::Sum: return fold_rows(acc, a, rows, row_stride, columns, [](vf x, vf s) { return s + x; });
    case ReduceKind::Max: return fold_rows(acc, a, rows, row_stride, columns, [](vf x, vf s) { return maximum(x, s); });
    case ReduceKind::Min: return fold_rows(acc, a, rows, row_stride, columns, [](vf x, vf s) { return minimum(x, s); });
  }
}
