#include "round.h"

#include <cstring>

namespace ditkit {

namespace {

enum Slot { kRoundedA = 8, kRoundedB = 9 };

inline float rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  // A NaN could round to infinity, or wrap around: its upper half with the quiet bit set is a NaN.
  bits = (bits & 0x7fffffffu) > 0x7f800000u ? (bits & 0xffff0000u) | 0x00400000u : nearest;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

struct Operand {
  const float* data;
  int64_t row, col;
  int64_t batch[4];
};

// The operand as contiguous `lines` of `length` per batch; batches that it does not take part in are stored once.
// Lines run along the axis whose elements lie closer together, so that the kernels see the orientation they saw before.
Operand round_operand(const Operand& from, int64_t rows, int64_t cols, const GemmArgs& args, int slot, ThreadPool& pool,
                      Workspace& workspace) {
  const bool by_rows = (from.row < 0 ? -from.row : from.row) >= (from.col < 0 ? -from.col : from.col);
  const int64_t lines = by_rows ? rows : cols, length = by_rows ? cols : rows;
  const int64_t line_stride = by_rows ? from.row : from.col, stride = by_rows ? from.col : from.row;
  Operand to{nullptr, by_rows ? length : 1, by_rows ? 1 : length, {0, 0, 0, 0}};
  int64_t batches = 1;
  for (int64_t d = args.batch_rank - 1; d >= 0; --d) {
    if (from.batch[d] == 0) continue;
    to.batch[d] = batches * lines * length;
    batches *= args.batch_shape[d];
  }
  float* const out = workspace.get(slot, static_cast<size_t>(batches * lines * length));
  to.data = out;
  pool.run(batches * lines, [&](int64_t index, int) {
    const float* in = from.data + index % lines * line_stride;
    int64_t batch = index / lines;
    for (int64_t d = args.batch_rank - 1; d >= 0; --d) {
      if (from.batch[d] == 0) continue;
      in += batch % args.batch_shape[d] * from.batch[d];
      batch /= args.batch_shape[d];
    }
    float* const line = out + index * length;
    if (stride == 1) {
      for (int64_t i = 0; i < length; ++i) line[i] = rounded(in[i]);
    } else {
      for (int64_t i = 0; i < length; ++i) line[i] = rounded(in[i * stride]);
    }
  });
  return to;
}

}  // namespace

void round_to_bf16(float* values, size_t n) {
  for (size_t i = 0; i < n; ++i) values[i] = rounded(values[i]);
}

GemmArgs with_rounded_operands(const GemmArgs& args, ThreadPool& pool, Workspace& workspace) {
  GemmArgs to = args;
  to.compute = Compute::F32;
  bool empty = args.m == 0 || args.n == 0 || args.k == 0;
  for (int64_t d = 0; d < args.batch_rank; ++d) empty = empty || args.batch_shape[d] == 0;
  if (empty) return to;
  Operand a{args.a, args.a_row, args.a_col, {}}, b{args.b, args.b_row, args.b_col, {}};
  std::memcpy(a.batch, args.a_batch, sizeof a.batch);
  std::memcpy(b.batch, args.b_batch, sizeof b.batch);
  a = round_operand(a, args.m, args.k, args, kRoundedA, pool, workspace);
  to.a = a.data, to.a_row = a.row, to.a_col = a.col;
  std::memcpy(to.a_batch, a.batch, sizeof a.batch);
  if (args.b == nullptr) return to;
  b = round_operand(b, args.k, args.n, args, kRoundedB, pool, workspace);
  to.b = b.data, to.b_row = b.row, to.b_col = b.col;
  std::memcpy(to.b_batch, b.batch, sizeof b.batch);
  return to;
}

}  // namespace ditkit
