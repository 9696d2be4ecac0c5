// Checks gemm against float64 on awkward sizes, strides and epilogues, for every instruction set this machine has.
// Operands end at an inaccessible page, so a read past the end dies. Also built with -fsanitize=address,undefined.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "../gemm/gemm.h"

using namespace ditkit;

namespace {

int failures = 0;
int checks = 0;

uint64_t random_state = 1;
float random_float() {  // in [-1, 1)
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<float>(static_cast<int32_t>(random_state >> 32)) / 2147483648.0f;
}

// `n` floats that end where an inaccessible page begins.
class Guarded {
 public:
  explicit Guarded(int64_t n) : n_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t used = (n * sizeof(float) + page - 1) / page * page;
    size_ = used + page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + used, page, PROT_NONE);
    data_ = reinterpret_cast<float*>(base_ + used) - n;
    for (int64_t i = 0; i < n; ++i) data_[i] = random_float();
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }
  float* data() { return data_; }
  int64_t size() const { return n_; }
  void fill(float x) {
    for (int64_t i = 0; i < n_; ++i) data_[i] = x;
  }

 private:
  int64_t n_;
  size_t size_;
  char* base_;
  float* data_;
};

bool same_bits(const std::vector<float>& expected, const float* got) {
  return expected.empty() || std::memcmp(expected.data(), got, expected.size() * sizeof(float)) == 0;
}

double activated(Activation act, double x) {
  switch (act) {
    case Activation::GeluTanh: {
      const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(u));
    }
    case Activation::Silu: return x / (1 + std::exp(-x));
    case Activation::Relu: return x > 0 ? x : 0;
    case Activation::None: break;
  }
  return x;
}

