// Vectors of f32 as wide as the instruction set has them, and the mathematical functions on them. Included once per
// instruction set, inside its namespace; nothing here may be shared between sets (no inline function of the standard
// library either: the linker keeps one copy, and it could be the one built for the newest CPU).

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float vf __attribute__((vector_size(kWidth * 4)));
typedef int32_t vi __attribute__((vector_size(kWidth * 4)));

static inline vf load(const float* p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
static inline vf load_some(const float* p, int64_t n) {
  vf v = {};
  __builtin_memcpy(&v, p, n * 4);
  return v;
}
static inline void store_some(float* p, vf v, int64_t n) { __builtin_memcpy(p, &v, n * 4); }
static inline vf splat(float x) { return x - vf{}; }
static inline vi bits(vf v) { return (vi)v; }
static inline vf floats(vi v) { return (vf)v; }
static inline vf to_float(vi v) { return __builtin_convertvector(v, vf); }
static inline vi to_int(vf v) { return __builtin_convertvector(v, vi); }
static inline vf absolute(vf x) { return floats(bits(x) & 0x7fffffff); }
// 1 where the mask is set, else 0
static inline vf truth(vi mask) { return floats(mask & 0x3f800000); }
// NaN in either operand gives NaN.
static inline vf maximum(vf a, vf b) { return ((a > b) | (a != a)) ? a : b; }
static inline vf minimum(vf a, vf b) { return ((a < b) | (a != a)) ? a : b; }

// Halves are added until one lane is left.
static inline float sum_lanes(vf v) {
  typedef float v2 __attribute__((vector_size(8)));
  typedef float v4 __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  typedef float v8 __attribute__((vector_size(32)));
  const v8 eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const v4 four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#elif defined(__AVX2__)
  const v4 four = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
  const v4 four = v;
#endif
  const v2 two = __builtin_shufflevector(four, four, 0, 1) + __builtin_shufflevector(four, four, 2, 3);
  return two[0] + two[1];
}

// ≤ 1 ulp. Argument reduction and polynomial as in Cephes' expf; the scale is applied in two steps, where there is no
// instruction for it, so that results overflow to infinity and underflow through the denormals.
static inline vf exp_v(vf x) {
  x = x > 89.0f ? splat(89.0f) : x;
  x = x < -104.0f ? splat(-104.0f) : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, held in the low bits
  const vf shifted = x * 1.44269504088896341f + magic;
  const vf n = shifted - magic;
  vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
#if defined(__AVX512F__)
  constexpr int kCurrentRounding = 4;
  return __builtin_ia32_scalefps512_mask(p, n, p, 0xffff, kCurrentRounding);
#else
  const vi power = bits(shifted) - 0x4b400000;
  const vi first = power >> 1;
  const vi second = power - first;
  return p * floats((first + 127) << 23) * floats((second + 127) << 23);
#endif
}

// About 1 ulp; polynomial as in Cephes' logf.
static inline vf log_v(vf x) {
  const vi tiny = x < 1.17549435e-38f;
  const vf scaled = tiny ? x * 8388608.0f : x;
  const vi shifted = bits(scaled) - 0x3f3504f3;  // mantissa from sqrt(1/2) to sqrt(2)
  const vi exponent = shifted >> 23;
  const vf f = floats(bits(scaled) - (exponent << 23)) - 1.0f;
  const vf e = to_float(exponent) - (tiny ? splat(23.0f) : splat(0.0f));
  const vf z = f * f;
  vf p = 7.0376836292e-2f * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  p = p * f * z;
  p = p + e * -2.12194440e-4f;
  p = p - 0.5f * z;
  vf result = (f + p) + e * 0.693359375f;
  const float infinity = __builtin_inff();
  result = x == 0.0f ? splat(-infinity) : result;
  result = x < 0.0f ? splat(__builtin_nanf("")) : result;
  return ((x == infinity) | (x != x)) ? x : result;
}

static inline vf sigmoid_v(vf x) {
  const vf e = exp_v(-absolute(x));
  const vf inverse = 1.0f / (1.0f + e);
  return x >= 0.0f ? inverse : ((x < 0.0f) ? e * inverse : x);
}

// Polynomial near zero as in Cephes' tanhf.
static inline vf tanh_v(vf x) {
  const vf magnitude = absolute(x);
  const vf large = 1.0f - 2.0f / (exp_v(magnitude + magnitude) + 1.0f);
  const vf z = x * x;
  vf p = -5.70498872745e-3f * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * x + x;
  return magnitude > 0.625f ? floats(bits(large) | (bits(x) & (int32_t)0x80000000)) : p;
}

constexpr float kGeluScale = 0.7978845608028654f;  // sqrt(2 / pi)
constexpr float kGeluCubic = 0.044715f;

// The tanh form, written as x * sigmoid(2u): no cancellation for negative x.
static inline vf gelu_v(vf x) {
  const vf u2 = (2.0f * kGeluScale) * (x + kGeluCubic * x * x * x);
  return x * sigmoid_v(u2);
}

static inline vf gelu_grad_v(vf x) {
  // Beyond 10 the slope is 0 or 1 to the last bit, and the clamp keeps its terms finite.
  const vf c = x > 10.0f ? splat(10.0f) : (x < -10.0f ? splat(-10.0f) : x);
  const vf u2 = (2.0f * kGeluScale) * (c + kGeluCubic * c * c * c);
  const vf slope = (2.0f * kGeluScale) * (1.0f + (3.0f * kGeluCubic) * c * c);
  const vf e = exp_v(-absolute(u2));
  const vf inverse = 1.0f / (1.0f + e);
  const vf s = c >= 0.0f ? inverse : e * inverse;
  return s + c * (e * inverse * inverse) * slope;
}

// What an elementwise function reads: an array (step 1), or one vector of equal numbers that stands for all of it (step 0).
struct Source {
  const float* data;
  int64_t step;
  Source(const float* data, int64_t step = 1) : data(data), step(step) {}
  vf at(int64_t i) const { return load(data + i * step); }
  vf some(int64_t i, int64_t n) const { return load_some(data + i * step, n); }
};

// d[i] = f(a[i]) for whole vectors, then for the rest of the array; d may be an array that is read.
template <class F>
static inline void map1(float* d, const float* a, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(d + i, f(load(a + i)));
  if (i < n) store_some(d + i, f(load_some(a + i, n - i)), n - i);
}
template <class F>
static inline void map2(float* d, Source a, Source b, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(d + i, f(a.at(i), b.at(i)));
  if (i < n) store_some(d + i, f(a.some(i, n - i), b.some(i, n - i)), n - i);
}
template <class F>
static inline void map3(float* d, Source a, Source b, Source c, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(d + i, f(a.at(i), b.at(i), c.at(i)));
  if (i < n) store_some(d + i, f(a.some(i, n - i), b.some(i, n - i), c.some(i, n - i)), n - i);
}

// Blocks are summed in f32 lanes and added up in double: 1e-7 relative however long the array is.
static inline double sum_array(const float* a, int64_t n) {
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t end = n - start < 4096 ? n : start + 4096;
    vf s0 = {}, s1 = {}, s2 = {}, s3 = {};
    int64_t i = start;
    for (; i + 4 * kWidth <= end; i += 4 * kWidth) {
      s0 += load(a + i);
      s1 += load(a + i + kWidth);
      s2 += load(a + i + 2 * kWidth);
      s3 += load(a + i + 3 * kWidth);
    }
    for (; i + kWidth <= end; i += kWidth) s0 += load(a + i);
    if (i < end) s1 += load_some(a + i, end - i);
    total += sum_lanes((s0 + s1) + (s2 + s3));
  }
  return total;
}

static inline float max_array(const float* a, int64_t n) {
  vf m = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) m = maximum(load(a + i), m);
  float lanes[kWidth];
  __builtin_memcpy(lanes, &m, sizeof m);
  float best = lanes[0];
  for (int l = 1; l < kWidth; ++l) best = (lanes[l] > best || lanes[l] != lanes[l]) ? lanes[l] : best;
  for (; i < n; ++i) best = (a[i] > best || a[i] != a[i]) ? a[i] : best;
  return best;
}

static inline float min_array(const float* a, int64_t n) {
  vf m = splat(__builtin_inff());
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) m = minimum(load(a + i), m);
  float lanes[kWidth];
  __builtin_memcpy(lanes, &m, sizeof m);
  float best = lanes[0];
  for (int l = 1; l < kWidth; ++l) best = (lanes[l] < best || lanes[l] != lanes[l]) ? lanes[l] : best;
  for (; i < n; ++i) best = (a[i] < best || a[i] != a[i]) ? a[i] : best;
  return best;
}
