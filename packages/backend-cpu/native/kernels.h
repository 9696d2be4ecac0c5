// The inner loops that are built once per instruction set. Only plain types cross this border: an inline function
// shared with code built for a newer instruction set could end up in code that must run everywhere.
#pragma once

#include <cstdint>

#include "isa.h"

namespace ditkit {

struct ElementwisePlan;

enum class ReduceKind { Sum = 0, Max = 1, Min = 2 };
enum class RandomKind { Uniform = 0, Normal = 1, Bits = 2 };

// What one AdamW step needs of its scalars.
struct AdamWFactors {
  float clip;              // factor on the gradient
  float beta1;
  float beta2;
  float eps;
  float shrink;            // 1 - lr * weight decay
  float rate;              // lr / (1 - beta1^t)
  float root_correction2;  // sqrt(1 - beta2^t)
  float ema_decay;
};

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
  // (x - mean) * rstd * (1 + scale) + shift over a row of n; shift and scale may be null. Stores mean and rstd.
  void (*norm_row)(const float* x, const float* shift, const float* scale, int64_t n, float eps, float* out, float* mean,
                   float* rstd);
  // dx of one row (null = not wanted); adds the row's part to d_shift and d_scale (null = not wanted).
  void (*norm_row_gradient)(const float* x, const float* scale, const float* d_out, int64_t n, float mean, float rstd,
                            float* dx, float* d_shift, float* d_scale);
  // dy = gate * d_out, d_gate += y * d_out, d_bias += dy over a row (null = not wanted)
  void (*gate_row_gradient)(const float* y, const float* gate, const float* d_out, int64_t n, float* dy, float* d_gate,
                            float* d_bias);
  double (*sum_of_squares)(const float* a, int64_t n);
  // In place; `average` may be null.
  void (*adamw_update)(const AdamWFactors& factors, int64_t n, float* parameter, const float* gradient, float* first,
                       float* second, float* average);
};

// The kernels of an instruction set that this build has; the set must be one that the CPU has.
const Kernels& kernels_for(Isa isa);

}  // namespace ditkit