double slope_of(Activation act, double x) {
  switch (act) {
    case Activation::GeluTanh: {
      const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case Activation::Silu: {
      const double s = 1 / (1 + std::exp(-x));
      return s + x * s * (1 - s);
    }
    case Activation::Relu: return x > 0;
    case Activation::None: break;
  }
  return 1;
}

struct Case {
  int64_t m, n, k;
  int64_t batches = 1;
  bool a_transposed = false, b_transposed = false, c_transposed = false;
  bool a_strided = false, b_strided = false;  // neither of the strides is 1
  bool b_shared = false;
  int64_t c_pad = 0;
  float alpha = 1, beta = 0;
  bool bias = false, pre = false, slope = false, gate = false, residual = false;
  Activation act = Activation::None;
  Compute compute = Compute::F32;
};

// To nearest bf16, ties to even, found by the distance to both neighbours.
float bf16(float x) {
  if (!std::isfinite(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t below = bits & 0xffff0000u, above = below + 0x10000u;
  float low, high;
  std::memcpy(&low, &below, sizeof low);
  std::memcpy(&high, &above, sizeof high);
  const double down = std::fabs(double(x) - low);
  const double up = std::isinf(high) ? std::ldexp(1.0, 128) - std::fabs(x) : std::fabs(double(high) - x);
  if (down != up) return down < up ? low : high;
  return (below >> 16 & 1) == 0 ? low : high;
}

float operand(const Case& x, float value) { return x.compute == Compute::Bf16 ? bf16(value) : value; }

void report(const char* what, const Case& x, Isa isa, double got, double want) {
  ++failures;
  if (failures > 20) return;
  std::printf("FAIL %s: isa %s m %ld n %ld k %ld batches %ld ta %d tb %d tc %d alpha %g beta %g act %d compute %d: got %.9g want %.9g\n",
              what, isa_name(isa), (long)x.m, (long)x.n, (long)x.k, (long)x.batches, x.a_transposed, x.b_transposed,
              x.c_transposed, x.alpha, x.beta, (int)x.act, (int)x.compute, got, want);
}

void check(const Case& x, Isa isa, std::vector<ThreadPool*> pools, Workspace& workspace, bool packed) {
  ++checks;
  const int64_t wide = x.a_strided ? 2 : 1, wide_b = x.b_strided ? 2 : 1;
  const int64_t a_size = x.m * x.k * wide, b_size = x.k * x.n * wide_b;
  const int64_t c_rows = x.c_transposed ? x.n : x.m, c_row = (x.c_transposed ? x.m : x.n) + x.c_pad;
  const int64_t c_size = c_rows * c_row;
  const int64_t gate_row = 3, gates = x.m / gate_row + 1;
  Guarded a(a_size * x.batches), b(b_size * (x.b_shared ? 1 : x.batches)), c(c_size * x.batches), pre(c_size * x.batches);
  Guarded slope(c_size * x.batches);
  Guarded bias(x.n), gate(gates * x.n), residual(c_size * x.batches);
  const std::vector<float> c_before(c.data(), c.data() + c.size());

  GemmArgs args;
  args.m = x.m, args.n = x.n, args.k = x.k;
  args.batch_rank = 2;
  args.batch_shape[0] = x.batches, args.batch_shape[1] = 1;
  args.a = a.data(), args.b = b.data(), args.c = c.data();
  args.a_row = (x.a_transposed ? 1 : x.k) * wide, args.a_col = (x.a_transposed ? x.m : 1) * wide;
  args.b_row = (x.b_transposed ? 1 : x.n) * wide_b, args.b_col = (x.b_transposed ? x.k : 1) * wide_b;
  args.c_row = x.c_transposed ? 1 : c_row, args.c_col = x.c_transposed ? c_row : 1;
  args.a_batch[0] = a_size, args.b_batch[0] = x.b_shared ? 0 : b_size, args.c_batch[0] = c_size;
  args.alpha = x.alpha, args.beta = x.beta, args.act = x.act;
  args.compute = x.compute;
  if (x.bias) args.bias = bias.data();
  if (x.pre) args.pre = pre.data();
  if (x.slope) args.slope = slope.data();
  if (x.gate) args.gate = gate.data(), args.gate_row = gate_row, args.gate_stride = x.n;
  if (x.residual) args.residual = residual.data();

  Guarded weights(packed ? packed_b_floats(x.k, x.n, isa, x.compute) : 0);
  std::vector<float> first;
  for (ThreadPool* pool : pools) {
    for (int64_t i = 0; i < c.size(); ++i) c.data()[i] = c_before[i];
    if (x.beta == 0) c.fill(std::numeric_limits<float>::quiet_NaN());
    if (packed) {
      weights.fill(std::numeric_limits<float>::quiet_NaN());
      pack_b(b.data(), args.b_row, args.b_col, x.k, x.n, weights.data(), *pool, isa, x.compute);
      GemmArgs without_b = args;
      without_b.b = nullptr;
      gemm_packed(without_b, weights.data(), *pool, isa, workspace);
    } else {
      gemm(args, *pool, isa, workspace);
    }
    if (first.empty()) first.assign(c.data(), c.data() + c.size());
    if (!same_bits(first, c.data())) report("bits differ by threads", x, isa, 0, 0);
  }
  if (packed) {
    for (int64_t i = 0; i < c.size(); ++i) c.data()[i] = x.beta == 0 ? NAN : c_before[i];
    gemm(args, *pools[0], isa, workspace);
    if (!same_bits(first, c.data())) report("bits differ by packing", x, isa, 0, 0);
  }
  for (int64_t z = 0; z < x.batches; ++z) {
    for (int64_t i = 0; i < x.m; ++i) {
      for (int64_t j = 0; j < x.n; ++j) {
        double sum = 0, size = 0;
        for (int64_t p = 0; p < x.k; ++p) {
          const double term = double(operand(x, a.data()[z * a_size + i * args.a_row + p * args.a_col])) *
                              operand(x, b.data()[(x.b_shared ? 0 : z * b_size) + p * args.b_row + j * args.b_col]);
          sum += term, size += std::fabs(term);
        }
        const int64_t at = z * c_size + i * args.c_row + j * args.c_col;
        double value = x.alpha * sum + (x.beta != 0 ? x.beta * c_before[at] : 0) + (x.bias ? bias.data()[j] : 0);
        const double slack = 6e-8 * (6 + std::sqrt(double(x.k))) * (std::fabs(x.alpha) * size + 2);
        if (x.pre && !(std::fabs(pre.data()[at] - value) <= slack)) report("pre", x, isa, pre.data()[at], value);
        const double steep = slope_of(x.act, value);
        const bool kink = x.act == Activation::Relu && std::fabs(value) <= slack;
        if (x.slope && !kink && !(std::fabs(slope.data()[at] - steep) <= 1.2 * slack)) {
          report("slope", x, isa, slope.data()[at], steep);
        }
        value = activated(x.act, value);
        if (x.gate) value *= gate.data()[i / gate_row * x.n + j];
        if (x.residual) value += residual.data()[at];
        if (!(std::fabs(c.data()[at] - value) <= 1.2 * slack)) report("c", x, isa, c.data()[at], value);
      }
    }
    for (int64_t i = 0; i < c_rows; ++i) {
      for (int64_t j = c_row - x.c_pad; j < c_row; ++j) {
        const int64_t at = z * c_size + i * c_row + j;
        const bool same = x.beta == 0 ? std::isnan(c.data()[at]) : c.data()[at] == c_before[at];
        if (!same) report("wrote between rows", x, isa, c.data()[at], 0);
      }
    }
  }
}

// Every value of a dense range, in float ulps of the largest result.
void check_activations(Isa isa, ThreadPool& pool, Workspace& workspace) {
  for (Activation act : {Activation::GeluTanh, Activation::Silu, Activation::Relu}) {
    const int64_t n = 20001;
    std::vector<float> bias(n), c(n), slope(n);
    for (int64_t i = 0; i < n; ++i) bias[i] = (i - 10000) * 0.0015f;
    GemmArgs args;
    args.m = 1, args.n = n, args.k = 0, args.c = c.data(), args.c_row = n, args.bias = bias.data(), args.act = act;
    args.slope = slope.data();
    gemm(args, pool, isa, workspace);
    double worst = 0;
    for (int64_t i = 0; i < n; ++i) {
      worst = std::max(worst, std::fabs(c[i] - activated(act, bias[i])) / (1 + std::fabs(bias[i])));
      worst = std::max(worst, std::fabs(slope[i] - slope_of(act, bias[i])));
    }
    if (!(worst < 3e-7)) {
      ++failures;
      std::printf("FAIL activation %d isa %s: error %.3g\n", (int)act, isa_name(isa), worst);
    }
    const float special[] = {INFINITY, NAN, 1e30f, -1e30f, 0.0f, -200.0f, 3e38f, -3e38f};
    args.n = 8, args.c_row = 8, args.bias = special;
    gemm(args, pool, isa, workspace);
    const bool right = c[0] == INFINITY && std::isnan(c[1]) && c[2] == 1e30f && c[3] == 0 && c[4] == 0 && c[5] == 0 &&
                       c[6] == 3e38f && c[7] == 0;
    const bool flat = slope[0] == 1 && slope[2] == 1 && slope[3] == 0 && slope[5] == 0 && slope[6] == 1 &&
                      slope[7] == 0 && (act == Activation::Relu || std::isnan(slope[1]));
    if (!flat) {
      ++failures;
      std::printf("FAIL slope of %d isa %s at special values: %g %g %g %g %g %g %g\n", (int)act, isa_name(isa), slope[0],
                  slope[1], slope[2], slope[3], slope[5], slope[6], slope[7]);
    }
    if (!right) {
      ++failures;
      std::printf("FAIL activation %d isa %s at special values: %g %g %g %g %g %g %g %g\n", (int)act, isa_name(isa), c[0],
                  c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
    }
  }
}

// c may be the memory of its own residual, as in x += gate * (y W), also where c is visited more than once.
void check_residual_in_place(Isa isa, ThreadPool& pool, Workspace& workspace) {
  for (int64_t k : {40, 900, 3000}) {
    const int64_t m = 50, n = 90;
    std::vector<float> a(m * k), b(k * n), x(m * n), expected(m * n), gate(n);
    for (auto* values : {&a, &b, &x, &gate}) {
      for (float& value : *values) value = random_float();
    }
    GemmArgs args;
    args.m = m, args.n = n, args.k = k, args.a = a.data(), args.a_row = k, args.b = b.data(), args.b_row = n;
    args.gate = gate.data(), args.gate_row = m, args.gate_stride = n;
    args.c_row = n, args.c = expected.data(), args.residual = x.data();
    gemm(args, pool, isa, workspace);
    args.c = x.data();
    gemm(args, pool, isa, workspace);
    if (!same_bits(expected, x.data())) report("residual in place", {m, n, k}, isa, 0, 0);
  }
}

// A NaN or infinity in one row of a and one column of b reaches exactly that row and that column, and not what an odd
// value of k is paired with.
void check_nan(Isa isa, Compute compute, ThreadPool& pool, Workspace& workspace) {
  struct Case {
    int64_t m, k;
    bool bias;  // with one, sums begin with it, or go through the epilogue where k is visited in blocks
  };
  for (const Case& x : {Case{37, 40, false}, {37, 59, true}, {37, 1501, false}, {101, 40, true}, {101, 1501, true}}) {
    const int64_t m = x.m, n = 45, k = x.k;
    std::vector<float> a(m * k, 0.5f), b(k * n, 0.25f), c(m * n), bias(n, 3.0f);
    a[5 * k + k - 1] = NAN;
    b[(k - 1) * n + 44] = INFINITY;
    GemmArgs args;
    args.m = m, args.n = n, args.k = k, args.a = a.data(), args.a_row = k, args.b = b.data(), args.b_row = n;
    args.c = c.data(), args.c_row = n, args.bias = x.bias ? bias.data() : nullptr, args.compute = compute;
    gemm(args, pool, isa, workspace);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const float got = c[i * n + j], finite = k * 0.125f + (x.bias ? 3.0f : 0.0f);
        const bool right = i == 5 ? std::isnan(got) : j == 44 ? got == INFINITY : got == finite;
        if (!right) report("NaN or infinity", {m, n, k}, isa, got, 0);
      }
    }
  }
}

// c = a b for one row and column, so that c is what rounding made of the operands.
void check_bf16_values(Isa isa, ThreadPool& pool, Workspace& workspace) {
  const struct {
    float value, rounded;
  } cases[] = {{1.0f, 1.0f},           {1.00390625f, 1.0f},     {1.01171875f, 1.015625f}, {1.0039065f, 1.0078125f},
               {-1.00390625f, -1.0f},  {3.4028235e38f, INFINITY}, {-INFINITY, -INFINITY}, {3.3895314e38f, 3.3895314e38f},
               {NAN, NAN},             {-0.0f, 0.0f},           {1e-20f, bf16(1e-20f)},   {0.1f, 0.10009765625f}};
  for (const auto& x : cases) {
    float c = 7, one = 1;
    GemmArgs args;
    args.m = args.n = args.k = 1;
    args.a = &x.value, args.b = &one, args.c = &c, args.compute = Compute::Bf16;
    gemm(args, pool, isa, workspace);
    const float as_left = c;
    args.a = &one, args.b = &x.value;
    gemm(args, pool, isa, workspace);
    for (float got : {as_left, c}) {
      const bool right = std::isnan(x.rounded) ? std::isnan(got) : got == x.rounded;
      if (!right) report("rounding to bf16", {1, 1, 1}, isa, got, x.rounded);
    }
  }
}

// Large enough for every instruction set's own path, with one value in a that f32 has and few-bit parts have not.
void check_extremes(Isa isa, ThreadPool& pool, Workspace& workspace) {
  const float extremes[] = {INFINITY, -INFINITY, NAN, 3.4028235e38f, -3e35f, 1e-44f, 1.2e-38f};
  for (int64_t k : {384, 1100}) {
    for (bool right : {false, true}) {
      for (const float extreme : extremes) {
        const int64_t m = 147, n = 200;
        std::vector<float> a(m * k), b(k * n), c(m * n);
        for (float& value : a) value = 0.25f;
        for (float& value : b) value = 0.5f;
        const int64_t row = 70, column = 101, at = k - 30;
        (right ? b[at * n + column] : a[row * k + at]) = extreme;
        GemmArgs args;
        args.m = m, args.n = n, args.k = k, args.a = a.data(), args.a_row = k, args.b = b.data(), args.b_row = n;
        args.c = c.data(), args.c_row = n;
        gemm(args, pool, isa, workspace);
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            const bool met = right ? j == column : i == row;
            const float want = met ? (k - 1) * 0.125f + extreme * (right ? 0.25f : 0.5f) : k * 0.125f;
            const float got = c[i * n + j];
            const bool right_value = std::isnan(want) ? std::isnan(got) : std::isinf(want) ? got == want
                                                      : std::fabs(got - want) <= 1e-6 * std::fabs(want);
            if (!right_value) report("extreme value", {m, n, k}, isa, got, want);
          }
        }
      }
    }
  }
}

