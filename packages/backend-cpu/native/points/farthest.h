// Farthest-point sampling in a tree of points, as core's points/farthest.ts.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace ditkit {

// Floats of memory that sampling in a tree of `total` points takes.
int64_t farthest_floats(int64_t total);

// Writes the indices of the points in the order chosen, and 1 to `valid`; 0 to the slots beyond them.
void choose_farthest(const PointTree& tree, const PointKernels& kernels, float* memory, int64_t count, int32_t* indices,
                     uint8_t* valid);

}  // namespace ditkit
