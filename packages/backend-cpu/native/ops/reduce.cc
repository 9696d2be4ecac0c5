#include "reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../device/decoder.h"
#include "../kernels.h"
#include "axes.h"

namespace ditkit {

namespace {

constexpr int64_t kBlock = 16384;     // elements of a partial sum of one long row
constexpr int64_t kBlockRows = 128;   // rows of a partial column sum
constexpr int64_t kChunk = 32768;     // elements that are worth waking a thread for
constexpr int kPartials = 6;          // workspace slot

double start_of(ReduceKind kind) {
  if (kind == ReduceKind::Sum) return 0;
  const double infinity = std::numeric_limits<double>::infinity();
  return kind == ReduceKind::Max ? -infinity : infinity;
}

double join(ReduceKind kind, double a, double b) {
  if (kind == ReduceKind::Sum) return a + b;
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return kind == ReduceKind::Max ? std::max(a, b) : std::min(a, b);
}

double element(const View& view, int64_t at) {
  switch (view.dtype) {
    case DType::F32: return view.f32()[at];
    case DType::I32: return view.i32()[at];
    case DType::Bool: break;
  }
  return view.u8()[at];
}

struct Reduction {
  ReduceKind kind;
  View from;
  View to;
  bool accumulate;
  Axes<2> kept;     // strides of source and destination
  Axes<2> reduced;

  void store(int64_t at, double value) const {
    if (to.dtype == DType::F32) {
      float* const d = to.f32() + at;
      *d = static_cast<float>(accumulate ? join(kind, *d, value) : value);
    } else {
      int32_t* const d = to.i32() + at;
      value = accumulate ? join(kind, *d, value) : value;
      *d = value != value ? 0 : static_cast<int32_t>(std::min(2147483647.0, std::max(-2147483648.0, value)));
    }
  }

