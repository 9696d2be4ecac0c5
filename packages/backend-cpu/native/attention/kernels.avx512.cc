// Attention kernels for AVX-512 (F, DQ, BW, VL): a 12 x 32 register tile, 24 of the 32 registers.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

#define ATTENTION_WIDTH 16
#define ATTENTION_FMA(a, b, c) ((vf)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define ATTENTION_MAX(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define ATTENTION_MUL_EVEN(a, b) ((vl)_mm512_mul_epu32((__m512i)(a), _mm512_set1_epi64(b)))
// p * 2^n, 0 where x is below the limit (not where it is NaN)
#define ATTENTION_SCALE_UNLESS_BELOW(p, n, x, limit)                                                               \
  ((vf)_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask((__m512)(x), _mm512_set1_ps(limit), _CMP_NLT_UQ), (__m512)(p), \
                              (__m512)(n)))
#define ATTENTION_FUSES 1
constexpr int kWidth = 16;
constexpr int kRows = 12;

// GCC 12 warns of its own intrinsics' deliberately undefined registers.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "vector.inc"

INLINE float sum_lanes(vf v) { return _mm512_reduce_add_ps((__m512)v); }
INLINE float max_lanes(vf v) { return _mm512_reduce_max_ps((__m512)v); }

#include "tile.inc"
#include "pack.inc"
#include "scores.inc"
#include "forward.inc"
#include "backward.inc"

}  // namespace

const AttentionKernels kAttentionAvx512 = {forward_scratch, forward, backward_scratch, backward};

}  // namespace ditkit
#endif
