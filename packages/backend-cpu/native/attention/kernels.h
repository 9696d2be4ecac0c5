// What the drivers ask of an instruction set: a run of query rows forward, a run of key blocks backward, each for one
// (sample, head) unit. Included by the kernels.*.cc, so it may hold no function with code of its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ditkit {

// Keys per block: scores of a block stay in L1, its packed keys and values in L2. A multiple of the 128 keys for which
// one vectorised Philox call draws dropout, so that every block begins at a new draw.
constexpr int64_t kKeyBlock = 256;

// One head of one sample. Pointers stand at the sample's first token; steps are in elements.
struct AttentionUnit {
  int64_t dim, value_dim, rank;
  float scale;
  int64_t queries, keys;            // tokens that the sample has
  int64_t live_queries, live_keys;  // those within its lengths: a leading part
  const float *q, *k, *v, *factor_query, *factor_key;
  int64_t q_step, k_step, v_step, factor_query_step, factor_key_step;
  const uint8_t *query_mask, *key_mask;  // or null
  const uint8_t* mask;                   // or null
  int64_t mask_query_step, mask_key_step;
  const float* bias;  // or null
  int64_t bias_query_step, bias_key_step;
  bool causal;
  int64_t diagonal;  // causal: query i sees keys j <= i + diagonal
  uint32_t dropout_threshold, rng_low, rng_high, sample, head;
};

// Rows of memory that will soon be read or written: fetched into L2 while a job computes. A unit's rows are pieces of a
// cache line or two, a token apart, which the processor does not foresee.
struct SoonRows {
  const float* data;
  int64_t step, rows, width;
};
struct Soon {
  static constexpr int kMost = 8;
  SoonRows list[kMost];
  int count;
};

// A factored bias that all heads of a group share: its tile is computed once and added to the scores of each.
struct SharedFactors {
  int64_t rank;  // 0 = none
  const float *query, *key;
  int64_t query_step, key_step;
};

// Heads of one sample that run in lockstep: what they share, a bias above all, is read once for all of them. Units and
// head steps are those of consecutive heads.
constexpr int64_t kMostGroupHeads = 8;
struct HeadGroup {
  const AttentionUnit* units;
  int64_t heads;
  SharedFactors factors;
};

// Query rows [row_begin, row_end) over the keys [key_begin, key_end), a multiple of kKeyBlock apart from the sample's
// first key. Either finishes rows (out, stats), or leaves partial sums for a merge of key ranges.
struct ForwardJob {
  HeadGroup group;
  int64_t row_begin, row_end, key_begin, key_end;
  float* out;  // at the sample's first row
  int64_t out_step, out_head_step;
  float* stats;  // pairs, at the sample's first row; or null
  int64_t stats_head_step;
  float* partial;  // or null; per head rows x value_dim sums, then rows maxima, then rows sums
  Soon soon;
};

// All query rows of a group over the keys [key_begin, key_end), in chunks of `key_chunk` (a multiple of kKeyBlock). The
// query gradient is summed per chunk and then over chunks, so it does not depend on which job runs which chunk.
struct BackwardJob {
  HeadGroup group;
  int64_t key_begin, key_end, key_chunk;
  const float* out;
  int64_t out_step, out_head_step;
  const float* stats;
  int64_t stats_head_step;
  const float* d_out;
  int64_t d_out_step, d_out_head_step;
  // Null = not wanted. At the sample's first token. Those of shared factors have no head step.
  float *dq, *dk, *dv, *d_factor_query, *d_factor_key;
  int64_t dq_step, dk_step, dv_step, d_factor_query_step, d_factor_key_step;
  int64_t dq_head_step, dk_head_step, dv_head_step, d_factor_query_head_step, d_factor_key_head_step;
  // When set, receives the unscaled sums over the job's keys: per head [rows][dim + rank], then those of shared factors
  // [rows][shared rank], instead of dq and d_factor_query.
  float* dq_partial;
  bool streams;  // gradients of keys are more than the caches hold
  bool adds_factor_key;  // to d_factor_key, instead of writing it; heads with a step of 0 add to the first
  // Added to: at the sample's first row and key. Null = not wanted. A head step of 0 = the sum over the group's heads.
  float* d_bias;
  int64_t d_bias_query_step, d_bias_key_step, d_bias_head_step;
  Soon soon;
};

// What scratch depends on.
struct ScratchShape {
  int64_t heads, dim, value_dim, rank, shared_rank, rows;  // of a group and a job
};

struct AttentionKernels {
  size_t (*forward_scratch)(const ScratchShape& shape);  // floats per thread
  void (*forward)(const ForwardJob& job, float* scratch);
  size_t (*backward_scratch)(const ScratchShape& shape);
  void (*backward)(const BackwardJob& job, float* scratch);
};

extern const AttentionKernels kAttentionBaseline;
#if defined(__x86_64__)
extern const AttentionKernels kAttentionAvx2;
extern const AttentionKernels kAttentionAvx512;
#if defined(DITKIT_AMX)
extern const AttentionKernels kAttentionAmx;
extern const AttentionKernels kAttentionAmxBf16;
#endif
#endif

}  // namespace ditkit
