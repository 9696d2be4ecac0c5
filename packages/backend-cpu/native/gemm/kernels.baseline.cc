// GEMM kernels that run on every x86-64 (SSE2, no FMA): a 6 x 8 register tile, 12 of the 16 registers.
#include "kernels.h"

#if defined(__x86_64__)
#include <emmintrin.h>

#include "gemm.h"

namespace ditkit {
namespace {

struct V {
  using t = __m128;
  static constexpr int kWidth = 4;
  static t zero() { return _mm_setzero_ps(); }
  static t set1(float x) { return _mm_set1_ps(x); }
  static t load(const float* p) { return _mm_loadu_ps(p); }
  static void store(float* p, t x) { _mm_storeu_ps(p, x); }
  static t load_lanes(const float* p, int lanes) {
    if (lanes == kWidth) return load(p);
    float all[kWidth] = {};
    for (int i = 0; i < lanes; ++i) all[i] = p[i];
    return load(all);
  }
  static void store_lanes(float* p, t x, int lanes) {
    if (lanes == kWidth) return store(p, x);
    float all[kWidth];
    store(all, x);
    for (int i = 0; i < lanes; ++i) p[i] = all[i];
  }
  static t fma(t a, t b, t c) { return add(mul(a, b), c); }
  static t add(t a, t b) { return _mm_add_ps(a, b); }
  static t mul(t a, t b) { return _mm_mul_ps(a, b); }
  static t div(t a, t b) { return _mm_div_ps(a, b); }
  static t min(t a, t b) { return _mm_min_ps(a, b); }
  static t max(t a, t b) { return _mm_max_ps(a, b); }
  // 1 where x > 0, else 0
  static t step(t x) { return _mm_and_ps(_mm_cmpgt_ps(x, zero()), set1(1.0f)); }
  static t round(t x) { return _mm_cvtepi32_ps(_mm_cvtps_epi32(x)); }
  // In two steps, so that powers beyond one exponent's range still overflow to infinity or underflow to 0.
  static t times_power_of_two(t x, t power) {
    const __m128i whole = _mm_cvtps_epi32(power);
    const __m128i half = _mm_srai_epi32(whole, 1);
    return mul(mul(x, two_to(half)), two_to(_mm_sub_epi32(whole, half)));
  }
  static t two_to(__m128i power) {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(power, _mm_set1_epi32(127)), 23));
  }
};

constexpr int kMaxRows = 6;
constexpr int kVectors = 2;

#include "transpose4_sse.inc"
#include "microkernel.inc"
#include "transpose.inc"
#include "pack.inc"
#include "epilogue.inc"

}  // namespace

const GemmKernels kGemmBaseline = {kMaxRows, kVectors * V::kWidth, 1, tile_packed, tile_rows,
                                   pack_a, pack_b, epilogue, add};

}  // namespace ditkit
#endif
