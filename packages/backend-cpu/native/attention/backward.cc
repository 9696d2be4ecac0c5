// Backward driver: runs the plan's tasks on the pool, then adds up, in fixed order, the gradients that several tasks
// contribute to: the query's over chunks of keys, a broadcast bias' and broadcast factors' over units.
#include <algorithm>
#include <cstring>
#include <utility>

#include "backward_plan.h"

namespace ditkit {
namespace {

constexpr int64_t kStreamedFloats = int64_t{4} << 20;  // gradients of keys and values, more than caches hold
constexpr int64_t kElementsPerTask = 16384;  // of a second-stage sum

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Gradients of the factors of a unit, [storage batches, H, tokens, R], before the sum over what the factor is shared by.
struct FactorSums {
  float* data = nullptr;  // null = units write the result themselves
};

struct Backward {
  const AttentionArgs& args;
  const AttentionGradient& gradient;
  const std::vector<AttentionSample>& samples;
  const BackwardPlan& plan;
  ThreadPool& pool;
  int64_t storage_batches;
  // Scratch; null where not needed.
  float* dq_partials;
  float* bias_copies;     // plan.bias_copies x bias_elements
  float* bias_sums;       // PerUnit: [sum batches, H, chunks, extent]
  int64_t bias_extent;    // PerUnit: queries, keys or 1
  float* factor_query_sums;  // [storage batches, factor_heads, tokens, R]
  float* factor_key_sums;
  bool streams;  // key gradients go past the caches

  // Units of the same storage batch that each have a gradient of a factor: groups that share it, or heads.
  int64_t factor_heads() const { return plan.groups.factors_shared ? plan.groups.groups : args.heads; }
  int64_t factor_entry(const AttentionSample& s, int64_t index, int64_t tokens, int64_t begin) const {
    return (s.storage_batch * factor_heads() + index) * tokens + begin;
  }
  int64_t sum_batches() const {
    return bias_extent == 1 ? static_cast<int64_t>(samples.size()) : storage_batches;
  }
  int64_t bias_chunks() const { return args.bias.key == 0 ? plan.max_chunks : 1; }

