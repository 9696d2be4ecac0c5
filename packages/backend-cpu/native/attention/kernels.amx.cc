// Attention kernels for AMX-BF16 with the accuracy of f32: products of three parts.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ditkit {
namespace {

constexpr int kParts = 3;

#include "amx.inc"

}  // namespace

const AttentionKernels kAttentionAmx = {forward_scratch, forward_on_tiles, backward_scratch, backward_on_tiles};

}  // namespace ditkit
#endif
