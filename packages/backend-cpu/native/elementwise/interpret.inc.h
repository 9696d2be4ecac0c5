// The elementwise interpreter: one instruction at a time over a tile that stays in cache.

namespace {

constexpr int64_t kMaxSineBlock = 256;

template <class T>
inline void load_run(float* d, const T* source, int64_t stride, int64_t n) {
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<float>(source[i]);
  } else if (stride == 0) {
    const float value = static_cast<float>(*source);
    for (int64_t i = 0; i < n; ++i) d[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<float>(source[i * stride]);
  }
}

// Elements [start, start + n) of the walk, as floats.
template <class T>
void load_tile(float* d, const ElementwisePlan& plan, const ElementwiseInput& in, int64_t start, int64_t n) {
  const int last = plan.rank - 1;
  int64_t index[kMaxRank];
  int64_t offset = 0;
  for (int axis = last; axis >= 0; --axis) {
    index[axis] = start % plan.shape[axis];
    start /= plan.shape[axis];
    offset += index[axis] * in.stride[axis];
  }
  const T* const data = reinterpret_cast<const T*>(in.data);
  while (n > 0) {
    const int64_t left = plan.shape[last] - index[last];
    const int64_t run = left < n ? left : n;
    load_run(d, data + offset, in.stride[last], run);
    d += run;
    n -= run;
    if (n == 0) break;
    offset -= index[last] * in.stride[last];
    index[last] = 0;
    for (int axis = last - 1; axis >= 0; --axis) {
      offset += in.stride[axis];
      if (++index[axis] < plan.shape[axis]) break;
      offset -= plan.shape[axis] * in.stride[axis];
      index[axis] = 0;
    }
  }
}

int64_t offset_of(const ElementwisePlan& plan, const ElementwiseInput& in, int64_t start) {
  int64_t offset = 0;
  for (int axis = plan.rank - 1; axis >= 0; --axis) {
    offset += start % plan.shape[axis] * in.stride[axis];
    start /= plan.shape[axis];
  }
  return offset;
}

void load_tile_of(const ElementwisePlan& plan, const ElementwiseInput& in, int64_t start, int64_t n, float* scratch) {
  switch (in.dtype) {
    case DType::F32: return load_tile<float>(scratch, plan, in, start, n);
    case DType::I32: return load_tile<int32_t>(scratch, plan, in, start, n);
    case DType::Bool: return load_tile<uint8_t>(scratch, plan, in, start, n);
  }
}

// In place when memory holds the tile as it is, else loaded into `scratch`.
float* read_input(const ElementwisePlan& plan, const ElementwiseInput& in, int64_t start, int64_t n, float* scratch) {
  const float* const data = reinterpret_cast<const float*>(in.data);
  if (in.linear) return const_cast<float*>(data + start);
  if (in.unit && (plan.tiles_per_row > 0 || n <= plan.row) && start % plan.row + n <= plan.row) {
    return const_cast<float*>(data + offset_of(plan, in, start));
  }
  load_tile_of(plan, in, start, n, scratch);
  return scratch;
}

inline int32_t truncate(float x) {
  // A cast out of range is undefined in C++: NaN gives 0, the rest saturates.
  if (!(x == x)) return 0;
  return x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : static_cast<int32_t>(x);
}

// n values, `step` apart, to element `at` of an output.
void write_output(const ElementwiseOutput& out, int64_t at, const float* values, int64_t step, int64_t n) {
  switch (out.dtype) {
    case DType::F32: {
      float* const d = reinterpret_cast<float*>(out.data) + at;
      for (int64_t i = 0; i < n; ++i) d[i] = values[i * step];
      break;
    }
    case DType::I32: {
      int32_t* const d = reinterpret_cast<int32_t*>(out.data) + at;
      for (int64_t i = 0; i < n; ++i) d[i] = truncate(values[i * step]);
      break;
    }
    case DType::Bool: {
      uint8_t* const d = reinterpret_cast<uint8_t*>(out.data) + at;
      for (int64_t i = 0; i < n; ++i) d[i] = values[i * step] != 0.0f;
      break;
    }
  }
}

// Argument reduction in double: exact enough up to 1e5; beyond, and for NaN and infinity, the C library does it.
template <bool kCosine>
void sine_array(float* d, const float* a, int64_t n) {
  const double magic = 6755399441055744.0;  // 1.5 * 2^52
  float large[kMaxSineBlock];
  for (int64_t start = 0; start < n; start += kMaxSineBlock) {
    const int64_t m = n - start < kMaxSineBlock ? n - start : kMaxSineBlock;
    const float* const x = a + start;
    bool any_large = false;
    for (int64_t i = 0; i < m; ++i) {
      large[i] = x[i];
      any_large |= !(__builtin_fabsf(x[i]) <= 1e5f);
    }
    for (int64_t i = 0; i < m; ++i) {
      const double wide = large[i];
      const double shifted = wide * 0.63661977236758134308 + magic;
      const double quotient = shifted - magic;
      int64_t quadrant;
      __builtin_memcpy(&quadrant, &shifted, 8);
      if (kCosine) quadrant += 1;
      const double reduced = wide - quotient * 1.57079632679489655800 - quotient * 6.12323399573676603587e-17;
      const float r = static_cast<float>(reduced);
      const float z = r * r;
      const float sine = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
      const float cosine =
          ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
      const float value = (quadrant & 1) ? cosine : sine;
      d[start + i] = (quadrant & 2) ? -value : value;
    }
    if (!any_large) continue;
    for (int64_t i = 0; i < m; ++i) {
      if (__builtin_fabsf(large[i]) <= 1e5f) continue;
      d[start + i] = kCosine ? __builtin_cosf(large[i]) : __builtin_sinf(large[i]);
    }
  }
}

// Replaces each row of the tile by its reduction; row = 0: each element by that of an empty row.
template <bool kMax>
void reduce_rows(float* d, const float* a, int64_t row, int64_t n) {
  if (row == 0) {
    for (int64_t i = 0; i < n; ++i) d[i] = kMax ? -__builtin_inff() : 0.0f;
    return;
  }
  for (int64_t start = 0; start < n; start += row) {
    const float value = kMax ? max_array(a + start, row) : static_cast<float>(sum_array(a + start, row));
    for (int64_t i = 0; i < row; ++i) d[start + i] = value;
  }
}

// A unary instruction reads an array.
void run_instruction(Op op, float* d, Source first, Source b, Source c, int64_t n, int64_t row) {
  const float* const a = first.data;
  switch (op) {
    case Op::Neg: return map1(d, a, n, [](vf x) { return -x; });
    case Op::Abs: return map1(d, a, n, [](vf x) { return absolute(x); });
    case Op::Exp: return map1(d, a, n, [](vf x) { return exp_v(x); });
    case Op::Log: return map1(d, a, n, [](vf x) { return log_v(x); });
    case Op::Sqrt:
      for (int64_t i = 0; i < n; ++i) d[i] = __builtin_sqrtf(a[i]);
      return;
    case Op::Rsqrt:
      for (int64_t i = 0; i < n; ++i) d[i] = 1.0f / __builtin_sqrtf(a[i]);
      return;
    case Op::Reciprocal: return map1(d, a, n, [](vf x) { return 1.0f / x; });
    case Op::Tanh: return map1(d, a, n, [](vf x) { return tanh_v(x); });
    case Op::Sigmoid: return map1(d, a, n, [](vf x) { return sigmoid_v(x); });
    case Op::Sin: return sine_array<false>(d, a, n);
    case Op::Cos: return sine_array<true>(d, a, n);
    case Op::Floor:
      for (int64_t i = 0; i < n; ++i) d[i] = __builtin_floorf(a[i]);
      return;
    case Op::Round:
      for (int64_t i = 0; i < n; ++i) d[i] = __builtin_nearbyintf(a[i]);
      return;
    case Op::Sign:
      return map1(d, a, n, [](vf x) { return x > 0.0f ? splat(1.0f) : (x < 0.0f ? splat(-1.0f) : x); });
    case Op::IsFinite: return map1(d, a, n, [](vf x) { return truth(absolute(x) < __builtin_inff()); });
    case Op::Not: return map1(d, a, n, [](vf x) { return truth(x == 0.0f); });
    case Op::Gelu: return map1(d, a, n, [](vf x) { return gelu_v(x); });
    case Op::GeluGrad: return map1(d, a, n, [](vf x) { return gelu_grad_v(x); });
    case Op::RowSum: return reduce_rows<false>(d, a, row, n);
    case Op::RowMax: return reduce_rows<true>(d, a, row, n);
    case Op::Add: return map2(d, first, b, n, [](vf x, vf y) { return x + y; });
    case Op::Sub: return map2(d, first, b, n, [](vf x, vf y) { return x - y; });
    case Op::Mul: return map2(d, first, b, n, [](vf x, vf y) { return x * y; });
    case Op::Div: return map2(d, first, b, n, [](vf x, vf y) { return x / y; });
    case Op::Min: return map2(d, first, b, n, [](vf x, vf y) { return minimum(x, y); });
    case Op::Max: return map2(d, first, b, n, [](vf x, vf y) { return maximum(x, y); });
    case Op::Pow:
      for (int64_t i = 0; i < n; ++i) d[i] = __builtin_powf(a[i * first.step], b.data[i * b.step]);
      return;
    case Op::Lt: return map2(d, first, b, n, [](vf x, vf y) { return truth(x < y); });
    case Op::Le: return map2(d, first, b, n, [](vf x, vf y) { return truth(x <= y); });
    case Op::Eq: return map2(d, first, b, n, [](vf x, vf y) { return truth(x == y); });
    case Op::Ne: return map2(d, first, b, n, [](vf x, vf y) { return truth(x != y); });
    case Op::And: return map2(d, first, b, n, [](vf x, vf y) { return truth((x != 0.0f) & (y != 0.0f)); });
    case Op::Or: return map2(d, first, b, n, [](vf x, vf y) { return truth((x != 0.0f) | (y != 0.0f)); });
    case Op::Select: return map3(d, first, b, c, n, [](vf x, vf y, vf z) { return x != 0.0f ? y : z; });
    case Op::Fma: return map3(d, first, b, c, n, [](vf x, vf y, vf z) { return x * y + z; });
  }
}

bool reduces_rows(Op op) { return op == Op::RowSum || op == Op::RowMax; }

void splat_to(float* d, float value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) d[i] = value;
}

