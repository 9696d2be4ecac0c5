// Attention kernels for AVX-512 (F, DQ, BW, VL): a 12 x 32 register tile, 24 of the 32 registers.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

#include "avx512.inc"

constexpr int kRows = 12;

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

const AttentionKernels kAttentionAvx512 = {forward_scratch, forward, backward_scratch, backward};

}  // namespace ditkit
#endif
