#include "push.h"

#include <string>

#include "../device/decoder.h"
#include "attention.h"

namespace ditkit {
namespace {

constexpr int64_t kMaxWidth = 65536;
constexpr double kMaxTokens = 1099511627776.0;  // samples x heads x tokens, 2^40: sizes of scratch stay far from overflow

bool has_shape(const View& view, std::initializer_list<int64_t> shape) {
  if (view.rank != static_cast<int>(shape.size())) return false;
  const int64_t* size = shape.begin();
  for (int d = 0; d < view.rank; ++d) {
    if (view.shape[d] != size[d]) return false;
  }
  return true;
}

template <class T>
TokenView<T> tokens(const View& view) {
  return {view.f32(), view.stride[0], view.stride[1], view.stride[2]};
}

// Axes of size 1 broadcast.
template <class T>
TokenView<T> shared_tokens(const View& view) {
  if (!view.data) return {};
  return {view.f32(), view.shape[0] > 1 ? view.stride[0] : 0, view.stride[1], view.shape[2] > 1 ? view.stride[2] : 0};
}

template <class T>
PairView<const T> pairs(const View& view) {
  if (!view.data) return {};
  PairView<const T> result = {reinterpret_cast<const T*>(view.data), 0, 0, 0, 0};
  int64_t* const strides[] = {&result.batch, &result.head, &result.query, &result.key};
  for (int d = 0; d < 4; ++d) *strides[d] = view.shape[d] > 1 ? view.stride[d] : 0;
  return result;
}

// The operands of a call, checked.
class Call {
 public:
  AttentionArgs args;
  View q, k, v, bias, factor_query, factor_key;

  // q, k, v, scale, causal, dropoutThreshold, bf16, keyMask?, queryMask?, keyLengths?, queryLengths?, queryOffsets?,
  // keyOffsets?, mask?, bias?, factorQuery?, factorKey?, rngKey?
  explicit Call(Decoder& in) : in_(in) {
    q = in.view("q", DType::F32);
    k = in.view("k", DType::F32);
    v = in.view("v", DType::F32);
    in.require(q.rank == 4 && k.rank == 4 && v.rank == 4, "q, k and v must have rank 4 ([B, N, H, D])");
    args.scale = static_cast<float>(in.number());
    args.causal = static_cast<Causal>(in.integer(0, 2, "causal"));
    args.dropout_threshold = static_cast<uint32_t>(in.integer(0, 65535, "dropoutThreshold"));
    args.bf16 = in.integer(0, 1, "computeDtype") == 1;
    args.queries = q.shape[1];
    args.keys = k.shape[1];
    args.heads = q.shape[2];
    args.dim = q.shape[3];
    args.value_dim = v.shape[3];
    rows_ = q.shape[0];
    args.batch = rows_;
    in.require(args.dim >= 1 && args.dim <= kMaxWidth && args.value_dim >= 1 && args.value_dim <= kMaxWidth,
               "D and Dv must lie within 1 and 65536");
    in.require(has_shape(k, {rows_, args.keys, args.heads, args.dim}), "k must be [B, Lk, H, D]");
    in.require(has_shape(v, {rows_, args.keys, args.heads, args.value_dim}), "v must be [B, Lk, H, Dv]");
    for (const View* view : {&q, &k, &v}) unit_stride(*view);
    read_masks();
    read_biases();
    const View rng = in.optional_view("rngKey", DType::I32);
    if (rng.data) dense(rng, {2}, "rngKey must be contiguous [2]");
    in.require(args.dropout_threshold == 0 || rng.data, "dropout needs an rngKey");
    args.rng_key = rng.data ? rng.i32() : nullptr;
    args.q = tokens<const float>(q);
    args.k = tokens<const float>(k);
    args.v = tokens<const float>(v);
    const double units = static_cast<double>(args.batch) * static_cast<double>(args.heads);
    in.require(units * static_cast<double>(args.queries) <= kMaxTokens &&
                   units * static_cast<double>(args.keys) <= kMaxTokens && units <= kMaxTokens,
               "more than 2^40 tokens over all samples and heads");
  }

  void unit_stride(const View& view) const {
    in_.require(view.shape[3] == 1 || view.stride[3] == 1, "q, k, v and their gradients must have stride 1 on the last axis");
  }
  void dense(const View& view, std::initializer_list<int64_t> shape, const char* message) const {
    in_.require(has_shape(view, shape) && view.contiguous(), message);
  }
  // A result or incoming gradient [B, Lq, H, Dv].
  View out(const char* what) const {
    const View view = in_.view(what, DType::F32);
    in_.require(has_shape(view, {rows_, args.queries, args.heads, args.value_dim}), "out and dOut must be [B, Lq, H, Dv]");
    unit_stride(view);
    return view;
  }
  View stats() const {
    const View view = in_.optional_view("stats", DType::F32);
    if (view.data) dense(view, {rows_, args.heads, args.queries, 2}, "stats must be contiguous [B, H, Lq, 2]");
    return view;
  }
  // A gradient in the shape of its operand, absent or not.
  View gradient(const char* what, const View& operand, bool contiguous) const {
    const View view = in_.optional_view(what, DType::F32);
    if (!view.data) return view;
    in_.require(operand.data && same_shape(view, operand), "a gradient must have its operand's shape");
    if (contiguous) {
      in_.require(view.contiguous(), "gradients of bias and factors must be contiguous");
    } else {
      unit_stride(view);
    }
    return view;
  }

 private:
  Decoder& in_;
  int64_t rows_;

