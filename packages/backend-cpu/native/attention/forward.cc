// Forward driver: cuts every unit into runs of query rows, and its keys into ranges where queries are few, runs them on
// the pool and merges ranges in order. What a row's result is depends on its sample's shape alone.
#include <algorithm>
#include <cmath>

#include "attention.h"
#include "units.h"

namespace ditkit {
namespace {

constexpr int64_t kMaxRows = 1024;  // per run: packed keys are reused by that many rows
constexpr int64_t kMinRows = 48;    // per run, where there are few units
constexpr int64_t kManyTasks = 32;  // enough to keep a large machine busy
// Few queries over many keys: keys are cut into ranges. A function of the sample's shape, never of the batch.
constexpr int64_t kFewRows = 48;
constexpr int64_t kRangeKeys = 512;
constexpr int64_t kManyKeys = 8192;                      // from here on with more queries, too
constexpr int64_t kMaxRanges = 16;
constexpr int64_t kMaxPartialFloats = int64_t{4} << 20;  // of a sample
constexpr int64_t kWorkPerTask = int64_t{1} << 20;       // multiply-adds; smaller ones share a claim on the pool
constexpr int64_t kEnoughPerThread = 8;                  // tasks; fewer may leave a thread waiting for the last

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t key_ranges(const AttentionArgs& args, const AttentionSample& s) {
  if (s.keys < (s.queries > kFewRows ? std::max(kManyKeys, 4 * s.queries) : 2 * kRangeKeys)) return 1;
  const int64_t floats = args.heads * s.queries * (args.value_dim + 2);
  return std::max<int64_t>(1, std::min({kMaxRanges, s.keys / kRangeKeys, kMaxPartialFloats / std::max<int64_t>(1, floats)}));
}

struct Task {
  const AttentionSample* sample;
  int64_t group, row_begin, row_end;
  int64_t ranges, range;  // -1 = all of them, one after another
  int64_t partial;        // where its partial sums lie; -1 = finishes its rows, or has all ranges
  int64_t partial_step;   // to those of the next range
};

// Partial results of all ranges of one run of rows of one head, added up in order of the ranges. `h` counts the group's;
// `partials` begins with the first range's.
void merge(const AttentionArgs& args, const AttentionResult& result, const Task& task, int64_t head, int64_t h,
           const float* partials) {
  const int64_t rows = task.row_end - task.row_begin;
  const int64_t step = task.partial_step;
  const AttentionSample& s = *task.sample;
  const float* first = partials + h * rows * (args.value_dim + 2);
  for (int64_t i = 0; i < rows; ++i) {
    const float* maxima = first + rows * args.value_dim + i;
    const float* totals = maxima + rows;
    float maximum = -INFINITY;
    for (int64_t r = 0; r < task.ranges; ++r) {
      if (totals[r * step] != 0 && !(maxima[r * step] <= maximum)) maximum = maxima[r * step];
    }
    float* out = result.out.at(s.storage_batch, s.query_begin + task.row_begin + i, head);
    std::fill(out, out + args.value_dim, 0.0f);
    float total = 0;
    for (int64_t r = 0; r < task.ranges; ++r) {
      if (totals[r * step] == 0) continue;
      const float factor = std::exp(maxima[r * step] - maximum);
      const float* sums = first + r * step + i * args.value_dim;
      total += factor * totals[r * step];
      for (int64_t d = 0; d < args.value_dim; ++d) out[d] += factor * sums[d];
    }
    if (total != 0) {
      for (int64_t d = 0; d < args.value_dim; ++d) out[d] /= total;
    }
    if (result.stats) {
      float* pair = result.stats + 2 * (query_entry(args, s, head) + task.row_begin + i);
      pair[0] = total != 0 ? maximum : 0;
      pair[1] = total;
    }
  }
}

void add_operands(Soon& soon, const AttentionArgs& args, const Task& task, int64_t head) {
  const AttentionSample& s = *task.sample;
  const int64_t rows = task.row_end - task.row_begin;
  add_soon(soon, args.q.at(s.storage_batch, s.query_begin + task.row_begin, head), args.q.token, rows, args.dim);
  add_soon(soon, args.k.at(s.storage_batch, s.key_begin, head), args.k.token, s.live_keys, args.dim);
  add_soon(soon, args.v.at(s.storage_batch, s.key_begin, head), args.v.token, s.live_keys, args.value_dim);
}

}  // namespace

void attention_forward(const AttentionArgs& args, const AttentionResult& result, ThreadPool& pool, Isa isa,
                       Workspace& workspace) {
  const std::vector<AttentionSample> samples = attention_samples(args);
  const HeadGroups groups = head_groups(args, isa);
  const int64_t units = static_cast<int64_t>(samples.size()) * groups.groups;
  if (units == 0) return;
  std::vector<Task> tasks;
  int64_t partial_floats = 0, thread_floats = 0, most_rows = 0;
  size_t scratch = 0;
  for (const AttentionSample& s : samples) {
    if (s.queries == 0) continue;
    const int64_t ranges = key_ranges(args, s);
    // How rows are cut changes no result, so it may look at the whole batch.
    int64_t runs = divide_up(s.queries, kMaxRows);
    if (units * runs * ranges < kManyTasks) {
      runs = std::max(runs, std::min(divide_up(kManyTasks, units * ranges), divide_up(s.queries, kMinRows)));
    }
    // Who runs which range changes no result either. Where there are tasks enough without, a thread runs all ranges of a
    // unit, and only units at work hold partial sums.
    const bool together = ranges > 1 && units * runs >= kEnoughPerThread * pool.threads();
    const int64_t rows = divide_up(s.queries, runs);
    most_rows = std::max(most_rows, rows);
    scratch = std::max(scratch, attention_kernels(isa, args, s).forward_scratch(scratch_shape(args, groups, rows)));
    for (int64_t row = 0; row < s.queries; row += rows) {
      const int64_t row_end = std::min(row + rows, s.queries);
      const int64_t size = groups.heads * (row_end - row) * (args.value_dim + 2);
      if (together) {
        for (int64_t g = 0; g < groups.groups; ++g) tasks.push_back({&s, g, row, row_end, ranges, -1, -1, size});
        thread_floats = std::max(thread_floats, ranges * size);
        continue;
      }
      for (int64_t range = 0; range < ranges; ++range) {
        for (int64_t g = 0; g < groups.groups; ++g) {
          const int64_t partial = partial_floats + (g * ranges + range) * size;
          tasks.push_back({&s, g, row, row_end, ranges, range, ranges > 1 ? partial : -1, size});
        }
      }
      if (ranges > 1) partial_floats += groups.groups * ranges * size;
    }
  }
  float* scratches = workspace.get(3, scratch * pool.threads());
  float* partials = workspace.get(4, partial_floats + pool.threads() * thread_floats);
  const int64_t count = static_cast<int64_t>(tasks.size());
  const int64_t work =
      std::max<int64_t>(1, groups.heads * most_rows * args.keys * (args.dim + args.value_dim + args.rank));
  const int64_t grain = std::max<int64_t>(1, std::min(kWorkPerTask / work, divide_up(count, 4 * pool.threads())));
  const bool fetches = groups.heads == 1 && worth_fetching(args);
  auto run_range = [&](int64_t t, int64_t range, float* partial, int thread) {
    const Task& task = tasks[t];
    const AttentionSample& s = *task.sample;
    const int64_t head = task.group * groups.heads;
    AttentionUnit heads[kMostGroupHeads];
    const int64_t range_keys = divide_up(divide_up(s.keys, task.ranges), kKeyBlock) * kKeyBlock;
    ForwardJob job;
    job.group = head_group(args, groups, s, task.group, heads);
    job.soon.count = 0;
    job.row_begin = task.row_begin;
    job.row_end = task.row_end;
    job.key_begin = std::min(s.keys, range * range_keys);
    job.key_end = std::min(s.keys, job.key_begin + range_keys);
    job.out = result.out.at(s.storage_batch, s.query_begin, head);
    job.out_step = result.out.token;
    job.out_head_step = result.out.head;
    job.stats = result.stats ? result.stats + 2 * query_entry(args, s, head) : nullptr;
    job.stats_head_step = 2 * args.queries;
    job.partial = partial;
    if (fetches) {
      add_soon(job.soon, job.out + job.row_begin * job.out_step, job.out_step, job.row_end - job.row_begin,
               args.value_dim);
      // What this thread will most likely do next; a wrong guess costs little.
      if (t + 1 < count) add_operands(job.soon, args, tasks[t + 1], tasks[t + 1].group);
    }
    attention_kernels(isa, args, s).forward(job, scratches + thread * scratch);
  };
  auto merge_head = [&](const Task& task, int64_t h, const float* from) {
    const int64_t head = task.group * groups.heads + h;
    if (head < args.heads) merge(args, result, task, head, h, from);
  };
  auto run = [&](int64_t claim, int thread) {
    const int64_t end = std::min(count, (claim + 1) * grain);
    for (int64_t t = claim * grain; t < end; ++t) {
      const Task& task = tasks[t];
      if (task.range >= 0) {
        run_range(t, task.range, task.partial >= 0 ? partials + task.partial : nullptr, thread);
        continue;
      }
      float* own = partials + partial_floats + thread * thread_floats;
      for (int64_t range = 0; range < task.ranges; ++range) run_range(t, range, own + range * task.partial_step, thread);
      for (int64_t h = 0; h < groups.heads; ++h) merge_head(task, h, own);
    }
  };
  pool.run(divide_up(count, grain), run);
  if (partial_floats == 0) return;
  pool.run(count * groups.heads, [&](int64_t index, int) {
    const Task& task = tasks[index / groups.heads];
    if (task.ranges > 1 && task.range == 0) merge_head(task, index % groups.heads, partials + task.partial);
  });
}

}  // namespace ditkit
