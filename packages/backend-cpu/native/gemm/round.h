// Compute::Bf16 on instruction sets without bf16 products, and of what is too small for tiles: operands are rounded to bf16 first, kept as f32 values, and
// multiplied by the f32 kernels. Slower than f32, with the values that hardware gives up to the order of sums.
#pragma once

#include <cstddef>

#include "gemm.h"

namespace ditkit {

// Rounds n values in place: to nearest, ties to even; NaN stays NaN, what is past the largest bf16 becomes infinity.
void round_to_bf16(float* values, size_t n);

// args with a, and b unless it is null, replaced by rounded copies in the workspace, valid until the next call of gemm.
// Throws std::bad_alloc.
GemmArgs with_rounded_operands(const GemmArgs& args, ThreadPool& pool, Workspace& workspace);

}  // namespace ditkit
