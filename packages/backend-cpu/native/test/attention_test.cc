// Checks fused attention, forward and backward, against a plain float64 implementation over random combinations of all
// options, for every instruction set this machine has; that excluded tokens and pairs have no influence, bit for bit;
// and that results do not depend on the number of threads. Also built with -fsanitize=address,undefined.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "../attention/attention.h"

using namespace ditkit;

namespace {

int failures = 0;
int checks = 0;
std::string context;

void fail(const std::string& what) {
  ++failures;
  if (failures < 40) std::printf("FAIL %s: %s\n", context.c_str(), what.c_str());
}
void check(bool ok, const char* what) {
  ++checks;
  if (!ok) fail(what);
}

uint64_t random_state = 1;
uint32_t random_word() {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<uint32_t>(random_state >> 32);
}
int64_t random_below(int64_t n) { return random_word() % n; }
bool chance(int percent) { return random_below(100) < percent; }
float random_float() { return static_cast<int32_t>(random_word()) / 2147483648.0f; }

// Memory at the start of a cache line, as a device's is.
template <class T>
struct CacheLines {
  using value_type = T;
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(64)); }
  bool operator==(const CacheLines&) const { return true; }
  bool operator!=(const CacheLines&) const { return false; }
};

// A float tensor [batch, tokens, heads, width] in memory of exactly the size it needs, with gaps between heads, tokens
// and batches when asked.
struct Tokens {
  int64_t b = 0, n = 0, h = 0, d = 0;
  int64_t head_step = 0, token_step = 0, batch_step = 0;
  std::vector<float, CacheLines<float>> data;

  Tokens() = default;
  Tokens(int64_t b_, int64_t n_, int64_t h_, int64_t d_, bool gaps, float fill) : b(b_), n(n_), h(h_), d(d_) {
    head_step = d + (gaps ? random_below(3) * 5 : 0);
    token_step = h * head_step + (gaps ? random_below(3) * 7 : 0);
    batch_step = n * token_step + (gaps ? random_below(2) * 3 : 0);
    data.assign(b && n && h ? (b - 1) * batch_step + (n - 1) * token_step + (h - 1) * head_step + d : 0, fill);
  }
  void randomise() {
    each([](float& x, int64_t, int64_t, int64_t, int64_t) { x = random_float(); });
  }
  float& at(int64_t ib, int64_t in, int64_t ih, int64_t id) {
    return data[ib * batch_step + in * token_step + ih * head_step + id];
  }
  template <class F>
  void each(F f) {
    for (int64_t ib = 0; ib < b; ++ib)
      for (int64_t in = 0; in < n; ++in)
        for (int64_t ih = 0; ih < h; ++ih)
          for (int64_t id = 0; id < d; ++id) f(at(ib, in, ih, id), ib, in, ih, id);
  }
  TokenView<float> view() { return {data.data(), batch_step, token_step, head_step}; }
  TokenView<const float> read() const { return {data.data(), batch_step, token_step, head_step}; }
  // Axes of 1 broadcast.
  TokenView<const float> read_shared() const {
    return {data.data(), b > 1 ? batch_step : 0, token_step, h > 1 ? head_step : 0};
  }
  TokenView<float> view_shared() { return {data.data(), b > 1 ? batch_step : 0, token_step, h > 1 ? head_step : 0}; }
};

struct Pairs {
  int64_t shape[4] = {0, 0, 0, 0};
  int64_t size() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
  int64_t step(int axis) const {
    int64_t s = 1;
    for (int i = 3; i > axis; --i) s *= shape[i];
    return shape[axis] > 1 ? s : 0;
  }
  int64_t index(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return b * step(0) + h * step(1) + i * step(2) + j * step(3);
  }
  template <class T>
  PairView<const T> view(const std::vector<T>& data) const {
    return {data.data(), step(0), step(1), step(2), step(3)};
  }
};

struct Problem {
  AttentionArgs args;
  Tokens q, k, v, factor_query, factor_key, d_out;
  std::vector<uint8_t> key_mask, query_mask, mask;
  std::vector<int32_t> key_lengths, query_lengths, query_offsets, key_offsets;
  std::vector<float> bias;
  Pairs mask_shape, bias_shape;
  std::vector<int32_t> rng = {0, 0};
  bool packed = false;
  int64_t storage_batches() const { return packed ? 1 : args.batch; }
};

struct Results {
  Tokens out, dq, dk, dv, d_factor_query, d_factor_key;
  std::vector<float> stats, d_bias;
};

void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    const uint32_t x0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, x2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[0] = x0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = x2;
    c[3] = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}