  const uint8_t* token_mask(const char* what, int64_t count) {
    const View view = in_.optional_view(what, DType::Bool);
    if (view.data) dense(view, {rows_, count}, "keyMask and queryMask must be contiguous [B, L]");
    return view.data ? view.u8() : nullptr;
  }

  void read_masks() {
    args.key_mask = token_mask("keyMask", args.keys);
    args.query_mask = token_mask("queryMask", args.queries);
    const View key_lengths = in_.optional_view("keyLengths", DType::I32);
    const View query_lengths = in_.optional_view("queryLengths", DType::I32);
    const View query_offsets = in_.optional_view("queryOffsets", DType::I32);
    const View key_offsets = in_.optional_view("keyOffsets", DType::I32);
    in_.require(!query_offsets.data == !key_offsets.data, "offsets come in pairs");
    if (query_offsets.data) {
      in_.require(rows_ == 1, "a packed batch has q of shape [1, total, H, D]");
      in_.require(query_offsets.rank == 1 && query_offsets.shape[0] >= 1, "offsets must be [S + 1]");
      args.batch = query_offsets.shape[0] - 1;
      dense(query_offsets, {args.batch + 1}, "offsets must be contiguous [S + 1]");
      dense(key_offsets, {args.batch + 1}, "offsets must be contiguous [S + 1]");
      args.query_offsets = query_offsets.i32();
      args.key_offsets = key_offsets.i32();
    }
    for (const View* view : {&key_lengths, &query_lengths}) {
      if (view->data) dense(*view, {args.batch}, "lengths must be contiguous, one per sample");
    }
    args.key_lengths = key_lengths.data ? key_lengths.i32() : nullptr;
    args.query_lengths = query_lengths.data ? query_lengths.i32() : nullptr;
  }

  View pair(const char* what, DType dtype) {
    const View view = in_.optional_view(what, dtype);
    const int64_t full[] = {rows_, args.heads, args.queries, args.keys};
    if (view.data) {
      in_.require(view.rank == 4 && broadcasts_to(view, 4, full), "mask and bias must be [B|1, H|1, Lq|1, Lk|1]");
      in_.require(view.contiguous(), "mask and bias must be contiguous");
    }
    return view;
  }

  View factor(const char* what, int64_t count) {
    const View view = in_.optional_view(what, DType::F32);
    if (!view.data) return view;
    in_.require(view.rank == 4 && view.shape[1] == count && (view.shape[0] == 1 || view.shape[0] == rows_) &&
                    (view.shape[2] == 1 || view.shape[2] == args.heads) && view.contiguous(),
                "factors must be contiguous [B|1, L, H|1, R]");
    return view;
  }

  void read_biases() {
    args.mask = pairs<uint8_t>(pair("mask", DType::Bool));
    bias = pair("bias", DType::F32);
    args.bias = pairs<float>(bias);
    factor_query = factor("factorQuery", args.queries);
    factor_key = factor("factorKey", args.keys);
    in_.require(!factor_query.data == !factor_key.data, "factors come in pairs");
    if (!factor_query.data) return;
    args.rank = factor_query.shape[3];
    in_.require(args.rank == factor_key.shape[3] && args.rank >= 1 && args.rank <= kMaxWidth,
                "both factors must have the same rank, within 1 and 65536");
    args.factor_query = shared_tokens<const float>(factor_query);
    args.factor_key = shared_tokens<const float>(factor_key);
  }
};

}  // namespace

// operands, out, stats?
void push_attention_forward(Decoder& in) {
  in.name("attention");
  const Call call(in);
  const View out = call.out("out");
  const View stats = call.stats();
  in.finish();
  if (out.count == 0) return;
  AttentionResult result;
  result.out = tokens<float>(out);
  result.stats = stats.data ? stats.f32() : nullptr;
  in.queue().push([args = call.args, result](Executor& executor) {
    attention_forward(args, result, executor.pool, executor.isa, executor.workspace);
  });
}

// operands, out, stats, dOut, dq?, dk?, dv?, dBias?, dFactorQuery?, dFactorKey?
void push_attention_backward(Decoder& in) {
  in.name("attention backward");
  const Call call(in);
  const View out = call.out("out");
  const View stats = call.stats();
  const View d_out = call.out("dOut");
  const View dq = call.gradient("dq", call.q, false);
  const View dk = call.gradient("dk", call.k, false);
  const View dv = call.gradient("dv", call.v, false);
  const View d_bias = call.gradient("dBias", call.bias, true);
  const View d_factor_query = call.gradient("dFactorQuery", call.factor_query, true);
  const View d_factor_key = call.gradient("dFactorKey", call.factor_key, true);
  in.finish();
  in.require(stats.data || out.count == 0, "needs the stats that forward saved");
  AttentionGradient gradient;
  gradient.out = tokens<const float>(out);
  gradient.stats = stats.f32();
  gradient.d_out = tokens<const float>(d_out);
  if (dq.data) gradient.dq = tokens<float>(dq);
  if (dk.data) gradient.dk = tokens<float>(dk);
  if (dv.data) gradient.dv = tokens<float>(dv);
  gradient.d_bias = d_bias.data ? d_bias.f32() : nullptr;
  gradient.bias_elements = call.bias.data ? call.bias.count : 0;
  gradient.d_factor_query = shared_tokens<float>(d_factor_query);
  gradient.d_factor_key = shared_tokens<float>(d_factor_key);
  in.queue().push([args = call.args, gradient](Executor& executor) {
    attention_backward(args, gradient, executor.pool, executor.isa, executor.workspace);
  });
}

}  // namespace ditkit
