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

// Rows of one matrix, `stride` apart; null data: there is none.
template <class T>
struct RowsOf {
  T* data = nullptr;
  int64_t stride = 0;
  T* at(int64_t row) const { return data + row * stride; }
};

// out = (x - mean) * rstd * (1 + scale) + shift, mean and rstd one per row. shift and scale may be missing.
struct NormRows {
  int64_t rows, channels;
  float eps;
  RowsOf<const float> x, shift, scale;
  RowsOf<float> out, mean, rstd;
};

// dx, with residual added where there is one; d_shift and d_scale [channels] are added to. All three may be missing; dx may be
// the memory of residual.
struct NormGradientRows {
  int64_t rows, channels;
  RowsOf<const float> x, scale, mean, rstd, d_out, residual;
  RowsOf<float> dx;
  float *d_shift, *d_scale;
};

// dy = gate * d_out; y * d_out is added to d_gate, dy to d_bias [channels]. All three may be missing.
struct GateGradientRows {
  int64_t rows, channels;
  RowsOf<const float> y, gate, d_out;
  RowsOf<float> dy;
  float *d_gate, *d_bias;
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
  void (*norm_rows)(const NormRows& rows);
  void (*norm_gradient_rows)(const NormGradientRows& rows);
  void (*gate_gradient_rows)(const GateGradientRows& rows);
  double (*sum_of_squares)(const float* a, int64_t n);
  // In place; `average` may be null.
  void (*adamw_update)(const AdamWFactors& factors, int64_t n, float* parameter, const float* gradient, float* first,
                       float* second, float* average);
};

// The kernels of an instruction set that this build has; the set must be one that the CPU has.
const Kernels& kernels_for(Isa isa);

}  // namespace ditkit