// 0, or the inverse of the quantised keep rate.
double dropout_factor(const Problem& p, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (!p.args.dropout_threshold) return 1;
  uint32_t c[4] = {static_cast<uint32_t>(j / 8), static_cast<uint32_t>(i), static_cast<uint32_t>(h),
                   static_cast<uint32_t>(b)};
  philox(c, static_cast<uint32_t>(p.rng[0]), static_cast<uint32_t>(p.rng[1]));
  const uint32_t lane = (c[j % 8 / 2] >> (j % 2 * 16)) & 0xffff;
  return lane < p.args.dropout_threshold ? 0 : 65536.0 / (65536.0 - p.args.dropout_threshold);
}

// Where token n of the packing or batch entry lies, as seen by sample s.
struct Span {
  int64_t storage, begin, count, live;
};
Span query_span(const Problem& p, int64_t s) {
  Span r = {p.packed ? 0 : s, 0, p.args.queries, 0};
  if (p.packed) r = {0, p.query_offsets[s], p.query_offsets[s + 1] - p.query_offsets[s], 0};
  r.live = p.query_lengths.empty() ? r.count : std::min<int64_t>(r.count, p.query_lengths[s]);
  return r;
}
Span key_span(const Problem& p, int64_t s) {
  Span r = {p.packed ? 0 : s, 0, p.args.keys, 0};
  if (p.packed) r = {0, p.key_offsets[s], p.key_offsets[s + 1] - p.key_offsets[s], 0};
  r.live = p.key_lengths.empty() ? r.count : std::min<int64_t>(r.count, p.key_lengths[s]);
  return r;
}
bool query_live(const Problem& p, const Span& s, int64_t i) {
  return i < s.live && (p.query_mask.empty() || p.query_mask[s.storage * p.args.queries + s.begin + i]);
}
bool key_live(const Problem& p, const Span& s, int64_t j) {
  return j < s.live && (p.key_mask.empty() || p.key_mask[s.storage * p.args.keys + s.begin + j]);
}
bool pair_live(const Problem& p, const Span& sq, const Span& sk, int64_t h, int64_t i, int64_t j) {
  if (!query_live(p, sq, i) || !key_live(p, sk, j)) return false;
  if (p.args.causal == Causal::TopLeft && j > i) return false;
  if (p.args.causal == Causal::BottomRight && j > i + sk.count - sq.count) return false;
  const int64_t b = p.packed ? 0 : sq.storage;
  if (!p.mask.empty() && !p.mask[p.mask_shape.index(b, h, sq.begin + i, sk.begin + j)]) return false;
  return p.bias.empty() || p.bias[p.bias_shape.index(b, h, sq.begin + i, sk.begin + j)] != -INFINITY;
}

// The definition, in float64. Gradients are added into zeroed tensors in double precision arrays.
struct Reference {
  std::vector<double> out, dq, dk, dv, d_bias, d_factor_query, d_factor_key;
};
Reference reference(Problem& p) {
  const AttentionArgs& a = p.args;
  const int64_t B = p.storage_batches(), Lq = a.queries, Lk = a.keys, H = a.heads, D = a.dim, Dv = a.value_dim,
                R = a.rank;
  Reference r;
  r.out.assign(B * Lq * H * Dv, 0);
  r.dq.assign(B * Lq * H * D, 0);
  r.dk.assign(B * Lk * H * D, 0);
  r.dv.assign(B * Lk * H * Dv, 0);
  r.d_bias.assign(p.bias.size(), 0);
  const int64_t fqb = p.factor_query.b, fqh = p.factor_query.h, fkb = p.factor_key.b, fkh = p.factor_key.h;
  r.d_factor_query.assign(fqb * Lq * fqh * R, 0);
  r.d_factor_key.assign(fkb * Lk * fkh * R, 0);
  for (int64_t s = 0; s < a.batch; ++s) {
    const Span sq = query_span(p, s), sk = key_span(p, s);
    const int64_t b = sq.storage;
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < sq.count; ++i) {
        const int64_t qi = sq.begin + i;
        std::vector<double> w(sk.count, 0), raw(sk.count, 0), dw(sk.count, 0);
        double maximum = -INFINITY, total = 0;
        std::vector<int64_t> live;
        for (int64_t j = 0; j < sk.count; ++j) {
          if (!pair_live(p, sq, sk, h, i, j)) continue;
          live.push_back(j);
          const int64_t kj = sk.begin + j;
          double x = 0;
          for (int64_t d = 0; d < D; ++d) x += double(p.q.at(b, qi, h, d)) * p.k.at(b, kj, h, d);
          x *= a.scale;
          if (!p.bias.empty()) x += p.bias[p.bias_shape.index(b, h, qi, kj)];
          for (int64_t e = 0; e < R; ++e) {
            x += double(p.factor_query.at(fqb > 1 ? b : 0, qi, fqh > 1 ? h : 0, e)) *
                 p.factor_key.at(fkb > 1 ? b : 0, kj, fkh > 1 ? h : 0, e);
          }
          raw[j] = x;
          maximum = std::max(maximum, x);
        }
        for (int64_t j : live) total += w[j] = std::exp(raw[j] - maximum);
        double* out = &r.out[((b * Lq + qi) * H + h) * Dv];
        double delta = 0;
        for (int64_t j : live) {
          w[j] /= total;
          const double keep = dropout_factor(p, s, h, i, j);
          for (int64_t d = 0; d < Dv; ++d) {
            out[d] += w[j] * keep * p.v.at(b, sk.begin + j, h, d);
            dw[j] += keep * p.v.at(b, sk.begin + j, h, d) * p.d_out.at(b, qi, h, d);
            r.dv[((b * Lk + sk.begin + j) * H + h) * Dv + d] += w[j] * keep * p.d_out.at(b, qi, h, d);
          }
          delta += w[j] * dw[j];
        }
        for (int64_t j : live) {
          const double ds = w[j] * (dw[j] - delta);
          const int64_t kj = sk.begin + j;
          for (int64_t d = 0; d < D; ++d) {
            r.dq[((b * Lq + qi) * H + h) * D + d] += a.scale * ds * p.k.at(b, kj, h, d);
            r.dk[((b * Lk + kj) * H + h) * D + d] += a.scale * ds * p.q.at(b, qi, h, d);
          }
          if (!p.bias.empty()) r.d_bias[p.bias_shape.index(b, h, qi, kj)] += ds;
          for (int64_t e = 0; e < R; ++e) {
            const int64_t qb = fqb > 1 ? b : 0, qh = fqh > 1 ? h : 0, kb = fkb > 1 ? b : 0, kh = fkh > 1 ? h : 0;
            r.d_factor_query[((qb * Lq + qi) * fqh + qh) * R + e] += ds * p.factor_key.at(kb, kj, kh, e);
            r.d_factor_key[((kb * Lk + kj) * fkh + kh) * R + e] += ds * p.factor_query.at(qb, qi, qh, e);
          }
        }
      }
    }
  }
  return r;
}

