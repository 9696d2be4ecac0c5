// Fused softmax attention, forward and backward, with every option of the attention contract: online softmax over key
// blocks, so nothing of size Lq x Lk is made. Not responsible for checking shapes or for making outputs.
#pragma once

#include <cstdint>

#include "../gemm/workspace.h"
#include "../isa.h"
#include "../thread_pool.h"

namespace ditkit {

// A float tensor [batch, tokens, heads, width]: strides in elements, the last one is 1. A stride of 0 broadcasts.
template <class T>
struct TokenView {
  T* data = nullptr;
  int64_t batch = 0;
  int64_t token = 0;
  int64_t head = 0;
  T* at(int64_t b, int64_t n, int64_t h) const { return data + b * batch + n * token + h * head; }
};

// A contiguous [batch, heads, queries, keys] tensor of which any axis may be broadcast: its stride is then 0.
template <class T>
struct PairView {
  T* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
  int64_t query = 0;
  int64_t key = 0;
};

enum class Causal { None, TopLeft, BottomRight };

// Everything but the results. In a packed batch (query_offsets set) q, k, v and the masks have one batch entry that
// holds all tokens; `batch` is the number of samples; `queries` and `keys` count the tokens of the whole packing.
struct AttentionArgs {
  int64_t batch = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t dim = 0;
  int64_t value_dim = 0;
  float scale = 1;
  TokenView<const float> q, k, v;
  const uint8_t* key_mask = nullptr;        // [B, Lk], 1 = valid
  const uint8_t* query_mask = nullptr;      // [B, Lq]
  const int32_t* key_lengths = nullptr;     // [B]; clamped to what there is
  const int32_t* query_lengths = nullptr;   // [B]
  const int32_t* query_offsets = nullptr;   // [B + 1]; clamped to an ascending sequence within the packing
  const int32_t* key_offsets = nullptr;
  PairView<const uint8_t> mask;             // 1 = may attend
  PairView<const float> bias;               // added to the scaled scores; -inf = may not attend
  int64_t rank = 0;                         // of the factored bias; 0 = none
  TokenView<const float> factor_query;      // [B|1, Lq, H|1, R]
  TokenView<const float> factor_key;
  Causal causal = Causal::None;
  uint32_t dropout_threshold = 0;           // of 65536
  bool bf16 = false;                        // products may round their operands to bf16
  const int32_t* rng_key = nullptr;         // {low, high}
};

// stats [B (1 if packed), H, Lq, 2]: maximum and sum of exp(score - maximum) of each row; a sum of 0 marks a row that
// may attend to nothing. May be null.
struct AttentionResult {
  TokenView<float> out;
  float* stats = nullptr;
};

// What backward reads of the forward pass, and where the gradients go: null = not wanted. Every element of a wanted
// gradient is written exactly once; gaps of a strided one are not touched.
struct AttentionGradient {
  TokenView<const float> out;
  const float* stats = nullptr;
  TokenView<const float> d_out;
  TokenView<float> dq, dk, dv;
  float* d_bias = nullptr;  // in the shape of args.bias
  int64_t bias_elements = 0;
  TokenView<float> d_factor_query, d_factor_key;  // in the shapes of the factors
};

// Results are a function of the operands and of `isa` alone, bit for bit: never of the number of threads. Both throw
// std::bad_alloc when there is no memory for scratch. They use slots 3 to 5 of the workspace.
void attention_forward(const AttentionArgs& args, const AttentionResult& result, ThreadPool& pool, Isa isa,
                       Workspace& workspace);
void attention_backward(const AttentionArgs& args, const AttentionGradient& gradient, ThreadPool& pool, Isa isa,
                        Workspace& workspace);

}  // namespace ditkit
