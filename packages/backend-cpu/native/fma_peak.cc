#include "fma_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ditkit {

namespace {

constexpr int64_t kSteps = 200000;  // of one stretch: around a millisecond
constexpr float kFactor = 0.999f, kTerm = 0.001f;

// Enough independent sums to cover the latency of an FMA on two ports, few enough to stay in registers.
constexpr int kChains = 12;

float chains_baseline() {
  typedef float Vector __attribute__((vector_size(16)));
  Vector sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = Vector{} + static_cast<float>(i);
  for (int64_t s = 0; s < kSteps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * kFactor + kTerm;
  }
  Vector total = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total += sum[i];
  return total[0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float chains_avx2() {
  __m256 sum[kChains];
  const __m256 factor = _mm256_set1_ps(kFactor), term = _mm256_set1_ps(kTerm);
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t s = 0; s < kSteps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm256_fmadd_ps(sum[i], factor, term);
  }
  __m256 total = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm256_add_ps(total, sum[i]);
  return _mm256_cvtss_f32(total);
}

__attribute__((target("avx512f"))) float chains_avx512() {
  __m512 sum[kChains];
  const __m512 factor = _mm512_set1_ps(kFactor), term = _mm512_set1_ps(kTerm);
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t s = 0; s < kSteps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(sum[i], factor, term);
  }
  __m512 total = sum[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sum[i]);
  return _mm512_cvtss_f32(total);
}
#endif

struct Chains {
  float (*run)();
  int lanes;
};

Chains chains_of(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::Avx512) return {chains_avx512, 16};
  if (isa == Isa::Avx2) return {chains_avx2, 8};
#endif
  (void)isa;
  return {chains_baseline, 4};
}

}  // namespace

double fma_peak(ThreadPool& pool, Isa isa, double milliseconds) {
  using Clock = std::chrono::steady_clock;
  const Chains chains = chains_of(isa);
  const double flops = 2.0 * kSteps * kChains * chains.lanes * pool.threads();
  std::vector<float> kept(pool.threads());  // so that no chain can be left out
  double best = 0;
  const Clock::time_point begin = Clock::now();
  std::chrono::duration<double, std::milli> spent{0};
  do {
    const Clock::time_point start = Clock::now();
    pool.run(pool.threads(), [&](int64_t i, int) { kept[i] = chains.run(); });
    const Clock::time_point end = Clock::now();
    const double seconds = std::chrono::duration<double>(end - start).count();
    if (kept[0] == kept[0]) best = std::max(best, flops / seconds / 1e9);
    spent = end - begin;
  } while (spent.count() < milliseconds);
  return best;
}

}  // namespace ditkit
