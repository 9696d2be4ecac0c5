// How fast this machine multiplies and adds f32 numbers at all: what a GEMM is measured against.
#pragma once

#include "isa.h"
#include "thread_pool.h"

namespace ditkit {

// GFLOP/s of all threads of the pool together running independent multiply-add chains in registers for about
// `milliseconds`; the best of several short stretches, since whatever else the machine does only takes away.
// Isa::Baseline of x86-64 has no FMA, so it multiplies, then adds.
double fma_peak(ThreadPool& pool, Isa isa, double milliseconds);

}  // namespace ditkit
