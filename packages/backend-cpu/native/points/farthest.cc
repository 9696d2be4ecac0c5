#include "farthest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ditkit {

namespace {

void restart(const PointSpread& spread) {
  const PointTree& tree = *spread.tree;
  const float infinity = std::numeric_limits<float>::infinity();
  std::fill(spread.distances, spread.distances + tree.count, infinity);
  std::fill(spread.distances + tree.count, spread.distances + tree.leaves * kLeaf, kChosen);
  std::fill(spread.greatest, spread.greatest + 2 * tree.leaves - 1, infinity);
}

float largest_magnitude(const PointTree& tree) {
  float largest = 0;
  for (const float* values : {tree.x, tree.y, tree.z}) {
    for (int64_t i = 0; i < tree.count; ++i) largest = std::max(largest, std::fabs(values[i]));
  }
  return largest;
}

// Rounded to whole multiples of 2^-23 of the power of two at or below the largest magnitude, the values' sum is exact in double
// for up to 2^29 of them: the order of the points has no influence. Any change here is one of core's points/centroid.ts.
float mean_in_any_order(const float* values, int64_t count, float largest) {
  uint32_t bits;
  std::memcpy(&bits, &largest, sizeof bits);
  const double scale = std::ldexp(1.0, 150 - static_cast<int>(bits >> 23));
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::nearbyint(values[i] * scale);
  return static_cast<float>(sum / static_cast<double>(count) / scale);
}

// The place at the distance of the root; of several the first by coordinates.
int64_t farthest(const PointSpread& spread, const PointNode& n, int64_t found) {
  const PointTree& tree = *spread.tree;
  const float radius = spread.greatest[0];
  if (spread.greatest[n.node] != radius) return found;
  if (!n.is_leaf()) {
    const int64_t middle = (n.first + n.last) / 2;
    found = farthest(spread, {n.node + 1, n.first, middle}, found);
    return farthest(spread, {n.node + 2 * (middle - n.first), middle, n.last}, found);
  }
  for (int64_t i = n.first * kLeaf; i < (n.first + 1) * kLeaf; ++i) {
    if (spread.distances[i] == radius && (found < 0 || precedes(tree, i, found))) found = i;
  }
  return found;
}

// What is left, all of it on chosen points, in order of the coordinates.
void take_remaining(const PointSpread& spread, int64_t count, int32_t* indices) {
  const PointTree& tree = *spread.tree;
  int32_t* const places = reinterpret_cast<int32_t*>(spread.greatest + 2 * tree.leaves);
  int64_t left = 0;
  for (int64_t i = 0; i < tree.count; ++i) {
    if (spread.distances[i] != kChosen) places[left++] = static_cast<int32_t>(i);
  }
  std::partial_sort(places, places + count, places + left, [&](int32_t a, int32_t b) { return precedes(tree, a, b); });
  for (int64_t i = 0; i < count; ++i) indices[i] = tree.indices[places[i]];
}

}  // namespace

int64_t farthest_floats(int64_t total) {
  const int64_t leaves = (total + kLeaf - 1) / kLeaf;
  return 2 * leaves * kLeaf + 2 * leaves;
}

void choose_farthest(const PointTree& tree, const PointKernels& kernels, float* memory, int64_t count, int32_t* indices,
                     uint8_t* valid) {
  const int64_t chosen = std::min(count, tree.count);
  std::fill(indices + chosen, indices + count, 0);
  std::fill(valid, valid + chosen, 1);
  std::fill(valid + chosen, valid + count, 0);
  if (chosen == 0) return;
  const PointNode root{0, 0, tree.leaves};
  const PointSpread spread{&tree, memory, memory + tree.leaves * kLeaf};
  const float largest = largest_magnitude(tree);
  const auto mean = [&](const float* values) { return mean_in_any_order(values, tree.count, largest); };
  restart(spread);
  kernels.approach(spread, mean(tree.x), mean(tree.y), mean(tree.z));
  int64_t next = farthest(spread, root, -1);
  restart(spread);
  for (int64_t i = 0; i < chosen; ++i) {
    indices[i] = tree.indices[next];
    spread.distances[next] = kChosen;
    kernels.approach(spread, tree.x[next], tree.y[next], tree.z[next]);
    if (i + 1 == chosen) return;
    if (spread.greatest[0] == 0) return take_remaining(spread, chosen - i - 1, indices + i + 1);
    next = farthest(spread, root, -1);
  }
}

}  // namespace ditkit
