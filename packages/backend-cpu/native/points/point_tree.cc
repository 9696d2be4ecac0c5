#include "point_tree.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../runtime/queue.h"

namespace ditkit {

namespace {

constexpr int64_t kFewPoints = 4096;  // below, other threads are not woken

// While the tree is built a point is in one piece, as selection moves it about.
struct Point {
  float c[3];
  int32_t index;
};
static_assert(sizeof(Point) == 16, "four floats");

int64_t leaves_for(int64_t points) { return (points + kLeaf - 1) / kLeaf; }

Point* points_of(const PointTree& tree, int64_t total) {
  return reinterpret_cast<Point*>(tree.boxes + kBox * 2 * leaves_for(total));
}

PointTree place(float* memory, int64_t total) {
  const int64_t places = leaves_for(total) * kLeaf;
  PointTree tree;
  tree.x = memory;
  tree.y = tree.x + places;
  tree.z = tree.y + places;
  tree.indices = reinterpret_cast<int32_t*>(tree.z + places);
  tree.boxes = tree.z + 2 * places;
  return tree;
}

void collect(const PointCloud& cloud, PointTree& tree) {
  Point* to = points_of(tree, cloud.total);
  Point* const first = to;
  for (int64_t i = 0; i < cloud.total; ++i) {
    if (!cloud.mask[i]) continue;
    const float* const p = cloud.points + 3 * i;
    if (!(std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]))) continue;
    *to++ = {{p[0], p[1], p[2]}, static_cast<int32_t>(i)};
  }
  tree.count = to - first;
  tree.leaves = leaves_for(tree.count);
}

// Writes the box around points; returns the axis along which it is longest.
int enclose(const Point* points, int64_t count, float* box) {
  const float infinity = std::numeric_limits<float>::infinity();
  float least[3] = {infinity, infinity, infinity}, greatest[3] = {-infinity, -infinity, -infinity};
  for (int64_t i = 0; i < count; ++i) {
    for (int axis = 0; axis < 3; ++axis) {
      const float value = points[i].c[axis];
      least[axis] = value < least[axis] ? value : least[axis];
      greatest[axis] = value > greatest[axis] ? value : greatest[axis];
    }
  }
  int longest = 0;
  for (int axis = 0; axis < 3; ++axis) {
    box[axis] = least[axis];
    box[3 + axis] = greatest[axis];
    if (greatest[axis] - least[axis] > greatest[longest] - least[longest]) longest = axis;
  }
  return longest;
}

void fill_leaf(const PointTree& tree, const Point* points, int64_t leaf) {
  for (int64_t i = leaf * kLeaf; i < (leaf + 1) * kLeaf; ++i) {
    const Point point = i < tree.count ? points[i] : Point{{0, 0, 0}, 0};
    tree.x[i] = point.c[0];
    tree.y[i] = point.c[1];
    tree.z[i] = point.c[2];
    tree.indices[i] = point.index;
  }
}

// The node number `number` of those `level` below the root; false when there is none.
bool find_node(const PointTree& tree, int level, int64_t number, PointNode* node) {
  *node = {0, 0, tree.leaves};
  if (tree.leaves == 0) return false;
  for (int bit = level - 1; bit >= 0; --bit) {
    if (node->is_leaf()) return false;
    const int64_t middle = (node->first + node->last) / 2;
    if (number >> bit & 1) *node = {node->node + 2 * (middle - node->first), middle, node->last};
    else *node = {node->node + 1, node->first, middle};
  }
  return true;
}

void settle(const PointTree& tree, Point* points, const PointNode& node) {
  const int64_t start = node.first * kLeaf, end = std::min(node.last * kLeaf, tree.count);
  const int axis = enclose(points + start, end - start, tree.boxes + kBox * node.node);
  if (node.is_leaf()) return fill_leaf(tree, points, node.first);
  Point* const middle = points + (node.first + node.last) / 2 * kLeaf;
  std::nth_element(points + start, middle, points + end,
                   [axis](const Point& a, const Point& b) { return a.c[axis] < b.c[axis]; });
}

// An order of all floats but NaN as integers, with -0 before 0.
int32_t rank_of(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}

}  // namespace

int64_t point_tree_floats(int64_t total) { return leaves_for(total) * (kLeaf * 8 + kBox * 2); }

void build_point_trees(const PointCloud* clouds, PointTree* trees, int64_t count, float* memory, Executor& executor) {
  const int64_t total = count > 0 ? clouds[0].total : 0;
  const auto each = [&](int64_t jobs, auto&& job) {
    if (count * total >= kFewPoints) return executor.pool.run(jobs, [&](int64_t k, int) { job(k); });
    for (int64_t k = 0; k < jobs; ++k) job(k);
  };
  each(count, [&](int64_t b) {
    trees[b] = place(memory + b * point_tree_floats(total), total);
    collect(clouds[b], trees[b]);
  });
  int64_t most = 0;
  for (int64_t b = 0; b < count; ++b) most = std::max(most, trees[b].leaves);
  // Level by level: the nodes of one are apart.
  for (int level = 0; most > 0 && (int64_t{1} << level) < 2 * most; ++level) {
    each(count << level, [&](int64_t k) {
      const PointTree& tree = trees[k >> level];
      PointNode node;
      if (find_node(tree, level, k & ((int64_t{1} << level) - 1), &node)) settle(tree, points_of(tree, total), node);
    });
  }
}

bool precedes(const PointTree& tree, int64_t a, int64_t b) {
  const float* const axes[3] = {tree.x, tree.y, tree.z};
  for (const float* axis : axes) {
    if (rank_of(axis[a]) != rank_of(axis[b])) return rank_of(axis[a]) < rank_of(axis[b]);
  }
  return tree.indices[a] < tree.indices[b];
}

}  // namespace ditkit