struct Wish {
  int64_t batch, queries, keys, heads, dim, value_dim;
  int options;  // percent chance of each
};

bool asks_for_bf16 = false;
std::string kernels_name(Isa isa) { return std::string(isa_name(isa)) + (asks_for_bf16 ? " bf16" : ""); }
// Queries, keys and head dim that have tile registers used where there are some, and else are small.
struct Extent {
  int64_t queries, keys, dim;
};
Extent extent_for(Isa isa) { return isa == Isa::Amx ? Extent{200, 230, 32} : Extent{40, 50, 16}; }

Problem make_problem(const Wish& w, bool packed) {
  Problem p;
  p.packed = packed;
  AttentionArgs& a = p.args;
  a.bf16 = asks_for_bf16;
  a.batch = w.batch;
  a.queries = w.queries;
  a.keys = w.keys;
  a.heads = w.heads;
  a.dim = w.dim;
  a.value_dim = w.value_dim;
  a.scale = 1.0f / std::sqrt(float(w.dim)) * 2;
  const int64_t B = p.storage_batches();
  const bool gaps = chance(50);
  p.q = Tokens(B, w.queries, w.heads, w.dim, gaps, 0);
  p.k = Tokens(B, w.keys, w.heads, w.dim, gaps, 0);
  p.v = Tokens(B, w.keys, w.heads, w.value_dim, gaps, 0);
  p.d_out = Tokens(B, w.queries, w.heads, w.value_dim, false, 0);
  for (Tokens* t : {&p.q, &p.k, &p.v, &p.d_out}) t->randomise();
  auto bytes = [&](std::vector<uint8_t>& to, int64_t n, int percent) {
    to.resize(n);
    for (uint8_t& x : to) x = chance(percent) ? 1 + (random_word() & 1) : 0;
  };
  if (chance(w.options)) bytes(p.key_mask, B * w.keys, chance(20) ? 3 : 70);
  if (chance(w.options)) bytes(p.query_mask, B * w.queries, 70);
  auto lengths = [&](std::vector<int32_t>& to, int64_t n) {
    for (int64_t s = 0; s < w.batch; ++s) to.push_back(static_cast<int32_t>(random_below(n + 1)));
  };
  if (chance(w.options)) lengths(p.key_lengths, w.keys);
  if (chance(w.options)) lengths(p.query_lengths, w.queries);
  if (packed) {
    auto offsets = [&](std::vector<int32_t>& to, int64_t n) {
      to.push_back(0);
      for (int64_t s = 0; s < w.batch; ++s) {
        const int64_t left = n - to.back();
        const bool all = s == w.batch - 1 && chance(70);
        to.push_back(to.back() + static_cast<int32_t>(all ? left : std::min(left, random_below(2 * n / w.batch + 2))));
      }
    };
    offsets(p.query_offsets, w.queries);
    offsets(p.key_offsets, w.keys);
  }
  auto pair_shape = [&](Pairs& s) {
    const int64_t full[4] = {B, w.heads, w.queries, w.keys};
    for (int i = 0; i < 4; ++i) s.shape[i] = chance(60) ? full[i] : 1;
  };
  if (chance(w.options)) {
    pair_shape(p.mask_shape);
    bytes(p.mask, p.mask_shape.size(), 80);
  }
  if (chance(w.options)) {
    pair_shape(p.bias_shape);
    p.bias.resize(p.bias_shape.size());
    for (float& x : p.bias) x = chance(10) ? -INFINITY : 3 * random_float();
  }
  if (chance(w.options)) {
    a.rank = 1 + random_below(chance(50) ? 8 : 20);
    p.factor_query = Tokens(chance(50) ? B : 1, w.queries, chance(50) ? w.heads : 1, a.rank, false, 0);
    p.factor_key = Tokens(chance(50) ? B : 1, w.keys, chance(50) ? w.heads : 1, a.rank, false, 0);
    p.factor_query.randomise();
    p.factor_key.randomise();
  }
  if (chance(w.options)) a.causal = chance(50) ? Causal::TopLeft : Causal::BottomRight;
  if (chance(w.options)) {
    a.dropout_threshold = static_cast<uint32_t>(random_below(50000));
    p.rng = {static_cast<int32_t>(random_word()), static_cast<int32_t>(random_word())};
  }
  return p;
}

