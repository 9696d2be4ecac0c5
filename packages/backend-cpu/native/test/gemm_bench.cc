// Measures the FMA peak of this machine and the speed of gemm at the shapes of DiT training, as a share of that peak.
// Run: gemm_bench [threads [name [bf16]]]. Peak and product alternate and the share is the median of their ratios, so a clock
// that changes does not matter; one thread counts its own processor time, so a busy machine matters little.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "../fma_peak.h"
#include "../gemm/gemm.h"

using namespace ditkit;

namespace {

double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Seconds that f takes on this thread, or on the clock of the wall when a pool works on it.
template <class F>
double timed(const ThreadPool& pool, F&& f) {
  const clockid_t clock = pool.threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  const double start = seconds(clock);
  f();
  return seconds(clock) - start;
}

// A few short stretches: a product needs more power than multiplying in registers, so the clock is lower during it and
// recovers within milliseconds.
constexpr double kPeakMilliseconds = 1;

struct Shape {
  const char* what;
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  int64_t batches;
  bool bias;
};

const Shape kShapes[] = {
    {"y 384", 1024, 384, 384, false, true, 1, true},    {"y 384>1536", 1024, 1536, 384, false, true, 1, true},
    {"y 1536>384", 1024, 384, 1536, false, true, 1, true}, {"y 1024", 4096, 1024, 1024, false, true, 1, true},
    {"qkv", 2048, 1152, 384, false, true, 1, false},       {"proj", 2048, 384, 384, false, true, 1, false},
    {"fc1", 2048, 1536, 384, false, true, 1, false},       {"fc2", 2048, 384, 1536, false, true, 1, false},
    {"qkv dX", 2048, 384, 1152, false, false, 1, false},   {"proj dX", 2048, 384, 384, false, false, 1, false},
    {"fc1 dX", 2048, 384, 1536, false, false, 1, false},   {"fc2 dX", 2048, 1536, 384, false, false, 1, false},
    {"qkv dW", 1152, 384, 2048, true, false, 1, false},    {"proj dW", 384, 384, 2048, true, false, 1, false},
    {"fc1 dW", 1536, 384, 2048, true, false, 1, false},    {"fc2 dW", 384, 1536, 2048, true, false, 1, false},
    {"s qkv", 6272, 384, 128, false, true, 1, false},      {"s proj", 6272, 128, 128, false, true, 1, false},
    {"s fc1", 6272, 512, 128, false, true, 1, false},      {"s fc2", 6272, 128, 512, false, true, 1, false},
    {"s qkv dX", 6272, 128, 384, false, false, 1, false},  {"s fc2 dX", 6272, 512, 128, false, false, 1, false},
    {"s qkv dW", 384, 128, 6272, true, false, 1, false},   {"s proj dW", 128, 128, 6272, true, false, 1, false},
    {"s fc1 dW", 512, 128, 6272, true, false, 1, false},   {"s fc2 dW", 128, 512, 6272, true, false, 1, false},
    {"adaLN 8", 8, 2304, 384, false, true, 1, false},      {"adaLN 8 dX", 8, 384, 2304, false, false, 1, false},
    {"adaLN 8 dW", 2304, 384, 8, true, false, 1, false},   {"adaLN 128", 128, 768, 128, false, true, 1, false},
    {"adaLN 128 dW", 768, 128, 128, true, false, 1, false}, {"heads qk", 49, 49, 32, false, true, 512, false},
    {"heads pv", 49, 32, 49, false, false, 512, false},    {"heads dk", 49, 32, 49, true, false, 512, false},
    {"heads 256", 256, 256, 64, false, true, 48, false},   {"patch", 6272, 128, 16, false, true, 1, false},
    {"final", 6272, 16, 128, false, true, 1, false},       {"square", 1024, 1024, 1024, false, false, 1, false},
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const Shape& s, Compute compute, ThreadPool& pool, Isa isa, Workspace& workspace) {
  Workspace operands;  // huge pages, as storages of a device have
  float* const a = operands.get(0, s.m * s.k * s.batches);
  float* const b = operands.get(1, s.k * s.n * s.batches);
  float* const c = operands.get(2, s.m * s.n * s.batches);
  std::fill_n(a, s.m * s.k * s.batches, 0.5f);
  std::fill_n(b, s.k * s.n * s.batches, 0.25f);
  std::fill_n(c, s.m * s.n * s.batches, 0.0f);
  const std::vector<float> bias(s.n, 0.125f);
  GemmArgs args;
  args.m = s.m, args.n = s.n, args.k = s.k, args.batch_rank = 1, args.batch_shape[0] = s.batches;
  args.a = a, args.b = b, args.c = c;
  args.a_row = s.a_transposed ? 1 : s.k, args.a_col = s.a_transposed ? s.m : 1;
  args.b_row = s.b_transposed ? 1 : s.n, args.b_col = s.b_transposed ? s.k : 1;
  args.c_row = s.n;
  args.a_batch[0] = s.m * s.k, args.b_batch[0] = s.k * s.n, args.c_batch[0] = s.m * s.n;
  if (s.bias) args.bias = bias.data();
  args.compute = compute;
  float* const packed = operands.get(3, packed_b_floats(s.k, s.n, isa, compute));
  pack_b(b, args.b_row, args.b_col, s.k, s.n, packed, pool, isa, compute);
  const double flops = 2.0 * s.m * s.n * s.k * s.batches;
  const int repeats = std::max(1, static_cast<int>(1e9 / flops));
  std::vector<double> speeds, shares, packed_shares;
  for (int round = 0; round < 15; ++round) {
    const double before = fma_peak(pool, isa, kPeakMilliseconds);
    const double plain = timed(pool, [&] {
      for (int r = 0; r < repeats; ++r) gemm(args, pool, isa, workspace);
    });
    const double between = fma_peak(pool, isa, kPeakMilliseconds);
    const double with_packed = timed(pool, [&] {
      for (int r = 0; r < repeats; ++r) gemm_packed(args, packed, pool, isa, workspace);
    });
    const double after = fma_peak(pool, isa, kPeakMilliseconds);
    speeds.push_back(flops * repeats / plain / 1e9);
    shares.push_back(200 * speeds.back() / (before + between));
    packed_shares.push_back(200 * flops * repeats / with_packed / 1e9 / (between + after));
  }
  std::printf("%-13s %5ld %5ld %5ld x%-4ld %9.0f %6.1f%% %8.1f%%\n", s.what, static_cast<long>(s.m),
              static_cast<long>(s.n), static_cast<long>(s.k), static_cast<long>(s.batches), median(speeds),
              median(shares), median(packed_shares));
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 2);
  const char* const only = argc > 2 ? argv[2] : "";
  const Compute compute = argc > 3 && std::strcmp(argv[3], "bf16") == 0 ? Compute::Bf16 : Compute::F32;
  const IsaChoice choice = choose_isa();
  if (!choice.problem.empty()) std::printf("%s\n", choice.problem.c_str());
  std::printf("%s, %d threads: FMA peak %.0f GFLOP/s\n", isa_name(choice.isa), pool.threads(),
              fma_peak(pool, choice.isa, 50));
  std::printf("%-13s %5s %5s %5s x%-4s %9s %7s %9s\n", "", "m", "n", "k", "batch", "GFLOP/s", "peak", "packed b");
  Workspace workspace;
  for (const Shape& shape : kShapes) {
    if (std::strstr(shape.what, only) != nullptr) measure(shape, compute, pool, choice.isa, workspace);
  }
  return 0;
}
