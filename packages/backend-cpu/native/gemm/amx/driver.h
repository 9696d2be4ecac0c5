// Matrix products through AMX tiles: f32 as six products of bf16 parts with f32 accuracy, or plain bf16.
#pragma once

#include "../gemm.h"

namespace ditkit {

// Computes args, or returns false where the AVX-512 kernels are faster (or nothing is to be multiplied).
bool gemm_amx(const GemmArgs& args, ThreadPool& pool, Workspace& workspace);

}  // namespace ditkit