  // Elements at + [0, n) * stride.
  double run(const Kernels& kernels, int64_t at, int64_t stride, int64_t n) const {
    if (from.dtype == DType::F32 && stride == 1) {
      const float* const a = from.f32() + at;
      if (kind == ReduceKind::Sum) return kernels.sum(a, n);
      return kind == ReduceKind::Max ? kernels.max(a, n) : kernels.min(a, n);
    }
    double value = start_of(kind);
    for (int64_t i = 0; i < n; ++i) value = join(kind, value, element(from, at + i * stride));
    return value;
  }
};

// One destination element at a time.
void reduce_each(const Reduction& r, Executor& executor) {
  const int64_t outputs = r.kept.count();
  const int inner = r.reduced.rank - 1;
  const int64_t length = r.reduced.rank > 0 ? r.reduced.size[inner] : 1;
  const int64_t stride = r.reduced.rank > 0 ? r.reduced.stride[0][inner] : 1;
  const int64_t runs = r.reduced.rank > 0 ? r.reduced.count() / length : 1;
  const int64_t group = std::max<int64_t>(1, kChunk / (runs * length));
  executor.pool.run((outputs + group - 1) / group, [&](int64_t chunk, int) {
    for (int64_t o = chunk * group; o < std::min(outputs, (chunk + 1) * group); ++o) {
      const int64_t base = r.kept.offset(0, o, r.kept.rank);
      double value = start_of(r.kind);
      for (int64_t k = 0; k < runs; ++k) {
        value = join(r.kind, value, r.run(executor.kernels, base + r.reduced.offset(0, k, inner), stride, length));
      }
      r.store(r.kept.offset(1, o, r.kept.rank), value);
    }
  });
}

// Few destination elements, each of one long run: blocks of the run in parallel, joined in order.
void reduce_long(const Reduction& r, Executor& executor) {
  const int64_t outputs = r.kept.count();
  const int64_t length = r.reduced.size[0], stride = r.reduced.stride[0][0];
  const int64_t blocks = (length + kBlock - 1) / kBlock;
  double* const partial = reinterpret_cast<double*>(executor.workspace.get(kPartials, outputs * blocks * 2));
  executor.pool.run(outputs * blocks, [&](int64_t k, int) {
    const int64_t start = k % blocks * kBlock;
    const int64_t base = r.kept.offset(0, k / blocks, r.kept.rank);
    partial[k] = r.run(executor.kernels, base + start * stride, stride, std::min(kBlock, length - start));
  });
  for (int64_t o = 0; o < outputs; ++o) {
    double value = start_of(r.kind);
    for (int64_t b = 0; b < blocks; ++b) value = join(r.kind, value, partial[o * blocks + b]);
    r.store(r.kept.offset(1, o, r.kept.rank), value);
  }
}

// The last axis is kept and contiguous: rows are folded into rows, blocks of rows in parallel, joined in order.
void reduce_columns(const Reduction& r, Executor& executor) {
  const int last = r.kept.rank - 1;
  const int64_t columns = r.kept.size[last], outer = r.kept.count() / columns;
  const int inner = r.reduced.rank - 1;
  const int64_t run_rows = r.reduced.size[inner], row_stride = r.reduced.stride[0][inner];
  const int64_t rows = r.reduced.count();
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  // One block of rows per result is folded where the result goes, with no second stage.
  const bool direct = blocks == 1 && r.to.dtype == DType::F32 && r.kept.stride[1][last] == 1;
  float* const partial = direct ? nullptr : executor.workspace.get(kPartials, outer * blocks * columns);
  const float start = static_cast<float>(start_of(r.kind));
  const int64_t per_block = std::min(rows, kBlockRows) * columns;
  const int64_t group = std::max<int64_t>(1, kChunk / per_block);
  const int64_t total = outer * blocks;
  executor.pool.run((total + group - 1) / group, [&](int64_t chunk, int) {
    for (int64_t k = chunk * group; k < std::min(total, (chunk + 1) * group); ++k) {
      float* const acc = direct ? r.to.f32() + r.kept.offset(1, k, last) : partial + k * columns;
      if (!direct || !r.accumulate) std::fill(acc, acc + columns, start);
      const float* const base = r.from.f32() + r.kept.offset(0, k / blocks, last);
      int64_t row = k % blocks * kBlockRows;
      const int64_t end = std::min(rows, row + kBlockRows);
      while (row < end) {
        const int64_t n = std::min(end - row, run_rows - row % run_rows);
        executor.kernels.reduce_columns(r.kind, acc, base + r.reduced.offset(0, row, r.reduced.rank), n, row_stride,
                                        columns);
        row += n;
      }
    }
  });
  if (direct) return;
  const int64_t strip = std::max<int64_t>(64, kChunk / blocks);
  const int64_t strips = (columns + strip - 1) / strip;
  executor.pool.run(outer * strips, [&](int64_t k, int) {
    const int64_t first = k % strips * strip, end = std::min(columns, first + strip);
    const int64_t to = r.kept.offset(1, k / strips, last);
    const float* const block = partial + k / strips * blocks * columns;
    for (int64_t c = first; c < end; ++c) {
      double value = block[c];
      for (int64_t b = 1; b < blocks; ++b) value = join(r.kind, value, block[b * columns + c]);
      r.store(to + c * r.kept.stride[1][last], value);
    }
  });
}

void run_reduce(const Reduction& r, Executor& executor) {
  if (r.to.count == 0) return;
  if (r.from.count == 0) {
    for (int64_t o = 0; o < r.kept.count(); ++o) r.store(r.kept.offset(1, o, r.kept.rank), start_of(r.kind));
    return;
  }
  const int last = r.kept.rank - 1;
  const bool columns = r.kept.rank > 0 && r.reduced.rank > 0 && r.kept.stride[0][last] == 1 && r.kept.size[last] >= 4 &&
                       r.from.dtype == DType::F32 && r.reduced.stride[0][r.reduced.rank - 1] != 1;
  if (columns) return reduce_columns(r, executor);
  if (r.reduced.rank == 1 && r.reduced.size[0] > 2 * kBlock && r.kept.count() < 64) return reduce_long(r, executor);
  reduce_each(r, executor);
}

}  // namespace

void push_reduce(Decoder& in) {
  in.name("reduce");
  Reduction r;
  r.kind = static_cast<ReduceKind>(in.integer(0, 2, "kind"));
  r.from = in.view("source");
  r.to = in.result("destination");
  r.accumulate = in.flag();
  in.finish();
  in.require(r.from.rank == r.to.rank, "source and destination differ in rank");
  in.require(r.to.dtype == DType::F32 || r.to.dtype == DType::I32, "the destination must be f32 or i32");
  for (int d = 0; d < r.from.rank; ++d) {
    in.require(r.to.shape[d] == r.from.shape[d] || r.to.shape[d] == 1,
               "the destination must have the source's shape with 1 at reduced axes");
    const bool reduce = r.to.shape[d] != r.from.shape[d];
    (reduce ? r.reduced : r.kept).add(r.from.shape[d], {r.from.stride[d], reduce ? 0 : r.to.stride[d]});
  }
  in.queue().push([r](Executor& executor) { run_reduce(r, executor); });
}

namespace {

template <class T>
int32_t first_maximum(const T* a, int64_t n) {
  T best = a[0];
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (a[i] != a[i]) return static_cast<int32_t>(i);
    if (a[i] > best) {
      best = a[i];
      at = i;
    }
  }
  return static_cast<int32_t>(at);
}

}  // namespace

void push_argmax(Decoder& in) {
  in.name("argmax");
  const View given = in.view("source");
  const View to = in.result("destination", DType::I32);
  in.finish();
  in.require(given.rank > 0 && to.rank == given.rank && to.contiguous(), "the destination must be contiguous");
  for (int d = 0; d < given.rank; ++d) {
    in.require(to.shape[d] == (d == given.rank - 1 ? 1 : given.shape[d]),
               "the destination must have the source's shape with last axis 1");
  }
  const int64_t n = given.shape[given.rank - 1];
  in.require(n > 0 && n <= INT32_MAX, "the last axis must have at least one element");
  const View from = in.contiguous(given);
  in.queue().push([from, to, n](Executor& executor) {
    const int64_t group = std::max<int64_t>(1, kChunk / n);
    executor.pool.run((to.count + group - 1) / group, [&](int64_t chunk, int) {
      for (int64_t row = chunk * group; row < std::min(to.count, (chunk + 1) * group); ++row) {
        int32_t* const d = to.i32() + row;
        switch (from.dtype) {
          case DType::F32: *d = first_maximum(from.f32() + row * n, n); break;
          case DType::I32: *d = first_maximum(from.i32() + row * n, n); break;
          case DType::Bool: *d = first_maximum(from.u8() + row * n, n); break;
        }
      }
    });
  });
}

}  // namespace ditkit
