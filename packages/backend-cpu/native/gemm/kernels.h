// What a set of kernels for one instruction set offers to the driver in gemm.cc. Only plain types cross this border:
// an inline function shared with code built for a newer instruction set could end up in code that must run everywhere.
#pragma once

#include <cstdint>

namespace ditkit {

struct GemmArgs;

// Memory that the caller reads next: `bytes` of it are fetched into L2 per step of k.
struct Ahead {
  const char* data;
  int64_t bytes;
};

struct GemmKernels {
  int rows;     // most rows of a register tile
  int columns;  // columns of a register tile, and of a packed panel of b
  int values;   // values of k per step, each step of a line of an operand being a float: 1, or 2 for a pair of bf16,
                // the first in the low half. Operands in pairs are always packed; an odd value of k is paired with 0.

  // c (rows x columns, row stride c_row) = a b, plus `start` in every row unless it is null, added to what c holds if
  // `accumulate`. Columns of the tile past the given ones may be written with whatever the panel holds there; `start`
  // is read there too.
  // a: k steps of `rows` floats. b: k steps of `columns` floats, b_row apart.
  void (*tile_packed)(int rows, int columns, int64_t k, const float* a, const float* b, int64_t b_row,
                      const float* start, float* c, int64_t c_row, bool accumulate);
  // The same with a in place: row i starts at a + i * a_row and is contiguous in k. Null where `values` is 2.
  void (*tile_rows)(int rows, int columns, int64_t k, const float* a, int64_t a_row, const float* b, int64_t b_row,
                    const float* start, float* c, int64_t c_row, bool accumulate, Ahead ahead);

  // Packs k values of each row of a block of a, as `tiles` register tiles; tile t has rows
  // [rows * t / tiles, rows * (t + 1) / tiles), so that heights differ by at most one, and lies at
  // out + steps * its first row, in steps of k of as many floats as it has rows.
  void (*pack_a)(const float* a, int64_t a_row, int64_t a_col, int64_t rows, int tiles, int64_t k, float* out);
  // out[p * columns + j] = step p of column j for one panel of up to `columns` columns; missing columns become 0.
  void (*pack_b)(const float* b, int64_t b_row, int64_t b_col, int64_t k, int columns, float* out);

  // Finishes a tile of products (row stride tile_row) whose first element is (row, column) of args: scales, adds,
  // activates, and writes c and pre. `args` has the batch offsets applied. May overwrite the tile.
  void (*epilogue)(const GemmArgs& args, float* tile, int64_t tile_row, int64_t row, int64_t column, int rows,
                   int columns);
  // sum[i] += part[i]
  void (*add)(float* sum, const float* part, int64_t n);
};

#if defined(__x86_64__)
#if defined(DITKIT_AVX512BF16)
extern const GemmKernels kGemmAvx512Bf16;  // takes Compute::Bf16
#endif
extern const GemmKernels kGemmAvx512;
extern const GemmKernels kGemmAvx2;
#endif
#if defined(__aarch64__)
extern const GemmKernels kGemmNeon;
#else
extern const GemmKernels kGemmBaseline;
#endif

}  // namespace ditkit