// The worst error against float64, in units of the sum of sizes of the terms of an element.
double worst_error(const std::vector<float>& a, const std::vector<float>& b, int64_t m, int64_t n, int64_t k, Isa isa,
                   ThreadPool& pool, Workspace& workspace) {
  std::vector<float> c(m * n);
  GemmArgs args;
  args.m = m, args.n = n, args.k = k, args.a = a.data(), args.a_row = k, args.b = b.data(), args.b_row = n;
  args.c = c.data(), args.c_row = n;
  gemm(args, pool, isa, workspace);
  double worst = 0;
  for (int64_t i = 0; i < m; i += 3) {
    for (int64_t j = 0; j < n; j += 2) {
      double sum = 0, size = 0;
      for (int64_t p = 0; p < k; ++p) {
        const double term = double(a[i * k + p]) * b[p * n + j];
        sum += term, size += std::fabs(term);
      }
      worst = std::max(worst, std::fabs(c[i * n + j] - sum) / size);
    }
  }
  return worst;
}

// No instruction set is less accurate than the sums of f32 products of the one below it, whatever the data.
void check_accuracy(Isa isa, ThreadPool& pool, Workspace& workspace) {
  if (isa <= Isa::Avx512) return;
  const int64_t m = 96, n = 128;
  for (int64_t k : {64, 384, 4096}) {
    for (int data = 0; data < 4; ++data) {
      std::vector<float> a(m * k), b(k * n);
      for (auto* values : {&a, &b}) {
        for (float& value : *values) {
          value = random_float();
          if (data == 1) value = std::ldexp(value, static_cast<int>(20 * random_float()));  // badly scaled
          if (data == 2) value = 1 + std::fabs(value);                                      // all of one sign
        }
      }
      if (data == 3) {  // sums that cancel
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t p = 0; p < k / 2; ++p) a[i * k + k / 2 + p] = -a[i * k + p] * (1 + 1e-5f * random_float());
        }
        for (int64_t p = 0; p < k / 2; ++p) {
          for (int64_t j = 0; j < n; ++j) b[(k / 2 + p) * n + j] = b[p * n + j];
        }
      }
      const double here = worst_error(a, b, m, n, k, isa, pool, workspace);
      const double there = worst_error(a, b, m, n, k, Isa::Avx512, pool, workspace);
      if (std::getenv("GEMM_TEST_ERRORS")) {
        std::printf("%s k %ld data %d: error %.2e, avx512 %.2e\n", isa_name(isa), (long)k, data, here, there);
      }
      if (!(here <= 1.2 * there)) report("less accurate than avx512", {m, n, k}, isa, here, there);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  // An emulator takes one in so many of the products.
  const int every = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  int product = 0;
  ThreadPool one(1), two(2), three(3);
  const std::vector<ThreadPool*> pools = {&one, &two, &three};
  for (Isa isa : kIsas) {
    if (static_cast<int>(isa) > static_cast<int>(detect_isa())) {
      std::printf("skipped %s: this machine does not have it\n", isa_name(isa));
      continue;
    }
    Workspace workspace;
    const int64_t sizes[] = {1, 2, 5, 12, 13, 16, 17, 31, 32, 33, 49, 70};
    for (int64_t m : sizes) {
      for (int64_t n : sizes) {
        for (int64_t k : {0, 1, 3, 8, 33}) {
          if (product++ % every != 0) continue;
          const int bits = static_cast<int>(random_state >> 40);
          Case x{m, n, k};
          x.a_transposed = bits & 1, x.b_transposed = bits & 2, x.c_transposed = (bits & 28) == 0;
          x.a_strided = (bits & 0x60) == 0, x.b_strided = (bits & 0x180) == 0;
          x.bias = bits & 0x200, x.pre = bits & 0x400, x.gate = bits & 0x800, x.residual = bits & 0x1000;
          x.slope = bits & 0x200000;
          x.act = static_cast<Activation>(bits >> 13 & 3);
          x.beta = bits & 0x8000 ? 0.5f : 0.0f, x.alpha = bits & 0x10000 ? -1.25f : 1.0f;
          x.c_pad = bits >> 17 & 3;
          x.batches = 1 + (bits >> 19 & 1);
          check(x, isa, pools, workspace, false);
          x.b_shared = true;
          check(x, isa, pools, workspace, true);
          Case plain{m, n, k};
          plain.a_transposed = !x.a_transposed, plain.b_transposed = !x.b_transposed;
          plain.beta = bits & 0x8000 ? 1.0f : 0.0f;
          check(plain, isa, pools, workspace, false);
          x.b_shared = bits & 0x200000;
          x.compute = Compute::Bf16;
          check(x, isa, pools, workspace, false);
          check(x, isa, pools, workspace, x.b_shared);
        }
      }
    }
    const int64_t large[][3] = {{130, 200, 900}, {301, 97, 401}, {97, 770, 200}, {49, 49, 2000}, {128, 130, 1500},
                                {1, 300, 3000}, {300, 1, 3000}, {8, 1000, 200}, {700, 40, 130}, {25, 65, 1200},
                                {5, 4200, 600}, {587, 147, 59}, {147, 59, 587}, {59, 587, 147}, {7, 147, 587},
                                {147, 7, 1501}, {59, 1, 587}, {59, 147, 1}};
    for (auto& s : large) {
      for (int bits = 0; bits < 8; ++bits) {
        if (product++ % every != 0) continue;
        Case x{s[0], s[1], s[2]};
        x.a_transposed = bits & 1, x.b_transposed = bits & 2;
        if (bits & 4) {
          x.bias = x.pre = x.slope = x.residual = x.gate = true;
          x.act = Activation::GeluTanh;
          x.alpha = 0.3f;
        } else {
          x.beta = bits & 1 ? 1.0f : 0.0f;
        }
        x.c_pad = bits & 1 ? 3 : 0;
        for (Compute compute : {Compute::F32, Compute::Bf16}) {
          x.compute = compute;
          check(x, isa, pools, workspace, false);
          check(x, isa, pools, workspace, true);
        }
      }
    }
    for (Compute compute : {Compute::F32, Compute::Bf16}) {
      Case heads{49, 49, 32};
      heads.batches = 24, heads.b_transposed = true, heads.alpha = 0.17f, heads.compute = compute;
      check(heads, isa, pools, workspace, false);
      Case values{49, 32, 49};
      values.batches = 24, values.compute = compute;
      check(values, isa, pools, workspace, false);
      values.batches = 0;
      check(values, isa, pools, workspace, false);
    }
    for (int64_t empty = 0; empty < 2; ++empty) check({empty ? 0 : 3, empty ? 3 : 0, 4}, isa, pools, workspace, false);
    check_activations(isa, two, workspace);
    check_residual_in_place(isa, two, workspace);
    for (Compute compute : {Compute::F32, Compute::Bf16}) check_nan(isa, compute, two, workspace);
    check_bf16_values(isa, two, workspace);
    check_extremes(isa, two, workspace);
    check_accuracy(isa, two, workspace);
  }
  std::printf("%d products checked, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