void connect(Problem& p) {
  AttentionArgs& a = p.args;
  a.q = p.q.read();
  a.k = p.k.read();
  a.v = p.v.read();
  a.key_mask = p.key_mask.empty() ? nullptr : p.key_mask.data();
  a.query_mask = p.query_mask.empty() ? nullptr : p.query_mask.data();
  a.key_lengths = p.key_lengths.empty() ? nullptr : p.key_lengths.data();
  a.query_lengths = p.query_lengths.empty() ? nullptr : p.query_lengths.data();
  a.query_offsets = p.query_offsets.empty() ? nullptr : p.query_offsets.data();
  a.key_offsets = p.key_offsets.empty() ? nullptr : p.key_offsets.data();
  if (!p.mask.empty()) a.mask = p.mask_shape.view(p.mask);
  if (!p.bias.empty()) a.bias = p.bias_shape.view(p.bias);
  a.factor_query = p.factor_query.read_shared();
  a.factor_key = p.factor_key.read_shared();
  a.rng_key = p.rng.data();
}

constexpr float kSentinel = 1234.5f;

Results run(Problem& p, ThreadPool& pool, Isa isa, Workspace& workspace, bool only_some = false) {
  connect(p);
  const AttentionArgs& a = p.args;
  const int64_t B = p.storage_batches();
  Results r;
  r.out = Tokens(B, a.queries, a.heads, a.value_dim, false, NAN);
  r.stats.assign(2 * B * a.heads * a.queries, NAN);
  attention_forward(a, {r.out.view(), r.stats.data()}, pool, isa, workspace);
  // Gradients of q, k and v go into tensors laid out as they are, gaps kept.
  r.dq = p.q;
  r.dk = p.k;
  r.dv = p.v;
  for (Tokens* t : {&r.dq, &r.dk, &r.dv}) {
    std::fill(t->data.begin(), t->data.end(), kSentinel);
    t->each([](float& x, int64_t, int64_t, int64_t, int64_t) { x = NAN; });
  }
  r.d_bias.assign(p.bias.size(), NAN);
  r.d_factor_query = p.factor_query;
  r.d_factor_key = p.factor_key;
  AttentionGradient g;
  g.out = r.out.read();
  g.stats = r.stats.data();
  g.d_out = p.d_out.read();
  const int some = only_some ? static_cast<int>(random_word()) : -1;
  if (some & 1) g.dq = r.dq.view();
  if (some & 2) g.dk = r.dk.view();
  if (some & 4) g.dv = r.dv.view();
  if (!p.bias.empty() && some & 8) g.d_bias = r.d_bias.data();
  g.bias_elements = p.bias.size();
  if (a.rank && some & 16) {
    g.d_factor_query = r.d_factor_query.view_shared();
    g.d_factor_key = r.d_factor_key.view_shared();
  }
  attention_backward(a, g, pool, isa, workspace);
  if (!g.dq.data) r.dq.data.clear();
  if (!g.dk.data) r.dk.data.clear();
  if (!g.dv.data) r.dv.data.clear();
  if (!g.d_bias) r.d_bias.clear();
  if (!g.d_factor_query.data) r.d_factor_query.data.clear(), r.d_factor_key.data.clear();
  return r;
}

