// The samples of a batch, padded or packed, and the pointers of one (sample, head) unit: what drivers loop over.
#pragma once

#include <cstdint>
#include <vector>

#include "attention.h"
#include "kernels.h"

namespace ditkit {

struct AttentionSample {
  int64_t storage_batch;  // where its tokens lie: its own entry, or 0 in a packed batch
  int64_t query_begin, key_begin;
  int64_t queries, keys;
  int64_t live_queries, live_keys;
  int64_t index;  // the b of the dropout counter
};

// Every token belongs to exactly one sample: tokens behind the last offset of a packed batch make up a sample without
// live ones. Reads lengths and offsets, so it runs where the kernel runs.
std::vector<AttentionSample> attention_samples(const AttentionArgs& args);

// How heads are grouped: a function of shapes and the instruction set; of a packed batch, not of how long it is.
struct HeadGroups {
  int64_t heads;         // per group; the last group may have fewer
  int64_t groups;
  bool factors_shared;   // the factored bias is one tile for all heads of a group
};
HeadGroups head_groups(const AttentionArgs& args, Isa isa);

// The heads of one group of a sample: `index` counts the sample's groups. `units` has room for kMostGroupHeads.
HeadGroup head_group(const AttentionArgs& args, const HeadGroups& groups, const AttentionSample& sample, int64_t index,
                     AttentionUnit* units);

ScratchShape scratch_shape(const AttentionArgs& args, const HeadGroups& groups, int64_t rows);

// A token's entry in [B or 1 if packed, H, tokens] tensors such as the row statistics.
inline int64_t query_entry(const AttentionArgs& args, const AttentionSample& sample, int64_t head) {
  return (sample.storage_batch * args.heads + head) * args.queries + sample.query_begin;
}
inline int64_t key_entry(const AttentionArgs& args, const AttentionSample& sample, int64_t head) {
  return (sample.storage_batch * args.heads + head) * args.keys + sample.key_begin;
}

// The kernels for a sample: a function of its shape and the instruction set, never of the batch.
const AttentionKernels& attention_kernels(Isa isa, const AttentionArgs& args, const AttentionSample& sample);

// Whether the operands are more than a core's cache may hold, so that fetching ahead pays.
inline bool worth_fetching(const AttentionArgs& args) {
  return args.batch * args.heads * (args.queries * args.dim + args.keys * (args.dim + args.value_dim)) > 524288;
}

// Adds rows to what is fetched ahead, unless they are so many that they would push out what is in use.
void add_soon(Soon& soon, const float* data, int64_t step, int64_t rows, int64_t width);

}  // namespace ditkit
