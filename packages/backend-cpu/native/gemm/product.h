// One matrix product on its way through the threads: what all ways of cutting it (GemmMode) share, and those ways.
#pragma once

#include "gemm.h"
#include "operands.h"
#include "plan.h"

namespace ditkit {

class Product {
 public:
  Product(const GemmArgs& args, const GemmKernels& kernels, ThreadPool& pool, Workspace& workspace);

  // `packed` is b as pack_all made it, or null.
  void run(const float* packed);

 private:
  // modes.cc: each computes all of c.
  void run_whole(const float* packed);
  void run_blocked(const GemmArgs& args, const float* packed);
  void run_wide(const GemmArgs& args);
  void run_split(const GemmArgs& args, const float* packed);

  // product.cc
  GemmArgs at_batch(int64_t batch) const;
  bool reads_a_in_place() const { return kernels_.values == 1 && args_.a_col == 1; }
  bool reads_b_in_place() const;
  // First value of k of a step, or k.
  int64_t value_of(int64_t step) const { return step < steps_ ? step * kernels_.values : args_.k; }
  // First row of block i of plan_.row_blocks, or m.
  int64_t row_of_block(int64_t i) const;
  Panels packed_panels(const float* packed) const { return {packed, steps_ * kernels_.columns, kernels_.columns}; }
  // Rows [row, row + rows) of a for [first, first + steps) of k, packed into `packed` unless they are read in place.
  LeftBlock left_block(const GemmArgs& args, int64_t row, int64_t rows, int64_t first, int64_t steps,
                       float* packed) const;
  void multiply(const LeftBlock& a, int64_t t, int columns, int64_t steps, const float* b, int64_t b_row,
                const float* start, float* c, int64_t c_row, bool accumulate, Ahead ahead = {nullptr, 0}) const;
  // What tile t fetches for the one below, in one of the `parts` products it takes part in: in all of them its rows, where
  // these lie one behind the other. Past the last row there is nothing to fetch, and no harm.
  Ahead rows_ahead(const LeftBlock& a, int64_t t, int64_t steps, int64_t part, int64_t parts) const;
  // Floats of sums that a block of c needs to be visited: a tile when all of k is taken at once, else all its tiles.
  int64_t sums_floats(int64_t rows, int64_t panels) const;
  // Takes steps [first, last) of k of the block of c at `row`, panels [begin, end): b holds these panels and steps. The
  // last steps finish it.
  void visit(const GemmArgs& args, const LeftBlock& a, int64_t row, const Panels& b, int64_t begin, int64_t end,
             int64_t first, int64_t last, float* sums) const;
  // Floats of scratch that block() needs.
  int64_t block_floats(int64_t rows, int64_t panels) const;
  // Computes rows [row, row + rows) of panels [begin, end) of c; b holds all panels and steps.
  void block(const GemmArgs& args, const Panels& b, int64_t row, int64_t rows, int64_t begin, int64_t end,
             float* scratch) const;
  // One range of k for all of c, into (or onto) `out`.
  void part(const GemmArgs& args, const Panels& b, int64_t first, int64_t steps, float* out, int64_t width,
            bool accumulate, float* packed_a) const;

  enum Slot { kPackedB = 0, kParts = 1, kPackedA = 1, kPerThread = 2 };

  const GemmArgs args_;
  const GemmKernels& kernels_;
  ThreadPool& pool_;
  Workspace& workspace_;
  GemmPlan plan_{};
  int64_t batches_;
  int64_t panels_;
  int64_t steps_;  // of k: what plan_ counts k in
  int64_t tile_floats_;
  bool plain_;  // c is products and sums with a bias, so whole tiles are written in place
};

}  // namespace ditkit