// Score gradients are differences of numbers of about this size, so where they cancel to nothing the difference is their
// rounding.
double cancelled = 0;
constexpr double kBf16Tolerance = 0x1p-7;
// Of the largest value of a result.
double allowed = 0;

void compare(const char* name, Tokens& got, const std::vector<double>& expected) {
  if (got.data.empty()) return;
  ++checks;
  double largest = 0, worst = 0;
  size_t index = 0;
  for (double x : expected) largest = std::max(largest, std::fabs(x));
  std::vector<bool> touched(got.data.size(), false);
  got.each([&](float& x, int64_t, int64_t, int64_t, int64_t) {
    touched[&x - got.data.data()] = true;
    const double difference = std::fabs(x - expected[index++]);
    if (!(difference <= worst)) worst = difference;
  });
  if (!(worst <= allowed * std::max(largest, cancelled))) {
    fail(std::string(name) + " differs by " + std::to_string(worst) + " of " + std::to_string(largest));
  }
  for (size_t i = 0; i < got.data.size(); ++i) {
    if (!touched[i] && got.data[i] != kSentinel) return fail(std::string(name) + ": a gap was written");
  }
}

void compare_array(const char* name, const std::vector<float>& got, const std::vector<double>& expected) {
  if (got.empty()) return;
  Tokens t(1, 1, 1, static_cast<int64_t>(got.size()), false, 0);
  t.data.assign(got.begin(), got.end());
  compare(name, t, expected);
}

template <class Floats>
bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}
bool same_results(const Results& a, const Results& b) {
  return same_bits(a.out.data, b.out.data) && same_bits(a.stats, b.stats) && same_bits(a.dq.data, b.dq.data) &&
         same_bits(a.dk.data, b.dk.data) && same_bits(a.dv.data, b.dv.data) && same_bits(a.d_bias, b.d_bias) &&
         same_bits(a.d_factor_query.data, b.d_factor_query.data) &&
         same_bits(a.d_factor_key.data, b.d_factor_key.data);
}

// Fills what belongs to no live token, and what belongs to no live pair of the bias, with NaN and infinities.
void poison(Problem& p) {
  std::vector<uint8_t> live_q(p.storage_batches() * p.args.queries, 0), live_k(p.storage_batches() * p.args.keys, 0);
  std::vector<uint8_t> live_bias(p.bias.size(), 0);
  for (int64_t s = 0; s < p.args.batch; ++s) {
    const Span sq = query_span(p, s), sk = key_span(p, s);
    for (int64_t i = 0; i < sq.count; ++i) {
      if (query_live(p, sq, i)) live_q[sq.storage * p.args.queries + sq.begin + i] = 1;
    }
    for (int64_t j = 0; j < sk.count; ++j) {
      if (key_live(p, sk, j)) live_k[sk.storage * p.args.keys + sk.begin + j] = 1;
    }
    for (int64_t h = 0; h < p.args.heads && !p.bias.empty(); ++h) {
      for (int64_t i = 0; i < sq.count; ++i) {
        for (int64_t j = 0; j < sk.count; ++j) {
          const int64_t at = p.bias_shape.index(p.packed ? 0 : s, h, sq.begin + i, sk.begin + j);
          if (pair_live(p, sq, sk, h, i, j) || p.bias[at] == -INFINITY) live_bias[at] = 1;
        }
      }
    }
  }
  auto bad = [] { return chance(50) ? NAN : chance(50) ? INFINITY : -INFINITY; };
  auto spoil = [&](Tokens& t, const std::vector<uint8_t>& live) {
    t.each([&](float& x, int64_t b, int64_t n, int64_t, int64_t) {
      bool alive = false;
      for (int64_t s = 0; s < p.storage_batches(); ++s) {
        if (t.b > 1 ? s == b : true) alive = alive || live[s * t.n + n];
      }
      if (!alive) x = bad();
    });
  };
  for (Tokens* t : {&p.q, &p.d_out, &p.factor_query}) spoil(*t, live_q);
  for (Tokens* t : {&p.k, &p.v, &p.factor_key}) spoil(*t, live_k);
  for (size_t i = 0; i < p.bias.size(); ++i) {
    if (!live_bias[i]) p.bias[i] = NAN;
  }
}