// Finds the registers that hold one number in all of a tile: of those a vector is computed and kept, not the tile. What a row
// reduction reads is kept whole.
void find_constant(const ElementwisePlan& plan, bool* constant) {
  const ElementwiseProgram& p = *plan.program;
  const bool single_rows = plan.tiles_per_row > 0 || plan.tile == plan.row;
  const int fixed = p.inputs + p.scalars;
  for (int r = 0; r < fixed; ++r) {
    constant[r] = r >= p.inputs || (single_rows && plan.row > 1 && plan.in[r].stride[plan.rank - 1] == 0);
    constant[r] = constant[r] && !p.reduced[r];
  }
  for (int i = 0; i < p.instructions; ++i) {
    const Instruction& instruction = p.code[i];
    bool all = true;
    for (int a = 0; a < 3; ++a) all = all && constant[instruction.args[a]];
    if (reduces_rows(instruction.op)) all = single_rows;
    constant[instruction.result] = all && !p.reduced[instruction.result];
  }
}

// Runs an instruction on a tile of n elements, in rows of `row`.
void run_on_tile(const Instruction& instruction, const bool* constant, float* const* at, int64_t row, int64_t n) {
  float* const d = at[instruction.result];
  const bool one = constant[instruction.result];
  if (reduces_rows(instruction.op) && one) {  // the tile is one row
    const float* const a = at[instruction.args[0]];
    const bool max = instruction.op == Op::RowMax;
    const float value = max ? max_array(a, row) : static_cast<float>(sum_array(a, row));
    return splat_to(d, value, kWidth);
  }
  // The result may take the place of an operand, so a vector that is read to the end is held apart.
  float held[3][kWidth];
  const float* data[3];
  int64_t step[3];
  bool all = true;
  for (int a = 0; a < 3; ++a) {
    const int r = instruction.args[a];
    data[a] = at[r];
    step[a] = constant[r] ? 0 : 1;
    all = all && constant[r];
    if (!constant[r]) continue;
    __builtin_memcpy(held[a], at[r], sizeof held[a]);
    data[a] = held[a];
  }
  run_instruction(instruction.op, d, {data[0], step[0]}, {data[1], step[1]}, {data[2], step[2]}, all ? kWidth : n, row);
  if (all && !one) splat_to(d, d[0], n);
}

}  // namespace

