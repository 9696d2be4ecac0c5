#include "backward_plan.h"

#include <algorithm>

namespace ditkit {
namespace {

constexpr int64_t kEnoughTasks = 16;
constexpr int64_t kChunkKeys = 512;
constexpr int64_t kMaxChunks = 16;
constexpr int64_t kMaxChunkRows = 65536;               // chunks x queries: bounds the memory of partial sums
constexpr int64_t kMaxCopyFloats = int64_t{16} << 20;  // copies x size of a bias' gradient

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Keys over which a query's gradient is summed before the sums are added: a function of the sample's shape alone, so
// that a sample's result does not depend on what else is in the batch.
int64_t chunk_keys(const AttentionSample& s) {
  const int64_t most = std::min(kMaxChunks, std::max<int64_t>(1, kMaxChunkRows / std::max<int64_t>(1, s.queries)));
  const int64_t chunks = std::clamp<int64_t>(s.keys / kChunkKeys, 1, most);
  return std::max<int64_t>(1, divide_up(divide_up(s.keys, chunks), kKeyBlock)) * kKeyBlock;
}

// Units with equal numbers add to the same elements of a gradient with these strides.
int64_t sharers(const AttentionArgs& args, const HeadGroups& groups, int64_t batch_step, int64_t head_step, int64_t sample,
                int64_t group) {
  const int64_t sample_part = args.query_offsets || batch_step != 0 ? sample : 0;
  return sample_part * groups.groups + (head_step != 0 ? group : 0);
}

// Whether adding to the key factor's gradient in place takes much less memory than summing it for each unit, and leaves tasks enough:
// then chunks are tasks of their own, with partial sums of the query gradients.
bool adds_factor_key(const AttentionArgs& args, const AttentionGradient& gradient, const BackwardPlan& plan, int64_t samples) {
  const TokenView<float>& to = gradient.d_factor_key;
  if (!to.data || plan.bias == BiasGradient::InPlace) return false;
  const int64_t storage = args.query_offsets ? 1 : args.batch, units = static_cast<int64_t>(plan.order.size());
  const int64_t heads = plan.groups.factors_shared ? plan.groups.groups : args.heads;
  const int64_t runs = (args.query_offsets || to.batch != 0 ? samples : 1) * (to.head != 0 ? plan.groups.groups : 1);
  if (runs == units || 2 * runs * plan.max_chunks < 3 * kEnoughTasks) return false;
  const bool queries_wanted = gradient.dq.data || gradient.d_factor_query.data;
  int64_t partial = 0;
  for (const BackwardUnit& u : plan.order) partial += queries_wanted ? u.chunks * u.dq_chunk_floats : 0;
  auto floats = [&](int64_t tasks) { return plan.max_chunks > 1 && tasks < kEnoughTasks ? partial : 0; };
  return 3 * floats(runs) < 2 * (floats(units) + storage * heads * args.keys * args.rank);
}

}  // namespace

BackwardPlan plan_backward(const AttentionArgs& args, const AttentionGradient& gradient,
                           const std::vector<AttentionSample>& samples, Isa isa) {
  BackwardPlan plan;
  plan.groups = head_groups(args, isa);
  if (gradient.d_bias) {
    plan.bias = args.bias.query != 0 && args.bias.key != 0 ? BiasGradient::InPlace : BiasGradient::PerUnit;
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t keys = chunk_keys(samples[i]);
    const int64_t chunks = std::max<int64_t>(1, divide_up(samples[i].keys, keys));
    plan.max_chunks = std::max(plan.max_chunks, chunks);
    const int64_t width = plan.groups.heads * (args.dim + args.rank);  // at least that of BackwardJob::dq_partial
    for (int64_t g = 0; g < plan.groups.groups; ++g) {
      plan.order.push_back({static_cast<int64_t>(i), g, keys, chunks, -1, samples[i].queries * width});
    }
  }
  const int64_t units = static_cast<int64_t>(plan.order.size());
  plan.factor_key_in_place = adds_factor_key(args, gradient, plan, static_cast<int64_t>(samples.size()));
  auto group = [&](const BackwardUnit& u) {
    const bool bias = plan.bias == BiasGradient::InPlace;
    if (!bias && !plan.factor_key_in_place) return u.sample * plan.groups.groups + u.group;
    const int64_t batch_step = bias ? args.bias.batch : gradient.d_factor_key.batch;
    const int64_t head_step = bias ? args.bias.head : gradient.d_factor_key.head;
    return sharers(args, plan.groups, batch_step, head_step, u.sample, u.group);
  };
  std::stable_sort(plan.order.begin(), plan.order.end(),
                   [&](const BackwardUnit& a, const BackwardUnit& b) { return group(a) < group(b); });
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < units; ++i) {
    if (i == 0 || group(plan.order[i]) != group(plan.order[i - 1])) starts.push_back(i);
  }
  const int64_t groups = static_cast<int64_t>(starts.size());
  starts.push_back(units);
  if (plan.bias == BiasGradient::InPlace && groups > 0 && !args.query_offsets) {
    const int64_t affordable = kMaxCopyFloats / std::max<int64_t>(1, gradient.bias_elements);
    plan.bias_copies = std::clamp<int64_t>(divide_up(kEnoughTasks, groups), 1, std::max<int64_t>(1, affordable));
    plan.bias_copies = std::min(plan.bias_copies, units / groups);
  }
  plan.chunks_apart = plan.max_chunks > 1 && groups * plan.bias_copies < kEnoughTasks;
  const bool queries_wanted = gradient.dq.data || gradient.d_factor_query.data;
  if (plan.chunks_apart && queries_wanted) {
    for (BackwardUnit& u : plan.order) {
      u.dq_partial = plan.dq_partial_floats;
      plan.dq_partial_floats += u.chunks * u.dq_chunk_floats;
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t count = starts[g + 1] - starts[g];
    for (int64_t part = 0; part < plan.bias_copies; ++part) {
      const int64_t begin = starts[g] + count * part / plan.bias_copies;
      const int64_t end = starts[g] + count * (part + 1) / plan.bias_copies;
      if (!plan.chunks_apart) {
        plan.tasks.push_back({begin, end - begin, -1, part});
        continue;
      }
      for (int64_t chunk = 0; chunk < plan.order[begin].chunks; ++chunk) {
        plan.tasks.push_back({begin, end - begin, chunk, part});
      }
    }
  }
  return plan;
}

}  // namespace ditkit