void test_problem(Problem& p, ThreadPool& one, ThreadPool& three, Isa isa, Workspace& workspace) {
  Results r = run(p, one, isa, workspace);
  const Reference expected = reference(p);
  cancelled = 0.15 * std::sqrt(static_cast<double>(p.args.value_dim));
  // Rounded to bf16, each operand of a product is off by up to 2^-9 of itself. A factored bias keeps products f32.
  allowed = p.args.bf16 && isa >= Isa::Amx && p.args.rank == 0 ? kBf16Tolerance : 2e-5;
  const bool some = chance(30);
  if (some) {
    Results partial = run(p, three, isa, workspace, true);
    compare("out", partial.out, expected.out);
    compare("dq (some)", partial.dq, expected.dq);
    compare("dk (some)", partial.dk, expected.dk);
    compare("dv (some)", partial.dv, expected.dv);
    compare_array("d_bias (some)", partial.d_bias, expected.d_bias);
  }
  compare("out", r.out, expected.out);
  compare("dq", r.dq, expected.dq);
  compare("dk", r.dk, expected.dk);
  compare("dv", r.dv, expected.dv);
  compare("d_factor_query", r.d_factor_query, expected.d_factor_query);
  compare("d_factor_key", r.d_factor_key, expected.d_factor_key);
  compare_array("d_bias", r.d_bias, expected.d_bias);
  Results threaded = run(p, three, isa, workspace);
  check(same_results(r, threaded), "results depend on the number of threads");
  poison(p);
  Results poisoned = run(p, three, isa, workspace);
  check(same_results(r, poisoned), "what is excluded has an influence");
}

void test_random(Isa isa, int rounds) {
  ThreadPool one(1), three(3);
  Workspace workspace;
  const int64_t any_lengths[] = {0, 1, 2, 7, 12, 13, 16, 17, 31, 49, 59, 64, 65, 147, 300};
  const int64_t any_dims[] = {1, 2, 3, 8, 15, 16, 17, 32, 40, 64, 65, 128};
  // Tile registers are used from 192 tokens on, and for dims that fill them or go at most 8 beyond.
  const int64_t tile_lengths[] = {192, 193, 195, 199, 207, 208, 209, 223, 224, 225, 255, 256, 257, 300, 331};
  const int64_t tile_dims[] = {25, 31, 32, 40, 55, 63, 64, 72, 90, 96, 120, 128};
  // Rounded, from 64 on.
  const int64_t rounded_lengths[] = {1, 7, 59, 64, 65, 79, 80, 95, 96, 127, 128, 147, 161, 256, 300};
  const auto& lengths = asks_for_bf16 ? rounded_lengths : isa == Isa::Amx ? tile_lengths : any_lengths;
  const auto& dims = isa == Isa::Amx ? tile_dims : any_dims;
  for (int round = 0; round < rounds; ++round) {
    random_state = 1000 + round;
    Wish w;
    w.batch = 1 + random_below(3);
    w.queries = lengths[random_below(15)];
    w.keys = chance(5) ? 587 : lengths[random_below(15)];
    w.heads = 1 + random_below(3);
    w.dim = dims[random_below(12)];
    w.value_dim = chance(50) ? w.dim : dims[random_below(12)];
    w.options = static_cast<int>(random_below(3) * 25);
    const bool packed = chance(25);
    Problem p = make_problem(w, packed);
    context = kernels_name(isa) + " round " + std::to_string(round) + " [" + std::to_string(w.batch) + "," +
              std::to_string(w.queries) + "x" + std::to_string(w.keys) + "," + std::to_string(w.heads) + "," +
              std::to_string(w.dim) + "/" + std::to_string(w.value_dim) + "]" + (packed ? " packed" : "") +
              (p.key_mask.empty() ? "" : " keyMask") + (p.query_mask.empty() ? "" : " queryMask") +
              (p.key_lengths.empty() ? "" : " keyLengths") + (p.query_lengths.empty() ? "" : " queryLengths") +
              (p.mask.empty() ? "" : " mask") + (p.bias.empty() ? "" : " bias") + (p.args.rank ? " factors" : "") +
              (p.args.causal != Causal::None ? " causal" : "") + (p.args.dropout_threshold ? " dropout" : "");
    test_problem(p, one, three, isa, workspace);
  }
}

// Shapes that take the paths random ones seldom do: key ranges and chunks, many rows, wide heads.
void test_large(Isa isa) {
  ThreadPool one(1), three(3);
  Workspace workspace;
  const Wish wishes[] = {{1, 10, 2048, 2, 16, 16, 30},  {1, 3, 1500, 1, 8, 8, 60},    {1, 1100, 40, 1, 8, 8, 30},
                         {2, 5, 20, 1, 300, 260, 30},   {1, 70, 1300, 2, 8, 24, 60},  {1, 600, 600, 1, 16, 16, 0},
                         {20, 9, 1100, 1, 8, 8, 40},    {4, 2200, 3000, 1, 4, 4, 30}, {1, 33, 40, 1, 1024, 8, 0},
                         {2, 40, 50, 11, 8, 8, 70},     {1, 150, 300, 10, 16, 8, 80}, {1, 60, 8300, 3, 8, 8, 80},
                         {2, 20, 1100, 9, 8, 16, 90},   {2, 200, 30, 9, 8, 16, 90},
                         {1, 220, 8300, 3, 32, 32, 80}, {1, 1100, 400, 2, 32, 32, 30},  {1, 200, 300, 10, 32, 64, 80}, {1, 200, 600, 2, 32, 32, 100}};
  int number = 0;
  for (const Wish& w : wishes) {
    random_state = 77 + number;
    Problem p = make_problem(w, number == 7);
    context = kernels_name(isa) + " large " + std::to_string(number++);
    test_problem(p, one, three, isa, workspace);
  }
}

