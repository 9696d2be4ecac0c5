// GEMM kernels for aarch64, where NEON with FMA is always there: a 6 x 16 register tile, 24 of the 32 registers.
#include "kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "gemm.h"

namespace ditkit {
namespace {

struct V {
  using t = float32x4_t;
  static constexpr int kWidth = 4;
  static t zero() { return vdupq_n_f32(0.0f); }
  static t set1(float x) { return vdupq_n_f32(x); }
  static t load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, t x) { vst1q_f32(p, x); }
  static t load_lanes(const float* p, int lanes) {
    if (lanes == kWidth) return load(p);
    float all[kWidth] = {};
    for (int i = 0; i < lanes; ++i) all[i] = p[i];
    return load(all);
  }
  static void store_lanes(float* p, t x, int lanes) {
    if (lanes == kWidth) return store(p, x);
    float all[kWidth];
    store(all, x);
    for (int i = 0; i < lanes; ++i) p[i] = all[i];
  }
  static t fma(t a, t b, t c) { return vfmaq_f32(c, a, b); }
  static t add(t a, t b) { return vaddq_f32(a, b); }
  static t mul(t a, t b) { return vmulq_f32(a, b); }
  static t div(t a, t b) { return vdivq_f32(a, b); }
  static t min(t a, t b) { return vminq_f32(a, b); }
  static t max(t a, t b) { return vmaxq_f32(a, b); }
  // 1 where x > 0, else 0
  static t step(t x) {
    return vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(x, zero()), vreinterpretq_u32_f32(set1(1.0f))));
  }
  static t round(t x) { return vrndnq_f32(x); }
  // In two steps, so that powers beyond one exponent's range still overflow to infinity or underflow to 0.
  static t times_power_of_two(t x, t power) {
    const int32x4_t whole = vcvtnq_s32_f32(power);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    return mul(mul(x, two_to(half)), two_to(vsubq_s32(whole, half)));
  }
  static t two_to(int32x4_t power) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(power, vdupq_n_s32(127)), 23));
  }
};

constexpr int kMaxRows = 6;
constexpr int kVectors = 4;

inline void transpose4(const float* in, int64_t in_row, float* out, int64_t out_row) {
  const float32x4_t r0 = vld1q_f32(in), r1 = vld1q_f32(in + in_row);
  const float32x4_t r2 = vld1q_f32(in + 2 * in_row), r3 = vld1q_f32(in + 3 * in_row);
  const float32x4_t low01 = vzip1q_f32(r0, r2), high01 = vzip2q_f32(r0, r2);
  const float32x4_t low23 = vzip1q_f32(r1, r3), high23 = vzip2q_f32(r1, r3);
  vst1q_f32(out, vzip1q_f32(low01, low23));
  vst1q_f32(out + out_row, vzip2q_f32(low01, low23));
  vst1q_f32(out + 2 * out_row, vzip1q_f32(high01, high23));
  vst1q_f32(out + 3 * out_row, vzip2q_f32(high01, high23));
}

#include "microkernel.inc"
#include "transpose.inc"
#include "pack.inc"
#include "epilogue.inc"

}  // namespace

const GemmKernels kGemmNeon = {kMaxRows, kVectors * V::kWidth, 1, tile_packed, tile_rows,
                               pack_a, pack_b, epilogue, add};

}  // namespace ditkit
#endif
