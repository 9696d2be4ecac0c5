#include "push.h"

#include <algorithm>
#include <vector>

#include "../device/decoder.h"
#include "farthest.h"
#include "kernels.h"

namespace ditkit {

namespace {

constexpr int kTrees = 6, kFound = 7;                // workspace slots
constexpr int64_t kMostFloats = int64_t{16} << 20;   // of trees at a time, unless one alone is larger
constexpr int64_t kQueries = 16;                     // one after another on a thread

struct Clouds {
  View points;  // [B, P, 3]
  View mask;    // [B, P]
  int64_t batch() const { return points.shape[0]; }
  int64_t total() const { return points.shape[1]; }
  PointCloud at(int64_t b) const { return {points.f32() + 3 * total() * b, mask.u8() + total() * b, total()}; }
};

void check_points(Decoder& in, const View& points, const View& mask) {
  in.require(points.rank == 3 && points.shape[2] == 3 && points.shape[1] <= INT32_MAX, "points must be [B, P, 3]");
  in.require(mask.rank == 2 && mask.shape[0] == points.shape[0] && mask.shape[1] == points.shape[1],
             "the mask must be [B, P]");
}

void check_result(Decoder& in, const View& result, const View& like) {
  in.require(result.contiguous() && same_shape(result, like), "results must be contiguous and of one shape");
}

// f(trees, first, count, memory) for as many clouds at a time as fit; `memory` has `beside` floats for each.
template <class F>
void with_trees(const Clouds& clouds, int64_t beside, Executor& executor, F f) {
  const int64_t each = point_tree_floats(clouds.total()), room = std::max<int64_t>(1, each + beside);
  const int64_t group = std::min(clouds.batch(), std::max<int64_t>(1, kMostFloats / room));
  float* const memory = executor.workspace.get(kTrees, group * room);
  std::vector<PointTree> trees(group);
  std::vector<PointCloud> some(group);
  for (int64_t first = 0; first < clouds.batch(); first += group) {
    const int64_t count = std::min(group, clouds.batch() - first);
    for (int64_t k = 0; k < count; ++k) some[k] = clouds.at(first + k);
    build_point_trees(some.data(), trees.data(), count, memory, executor);
    f(trees.data(), first, count, memory + group * each);
  }
}

}  // namespace

// points, mask, indices, valid
void push_farthest_points(Decoder& in) {
  in.name("farthestPoints");
  Clouds clouds{in.view("points", DType::F32), in.view("mask", DType::Bool)};
  const View indices = in.result("indices", DType::I32);
  const View valid = in.result("valid", DType::Bool);
  in.finish();
  check_points(in, clouds.points, clouds.mask);
  in.require(indices.rank == 2 && indices.shape[0] == clouds.batch(), "indices must be [B, count]");
  check_result(in, indices, indices);
  check_result(in, valid, indices);
  clouds.points = in.contiguous(clouds.points);
  clouds.mask = in.contiguous(clouds.mask);
  if (indices.count == 0) return;
  in.queue().push([clouds, indices, valid](Executor& executor) {
    const int64_t count = indices.shape[1], beside = farthest_floats(clouds.total());
    const PointKernels& kernels = point_kernels_for(executor.isa);
    with_trees(clouds, beside, executor, [&](const PointTree* trees, int64_t first, int64_t some, float* memory) {
      executor.pool.run(some, [&](int64_t k, int) {
        const int64_t at = (first + k) * count;
        choose_farthest(trees[k], kernels, memory + k * beside, count, indices.i32() + at, valid.u8() + at);
      });
    });
  });
}

// queries, points, queryMask, mask, maxSquaredDistance, indices, squaredDistances, valid
void push_nearest_points(Decoder& in) {
  in.name("nearestPoints");
  const View given_queries = in.view("queries", DType::F32);
  Clouds clouds;
  clouds.points = in.view("points", DType::F32);
  const View given_query_mask = in.view("queryMask", DType::Bool);
  clouds.mask = in.view("mask", DType::Bool);
  const float limit = static_cast<float>(in.number());
  const View indices = in.result("indices", DType::I32);
  const View distances = in.result("squaredDistances", DType::F32);
  const View valid = in.result("valid", DType::Bool);
  in.finish();
  check_points(in, clouds.points, clouds.mask);
  check_points(in, given_queries, given_query_mask);
  in.require(indices.rank == 3 && indices.shape[0] == clouds.batch() && given_queries.shape[0] == clouds.batch() &&
                 indices.shape[1] == given_queries.shape[1],
             "indices must be [B, Q, count]");
  check_result(in, indices, indices);
  check_result(in, distances, indices);
  check_result(in, valid, indices);
  const View queries = in.contiguous(given_queries), query_mask = in.contiguous(given_query_mask);
  clouds.points = in.contiguous(clouds.points);
  clouds.mask = in.contiguous(clouds.mask);
  if (indices.count == 0) return;
  in.queue().push([clouds, queries, query_mask, limit, indices, distances, valid](Executor& executor) {
    const int64_t total = queries.shape[1], count = indices.shape[2];
    const int64_t blocks = (total + kQueries - 1) / kQueries;
    const PointKernels& kernels = point_kernels_for(executor.isa);
    // Not in the results' own memory, of which nobody has said that it is apart.
    float* const scratch = executor.workspace.get(kFound, executor.pool.threads() * 2 * count);
    with_trees(clouds, 0, executor, [&](const PointTree* trees, int64_t first, int64_t some, float*) {
      executor.pool.run(some * blocks, [&](int64_t k, int thread) {
        const PointTree& tree = trees[k / blocks];
        float* const found_distances = scratch + thread * 2 * count;
        int32_t* const places = reinterpret_cast<int32_t*>(found_distances + count);
        const int64_t row = (first + k / blocks) * total, start = k % blocks * kQueries;
        for (int64_t q = row + start; q < row + std::min(total, start + kQueries); ++q) {
          const float* const at = queries.f32() + 3 * q;
          const bool asked = query_mask.u8()[q] && tree.count > 0;
          const int64_t found = asked ? kernels.nearest(tree, at[0], at[1], at[2], limit, std::min(count, tree.count),
                                                        places, found_distances)
                                      : 0;
          for (int64_t i = 0; i < count; ++i) {
            const bool filled = i < found;
            indices.i32()[q * count + i] = filled ? tree.indices[places[i]] : 0;
            distances.f32()[q * count + i] = filled ? found_distances[i] : 0;
            valid.u8()[q * count + i] = filled;
          }
        }
      });
    });
  });
}

}  // namespace ditkit
