// Measures the FMA peak of this machine and the speed of gemm at the shapes of DiT training, as a share of that peak.
// Run: gemm_bench [threads]. Figures of a shared machine vary: compare ratios within one run.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../fma_peak.h"
#include "../gemm/gemm.h"

using namespace ditkit;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Shape {
  const char* what;
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  int64_t batches;
};

const Shape kShapes[] = {
    {"qkv", 2048, 1152, 384, false, true, 1},       {"proj", 2048, 384, 384, false, true, 1},
    {"fc1", 2048, 1536, 384, false, true, 1},       {"fc2", 2048, 384, 1536, false, true, 1},
    {"qkv dX", 2048, 384, 1152, false, false, 1},   {"proj dX", 2048, 384, 384, false, false, 1},
    {"fc1 dX", 2048, 384, 1536, false, false, 1},   {"fc2 dX", 2048, 1536, 384, false, false, 1},
    {"qkv dW", 1152, 384, 2048, true, false, 1},    {"proj dW", 384, 384, 2048, true, false, 1},
    {"fc1 dW", 1536, 384, 2048, true, false, 1},    {"fc2 dW", 384, 1536, 2048, true, false, 1},
    {"s qkv", 6272, 384, 128, false, true, 1},      {"s proj", 6272, 128, 128, false, true, 1},
    {"s fc1", 6272, 512, 128, false, true, 1},      {"s fc2", 6272, 128, 512, false, true, 1},
    {"s qkv dX", 6272, 128, 384, false, false, 1},  {"s fc2 dX", 6272, 512, 128, false, false, 1},
    {"s qkv dW", 384, 128, 6272, true, false, 1},   {"s proj dW", 128, 128, 6272, true, false, 1},
    {"s fc1 dW", 512, 128, 6272, true, false, 1},   {"s fc2 dW", 128, 512, 6272, true, false, 1},
    {"adaLN 8", 8, 2304, 384, false, true, 1},      {"adaLN 8 dX", 8, 384, 2304, false, false, 1},
    {"adaLN 8 dW", 2304, 384, 8, true, false, 1},   {"adaLN 128", 128, 768, 128, false, true, 1},
    {"adaLN 128 dW", 768, 128, 128, true, false, 1}, {"heads qk", 49, 49, 32, false, true, 512},
    {"heads pv", 49, 32, 49, false, false, 512},    {"heads dk", 49, 32, 49, true, false, 512},
    {"heads 256", 256, 256, 64, false, true, 48},   {"patch", 6272, 128, 16, false, true, 1},
    {"final", 6272, 16, 128, false, true, 1},       {"square", 1024, 1024, 1024, false, false, 1},
};

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool one(1), pool(argc > 1 ? std::atoi(argv[1]) : 2);
  const IsaChoice choice = choose_isa();
  if (!choice.problem.empty()) std::printf("%s\n", choice.problem.c_str());
  const Isa isa = choice.isa;
  const double peak_one = fma_peak(one, isa, 50), peak = fma_peak(pool, isa, 50);
  std::printf("%s: FMA peak %.0f GFLOP/s with 1 thread, %.0f with %d\n", isa_name(isa), peak_one, peak, pool.threads());
  std::printf("%-13s %5s %5s %5s x%-4s %9s %6s %9s\n", "", "m", "n", "k", "batch", "GFLOP/s", "peak", "packed b");
  Workspace workspace;
  for (const Shape& s : kShapes) {
    std::vector<float> a(s.m * s.k * s.batches, 0.5f), b(s.k * s.n * s.batches, 0.25f), c(s.m * s.n * s.batches);
    GemmArgs args;
    args.m = s.m, args.n = s.n, args.k = s.k, args.batch_rank = 1, args.batch_shape[0] = s.batches;
    args.a = a.data(), args.b = b.data(), args.c = c.data();
    args.a_row = s.a_transposed ? 1 : s.k, args.a_col = s.a_transposed ? s.m : 1;
    args.b_row = s.b_transposed ? 1 : s.n, args.b_col = s.b_transposed ? s.k : 1;
    args.c_row = s.n;
    args.a_batch[0] = s.m * s.k, args.b_batch[0] = s.k * s.n, args.c_batch[0] = s.m * s.n;
    std::vector<float> packed(packed_b_floats(s.k, s.n, isa));
    pack_b(b.data(), args.b_row, args.b_col, s.k, s.n, packed.data(), pool, isa);
    const double flops = 2.0 * s.m * s.n * s.k * s.batches;
    const int repeats = std::max(1, static_cast<int>(2e9 / flops));
    std::vector<double> times, packed_times;
    for (int round = 0; round < 9; ++round) {
      double start = now();
      for (int r = 0; r < repeats; ++r) gemm(args, pool, isa, workspace);
      times.push_back((now() - start) / repeats);
      start = now();
      for (int r = 0; r < repeats; ++r) gemm_packed(args, packed.data(), pool, isa, workspace);
      packed_times.push_back((now() - start) / repeats);
    }
    const double speed = flops / median(times) / 1e9;
    std::printf("%-13s %5ld %5ld %5ld x%-4ld %9.0f %5.0f%% %9.0f\n", s.what, static_cast<long>(s.m),
                static_cast<long>(s.n), static_cast<long>(s.k), static_cast<long>(s.batches), speed,
                peak > 0 ? 100 * speed / peak : 0.0, flops / median(packed_times) / 1e9);
  }
  return 0;
}
