// The points of a cloud in a balanced k-d tree, as in core's points/point-tree.ts: leaves of neighbouring points, and a box around each
// node, by which a search passes over what cannot matter. What a search finds does not depend on how the tree was built.
#pragma once

#include <cstdint>

namespace ditkit {

struct Executor;

constexpr int64_t kLeaf = 64;  // points of a leaf; all leaves but the last are full

struct PointTree {
  int64_t count = 0;   // points that take part
  int64_t leaves = 0;  // of kLeaf places each; those of the last that hold no point hold the origin
  float *x, *y, *z;
  int32_t* indices;  // where each stood in the input
  float* boxes;      // per node least x, y, z, greatest x, y, z, and two unused; nodes are in preorder
};

// A node over the leaves [first, last) has its left child behind it, over those before the middle, and its right one behind that.
struct PointNode {
  int64_t node, first, last;
  bool is_leaf() const { return last - first == 1; }
};
constexpr int64_t kBox = 8;

// Points [total, 3] with a mask byte each; those of 0, and those that are not finite, take no part.
struct PointCloud {
  const float* points;
  const uint8_t* mask;
  int64_t total;
};

// Floats of memory for the tree of a cloud of `total` points, and for building it.
int64_t point_tree_floats(int64_t total);

// Builds a tree for each cloud, all of the same total, in `memory` of point_tree_floats each.
void build_point_trees(const PointCloud* clouds, PointTree* trees, int64_t count, float* memory, Executor& executor);

// Whether the point at place a comes before that at b: by x, then y, then z (-0 before 0), then by where they stood in the input.
bool precedes(const PointTree& tree, int64_t a, int64_t b);

}  // namespace ditkit
