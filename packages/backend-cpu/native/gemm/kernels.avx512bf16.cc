// GEMM kernels for Compute::Bf16 on AVX512_BF16: the 12 x 32 register tile of AVX-512, a step of which multiplies pairs of
// bf16 values and adds both products to an f32 sum. Everything after the products is as for AVX-512.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "gemm.h"

namespace ditkit {
namespace {

struct V {
  using t = __m512;
  static constexpr int kWidth = 16;
  static t zero() { return _mm512_setzero_ps(); }
  static t set1(float x) { return _mm512_set1_ps(x); }
  static t load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, t x) { _mm512_storeu_ps(p, x); }
  static __mmask16 first(int lanes) { return static_cast<__mmask16>((1u << lanes) - 1); }
  static t load_lanes(const float* p, int lanes) { return _mm512_maskz_loadu_ps(first(lanes), p); }
  static void store_lanes(float* p, t x, int lanes) { _mm512_mask_storeu_ps(p, first(lanes), x); }
  // a and b are pairs of bf16, c is f32. Denormal operands and results count as 0.
  static t fma(t a, t b, t c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
  static t add(t a, t b) { return _mm512_add_ps(a, b); }
};

constexpr int kMaxRows = 12;
constexpr int kVectors = 2;

#include "transpose4_sse.inc"
#include "microkernel.inc"
#include "transpose.inc"
#include "pack_pairs.inc"

void epilogue(const GemmArgs& args, float* tile, int64_t tile_row, int64_t row, int64_t column, int rows, int columns) {
  kGemmAvx512.epilogue(args, tile, tile_row, row, column, rows, columns);
}

void add(float* sum, const float* part, int64_t n) { kGemmAvx512.add(sum, part, n); }

}  // namespace

const GemmKernels kGemmAvx512Bf16 = {kMaxRows, kVectors * V::kWidth, 2, tile_packed, nullptr,
                                     pack_a, pack_b, epilogue, add};

}  // namespace ditkit
#endif
