// Runs a matrix product: chooses kernels and plan, packs operands, and hands blocks of c to the threads.
#include "gemm.h"

#include <algorithm>

#include "kernels.h"
#include "plan.h"
#include "round.h"

namespace ditkit {

namespace {

enum Slot { kPackedB = 0, kParts = 1, kPerThread = 2 };

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Scratch of neighbouring threads must not share cache lines.
int64_t whole_lines(int64_t floats) { return ceil_div(floats, 64) * 64; }

// Without steps of k nothing of a and b is read: they may be null and their strides anything.
GemmArgs without_operands_if_empty(GemmArgs args) {
  static const float kNothing = 0.0f;
  if (args.k > 0) return args;
  args.a = args.b = &kNothing;
  args.a_row = args.a_col = args.b_row = args.b_col = 0;
  for (int64_t d = 0; d < 4; ++d) args.a_batch[d] = args.b_batch[d] = 0;
  return args;
}

const GemmKernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return kGemmAvx512;
  if (isa == Isa::Avx2) return kGemmAvx2;
  return kGemmBaseline;
#else
  (void)isa;
  return kGemmNeon;
#endif
}

// b as the register tile reads it: panel j starts at data + j * panel, and its row p at + p * row.
struct Panels {
  const float* data;
  int64_t panel;
  int64_t row;
};

// Packs steps [first, last) of k of panels [begin, end).
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
  const int64_t panel = k * kernels.columns;
  if (b_row == 1) {  // a panel reads whole rows of the transposed operand
    pool.run(panels, [&](int64_t j, int) {
      pack_panels(kernels, b, b_row, b_col, n, 0, k, j, j + 1, packed + j * panel, panel);
    });
    return;
  }
  constexpr int64_t kSteps = 64;  // rows of b that stay in cache while all panels take their part of them
  pool.run(ceil_div(k, kSteps), [&](int64_t chunk, int) {
    const int64_t first = chunk * kSteps, last = std::min(k, first + kSteps);
    pack_panels(kernels, b, b_row, b_col, n, first, last, 0, panels, packed + first * kernels.columns, panel);
  });
}

class Product {
 public:
  Product(const GemmArgs& args, ThreadPool& pool, Isa isa, Workspace& workspace)
      : args_(without_operands_if_empty(args)), pool_(pool), workspace_(workspace), kernels_(kernels_for(isa)) {
    batches_ = 1;
    for (int64_t d = 0; d < args.batch_rank; ++d) batches_ *= args.batch_shape[d];
    panels_ = ceil_div(args.n, kernels_.columns);
    tile_floats_ = kernels_.rows * kernels_.columns;
    plain_ = args.alpha == 1.0f && (args.beta == 0.0f || args.beta == 1.0f) && args.act == Activation::None &&
             args.pre == nullptr && args.slope == nullptr && args.gate == nullptr && args.residual == nullptr &&
             args.c_col == 1;
  }

  void run(const float* packed) {
    if (args_.m == 0 || args_.n == 0 || batches_ == 0) return;
    plan_ = plan_gemm(batches_, args_.m, args_.n, args_.k, !reads_a_in_place(), kernels_.rows, kernels_.columns);
    if (plan_.mode == GemmMode::Whole) return run_whole(packed);
    for (int64_t batch = 0; batch < batches_; ++batch) {
      const GemmArgs args = at_batch(batch);
      if (plan_.mode == GemmMode::SplitK) {
        run_split(args, packed);
      } else {
        run_blocked(args, packed);
      }
    }
  }

