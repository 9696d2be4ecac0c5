#include "units.h"

#include <algorithm>

namespace ditkit {
namespace {

int64_t live(const int32_t* lengths, int64_t index, int64_t count) {
  return lengths ? std::clamp<int64_t>(lengths[index], 0, count) : count;
}

template <class T>
T* at(const TokenView<T>& view, int64_t b, int64_t n, int64_t h) {
  return view.data ? view.at(b, n, h) : nullptr;
}

template <class T>
const T* at(const PairView<const T>& view, const AttentionSample& s, int64_t head) {
  if (!view.data) return nullptr;
  return view.data + s.storage_batch * view.batch + head * view.head + s.query_begin * view.query +
         s.key_begin * view.key;
}

AttentionUnit attention_unit(const AttentionArgs& a, const AttentionSample& s, int64_t head) {
  AttentionUnit u = {};
  u.dim = a.dim;
  u.value_dim = a.value_dim;
  u.rank = a.rank;
  u.scale = a.scale;
  u.queries = s.queries;
  u.keys = s.keys;
  u.live_queries = s.live_queries;
  u.live_keys = s.live_keys;
  u.q = at(a.q, s.storage_batch, s.query_begin, head);
  u.k = at(a.k, s.storage_batch, s.key_begin, head);
  u.v = at(a.v, s.storage_batch, s.key_begin, head);
  u.factor_query = at(a.factor_query, s.storage_batch, s.query_begin, head);
  u.factor_key = at(a.factor_key, s.storage_batch, s.key_begin, head);
  u.q_step = a.q.token;
  u.k_step = a.k.token;
  u.v_step = a.v.token;
  u.factor_query_step = a.factor_query.token;
  u.factor_key_step = a.factor_key.token;
  if (a.query_mask) u.query_mask = a.query_mask + s.storage_batch * a.queries + s.query_begin;
  if (a.key_mask) u.key_mask = a.key_mask + s.storage_batch * a.keys + s.key_begin;
  u.mask = at(a.mask, s, head);
  u.mask_query_step = a.mask.query;
  u.mask_key_step = a.mask.key;
  u.bias = at(a.bias, s, head);
  u.bias_query_step = a.bias.query;
  u.bias_key_step = a.bias.key;
  u.causal = a.causal != Causal::None;
  // Aligned to what the sample has, whatever its lengths: bottom-right is Lk - Lq of a padded batch.
  u.diagonal = a.causal == Causal::BottomRight ? s.keys - s.queries : 0;
  u.dropout_threshold = a.dropout_threshold;
  if (a.dropout_threshold) {
    u.rng_low = static_cast<uint32_t>(a.rng_key[0]);
    u.rng_high = static_cast<uint32_t>(a.rng_key[1]);
  }
  u.sample = static_cast<uint32_t>(s.index);
  u.head = static_cast<uint32_t>(head);
  return u;
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(DITKIT_AMX)
constexpr int64_t kMostTileHeads = 4;  // in lockstep on tile registers: their packed operands are larger

// The columns of a factored bias stay f32: positions and distances do not bear rounding.
bool rounds(const AttentionArgs& a) { return a.bf16 && a.rank == 0; }

// Tile registers multiply three times as fast, but their operands are cut in parts first, and packed 32 wide: measured, it
// pays from about 192 queries and keys on, rounded from 64, where not too much of that is padding. A last step of at most 8
// columns of the depth costs a third (amx_tiles.inc).
bool tiles_pay(const AttentionArgs& a, int64_t queries, int64_t keys) {
  const int64_t least_tokens = rounds(a) ? 64 : 192;
  const int64_t depth = a.dim + a.rank, width = depth + a.value_dim, end = depth % 32;
  const int64_t padded = (depth / 32 + divide_up(a.value_dim, 32)) * 32 + (end == 0 ? 0 : end <= 8 ? 11 : 32);
  return queries >= least_tokens && keys >= least_tokens && 3 * padded <= 4 * width;
}
#endif

// Packed keys and values of a group's key block: together they should leave room in L2.
constexpr int64_t kGroupFloats = int64_t{256} << 10;

}  // namespace

std::vector<AttentionSample> attention_samples(const AttentionArgs& args) {
  std::vector<AttentionSample> samples;
  samples.reserve(args.batch + 1);
  if (!args.query_offsets) {
    for (int64_t b = 0; b < args.batch; ++b) {
      samples.push_back({b, 0, 0, args.queries, args.keys, live(args.query_lengths, b, args.queries),
                         live(args.key_lengths, b, args.keys), b});
    }
    return samples;
  }
  int64_t query = 0, key = 0;
  for (int64_t b = 0; b < args.batch; ++b) {
    const int64_t query_end = std::clamp<int64_t>(args.query_offsets[b + 1], query, args.queries);
    const int64_t key_end = std::clamp<int64_t>(args.key_offsets[b + 1], key, args.keys);
    samples.push_back({0, query, key, query_end - query, key_end - key,
                       live(args.query_lengths, b, query_end - query), live(args.key_lengths, b, key_end - key), b});
    query = query_end;
    key = key_end;
  }
  if (query < args.queries || key < args.keys) {
    samples.push_back({0, query, key, args.queries - query, args.keys - key, 0, 0, args.batch});
  }
  return samples;
}

HeadGroups head_groups(const AttentionArgs& a, Isa isa) {
  bool factors = a.rank > 0 && a.factor_query.head == 0 && a.factor_key.head == 0;
  int64_t most = kMostGroupHeads;
#if defined(DITKIT_AMX)
  // There a few more columns cost less than sharing the cache.
  if (isa >= Isa::Amx && !a.query_offsets && tiles_pay(a, a.queries, a.keys)) {
    factors = false;
    most = kMostTileHeads;
  }
#endif
  static_cast<void>(isa);
  const bool bias = a.bias.data && a.bias.head == 0 && a.bias.query != 0 && a.bias.key != 0;
  const bool mask = a.mask.data && a.mask.head == 0 && a.mask.query != 0 && a.mask.key != 0;
  if (a.heads <= 1 || !(factors || bias || mask)) return {1, a.heads, false};
  const int64_t key_floats = kKeyBlock * (a.dim + a.value_dim + a.rank);
  most = std::clamp<int64_t>(kGroupFloats / key_floats, 1, most);
  const int64_t heads = divide_up(a.heads, divide_up(a.heads, most));
  return {heads, divide_up(a.heads, heads), factors && heads > 1};
}

HeadGroup head_group(const AttentionArgs& a, const HeadGroups& groups, const AttentionSample& s, int64_t index,
                     AttentionUnit* units) {
  HeadGroup group = {};
  const int64_t first = index * groups.heads;
  group.units = units;
  group.heads = std::min(groups.heads, a.heads - first);
  for (int64_t h = 0; h < group.heads; ++h) {
    units[h] = attention_unit(a, s, first + h);
    if (groups.factors_shared) units[h].rank = 0;
  }
  if (groups.factors_shared) {
    group.factors = {a.rank, units[0].factor_query, units[0].factor_key, a.factor_query.token, a.factor_key.token};
  }
  return group;
}

ScratchShape scratch_shape(const AttentionArgs& a, const HeadGroups& groups, int64_t rows) {
  const int64_t shared = groups.factors_shared ? a.rank : 0;
  return {groups.heads, a.dim, a.value_dim, a.rank - shared, shared, rows};
}

void add_soon(Soon& soon, const float* data, int64_t step, int64_t rows, int64_t width) {
  constexpr int64_t kMaxFloats = 32768;
  if (!data || soon.count == Soon::kMost || rows * width > kMaxFloats) return;
  soon.list[soon.count++] = {data, step, rows, width};
}

const AttentionKernels& attention_kernels(Isa isa, const AttentionArgs& args, const AttentionSample& sample) {
  static_cast<void>(args);
  static_cast<void>(sample);
#if defined(__x86_64__)
#if defined(DITKIT_AMX)
  if (isa >= Isa::Amx && tiles_pay(args, sample.queries, sample.keys)) return rounds(args) ? kAttentionAmxBf16 : kAttentionAmx;
#endif
  if (isa >= Isa::Avx512) return kAttentionAvx512;
  if (isa == Isa::Avx2) return kAttentionAvx2;
#endif
  static_cast<void>(isa);
  return kAttentionBaseline;
}

}  // namespace ditkit
