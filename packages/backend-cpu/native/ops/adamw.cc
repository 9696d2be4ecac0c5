#include "adamw.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "../device/decoder.h"
#include "../kernels.h"

namespace ditkit {

namespace {

constexpr int64_t kChunk = 16384;  // elements of a partial norm and of a unit of work
constexpr int kPartials = 6;       // workspace slot

struct Parameter {
  int64_t count;
  float* parameter;
  const float* gradient;
  float* first;
  float* second;
  float* average;  // null: none
  float decay_scale;
  float lr_scale;
};

struct Step {
  std::vector<Parameter> parameters;
  // Where each chunk of work begins.
  struct Chunk {
    int64_t parameter;
    int64_t first;
  };
  std::vector<Chunk> chunks;
  const float* scalars;
  float max_norm;
  float* norm;
};

int64_t length_of(const Step& step, const Step::Chunk& chunk) {
  return std::min(kChunk, step.parameters[chunk.parameter].count - chunk.first);
}

void run_adamw(const Step& step, Executor& executor) {
  const int64_t chunks = static_cast<int64_t>(step.chunks.size());
  double* const partial = reinterpret_cast<double*>(executor.workspace.get(kPartials, 2 * std::max<int64_t>(1, chunks)));
  executor.pool.run(chunks, [&](int64_t k, int) {
    const Step::Chunk& chunk = step.chunks[k];
    partial[k] = executor.kernels.sum_of_squares(step.parameters[chunk.parameter].gradient + chunk.first,
                                                 length_of(step, chunk));
  });
  double total = 0;
  for (int64_t k = 0; k < chunks; ++k) total += partial[k];
  const float norm = static_cast<float>(std::sqrt(total));
  step.norm[0] = norm;
  step.norm[1] = std::isfinite(norm) ? 1.0f : 0.0f;
  if (!std::isfinite(norm)) return;
  const float *s = step.scalars, lr = s[0], decay = s[4];
  AdamWFactors common;
  common.clip = step.max_norm > 0 ? std::min(1.0f, step.max_norm / (norm + 1e-6f)) : 1.0f;
  common.beta1 = s[1];
  common.beta2 = s[2];
  common.eps = s[3];
  common.root_correction2 = std::sqrt(s[6]);
  common.ema_decay = s[7];
  const float correction1 = s[5];
  executor.pool.run(chunks, [&](int64_t k, int) {
    const Step::Chunk& chunk = step.chunks[k];
    const Parameter& p = step.parameters[chunk.parameter];
    AdamWFactors factors = common;
    factors.shrink = 1.0f - lr * p.lr_scale * decay * p.decay_scale;
    factors.rate = lr * p.lr_scale / correction1;
    const int64_t at = chunk.first;
    executor.kernels.adamw_update(factors, length_of(step, chunk), p.parameter + at, p.gradient + at, p.first + at,
                                  p.second + at, p.average ? p.average + at : nullptr);
  });
}

}  // namespace

// scalars, maxNorm, norm, count, then for each parameter: elements, five spans (the fifth after a flag), decayScale, lrScale
void push_adamw(Decoder& in) {
  in.name("adamw");
  auto step = std::make_shared<Step>();
  const View scalars = in.view("scalars", DType::F32);
  step->max_norm = static_cast<float>(in.number());
  const View norm = in.view("norm", DType::F32);
  in.require(scalars.count == 8 && scalars.contiguous(), "scalars must be f32 [8]");
  in.require(norm.count == 2 && norm.contiguous(), "norm must be f32 [2]");
  step->scalars = scalars.f32();
  step->norm = norm.f32();
  const int64_t count = in.integer(0, 1 << 20, "number of parameters");
  for (int64_t i = 0; i < count; ++i) {
    Parameter p;
    p.count = in.integer(0, int64_t{1} << 40, "number of elements");
    p.parameter = reinterpret_cast<float*>(in.span(p.count, "parameter"));
    p.gradient = reinterpret_cast<float*>(in.span(p.count, "gradient"));
    p.first = reinterpret_cast<float*>(in.span(p.count, "firstMoment"));
    p.second = reinterpret_cast<float*>(in.span(p.count, "secondMoment"));
    p.average = in.flag() ? reinterpret_cast<float*>(in.span(p.count, "average")) : nullptr;
    p.decay_scale = static_cast<float>(in.number());
    p.lr_scale = static_cast<float>(in.number());
    for (int64_t first = 0; first < p.count; first += kChunk) step->chunks.push_back({i, first});
    step->parameters.push_back(p);
  }
  in.finish();
  in.queue().push([step](Executor& executor) { run_adamw(*step, executor); });
}

}  // namespace ditkit