 private:
  GemmArgs at_batch(int64_t batch) const {
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

  Panels packed_panels(const float* packed) const {
    return {packed, args_.k * kernels_.columns, kernels_.columns};
  }

  bool reads_a_in_place() const { return args_.a_col == 1; }

  // Packing b pays when many tiles of rows read it, not when few do.
  bool reads_b_in_place() const {
    return args_.b_col == 1 && args_.n % kernels_.columns == 0 && args_.m <= kMaxTilesOnPlainB * kernels_.rows;
  }

  // Some rows of a, for some steps of k, as register tiles of nearly equal height: a last tile of one row would run at
  // a fraction of the speed.
  struct LeftBlock {
    const float* data;
    int64_t rows, tiles;
    int64_t row;  // distance between rows in place, or 0 when packed

    int64_t top(int64_t t) const { return rows * t / tiles; }
    int height(int64_t t) const { return static_cast<int>(top(t + 1) - top(t)); }
  };

  LeftBlock left_block(const GemmArgs& args, int64_t row, int64_t rows, int tiles, int64_t first, int64_t steps,
                       float* packed) const {
    const float* a = args.a + row * args.a_row + first * args.a_col;
    if (reads_a_in_place()) return {a, rows, tiles, args.a_row};
    kernels_.pack_a(a, args.a_row, args.a_col, rows, tiles, steps, packed);
    return {packed, rows, tiles, 0};
  }

  void multiply(const LeftBlock& a, int64_t t, int columns, int64_t steps, const float* b, int64_t b_row,
                const float* start, float* c, int64_t c_row, bool accumulate) const {
    if (reads_a_in_place()) {
      kernels_.tile_rows(a.height(t), columns, steps, a.data + a.top(t) * a.row, a.row, b, b_row, start, c, c_row,
                         accumulate);
    } else {
      kernels_.tile_packed(a.height(t), columns, steps, a.data + a.top(t) * steps, b, b_row, start, c, c_row,
                           accumulate);
    }
  }

  // Floats of scratch that block() needs.
  int64_t block_floats(int64_t rows, int64_t panels) const {
    const int64_t a = reads_a_in_place() ? 0 : rows * plan_.k_block;
    const int64_t tiles = args_.k > plan_.k_block ? ceil_div(rows, kernels_.rows) * panels : 1;
    return a + tiles * tile_floats_;
  }

  // Computes rows [row, row + rows) of panels [begin, end) of c.
  void block(const GemmArgs& args, const Panels& b, int64_t row, int64_t rows, int64_t begin, int64_t end,
             float* scratch) const {
    const int tiles = static_cast<int>(ceil_div(rows, kernels_.rows));
    float* const sums = scratch;
    const bool one_visit = args.k <= plan_.k_block;
    float* const packed_a = scratch + (one_visit ? 1 : tiles * (end - begin)) * tile_floats_;
    int64_t first = 0;
    do {
      const int64_t last = std::min(args.k, first + plan_.k_block), steps = last - first;
      const LeftBlock a = left_block(args, row, rows, tiles, first, steps, packed_a);
      for (int t = 0; t < tiles; ++t) {
        for (int64_t j = begin; j < end; ++j) {
          const int64_t top = row + a.top(t), column = j * kernels_.columns;
          const int columns = static_cast<int>(std::min<int64_t>(kernels_.columns, args.n - column));
          const bool in_place = plain_ && columns == kernels_.columns;
          float* out = in_place    ? args.c + top * args.c_row + column
                       : one_visit ? sums
                                   : sums + (t * (end - begin) + j - begin) * tile_floats_;
          const int64_t out_row = in_place ? args.c_row : kernels_.columns;
          const float* start = in_place && first == 0 && args.bias != nullptr ? args.bias + column : nullptr;
          const bool accumulate = first > 0 || (in_place && args.beta == 1.0f);
          multiply(a, t, columns, steps, b.data + j * b.panel + first * b.row, b.row, start, out, out_row, accumulate);
          if (!in_place && last == args.k) kernels_.epilogue(args, out, out_row, top, column, a.height(t), columns);
        }
      }
      first = last;
    } while (first < args.k);
  }

  void run_whole(const float* packed) {
    const bool packs_b = packed == nullptr && !reads_b_in_place();
    const int64_t b_floats = packs_b ? panels_ * args_.k * kernels_.columns : 0;
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
                      args.k * kernels_.columns);
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

  void run_blocked(const GemmArgs& args, const float* packed) {
    const int64_t floats = whole_lines(block_floats(plan_.row_block, plan_.panel_block));
    float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
    if (packed == nullptr) {
      float* const own = workspace_.get(kPackedB, panels_ * args.k * kernels_.columns);
      pack_all(kernels_, args.b, args.b_row, args.b_col, args.k, args.n, own, pool_);
      packed = own;
    }
    const Panels b = packed_panels(packed);
    const int64_t row_blocks = ceil_div(args.m, plan_.row_block);
    const int64_t column_blocks = ceil_div(panels_, plan_.panel_block);
    pool_.run(row_blocks * column_blocks, [&](int64_t task, int thread) {
      // Neighbouring tasks share their part of b, which stays in cache.
      const int64_t row = task % row_blocks * plan_.row_block;
      const int64_t begin = task / row_blocks * plan_.panel_block;
      block(args, b, row, std::min(plan_.row_block, args.m - row), begin,
            std::min(panels_, begin + plan_.panel_block), scratch + thread * floats);
    });
  }

  void run_split(const GemmArgs& args, const float* packed) {
    const int64_t width = panels_ * kernels_.columns;
    const int64_t part_floats = args.m * width;
    const int64_t a_floats = reads_a_in_place() ? 0 : whole_lines(plan_.row_block * plan_.k_block);
    const bool packs_b = packed == nullptr && !reads_b_in_place();
    const int64_t floats = whole_lines(a_floats + (packs_b ? plan_.k_block * width : 0));
    float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());
    float* const parts = workspace_.get(kParts, part_floats * plan_.splits);
    pool_.run(plan_.splits, [&](int64_t split, int thread) {
      float* const own = scratch + thread * floats;
      const int64_t begin = args.k * split / plan_.splits, end = args.k * (split + 1) / plan_.splits;
      for (int64_t first = begin; first < end; first += plan_.k_block) {
        const int64_t last = std::min(end, first + plan_.k_block), steps = last - first;
        Panels b;
        if (packed != nullptr) {
          b = {packed + first * kernels_.columns, args.k * kernels_.columns, kernels_.columns};
        } else if (!packs_b) {
          b = {args.b + first * args.b_row, kernels_.columns, args.b_row};
        } else {
          b = {own + a_floats, steps * kernels_.columns, kernels_.columns};
          pack_panels(kernels_, args.b, args.b_row, args.b_col, args.n, first, last, 0, panels_, own + a_floats,
                      b.panel);
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
  void part(const GemmArgs& args, const Panels& b, int64_t first, int64_t steps, float* out, int64_t width,
            bool accumulate, float* packed_a) const {
    for (int64_t row = 0; row < args.m; row += plan_.row_block) {
      const int64_t rows = std::min(plan_.row_block, args.m - row);
      const int tiles = static_cast<int>(ceil_div(rows, kernels_.rows));
      const LeftBlock a = left_block(args, row, rows, tiles, first, steps, packed_a);
      for (int t = 0; t < tiles; ++t) {
        for (int64_t j = 0; j < panels_; ++j) {
          multiply(a, t, kernels_.columns, steps, b.data + j * b.panel, b.row, nullptr,
                   out + (row + a.top(t)) * width + j * kernels_.columns, width, accumulate);
        }
      }
    }
  }

  static constexpr int64_t kMaxTilesOnPlainB = 8;

  const GemmArgs args_;
  ThreadPool& pool_;
  Workspace& workspace_;
  const GemmKernels& kernels_;
  GemmPlan plan_{};
  int64_t batches_;
  int64_t panels_;
  int64_t tile_floats_;
  bool plain_;  // c is products and sums with a bias, so whole tiles are written in place
};

}  // namespace

void gemm(const GemmArgs& args, ThreadPool& pool, Isa isa, Workspace& workspace) {
  if (args.compute == Compute::Bf16) return gemm(with_rounded_operands(args, pool, workspace), pool, isa, workspace);
  Product(args, pool, isa, workspace).run(nullptr);
}

const char* bf16_instruction(Isa) { return nullptr; }

size_t packed_b_floats(int64_t k, int64_t n, Isa isa, Compute) {
  const int64_t columns = kernels_for(isa).columns;
  return static_cast<size_t>(ceil_div(n, columns) * columns * k);
}

void pack_b(const float* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n, float* packed, ThreadPool& pool,
            Isa isa, Compute compute) {
  pack_all(kernels_for(isa), b, b_row, b_col, k, n, packed, pool);
  if (compute == Compute::Bf16) round_to_bf16(packed, packed_b_floats(k, n, isa, compute));
}

void gemm_packed(const GemmArgs& args, const float* packed, ThreadPool& pool, Isa isa, Workspace& workspace) {
  if (args.compute == Compute::Bf16) {
    GemmArgs rounded = args;
    rounded.b = nullptr;
    return gemm_packed(with_rounded_operands(rounded, pool, workspace), packed, pool, isa, workspace);
  }
  Product(args, pool, isa, workspace).run(packed);
}

}  // namespace ditkit