// Heads, and samples, that add to one key factor's gradient, over many keys.
void test_shared_key_factor(Isa isa) {
  ThreadPool one(1), three(3);
  Workspace workspace;
  for (const Wish& w : {Wish{3, 60, 8300, 3, 8, 8, 0}, {3, 200, 8300, 2, 32, 32, 0}, {3, 20, 8300, 9, 8, 8, 25}}) {
    random_state = 31;
    Problem p = make_problem(w, false);
    context = kernels_name(isa) + " shared key factor of " + std::to_string(w.heads) + " heads";
    p.args.rank = 9;
    p.factor_query = Tokens(w.batch, w.queries, 1, 9, false, 0);
    p.factor_key = Tokens(w.batch, w.keys, 1, 9, false, 0);
    p.factor_query.randomise();
    p.factor_key.randomise();
    test_problem(p, one, three, isa, workspace);
  }
}

// Pairs excluded by mask, causality or a bias of -inf: any finite change of what only they touch is without influence.
void test_excluded_pairs(Isa isa) {
  ThreadPool one(1);
  Workspace workspace;
  random_state = 5;
  const auto [queries, keys, dim] = extent_for(isa);
  const int64_t seen = queries;
  for (int round = 0; round < 3; ++round) {
    context = kernels_name(isa) + " excluded pairs " + std::to_string(round);
    Problem p = make_problem({2, queries, keys, 2, dim, dim, 0}, false);
    p.args.causal = round == 0 ? Causal::TopLeft : Causal::None;
    if (round == 1) {
      p.mask_shape = {{1, 1, queries, keys}};
      p.mask.assign(queries * keys, 1);
      for (int64_t i = 0; i < queries * keys; ++i) p.mask[i] = i % keys < seen;
    }
    if (round == 2) {
      p.bias_shape = {{1, 1, 1, keys}};
      p.bias.assign(keys, 0.5f);
      for (int64_t j = seen; j < keys; ++j) p.bias[j] = -INFINITY;
    }
    const Results before = run(p, one, isa, workspace);
    // Their products overflow, and the largest have no bf16 beside them.
    auto change = [seen = seen](float& x, int64_t, int64_t n, int64_t, int64_t d) {
      if (n >= seen) x = d == 0 ? 3.4028235e38f : 3.4e38f * random_float();
    };
    p.k.each(change);
    p.v.each(change);
    check(same_results(before, run(p, one, isa, workspace)), "an excluded pair has an influence");
  }
}

void test_special_values(Isa isa) {
  ThreadPool one(1);
  Workspace workspace;
  context = kernels_name(isa) + " special values";
  random_state = 9;
  const auto [queries, keys, dim] = extent_for(isa);
  // A score of 1e4: the pair of statistics keeps weights right where one log-sum-exp would be off by 1e-3.
  Problem p = make_problem({1, queries, 300, 1, dim, dim, 0}, false);
  p.q.each([](float& x, int64_t, int64_t, int64_t, int64_t d) { x = d == 0 ? 1000.0f : x * 0.01f; });
  p.k.each([](float& x, int64_t, int64_t, int64_t, int64_t d) { x = d == 0 ? 20.0f : x; });
  Results r = run(p, one, isa, workspace);
  const Reference expected = reference(p);
  for (size_t i = 0; i < r.out.data.size(); ++i) {
    if (!(std::fabs(r.out.data[i] - expected.out[i]) < 1e-2)) return fail("large scores");
  }
  double column = 0;
  for (int64_t i = 0; i < queries; ++i) column += p.d_out.at(0, i, 0, 3);
  double spread = 0;
  for (int64_t j = 0; j < 300; ++j) spread += r.dv.at(0, j, 0, 3);
  check(std::fabs(spread - column) < (asks_for_bf16 ? 0.05 : 2e-4), "regenerated weights of large scores add up to 1");
  // A NaN that a query may see is seen.
  p = make_problem({1, queries, keys, 1, dim, dim, 0}, false);
  p.k.at(0, 7, 0, 2) = -NAN;
  r = run(p, one, isa, workspace);
  bool all = true;
  r.out.each([&](float& x, int64_t, int64_t, int64_t, int64_t) { all = all && std::isnan(x); });
  check(all, "a NaN key that takes part makes its queries' outputs NaN");
  // A query that may attend to nothing: 0 and no gradient, whatever the gradient that comes in.
  p = make_problem({1, queries, keys, 1, dim, dim, 0}, false);
  p.mask_shape = {{1, 1, queries, 1}};
  p.mask.assign(queries, 1);
  p.mask[4] = 0;
  for (int64_t d = 0; d < dim; ++d) p.d_out.at(0, 4, 0, d) = NAN;
  r = run(p, one, isa, workspace);
  bool zero = true, finite = true;
  for (int64_t d = 0; d < dim; ++d) zero = zero && r.out.at(0, 4, 0, d) == 0 && r.dq.at(0, 4, 0, d) == 0;
  for (Tokens* t : {&r.dk, &r.dv}) {
    t->each([&](float& x, int64_t, int64_t, int64_t, int64_t) { finite = finite && std::isfinite(x); });
  }
  check(zero && finite, "a query that may attend to nothing");
}

