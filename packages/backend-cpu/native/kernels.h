// The inner loops that are built once per instruction set. Only plain types cross this border: an inline function
// shared with code built for a newer instruction set could end up in code that must run everywhere.
#pragma once

#include <cstdint>

#include "isa.h"

namespace ditkit {

struct ElementwisePlan;

enum class ReduceKind { Sum = 0, Max = 1, Min = 2 };
enum class RandomKind { Uniform = 0, Normal = 1, Bits = 2 };

struct Kernels {
  void (*elementwise)(const ElementwisePlan& plan, int64_t first, int64_t last, float* scratch);
  double (*sum)(const float* a, int64_t n);
  float (*max)(const float* a, int64_t n);
  float (*min)(const float* a, int64_t n);
  // acc[c] = acc[c] ∘ a[r * row_stride + c] over the rows, in order
  void (*reduce_columns)(ReduceKind kind, float* acc, const float* a, int64_t rows, int64_t row_stride, int64_t columns);
  // d[i] += a[i]
  void (*add)(float* d, const float* a, int64_t n);
  // Elements [first, first + n) of a random fill; `first` is a multiple of 4.
  void (*random)(RandomKind kind, void* out, int64_t first, int64_t n, uint32_t key0, uint32_t key1);
  // to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns; 4-byte elements
  void (*transpose)(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride, int64_t rows,
                    int64_t columns);
};

// The kernels of an instruction set that this build has; the set must be one that the CPU has.
const Kernels& kernels_for(Isa isa);

}  // namespace ditkit
