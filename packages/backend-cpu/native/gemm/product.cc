#include "product.h"

#include <algorithm>

namespace ditkit {

namespace {

// Packing b pays when many tiles of rows read it, not when few do.
constexpr int64_t kMaxTilesOnPlainB = 8;

// Longer tiles of a, and such as many panels read, gain nothing from being fetched ahead.
constexpr int64_t kMaxStepsAhead = 640;

// Without steps of k nothing of a and b is read: they may be null and their strides anything.
GemmArgs without_operands_if_empty(GemmArgs args) {
  static const float kNothing = 0.0f;
  if (args.k > 0) return args;
  args.a = args.b = &kNothing;
  args.a_row = args.a_col = args.b_row = args.b_col = 0;
  for (int64_t d = 0; d < 4; ++d) args.a_batch[d] = args.b_batch[d] = 0;
  return args;
}

}  // namespace

Product::Product(const GemmArgs& args, const GemmKernels& kernels, ThreadPool& pool, Workspace& workspace)
    : args_(without_operands_if_empty(args)), kernels_(kernels), pool_(pool), workspace_(workspace) {
  batches_ = 1;
  for (int64_t d = 0; d < args.batch_rank; ++d) batches_ *= args.batch_shape[d];
  panels_ = ceil_div(args.n, kernels_.columns);
  steps_ = ceil_div(args.k, kernels_.values);
  tile_floats_ = kernels_.rows * kernels_.columns;
  plain_ = args.alpha == 1.0f && (args.beta == 0.0f || args.beta == 1.0f) && args.act == Activation::None &&
           args.pre == nullptr && args.slope == nullptr && args.gate == nullptr && args.residual == nullptr &&
           args.c_col == 1;
}

void Product::run(const float* packed) {
  if (args_.m == 0 || args_.n == 0 || batches_ == 0) return;
  plan_ = plan_gemm(batches_, args_.m, args_.n, steps_, !reads_a_in_place(), kernels_.rows, kernels_.columns);
  if (plan_.mode == GemmMode::Whole) return run_whole(packed);
  for (int64_t batch = 0; batch < batches_; ++batch) {
    const GemmArgs args = at_batch(batch);
    if (plan_.mode == GemmMode::SplitK) {
      run_split(args, packed);
    } else if (plan_.mode == GemmMode::Wide && packed == nullptr) {
      run_wide(args);
    } else {
      run_blocked(args, packed);
    }
  }
}

GemmArgs Product::at_batch(int64_t batch) const {
  GemmArgs args = args_;
  for (int64_t d = args_.batch_rank - 1; d >= 0; --d) {
    const int64_t index = batch % args_.batch_shape[d];
    batch /= args_.batch_shape[d];
    args.a += index * args_.a_batch[d];
    if (args.b != nullptr) args.b += index * args_.b_batch[d];
    const int64_t c = index * args_.c_batch[d];
    args.c += c;
    if (args.pre != nullptr) args.pre += c;
    if (args.slope != nullptr) args.slope += c;
    if (args.residual != nullptr) args.residual += c;
  }
  return args;
}

bool Product::reads_b_in_place() const {
  return kernels_.values == 1 && args_.b_col == 1 && args_.n % kernels_.columns == 0 &&
         args_.m <= kMaxTilesOnPlainB * kernels_.rows;
}

int64_t Product::row_of_block(int64_t i) const {
  return std::min(args_.m, ceil_div(args_.m, kernels_.rows) * i / plan_.row_blocks * kernels_.rows);
}

LeftBlock Product::left_block(const GemmArgs& args, int64_t row, int64_t rows, int64_t first, int64_t steps,
                              float* packed) const {
  const int64_t tiles = ceil_div(rows, kernels_.rows);
  const int64_t value = value_of(first);
  const float* a = args.a + row * args.a_row + value * args.a_col;
  if (reads_a_in_place()) return {a, rows, tiles, args.a_row};
  kernels_.pack_a(a, args.a_row, args.a_col, rows, static_cast<int>(tiles), value_of(first + steps) - value, packed);
  return {packed, rows, tiles, 0};
}

void Product::multiply(const LeftBlock& a, int64_t t, int columns, int64_t steps, const float* b, int64_t b_row,
                       const float* start, float* c, int64_t c_row, bool accumulate, Ahead ahead) const {
  if (reads_a_in_place()) {
    kernels_.tile_rows(a.height(t), columns, steps, a.data + a.top(t) * a.row, a.row, b, b_row, start, c, c_row,
                       accumulate, ahead);
  } else {
    kernels_.tile_packed(a.height(t), columns, steps, a.data + a.top(t) * steps, b, b_row, start, c, c_row, accumulate);
  }
}

Ahead Product::rows_ahead(const LeftBlock& a, int64_t t, int64_t steps, int64_t part, int64_t parts) const {
  if (a.row != steps || steps > kMaxStepsAhead || parts > kernels_.rows) {
    return {reinterpret_cast<const char*>(a.data), 0};  // an address that is mapped: others cost a page walk each time
  }
  const int64_t bytes = a.height(t) * static_cast<int64_t>(sizeof(float)) / parts;
  return {reinterpret_cast<const char*>(a.data + a.top(t + 1) * steps) + part * bytes * steps, bytes};
}

int64_t Product::sums_floats(int64_t rows, int64_t panels) const {
  return (steps_ > plan_.k_block ? ceil_div(rows, kernels_.rows) * panels : 1) * tile_floats_;
}

// Rows are the outer loop: a tile of a stays in L1, and whole rows of c are written.
void Product::visit(const GemmArgs& args, const LeftBlock& a, int64_t row, const Panels& b, int64_t begin, int64_t end,
                    int64_t first, int64_t last, float* sums) const {
  const bool one_visit = steps_ <= plan_.k_block;
  for (int64_t t = 0; t < a.tiles; ++t) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t top = row + a.top(t), column = j * kernels_.columns;
      const int columns = static_cast<int>(std::min<int64_t>(kernels_.columns, args.n - column));
      const bool in_place = plain_ && columns == kernels_.columns;
      float* const out = in_place    ? args.c + top * args.c_row + column
                         : one_visit ? sums
                                     : sums + (t * (end - begin) + j - begin) * tile_floats_;
      const int64_t out_row = in_place ? args.c_row : kernels_.columns;
      const float* start = in_place && first == 0 && args.bias != nullptr ? args.bias + column : nullptr;
      const bool accumulate = first > 0 || (in_place && args.beta == 1.0f);
      multiply(a, t, columns, last - first, b.data + (j - begin) * b.panel, b.row, start, out, out_row, accumulate,
               rows_ahead(a, t, last - first, j - begin, end - begin));
      if (!in_place && last == steps_) kernels_.epilogue(args, out, out_row, top, column, a.height(t), columns);
    }
  }
}

int64_t Product::block_floats(int64_t rows, int64_t panels) const {
  return (reads_a_in_place() ? 0 : rows * plan_.k_block) + sums_floats(rows, panels);
}

void Product::block(const GemmArgs& args, const Panels& b, int64_t row, int64_t rows, int64_t begin, int64_t end,
                    float* scratch) const {
  float* const packed_a = scratch + sums_floats(rows, end - begin);
  int64_t first = 0;
  do {
    const int64_t last = std::min(steps_, first + plan_.k_block);
    const LeftBlock a = left_block(args, row, rows, first, last - first, packed_a);
    const Panels here = {b.data + begin * b.panel + first * b.row, b.panel, b.row};
    visit(args, a, row, here, begin, end, first, last, scratch);
    first = last;
  } while (first < steps_);
}

}  // namespace ditkit
