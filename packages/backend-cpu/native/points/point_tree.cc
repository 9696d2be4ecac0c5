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

void enclose(const Point* points, int64_t count, float* box) {
  const float infinity = std::numeric_limits<float>::infinity();
  float least[3] = {infinity, infinity, infinity}, greatest[3] = {-infinity, -infinity, -infinity};
  for (int64_t i = 0; i < count; ++i) {
    for (int axis = 0; axis < 3; ++axis) {
      const float value = points[i].c[axis];
      least[axis] = value < least[axis] ? value : least[axis];
      greatest[axis] = value > greatest[axis] ? value : greatest[axis];
    }
  }
  std::copy(least, least + 3, box);
  std::copy(greatest, greatest + 3, box + 3);
}

int longest_side(const float* box) {
  const float x = box[3] - box[0], y = box[4] - box[1], z = box[5] - box[2];
  return x >= y && x >= z ? 0 : y >= z ? 1 : 2;
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

PointNode left_of(const PointNode& n) { return {n.node + 1, n.first, (n.first + n.last) / 2}; }
PointNode right_of(const PointNode& n) {
  const int64_t middle = (n.first + n.last) / 2;
  return {n.node + 2 * (middle - n.first), middle, n.last};
}

// The node number `number` of those `level` below the root; false when there is none.
bool find_node(const PointTree& tree, int level, int64_t number, PointNode* node) {
  *node = {0, 0, tree.leaves};
  if (tree.leaves == 0) return false;
  for (int bit = level - 1; bit >= 0; --bit) {
    if (node->is_leaf()) return false;
    *node = number >> bit & 1 ? right_of(*node) : left_of(*node);
  }
  return true;
}

// Divides the node's points between its children. Until `draw_boxes`, an inner node's box is its cell: its share of the space, which is
// known without a look at the points.
void divide(const PointTree& tree, Point* points, const PointNode& node) {
  const int64_t start = node.first * kLeaf, end = std::min(node.last * kLeaf, tree.count);
  float* const box = tree.boxes + kBox * node.node;
  if (node.is_leaf()) {
    enclose(points + start, end - start, box);
    return fill_leaf(tree, points, node.first);
  }
  const int axis = longest_side(box);
  const PointNode left = left_of(node), right = right_of(node);
  Point* const middle = points + right.first * kLeaf;
  std::nth_element(points + start, middle, points + end,
                   [axis](const Point& a, const Point& b) { return a.c[axis] < b.c[axis]; });
  float *const below = tree.boxes + kBox * left.node, *const above = tree.boxes + kBox * right.node;
  std::copy(box, box + 6, below);
  std::copy(box, box + 6, above);
  below[3 + axis] = above[axis] = middle->c[axis];
}

void draw_boxes(const PointTree& tree, const PointNode& node) {
  if (node.is_leaf()) return;
  draw_boxes(tree, left_of(node));
  draw_boxes(tree, right_of(node));
  float* const box = tree.boxes + kBox * node.node;
  const float *const a = tree.boxes + kBox * left_of(node).node, *const b = tree.boxes + kBox * right_of(node).node;
  for (int i = 0; i < 3; ++i) {
    box[i] = std::min(a[i], b[i]);
    box[3 + i] = std::max(a[3 + i], b[3 + i]);
  }
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
    if (trees[b].count > 0) enclose(points_of(trees[b], total), trees[b].count, trees[b].boxes);
  });
  int64_t most = 0;
  for (int64_t b = 0; b < count; ++b) most = std::max(most, trees[b].leaves);
  // Level by level: the nodes of one are apart.
  for (int level = 0; most > 0 && (int64_t{1} << level) < 2 * most; ++level) {
    each(count << level, [&](int64_t k) {
      const PointTree& tree = trees[k >> level];
      PointNode node;
      if (find_node(tree, level, k & ((int64_t{1} << level) - 1), &node)) divide(tree, points_of(tree, total), node);
    });
  }
  each(count, [&](int64_t b) {
    if (trees[b].count > 0) draw_boxes(trees[b], {0, 0, trees[b].leaves});
  });
}

bool precedes(const PointTree& tree, int64_t a, int64_t b) {
  const float* const axes[3] = {tree.x, tree.y, tree.z};
  for (const float* axis : axes) {
    if (rank_of(axis[a]) != rank_of(axis[b])) return rank_of(axis[a]) < rank_of(axis[b]);
  }
  return tree.indices[a] < tree.indices[b];
}

}  // namespace ditkit
