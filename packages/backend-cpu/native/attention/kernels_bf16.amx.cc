// Attention kernels for AMX-BF16 whose products round their operands: q, k, v and dOut, weights and score gradients.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

constexpr int kParts = 1;

#include "amx.inc"

}  // namespace

const AttentionKernels kAttentionAmxBf16 = {forward_scratch, forward_on_tiles, backward_scratch, backward_on_tiles};

}  // namespace ditkit
#endif
