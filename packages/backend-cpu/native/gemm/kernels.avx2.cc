// GEMM kernels for AVX2 with FMA: a 6 x 16 register tile, 12 of the 16 registers.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "gemm.h"

namespace ditkit {
namespace {

alignas(32) const int kLaneNumbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};

struct V {
  using t = __m256;
  static constexpr int kWidth = 8;
  static t zero() { return _mm256_setzero_ps(); }
  static t set1(float x) { return _mm256_set1_ps(x); }
  static t load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, t x) { _mm256_storeu_ps(p, x); }
  static __m256i first(int lanes) {
    const __m256i numbers = _mm256_load_si256(reinterpret_cast<const __m256i*>(kLaneNumbers));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), numbers);
  }
  static t load_lanes(const float* p, int lanes) {
    return lanes == kWidth ? load(p) : _mm256_maskload_ps(p, first(lanes));
  }
  static void store_lanes(float* p, t x, int lanes) {
    if (lanes == kWidth) return store(p, x);
    _mm256_maskstore_ps(p, first(lanes), x);
  }
  static t fma(t a, t b, t c) { return _mm256_fmadd_ps(a, b, c); }
  static t add(t a, t b) { return _mm256_add_ps(a, b); }
  static t mul(t a, t b) { return _mm256_mul_ps(a, b); }
  static t div(t a, t b) { return _mm256_div_ps(a, b); }
  static t min(t a, t b) { return _mm256_min_ps(a, b); }
  static t max(t a, t b) { return _mm256_max_ps(a, b); }
  // 1 where x > 0, else 0
  static t step(t x) { return _mm256_and_ps(_mm256_cmp_ps(x, zero(), _CMP_GT_OQ), set1(1.0f)); }
  static t round(t x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // In two steps, so that powers beyond one exponent's range still overflow to infinity or underflow to 0.
  static t times_power_of_two(t x, t power) {
    const __m256i whole = _mm256_cvtps_epi32(power);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return mul(mul(x, two_to(half)), two_to(_mm256_sub_epi32(whole, half)));
  }
  static t two_to(__m256i power) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(power, _mm256_set1_epi32(127)), 23));
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

const GemmKernels kGemmAvx2 = {kMaxRows, kVectors * V::kWidth, 1, tile_packed, tile_rows,
                               pack_a, pack_b, epilogue, add};

}  // namespace ditkit
#endif
