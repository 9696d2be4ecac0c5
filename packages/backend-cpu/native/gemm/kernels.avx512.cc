// GEMM kernels for AVX-512 (F, DQ, BW, VL): a 12 x 32 register tile, 24 of the 32 registers.
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
  static t load_lanes(const float* p, int lanes) {
    return lanes == kWidth ? load(p) : _mm512_maskz_loadu_ps(first(lanes), p);
  }
  static void store_lanes(float* p, t x, int lanes) {
    if (lanes == kWidth) return store(p, x);
    _mm512_mask_storeu_ps(p, first(lanes), x);
  }
  static t fma(t a, t b, t c) { return _mm512_fmadd_ps(a, b, c); }
  static t add(t a, t b) { return _mm512_add_ps(a, b); }
  static t mul(t a, t b) { return _mm512_mul_ps(a, b); }
  static t div(t a, t b) { return _mm512_div_ps(a, b); }
  static t min(t a, t b) { return _mm512_min_ps(a, b); }
  static t max(t a, t b) { return _mm512_max_ps(a, b); }
  // 1 where x > 0, else 0
  static t step(t x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_GT_OQ), set1(1.0f)); }
  static t round(t x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static t times_power_of_two(t x, t power) { return _mm512_scalef_ps(x, power); }
};

constexpr int kMaxRows = 12;
constexpr int kVectors = 2;

#include "transpose4_sse.inc"
#include "microkernel.inc"
#include "transpose.inc"
#include "pack.inc"
#include "epilogue.inc"

}  // namespace

const GemmKernels kGemmAvx512 = {kMaxRows, kVectors * V::kWidth, 1, tile_packed, tile_rows,
                                 pack_a, pack_b, epilogue, add};

}  // namespace ditkit
#endif
