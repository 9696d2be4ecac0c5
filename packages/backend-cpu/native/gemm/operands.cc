#include "operands.h"

#include <algorithm>

namespace ditkit {

void pack_panels(const GemmKernels& kernels, const float* b, int64_t b_row, int64_t b_col, int64_t n, int64_t first,
                 int64_t last, int64_t begin, int64_t end, float* out, int64_t out_panel) {
  for (int64_t j = begin; j < end; ++j) {
    const int64_t column = j * kernels.columns;
    const int columns = static_cast<int>(std::min<int64_t>(kernels.columns, n - column));
    kernels.pack_b(b + first * b_row + column * b_col, b_row, b_col, last - first, columns,
                   out + (j - begin) * out_panel);
  }
}

void pack_all(const GemmKernels& kernels, const float* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n,
              float* packed, ThreadPool& pool) {
  const int64_t panels = ceil_div(n, kernels.columns);
  const int64_t panel = ceil_div(k, kernels.values) * kernels.columns;
  if (b_row == 1) {  // a panel reads whole rows of the transposed operand
    pool.run(panels, [&](int64_t j, int) {
      pack_panels(kernels, b, b_row, b_col, n, 0, k, j, j + 1, packed + j * panel, panel);
    });
    return;
  }
  constexpr int64_t kRows = 64;  // of b that stay in cache while all panels take their part of them
  pool.run(ceil_div(k, kRows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kRows, last = std::min(k, first + kRows);
    pack_panels(kernels, b, b_row, b_col, n, first, last, 0, panels, packed + first / kernels.values * kernels.columns, panel);
  });
}

}  // namespace ditkit
