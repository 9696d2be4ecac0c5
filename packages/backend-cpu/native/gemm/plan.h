// How a matrix product is cut into blocks and tasks: a pure function of its shape and the register tile, so that results
// do not depend on the number of threads.
#pragma once

#include <cstdint>

namespace ditkit {

enum class GemmMode {
  Whole,    // a task computes whole products of the batch, packing for itself: small products
  Blocked,  // b is packed once for all, then each task computes a block of c
  Wide,     // a is packed once for all, then each task packs some columns of b and computes those of c
  SplitK,   // few outputs, long sums: each task takes a range of k, then the parts are added in order
};

struct GemmPlan {
  GemmMode mode;
  int64_t batches_per_task;  // Whole
  int64_t row_blocks;        // Blocked, Wide: blocks of c one below the other, of whole tiles, equal up to one tile
  int64_t row_block;         // most rows of c per block, a multiple of the tile's rows
  int64_t panel_block;       // panels (tile widths) of c per block
  int64_t k_block;           // steps of k between two visits of a tile
  int64_t splits;            // SplitK: ranges of k
};

GemmPlan plan_gemm(int64_t batches, int64_t m, int64_t n, int64_t k, bool packs_a, int tile_rows, int tile_columns);

}  // namespace ditkit