// Tiles [first, last) of a plan; `scratch` holds plan.scratch() floats.
void elementwise(const ElementwisePlan& plan, int64_t first, int64_t last, float* scratch) {
  const ElementwiseProgram& p = *plan.program;
  const int64_t capacity = (plan.tile + 15) / 16 * 16;
  const int fixed = p.inputs + p.scalars;
  float* at[kMaxRegisters];
  bool constant[kMaxRegisters];
  find_constant(plan, constant);
  for (int r = 0; r < fixed + p.instructions; ++r) at[r] = scratch + p.tile[r] * capacity;
  for (int s = p.inputs; s < fixed; ++s) splat_to(at[s], plan.scalar[s - p.inputs], constant[s] ? kWidth : capacity);
  for (int64_t tile = first; tile < last; ++tile) {
    int64_t start, n;
    if (plan.tiles_per_row > 0) {
      const int64_t column = tile % plan.tiles_per_row * plan.tile;
      start = tile / plan.tiles_per_row * plan.row + column;
      n = plan.row - column < plan.tile ? plan.row - column : plan.tile;
    } else {
      start = tile * plan.tile;
      n = plan.count - start < plan.tile ? plan.count - start : plan.tile;
    }
    if (n <= 0) continue;
    for (int i = 0; i < p.inputs; ++i) {
      float* const own = scratch + p.tile[i] * capacity;
      if (constant[i]) load_tile_of(plan, plan.in[i], start, 1, own), splat_to(own, own[0], kWidth);
      at[i] = constant[i] ? own : read_input(plan, plan.in[i], start, n, own);
    }
    for (int o = 0; o < p.outputs; ++o) {
      const int r = p.output[o];
      if (plan.out[o].direct && !constant[r]) at[r] = reinterpret_cast<float*>(plan.out[o].data) + start;
    }
    for (int i = 0; i < p.instructions; ++i) {
      run_on_tile(p.code[i], constant, at, plan.empty_rows ? 0 : plan.row, n);
    }
    for (int o = 0; o < p.outputs; ++o) {
      const ElementwiseOutput& out = plan.out[o];
      const int r = p.output[o];
      if (out.data == nullptr) continue;
      if (out.per_row) write_output(out, start / plan.row, at[r], plan.row, n / plan.row);
      else if (!out.direct || constant[r]) write_output(out, start, at[r], constant[r] ? 0 : 1, n);
    }
  }
}