// Products round where bf16 was asked for, on tile registers, without a factored bias; elsewhere every bit is that of f32.
void test_rounding(Isa isa) {
  ThreadPool one(1);
  Workspace workspace;
  random_state = 17;
  for (const Wish& wish : {Wish{1, 64, 64, 2, 32, 32, 0}, {1, 63, 64, 2, 32, 32, 0}, {1, 64, 64, 2, 16, 16, 0},
                           {1, 200, 200, 2, 32, 32, 100}}) {
    context = kernels_name(isa) + " rounding " + std::to_string(wish.queries);
    Problem p = make_problem(wish, false);
    p.args.bf16 = false;
    const Results exact = run(p, one, isa, workspace);
    p.args.bf16 = true;
    const bool rounds = isa == Isa::Amx && wish.queries == 64 && wish.dim == 32;
    check(same_results(exact, run(p, one, isa, workspace)) != rounds, "rounds where it should not, or the other way round");
  }
}

// What one sample comes to does not depend on how many others there are.
void test_batch_independence(Isa isa) {
  ThreadPool two(2);
  Workspace workspace;
  context = kernels_name(isa) + " batch independence";
  // The key gradients of the last are more than caches hold, those of one of its samples are not.
  for (const Wish& wish : {Wish{20, 17, 300, 2, 8, 8, 0}, {20, 17, 2100, 2, 8, 8, 0}, {4, 200, 2100, 4, 64, 64, 0}}) {
    random_state = 11;
    Problem many = make_problem(wish, false);
    Wish one = wish;
    one.batch = 1;
    Problem single = make_problem(one, false);
    for (auto [from, to] : {std::pair{&many.q, &single.q}, {&many.k, &single.k}, {&many.v, &single.v},
                            {&many.d_out, &single.d_out}}) {
      to->each([&, from = from](float& x, int64_t b, int64_t n, int64_t h, int64_t d) { x = from->at(b, n, h, d); });
    }
    Results a = run(many, two, isa, workspace), b = run(single, two, isa, workspace);
    bool same = true;
    for (auto [from, to] : {std::pair{&a.out, &b.out}, {&a.dq, &b.dq}, {&a.dk, &b.dk}, {&a.dv, &b.dv}}) {
      to->each([&, from = from](float& x, int64_t ib, int64_t n, int64_t h, int64_t d) {
        same = same && x == from->at(ib, n, h, d);
      });
    }
    check(same, "a sample's result depends on the batch");
  }
}

// Offsets and lengths that lie must not touch memory that is not theirs (the sanitizer watches).
void test_wild_numbers(Isa isa) {
  ThreadPool two(2);
  Workspace workspace;
  context = kernels_name(isa) + " wild numbers";
  random_state = 13;
  Problem p = make_problem({3, 40, 50, 2, 8, 8, 0}, true);
  p.query_offsets = {-5, 30, 10, 2000000000};
  p.key_offsets = {7, -2000000000, 60, 20};
  p.key_lengths = {-1, 1000, 5};
  Results r = run(p, two, isa, workspace);
  bool finite = true;
  r.out.each([&](float& x, int64_t, int64_t, int64_t, int64_t) { finite = finite && std::isfinite(x); });
  check(finite, "every output is written");
}

}  // namespace

int main(int argc, char** argv) {
  // An emulator takes one in so many of the random cases.
  const int every = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  const int rounds = (150 + every - 1) / every;
  for (Isa isa : {Isa::Baseline, Isa::Avx2, Isa::Avx512, Isa::Amx}) {
    if (isa > detect_isa()) continue;
    for (bool bf16 : {false, true}) {
      asks_for_bf16 = bf16;
      if (bf16) test_rounding(isa);
      if (bf16 && isa != Isa::Amx) continue;  // no others round
      test_random(isa, bf16 ? rounds / 2 : isa == Isa::Amx ? rounds / 4 : rounds);
      test_large(isa);
      test_shared_key_factor(isa);
      test_excluded_pairs(isa);
      test_special_values(isa);
      test_batch_independence(isa);
      test_wild_numbers(isa);
    }
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
