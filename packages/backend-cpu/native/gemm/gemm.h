// f32 matrix product with strides, batches and a fused epilogue. Knows nothing of tensors, dtypes or queues.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../isa.h"
#include "../thread_pool.h"
#include "workspace.h"

namespace ditkit {

enum class Activation { None, GeluTanh, Silu, Relu };

// In which precision products are taken. Bf16: a and b are rounded to bf16 (to nearest, ties to even; NaN stays NaN),
// products of the rounded values are summed in f32, and everything else stays f32.
enum class Compute { F32, Bf16 };

// value = alpha * a b + beta * c + bias;  pre = value;  c = residual + gate * act(value).
// a is m x k, b is k x n, c is m x n. Strides count elements; those of a and b may be 0 or negative, those of c must
// give every element its own place. c may be the same memory as residual (same layout), and must not overlap a, b,
// bias, gate or pre. Any of m, n, k and the batch sizes may be 0; k = 0 leaves the epilogue of beta * c.
struct GemmArgs {
  int64_t m = 0, n = 0, k = 0;
  int64_t batch_rank = 0;                                   // 0 to 4
  int64_t batch_shape[4] = {1, 1, 1, 1};
  const float* a = nullptr;
  int64_t a_row = 0, a_col = 1;                             // a(i, p) = a[i * a_row + p * a_col]
  int64_t a_batch[4] = {0, 0, 0, 0};
  const float* b = nullptr;
  int64_t b_row = 0, b_col = 1;                             // b(p, j) = b[p * b_row + j * b_col]
  int64_t b_batch[4] = {0, 0, 0, 0};
  float* c = nullptr;
  int64_t c_row = 0, c_col = 1;
  int64_t c_batch[4] = {0, 0, 0, 0};
  float alpha = 1.0f;
  float beta = 0.0f;                                        // 0: c is not read
  const float* bias = nullptr;                              // n values, one per column
  Activation act = Activation::None;
  float* pre = nullptr;                                     // the value before activation, in c's layout
  float* slope = nullptr;                                   // the derivative of the activation there, in c's layout
  const float* gate = nullptr;                              // gate[(i / gate_row) * gate_stride + j]
  int64_t gate_row = 1;
  int64_t gate_stride = 0;
  const float* residual = nullptr;                          // c's layout; works with and without a gate
  Compute compute = Compute::F32;
};

// Computes args on `pool` with the kernels of `isa`. Bits of the result depend on shapes, strides and isa, not on the
// number of threads. Throws std::bad_alloc before any work when scratch memory cannot be had.
void gemm(const GemmArgs& args, ThreadPool& pool, Isa isa, Workspace& workspace);

// The instruction that takes Compute::Bf16 on this machine with the kernels of `isa`, for people; null where it is
// emulated.
const char* bf16_instruction(Isa isa);

// Whether packing b beforehand spares products of this set anything: with tiles they pack behind their arithmetic.
inline bool keeps_packed_b(Isa isa) { return isa != Isa::Amx; }

// A right operand that many products share (a weight) can be packed once. The packed form belongs to (k, n, isa,
// compute); args.compute of gemm_packed must be the one b was packed for.
size_t packed_b_floats(int64_t k, int64_t n, Isa isa, Compute compute = Compute::F32);
// `packed` holds packed_b_floats(k, n, isa, compute) floats; aligning it to 64 bytes is faster.
void pack_b(const float* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n, float* packed, ThreadPool& pool,
            Isa isa, Compute compute = Compute::F32);
// gemm() with b given as `packed`, shared by all batches; args.b and its strides are not looked at. The bits are those of
// gemm().
void gemm_packed(const GemmArgs& args, const float* packed, ThreadPool& pool, Isa isa, Workspace& workspace);

}  // namespace ditkit