  void fill_job(BackwardJob& job, const AttentionSample& s, const BackwardUnit& u, const BackwardTask& task) const;
  void finish_queries(const BackwardUnit& u, int64_t h) const;
  void finish_shared_queries(const BackwardUnit& u) const;
  void sum_bias() const;
  void sum_factor(const float* sums, const TokenView<float>& to, int64_t tokens) const;
};

// What a unit reads.
void add_operands(Soon& soon, const AttentionArgs& a, const AttentionGradient& g, const AttentionSample& s, int64_t h) {
  const int64_t b = s.storage_batch;
  add_soon(soon, a.k.at(b, s.key_begin, h), a.k.token, s.live_keys, a.dim);
  add_soon(soon, a.v.at(b, s.key_begin, h), a.v.token, s.live_keys, a.value_dim);
  add_soon(soon, a.q.at(b, s.query_begin, h), a.q.token, s.live_queries, a.dim);
  add_soon(soon, g.out.at(b, s.query_begin, h), g.out.token, s.live_queries, a.value_dim);
  add_soon(soon, g.d_out.at(b, s.query_begin, h), g.d_out.token, s.live_queries, a.value_dim);
}

// What a job writes.
void add_results(Soon& soon, const BackwardJob& job) {
  const AttentionUnit& u = job.group.units[0];
  const int64_t keys = job.key_end - job.key_begin;
  add_soon(soon, job.dq, job.dq_step, u.queries, u.dim);
  add_soon(soon, job.dk ? job.dk + job.key_begin * job.dk_step : nullptr, job.dk_step, keys, u.dim);
  add_soon(soon, job.dv ? job.dv + job.key_begin * job.dv_step : nullptr, job.dv_step, keys, u.value_dim);
}

float* token_at(const TokenView<float>& view, int64_t b, int64_t n, int64_t h) {
  return view.data ? view.at(b, n, h) : nullptr;
}

// to = scale * the sum over a unit's chunks, in order.
void sum_chunks(float* to, const float* from, int64_t width, const BackwardUnit& u, float scale) {
  for (int64_t d = 0; d < width; ++d) {
    float total = from[d];
    for (int64_t c = 1; c < u.chunks; ++c) total += from[c * u.dq_chunk_floats + d];
    to[d] = scale * total;
  }
}

void Backward::fill_job(BackwardJob& job, const AttentionSample& s, const BackwardUnit& u,
                        const BackwardTask& task) const {
  const int64_t b = s.storage_batch, query = s.query_begin, key = s.key_begin, h = u.group * plan.groups.heads;
  const int64_t factor = plan.groups.factors_shared ? u.group : h;
  job.key_chunk = u.chunk_keys;
  job.streams = streams;
  job.key_begin = task.chunk < 0 ? 0 : std::min(s.keys, task.chunk * u.chunk_keys);
  job.key_end = task.chunk < 0 ? s.keys : std::min(s.keys, job.key_begin + u.chunk_keys);
  job.out = gradient.out.at(b, query, h);
  job.out_step = gradient.out.token;
  job.out_head_step = gradient.out.head;
  job.stats = gradient.stats + 2 * query_entry(args, s, h);
  job.stats_head_step = 2 * args.queries;
  job.d_out = gradient.d_out.at(b, query, h);
  job.d_out_step = gradient.d_out.token;
  job.d_out_head_step = gradient.d_out.head;
  job.dk = token_at(gradient.dk, b, key, h);
  job.dk_step = gradient.dk.token;
  job.dk_head_step = gradient.dk.head;
  job.dv = token_at(gradient.dv, b, key, h);
  job.dv_step = gradient.dv.token;
  job.dv_head_step = gradient.dv.head;
  if (u.dq_partial >= 0) {
    job.dq_partial = dq_partials + u.dq_partial + std::max<int64_t>(0, task.chunk) * u.dq_chunk_floats;
  } else {
    job.dq = token_at(gradient.dq, b, query, h);
    job.dq_step = gradient.dq.token;
    job.dq_head_step = gradient.dq.head;
    job.d_factor_query = token_at(gradient.d_factor_query, b, query, h);
    job.d_factor_query_step = gradient.d_factor_query.token;
    job.d_factor_query_head_step = gradient.d_factor_query.head;
    if (factor_query_sums) {
      job.d_factor_query = factor_query_sums + factor_entry(s, factor, args.queries, query) * args.rank;
      job.d_factor_query_step = args.rank;
      job.d_factor_query_head_step = args.queries * args.rank;
    }
  }
  job.d_factor_key = token_at(gradient.d_factor_key, b, key, h);
  job.d_factor_key_step = gradient.d_factor_key.token;
  job.d_factor_key_head_step = gradient.d_factor_key.head;
  if (factor_key_sums) {
    job.d_factor_key = factor_key_sums + factor_entry(s, factor, args.keys, key) * args.rank;
    job.d_factor_key_step = args.rank;
    job.d_factor_key_head_step = args.keys * args.rank;
  }
  if (plan.bias == BiasGradient::InPlace) {
    float* copy = bias_copies ? bias_copies + task.bias_copy * gradient.bias_elements : gradient.d_bias;
    job.d_bias = copy + b * args.bias.batch + h * args.bias.head + query * args.bias.query + key * args.bias.key;
    job.d_bias_query_step = args.bias.query;
    job.d_bias_key_step = args.bias.key;
    job.d_bias_head_step = args.bias.head;
  } else if (plan.bias == BiasGradient::PerUnit) {
    const int64_t batch = bias_extent == 1 ? u.sample : b;
    const int64_t chunk = bias_chunks() > 1 ? std::max<int64_t>(0, task.chunk) : 0;
    job.d_bias = bias_sums + ((batch * args.heads + h) * bias_chunks() + chunk) * bias_extent;
    if (args.bias.query != 0) job.d_bias += query;
    if (args.bias.key != 0) job.d_bias += key;
    job.d_bias_query_step = args.bias.query != 0;
    job.d_bias_key_step = args.bias.key != 0;
    job.d_bias_head_step = bias_chunks() * bias_extent;
  }
}

// dq = scale * the sum over chunks, in order, of one head of a group; the columns behind it are its query factor's.
void Backward::finish_queries(const BackwardUnit& u, int64_t h) const {
  const AttentionSample& s = samples[u.sample];
  const int64_t head = u.group * plan.groups.heads + h;
  if (head >= args.heads) return;
  const int64_t rank = plan.groups.factors_shared ? 0 : args.rank, width = args.dim + rank;
  for (int64_t i = 0; i < s.queries; ++i) {
    const float* from = dq_partials + u.dq_partial + (h * s.queries + i) * width;
    if (gradient.dq.data) {
      float* dq = gradient.dq.at(s.storage_batch, s.query_begin + i, head);
      sum_chunks(dq, from, args.dim, u, args.scale);
    }
    float* factor = factor_query_sums
                        ? factor_query_sums + factor_entry(s, head, args.queries, s.query_begin + i) * rank
                        : token_at(gradient.d_factor_query, s.storage_batch, s.query_begin + i, head);
    if (factor && rank) sum_chunks(factor, from + args.dim, rank, u, 1.0f);
  }
}

// The same for the query factor that a group shares.
void Backward::finish_shared_queries(const BackwardUnit& u) const {
  const AttentionSample& s = samples[u.sample];
  const int64_t heads = std::min(plan.groups.heads, args.heads - u.group * plan.groups.heads);
  const float* from = dq_partials + u.dq_partial + heads * s.queries * args.dim;
  for (int64_t i = 0; i < s.queries; ++i) {
    float* factor = factor_query_sums
                        ? factor_query_sums + factor_entry(s, u.group, args.queries, s.query_begin + i) * args.rank
                        : token_at(gradient.d_factor_query, s.storage_batch, s.query_begin + i, 0);
    sum_chunks(factor, from + i * args.rank, args.rank, u, 1.0f);
  }
}

void Backward::sum_bias() const {
  if (bias_copies) {
    pool.run(divide_up(gradient.bias_elements, kElementsPerTask), [&](int64_t index, int) {
      const int64_t end = std::min(gradient.bias_elements, (index + 1) * kElementsPerTask);
      for (int64_t i = index * kElementsPerTask; i < end; ++i) {
        float total = 0;
        for (int64_t c = 0; c < plan.bias_copies; ++c) total += bias_copies[c * gradient.bias_elements + i];
        gradient.d_bias[i] = total;
      }
    });
  }
  if (!bias_sums) return;
  // d_bias is [B|1, H|1, extent]: an axis of 1 sums over all of it.
  const int64_t batches = args.bias.batch != 0 ? args.batch : 1, heads = args.bias.head != 0 ? args.heads : 1;
  const int64_t blocks = divide_up(bias_extent, kElementsPerTask);
  pool.run(batches * heads * blocks, [&](int64_t index, int) {
    const int64_t b = index / blocks / heads, h = index / blocks % heads, begin = index % blocks * kElementsPerTask;
    for (int64_t x = begin; x < std::min(bias_extent, begin + kElementsPerTask); ++x) {
      float total = 0;
      for (int64_t from_b = batches > 1 ? b : 0; from_b < (batches > 1 ? b + 1 : sum_batches()); ++from_b) {
        for (int64_t from_h = heads > 1 ? h : 0; from_h < (heads > 1 ? h + 1 : args.heads); ++from_h) {
          for (int64_t c = 0; c < bias_chunks(); ++c) {
            total += bias_sums[((from_b * args.heads + from_h) * bias_chunks() + c) * bias_extent + x];
          }
        }
      }
      gradient.d_bias[(b * heads + h) * bias_extent + x] = total;
    }
  });
}

// A factor [B|1, tokens, H|1, R] from sums [storage batches, factor_heads, tokens, R].
void Backward::sum_factor(const float* sums, const TokenView<float>& to, int64_t tokens) const {
  const int64_t batches = to.batch != 0 ? storage_batches : 1, heads = to.head != 0 ? args.heads : 1;
  const int64_t step = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, heads * args.rank));
  const int64_t blocks = divide_up(tokens, step);
  pool.run(batches * blocks, [&](int64_t index, int) {
    const int64_t b = index / blocks, begin = index % blocks * step, end = std::min(tokens, begin + step);
    const int64_t first_b = batches > 1 ? b : 0, end_b = batches > 1 ? b + 1 : storage_batches;
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t first_h = heads > 1 ? h : 0, end_h = heads > 1 ? h + 1 : factor_heads();
        float* out = to.at(b, n, h);
        std::fill(out, out + args.rank, 0.0f);
        for (int64_t from_b = first_b; from_b < end_b; ++from_b) {
          for (int64_t from_h = first_h; from_h < end_h; ++from_h) {
            const float* from = sums + ((from_b * factor_heads() + from_h) * tokens + n) * args.rank;
            for (int64_t r = 0; r < args.rank; ++r) out[r] += from[r];
          }
        }
      }
    }
  });
}

