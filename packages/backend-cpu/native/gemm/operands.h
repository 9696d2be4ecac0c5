// The operands of a product in the forms that register tiles read: panels of b, tiles of rows of a.
#pragma once

#include <cstdint>

#include "../thread_pool.h"
#include "kernels.h"

namespace ditkit {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Some steps of k of b: panel j starts at data + j * panel, and its step p at + p * row.
struct Panels {
  const float* data;
  int64_t panel;
  int64_t row;
};

// Some rows of a, for some steps of k, as register tiles of nearly equal height: a last tile of one row would run at
// a fraction of the speed.
struct LeftBlock {
  const float* data;
  int64_t rows, tiles;
  int64_t row;  // distance between rows in place, or 0 when packed

  int64_t top(int64_t t) const { return rows * t / tiles; }
  int height(int64_t t) const { return static_cast<int>(top(t + 1) - top(t)); }
};

// Packs values [first, last) of k, whole steps but for the last value, of panels [begin, end) of b, whose panels then lie out_panel floats apart.
void pack_panels(const GemmKernels& kernels, const float* b, int64_t b_row, int64_t b_col, int64_t n, int64_t first,
                 int64_t last, int64_t begin, int64_t end, float* out, int64_t out_panel);

// Packs all of b: panel j starts at packed + j * steps of k * kernels.columns.
void pack_all(const GemmKernels& kernels, const float* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n,
              float* packed, ThreadPool& pool);

}  // namespace ditkit
