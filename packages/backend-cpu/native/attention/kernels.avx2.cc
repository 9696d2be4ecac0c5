// Attention kernels for AVX2 with FMA: a 6 x 16 register tile, 12 of the 16 registers.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

#define ATTENTION_WIDTH 8
#define ATTENTION_FMA(a, b, c) ((vf)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define ATTENTION_MAX(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define ATTENTION_MUL_EVEN(a, b) ((vl)_mm256_mul_epu32((__m256i)(a), _mm256_set1_epi64x(b)))
#define ATTENTION_STREAM(to, v) _mm256_stream_ps(to, (__m256)(v))
#define ATTENTION_FUSES 1
constexpr int kWidth = 8;
constexpr int kRows = 6;

#include "vector.inc"

INLINE float sum_lanes(vf v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
}
INLINE float max_lanes(vf v) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
}

#include "fetcher.inc"
#include "tile.inc"
#include "pack.inc"
#include "panels.inc"
#include "products.inc"
#include "scores.inc"
#include "forward_state.inc"
#include "softmax.inc"
#include "forward.inc"
#include "gradients.inc"
#include "gradient_products.inc"
#include "backward.inc"

}  // namespace

const AttentionKernels kAttentionAvx2 = {forward_scratch, forward, backward_scratch, backward};

}  // namespace ditkit
#endif