// Whether several units add to the same element: an axis of more than one entry is broadcast.
bool is_shared(const TokenView<float>& view, int64_t batches, int64_t heads) {
  return view.data && ((view.batch == 0 && batches > 1) || (view.head == 0 && heads > 1));
}

}  // namespace

void attention_backward(const AttentionArgs& args, const AttentionGradient& gradient, ThreadPool& pool, Isa isa,
                        Workspace& workspace) {
  const std::vector<AttentionSample> samples = attention_samples(args);
  const BackwardPlan plan = plan_backward(args, gradient, samples, isa);
  const int64_t batches = args.query_offsets ? 1 : args.batch;
  Backward run = {args, gradient, samples, plan, pool, batches, nullptr, nullptr, nullptr, 1, nullptr, nullptr, false};
  run.streams = args.batch * args.keys * args.heads * (args.dim + args.value_dim) > kStreamedFloats;

  if (args.bias.query != 0) run.bias_extent = args.queries;
  if (args.bias.key != 0) run.bias_extent = args.keys;
  int64_t floats = 0;
  auto reserve = [&](int64_t count) { return std::exchange(floats, floats + divide_up(count, 16) * 16); };
  const bool per_unit = plan.bias == BiasGradient::PerUnit, copies = plan.bias_copies > 1;
  const int64_t bias_sum_floats = per_unit ? run.sum_batches() * args.heads * run.bias_chunks() * run.bias_extent : 0;
  const bool query_shared = is_shared(gradient.d_factor_query, batches, run.factor_heads());
  const bool key_shared = !plan.factor_key_in_place && is_shared(gradient.d_factor_key, batches, run.factor_heads());
  const int64_t dq_at = reserve(plan.dq_partial_floats);
  const int64_t copies_at = reserve(copies ? plan.bias_copies * gradient.bias_elements : 0);
  const int64_t sums_at = reserve(bias_sum_floats);
  const int64_t query_at = reserve(query_shared ? batches * run.factor_heads() * args.queries * args.rank : 0);
  const int64_t key_at = reserve(key_shared ? batches * run.factor_heads() * args.keys * args.rank : 0);
  float* partials = workspace.get(4, floats);
  run.dq_partials = partials + dq_at;
  if (copies) run.bias_copies = partials + copies_at;
  if (per_unit) run.bias_sums = partials + sums_at;
  if (query_shared) run.factor_query_sums = partials + query_at;
  if (key_shared) run.factor_key_sums = partials + key_at;

  size_t scratch = 0;
  for (const AttentionSample& s : samples) {
    const ScratchShape shape = scratch_shape(args, plan.groups, s.queries);
    scratch = std::max(scratch, attention_kernels(isa, args, s).backward_scratch(shape));
  }
  float* scratches = workspace.get(3, scratch * pool.threads());
  if (gradient.d_bias) {
    float* sums = per_unit ? run.bias_sums : copies ? run.bias_copies : gradient.d_bias;
    const int64_t count = per_unit ? bias_sum_floats : plan.bias_copies * gradient.bias_elements;
    pool.run(divide_up(count, kElementsPerTask), [&](int64_t index, int) {
      const int64_t begin = index * kElementsPerTask;
      std::memset(sums + begin, 0, sizeof(float) * std::min(kElementsPerTask, count - begin));
    });
  }
  const bool fetches = plan.groups.heads == 1 && worth_fetching(args);
  const int64_t tasks = static_cast<int64_t>(plan.tasks.size());
  pool.run(tasks, [&](int64_t index, int thread) {
    const BackwardTask& task = plan.tasks[index];
    const int64_t end = task.first_unit + task.unit_count;
    // What this thread will most likely do next; a wrong guess costs little.
    const int64_t after = index + 1 < tasks ? plan.tasks[index + 1].first_unit : -1;
    for (int64_t i = task.first_unit; i < end; ++i) {
      const BackwardUnit& u = plan.order[i];
      const AttentionSample& s = samples[u.sample];
      if (task.chunk >= u.chunks) continue;
      AttentionUnit heads[kMostGroupHeads];
      BackwardJob job = {};
      job.group = head_group(args, plan.groups, s, u.group, heads);
      run.fill_job(job, s, u, task);
      job.adds_factor_key = plan.factor_key_in_place && i > task.first_unit;
      if (fetches) add_results(job.soon, job);
      const int64_t next = i + 1 < end ? i + 1 : after;
      if (fetches && next >= 0) {
        const BackwardUnit& n = plan.order[next];
        add_operands(job.soon, args, gradient, samples[n.sample], n.group);
      }
      attention_kernels(isa, args, s).backward(job, scratches + thread * scratch);
    }
  });
  if (plan.dq_partial_floats > 0) {
    const int64_t heads = plan.groups.heads;
    pool.run(static_cast<int64_t>(plan.order.size()) * heads, [&](int64_t index, int) {
      const BackwardUnit& u = plan.order[index / heads];
      run.finish_queries(u, index % heads);
      const bool shared = plan.groups.factors_shared && gradient.d_factor_query.data;
      if (shared && index % heads == 0) run.finish_shared_queries(u);
    });
  }
  if (gradient.d_bias) run.sum_bias();
  if (run.factor_query_sums) run.sum_factor(run.factor_query_sums, gradient.d_factor_query, args.queries);
  if (run.factor_key_sums) run.sum_factor(run.factor_key_sums, gradient.d_factor_key, args.keys);
}

}  // namespace ditkit
