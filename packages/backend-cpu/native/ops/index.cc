#include "index.h"

#include <algorithm>
#include <cstring>

#include "../device/decoder.h"
#include "../kernels.h"

namespace ditkit {

namespace {

constexpr int64_t kChunk = 32768;

int64_t clamp(int64_t index, int64_t rows) { return index < 0 ? 0 : index >= rows ? rows - 1 : index; }

void report_outside(const View& index, int64_t rows, double site, Executor& executor) {
  for (int64_t i = 0; i < index.count; ++i) {
    const int32_t value = index.i32()[i];
    if (value >= 0 && value < rows) continue;
    Fault fault;
    fault.kind = FaultKind::Index;
    fault.site = site;
    fault.index = value;
    fault.position = static_cast<double>(i);
    fault.bound = static_cast<double>(rows);
    executor.faults.report(fault);
    return;
  }
}

// Elements of one row of a view [n, …rest].
int64_t row_size(const View& view) {
  int64_t size = 1;
  for (int d = 1; d < view.rank; ++d) size *= view.shape[d];
  return size;
}

struct Rows {
  View table;   // [V, …rest]
  View index;   // [n]
  View values;  // [n, …rest]
  double site;
  int64_t size;  // elements of a row
};

Rows decode_rows(Decoder& in, bool scatter) {
  Rows r;
  r.table = in.view("table");
  r.index = in.view("index", DType::I32);
  r.values = in.view("values", r.table.dtype);
  r.site = in.number();
  in.finish();
  in.require(r.table.rank > 0 && r.values.rank == r.table.rank && r.index.rank == 1, "ranks do not agree");
  in.require(r.values.shape[0] == r.index.shape[0], "values and index differ in length");
  for (int d = 1; d < r.table.rank; ++d) in.require(r.values.shape[d] == r.table.shape[d], "rows differ in shape");
  in.require((scatter ? r.table : r.values).contiguous(), "the destination must be contiguous");
  r.size = row_size(r.table);
  r.index = in.contiguous(r.index);
  if (scatter) r.values = in.contiguous(r.values);
  else r.table = in.contiguous(r.table);
  return r;
}

}  // namespace

void push_gather(Decoder& in) {
  in.name("gather");
  const Rows r = decode_rows(in, false);
  in.queue().push([r](Executor& executor) {
    report_outside(r.index, r.table.shape[0], r.site, executor);
    const int64_t bytes = r.size * size_of(r.table.dtype);
    const int64_t n = r.index.count, group = std::max<int64_t>(1, kChunk / std::max<int64_t>(1, r.size));
    if (bytes == 0 || n == 0) return;
    if (r.table.shape[0] == 0) {
      std::memset(r.values.data, 0, n * bytes);
      return;
    }
    executor.pool.run((n + group - 1) / group, [&](int64_t chunk, int) {
      for (int64_t i = chunk * group; i < std::min(n, (chunk + 1) * group); ++i) {
        const int64_t row = clamp(r.index.i32()[i], r.table.shape[0]);
        std::memmove(r.values.data + i * bytes, r.table.data + row * bytes, bytes);
      }
    });
  });
}

void push_scatter_add(Decoder& in) {
  in.name("scatterAdd");
  const Rows r = decode_rows(in, true);
  in.require(r.table.dtype == DType::F32, "the destination must be f32");
  in.queue().push([r](Executor& executor) {
    report_outside(r.index, r.table.shape[0], r.site, executor);
    const int64_t rows = r.table.shape[0], n = r.index.count;
    if (n == 0 || r.size == 0 || rows == 0) return;
    // Work is cut by destination, columns or rows, so that every sum is taken in the order of the index.
    const bool by_column = r.size >= 128;
    const int64_t parts = n * r.size < kChunk ? 1 : by_column ? (r.size + 63) / 64 : std::min<int64_t>(rows, 16);
    executor.pool.run(parts, [&](int64_t part, int) {
      const int64_t first = by_column ? r.size * part / parts : 0, last = by_column ? r.size * (part + 1) / parts : r.size;
      const int64_t row0 = by_column ? 0 : rows * part / parts, row1 = by_column ? rows : rows * (part + 1) / parts;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t row = clamp(r.index.i32()[i], rows);
        if (row < row0 || row >= row1) continue;
        executor.kernels.add(r.table.f32() + row * r.size + first, r.values.f32() + i * r.size + first, last - first);
      }
    });
  });
}

void push_check(Decoder& in) {
  in.name("check");
  const View given = in.view("condition", DType::Bool);
  const double site = in.number();
  in.finish();
  const View condition = in.contiguous(given);
  in.queue().push([condition, site](Executor& executor) {
    if (std::memchr(condition.data, 0, condition.count) == nullptr) return;
    Fault fault;
    fault.kind = FaultKind::Check;
    fault.site = site;
    executor.faults.report(fault);
  });
}

}  // namespace ditkit
