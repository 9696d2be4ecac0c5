// Attention kernels for aarch64, where NEON with FMA is always there: a 4 x 8 register tile.
#include "kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace ditkit {
namespace {

#define ATTENTION_WIDTH 4
#define ATTENTION_FMA(a, b, c) ((vf)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define ATTENTION_MAX(a, b) ((a) > (b) ? (a) : (b))
#define ATTENTION_MUL_EVEN(a, b) ((vl)vmull_n_u32(vmovn_u64((uint64x2_t)(a)), (b)))
#define ATTENTION_FUSES 1
constexpr int kWidth = 4;
constexpr int kRows = 4;

#include "vector.inc"

INLINE float sum_lanes(vf v) { return (v[0] + v[2]) + (v[1] + v[3]); }
INLINE float max_lanes(vf v) { return vmaxvq_f32((float32x4_t)v); }

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
