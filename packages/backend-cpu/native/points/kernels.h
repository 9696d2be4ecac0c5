// The searches in a tree of points, built once per instruction set, all without fused multiply-adds: distances are rounded alike on all of
// them, and so the same points are found.
#pragma once

#include <cstdint>

#include "../isa.h"
#include "point_tree.h"

namespace ditkit {

// Each point's squared distance to the nearest of those chosen, and the largest of them in each node. Chosen points have -1, and so have
// the places without a point.
struct PointSpread {
  const PointTree* tree;
  float* distances;
  float* greatest;
};
constexpr float kChosen = -1;

struct PointKernels {
  // Lets (x, y, z) count as chosen.
  void (*approach)(const PointSpread& spread, float x, float y, float z);
  // The `count` places nearest to (x, y, z), at most `limit` away squared, in order; returns how many there are. The tree is not empty.
  int64_t (*nearest)(const PointTree& tree, float x, float y, float z, float limit, int64_t count, int32_t* places,
                     float* distances);
};

const PointKernels& point_kernels_for(Isa isa);

}  // namespace ditkit
