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

AttentionUnit attention_unit(const AttentionArgs& args, const AttentionSample& sample, int64_t head);

// A token's entry in [B or 1 if packed, H, tokens] tensors such as the row statistics.
inline int64_t query_entry(const AttentionArgs& args, const AttentionSample& sample, int64_t head) {
  return (sample.storage_batch * args.heads + head) * args.queries + sample.query_begin;
}
inline int64_t key_entry(const AttentionArgs& args, const AttentionSample& sample, int64_t head) {
  return (sample.storage_batch * args.heads + head) * args.keys + sample.key_begin;
}

const AttentionKernels& attention_kernels(Isa isa);

}  // namespace ditkit
