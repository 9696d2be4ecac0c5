// Attention kernels for what every x86-64 has, SSE2 without FMA: a 4 x 8 register tile.
#include "kernels.h"

#if !defined(__aarch64__)
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ditkit {
namespace {

#define ATTENTION_WIDTH 4
#define ATTENTION_FMA(a, b, c) ((a) * (b) + (c))
#if defined(__x86_64__)
#define ATTENTION_MAX(a, b) ((vf)_mm_max_ps((__m128)(a), (__m128)(b)))
#define ATTENTION_MUL_EVEN(a, b) ((vl)_mm_mul_epu32((__m128i)(a), _mm_set1_epi64x(b)))
#define ATTENTION_STREAM(to, v) _mm_stream_ps(to, (__m128)(v))
#else
#define ATTENTION_MAX(a, b) ((a) > (b) ? (a) : (b))
#define ATTENTION_MUL_EVEN(a, b) (((a) & 0xffffffffu) * (uint64_t)(b))
#endif
#define ATTENTION_FUSES 0
constexpr int kWidth = 4;
constexpr int kRows = 4;

#include "vector.inc"

INLINE float sum_lanes(vf v) { return (v[0] + v[2]) + (v[1] + v[3]); }
INLINE float max_lanes(vf v) {
  float best = v[0];
  for (int i = 1; i < kWidth; ++i) best = v[i] > best ? v[i] : best;
  return best;
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

const AttentionKernels kAttentionBaseline = {forward_scratch, forward, backward_scratch, backward};

}  // namespace ditkit
#endif
