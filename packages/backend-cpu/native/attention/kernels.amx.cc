// Attention kernels for AMX-BF16: products on tile registers, everything else as for AVX-512.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

#include "avx512.inc"
#include "pack.inc"
#include "amx_tiles.inc"
#include "amx_products.inc"
#include "scores.inc"
#include "forward_state.inc"
#include "amx_softmax.inc"
#include "forward.inc"
#include "gradients.inc"
#include "amx_gradient_products.inc"
#include "backward.inc"

void forward_on_tiles(const ForwardJob& job, float* scratch) {
  const TileUse use;
  forward(job, scratch);
}

void backward_on_tiles(const BackwardJob& job, float* scratch) {
  const TileUse use;
  backward(job, scratch);
}

}  // namespace

const AttentionKernels kAttentionAmx = {forward_scratch, forward_on_tiles, backward_scratch, backward_on_tiles};

}  // namespace ditkit
#endif
