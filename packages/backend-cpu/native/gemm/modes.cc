// The ways of cutting a product into tasks.
#include <algorithm>

#include "product.h"

namespace ditkit {

namespace {

// Scratch of neighbouring threads must not share cache lines.
int64_t whole_lines(int64_t floats) { return ceil_div(floats, 64) * 64; }

}  // namespace

void Product::run_whole(const float* packed) {
  const bool packs_b = packed == nullptr && !reads_b_in_place();
  const int64_t b_floats = packs_b ? panels_ * steps_ * kernels_.columns : 0;
  const int64_t rows = std::min(args_.m, plan_.row_block);
  const int64_t floats = whole_lines(b_floats + block_floats(rows, panels_));
  const int64_t tasks = ceil_div(batches_, plan_.batches_per_task);
  float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
  pool_.run(tasks, [&](int64_t task, int thread) {
    float* const own = scratch + thread * floats;
    const int64_t first = task * plan_.batches_per_task;
    const int64_t last = std::min(batches_, first + plan_.batches_per_task);
    const float* in_own = nullptr;
    for (int64_t batch = first; batch < last; ++batch) {
      const GemmArgs args = at_batch(batch);
      if (packs_b && args.b != in_own) {
        pack_panels(kernels_, args.b, args.b_row, args.b_col, args.n, 0, args.k, 0, panels_, own,
                    steps_ * kernels_.columns);
        in_own = args.b;
      }
      const Panels b = packs_b             ? packed_panels(own)
                       : packed != nullptr ? packed_panels(packed)
                                           : Panels{args.b, kernels_.columns, args.b_row};
      for (int64_t row = 0; row < args.m; row += plan_.row_block) {
        block(args, b, row, std::min(plan_.row_block, args.m - row), 0, panels_, own + b_floats);
      }
    }
  });
}

void Product::run_blocked(const GemmArgs& args, const float* packed) {
  const int64_t floats = whole_lines(block_floats(plan_.row_block, plan_.panel_block));
  float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
  if (packed == nullptr) {
    float* const own = workspace_.get(kPackedB, panels_ * steps_ * kernels_.columns);
    pack_all(kernels_, args.b, args.b_row, args.b_col, args.k, args.n, own, pool_);
    packed = own;
  }
  const Panels b = packed_panels(packed);
  const int64_t column_blocks = ceil_div(panels_, plan_.panel_block);
  pool_.run(plan_.row_blocks * column_blocks, [&](int64_t task, int thread) {
    // Neighbouring tasks share their part of b, which stays in cache.
    const int64_t row = row_of_block(task % plan_.row_blocks);
    const int64_t rows = row_of_block(task % plan_.row_blocks + 1) - row;
    const int64_t begin = task / plan_.row_blocks * plan_.panel_block;
    block(args, b, row, rows, begin, std::min(panels_, begin + plan_.panel_block), scratch + thread * floats);
  });
}

// The larger operand is b: a is packed for all, and each task packs the columns of b that it alone needs, which then
// stay in its cache.
void Product::run_wide(const GemmArgs& args) {
  const int64_t k_blocks = ceil_div(steps_, plan_.k_block);
  const auto step_of = [&](int64_t i) { return std::min(steps_, i * plan_.k_block); };
  float* const packed_a = workspace_.get(kPackedA, args.m * steps_);
  const auto place_of = [&](int64_t i, int64_t s) {
    return packed_a + step_of(s) * args.m + row_of_block(i) * (step_of(s + 1) - step_of(s));
  };
  pool_.run(plan_.row_blocks * k_blocks, [&](int64_t task, int) {
    const int64_t i = task % plan_.row_blocks, s = task / plan_.row_blocks;
    const int64_t row = row_of_block(i), first = step_of(s);
    left_block(args, row, row_of_block(i + 1) - row, first, step_of(s + 1) - first, place_of(i, s));
  });
  const int64_t b_floats = plan_.k_block * plan_.panel_block * kernels_.columns;
  const int64_t sums = sums_floats(plan_.row_block, plan_.panel_block);
  const int64_t floats = whole_lines(b_floats + plan_.row_blocks * sums);
  float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
  pool_.run(ceil_div(panels_, plan_.panel_block), [&](int64_t task, int thread) {
    float* const own = scratch + thread * floats;
    const int64_t begin = task * plan_.panel_block, end = std::min(panels_, begin + plan_.panel_block);
    for (int64_t s = 0; s < k_blocks; ++s) {
      const int64_t first = step_of(s), last = step_of(s + 1);
      const Panels b = {own, (last - first) * kernels_.columns, kernels_.columns};
      pack_panels(kernels_, args.b, args.b_row, args.b_col, args.n, value_of(first), value_of(last), begin, end, own,
                  b.panel);
      for (int64_t i = 0; i < plan_.row_blocks; ++i) {
        const int64_t rows = row_of_block(i + 1) - row_of_block(i);
        const LeftBlock a = {place_of(i, s), rows, ceil_div(rows, kernels_.rows), 0};
        visit(args, a, row_of_block(i), b, begin, end, first, last, own + b_floats + i * sums);
      }
    }
  });
}

void Product::run_split(const GemmArgs& args, const float* packed) {
  const int64_t width = panels_ * kernels_.columns;
  const int64_t part_floats = args.m * width;
  const int64_t a_floats = reads_a_in_place() ? 0 : whole_lines(plan_.row_block * plan_.k_block);
  const bool packs_b = packed == nullptr && !reads_b_in_place();
  const int64_t floats = whole_lines(a_floats + (packs_b ? plan_.k_block * width : 0));
  float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
  float* const parts = workspace_.get(kParts, part_floats * plan_.splits);
  pool_.run(plan_.splits, [&](int64_t split, int thread) {
    float* const own = scratch + thread * floats;
    const int64_t begin = steps_ * split / plan_.splits, end = steps_ * (split + 1) / plan_.splits;
    for (int64_t first = begin; first < end; first += plan_.k_block) {
      const int64_t last = std::min(end, first + plan_.k_block), steps = last - first;
      Panels b;
      if (packed != nullptr) {
        b = {packed + first * kernels_.columns, steps_ * kernels_.columns, kernels_.columns};
      } else if (!packs_b) {
        b = {args.b + first * args.b_row, kernels_.columns, args.b_row};
      } else {
        b = {own + a_floats, steps * kernels_.columns, kernels_.columns};
        pack_panels(kernels_, args.b, args.b_row, args.b_col, args.n, value_of(first), value_of(last), 0, panels_,
                    own + a_floats, b.panel);
      }
      part(args, b, first, steps, parts + split * part_floats, width, first > begin, own);
    }
  });
  pool_.run(ceil_div(args.m, kernels_.rows), [&](int64_t tile, int) {
    const int64_t row = tile * kernels_.rows;
    const int rows = static_cast<int>(std::min<int64_t>(kernels_.rows, args.m - row));
    float* const sum = parts + row * width;
    for (int64_t split = 1; split < plan_.splits; ++split) kernels_.add(sum, sum + split * part_floats, rows * width);
    for (int64_t j = 0; j < panels_; ++j) {
      const int64_t column = j * kernels_.columns;
      const int columns = static_cast<int>(std::min<int64_t>(kernels_.columns, args.n - column));
      kernels_.epilogue(args, sum + column, width, row, column, rows, columns);
    }
  });
}

// One range of k for all of c, into (or onto) `out`.
void Product::part(const GemmArgs& args, const Panels& b, int64_t first, int64_t steps, float* out, int64_t width,
                   bool accumulate, float* packed_a) const {
  for (int64_t row = 0; row < args.m; row += plan_.row_block) {
    const int64_t rows = std::min(plan_.row_block, args.m - row);
    const LeftBlock a = left_block(args, row, rows, first, steps, packed_a);
    for (int64_t t = 0; t < a.tiles; ++t) {
      for (int64_t j = 0; j < panels_; ++j) {
        multiply(a, t, kernels_.columns, steps, b.data + j * b.panel, b.row, nullptr,
                 out + (row + a.top(t)) * width + j * kernels_.columns, width, accumulate);
      }
    }
  }
}

}  // namespace ditkit
