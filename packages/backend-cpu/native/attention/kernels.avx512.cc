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
constexpr int kWidth = 16;
constexpr int kRows = 12;

// GCC 12 warns of its own intrinsics' deliberately undefined registers.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "vector.inc"

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
