#include "copy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../device/decoder.h"
#include "../kernels.h"
#include "axes.h"

namespace ditkit {

namespace {

constexpr int64_t kChunkBytes = 128 << 10;

int32_t to_i32(double value) {
  // A cast out of range is undefined in C++: NaN gives 0, the rest saturates.
  if (std::isnan(value)) return 0;
  return static_cast<int32_t>(std::min(2147483647.0, std::max(-2147483648.0, value)));
}

template <class To>
To convert(float value) {
  if constexpr (sizeof(To) == 1) return value != 0.0f;
  else if constexpr (std::is_same_v<To, int32_t>) return to_i32(value);
  else return value;
}
template <class To>
To convert(int32_t value) {
  if constexpr (sizeof(To) == 1) return value != 0;
  else return static_cast<To>(value);
}
template <class To>
To convert(uint8_t value) {
  return static_cast<To>(value);
}

template <class From, class To>
void copy_run(const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t n) {
  const From* a = reinterpret_cast<const From*>(from);
  To* d = reinterpret_cast<To*>(to);
  if constexpr (std::is_same_v<From, To>) {
    if (from_stride == 1 && to_stride == 1) {
      std::memmove(d, a, n * sizeof(To));
      return;
    }
  }
  for (int64_t i = 0; i < n; ++i) d[i * to_stride] = convert<To>(a[i * from_stride]);
}

using CopyRun = void (*)(const char*, int64_t, char*, int64_t, int64_t);

CopyRun copy_run_for(DType from, DType to) {
  static constexpr CopyRun kRuns[3][3] = {
      {copy_run<float, float>, copy_run<float, int32_t>, copy_run<float, uint8_t>},
      {copy_run<int32_t, float>, copy_run<int32_t, int32_t>, copy_run<int32_t, uint8_t>},
      {copy_run<uint8_t, float>, copy_run<uint8_t, int32_t>, copy_run<uint8_t, uint8_t>},
  };
  return kRuns[static_cast<int>(from)][static_cast<int>(to)];
}

// `axis` is contiguous in `from` and the last axis is in `to`: both are walked in blocks.
void run_transpose(const View& from, const View& to, const Axes<2>& axes, int axis, Executor& executor) {
  Axes<2> outer;
  for (int d = 0; d < axes.rank - 1; ++d) {
    if (d != axis) outer.add(axes.size[d], {axes.stride[0][d], axes.stride[1][d]});
  }
  const int last = axes.rank - 1;
  const int64_t columns = axes.size[axis], rows = axes.size[last];
  const int64_t strip = std::max<int64_t>(16, std::min<int64_t>(256, kChunkBytes / 4 / rows / 16 * 16));
  const int64_t strips = (columns + strip - 1) / strip;
  const int64_t from_stride = axes.stride[0][last], to_stride = axes.stride[1][axis];
  const int64_t total = outer.count() * strips;
  const int64_t group = std::max<int64_t>(1, kChunkBytes / (4 * strip * rows));
  const auto kernel = executor.kernels.transpose;
  executor.pool.run((total + group - 1) / group, [&](int64_t chunk, int) {
    for (int64_t k = chunk * group; k < std::min(total, (chunk + 1) * group); ++k) {
      const int64_t block = k / strips, start = k % strips * strip;
      const uint32_t* const a = reinterpret_cast<const uint32_t*>(from.data) + outer.offset(0, block, outer.rank) + start;
      uint32_t* const d = reinterpret_cast<uint32_t*>(to.data) + outer.offset(1, block, outer.rank) + start * to_stride;
      kernel(a, from_stride, d, to_stride, rows, std::min(strip, columns - start));
    }
  });
}

}  // namespace

void run_copy(const View& from, const View& to, Executor& executor) {
  if (to.count == 0) return;
  Axes<2> axes;
  for (int d = 0; d < to.rank; ++d) axes.add(to.shape[d], {from.stride[d], to.stride[d]});
  if (axes.rank == 0) axes = {1, {1}, {{1}, {1}}};
  const int last = axes.rank - 1;
  const bool plain = from.dtype == to.dtype;
  if (plain && from.dtype != DType::Bool && axes.stride[0][last] != 1 && axes.stride[1][last] == 1) {
    for (int d = 0; d < last; ++d) {
      if (axes.stride[0][d] == 1 && axes.size[d] >= 4 && axes.size[last] >= 4) {
        return run_transpose(from, to, axes, d, executor);
      }
    }
  }
  const CopyRun run = copy_run_for(from.dtype, to.dtype);
  const int64_t from_size = size_of(from.dtype), to_size = size_of(to.dtype);
  const int64_t length = axes.size[last], runs = axes.count() / length;
  // A run is cut when it is long; short ones are grouped.
  const int64_t piece = std::min<int64_t>(length, kChunkBytes / 4);
  const int64_t pieces = (length + piece - 1) / piece;
  const int64_t group = std::max<int64_t>(1, kChunkBytes / 4 / piece);
  const int64_t total = runs * pieces;
  executor.pool.run((total + group - 1) / group, [&](int64_t chunk, int) {
    for (int64_t k = chunk * group; k < std::min(total, (chunk + 1) * group); ++k) {
      const int64_t at = k / pieces, start = k % pieces * piece;
      const int64_t a = axes.offset(0, at, last) + start * axes.stride[0][last];
      const int64_t d = axes.offset(1, at, last) + start * axes.stride[1][last];
      run(from.data + a * from_size, axes.stride[0][last], to.data + d * to_size, axes.stride[1][last],
          std::min(piece, length - start));
    }
  });
}

void push_copy(Decoder& in) {
  in.name("copy");
  const View from = in.view("source");
  const View to = in.result("destination");
  in.finish();
  in.require(same_shape(from, to), "source and destination differ in shape");
  in.queue().push([from, to](Executor& executor) { run_copy(from, to, executor); });
}

void push_fill(Decoder& in) {
  in.name("fill");
  View to = in.result("destination");
  const double value = in.number();
  in.finish();
  in.queue().push([to, value](Executor& executor) {
    union {
      float f32;
      int32_t i32;
      uint8_t u8;
    } element;
    if (to.dtype == DType::F32) element.f32 = static_cast<float>(value);
    if (to.dtype == DType::I32) element.i32 = to_i32(value);
    if (to.dtype == DType::Bool) element.u8 = value != 0;
    View from = to;
    from.data = reinterpret_cast<char*>(&element);
    for (int d = 0; d < to.rank; ++d) from.stride[d] = 0;
    run_copy(from, to, executor);
  });
}

void push_iota(Decoder& in) {
  in.name("iota");
  const View to = in.result("destination");
  const double start = in.number();
  const double step = in.number();
  in.finish();
  in.require(to.contiguous(), "the destination must be contiguous");
  in.require(to.dtype != DType::Bool, "the destination must be f32 or i32");
  in.queue().push([to, start, step](Executor&) {
    for (int64_t k = 0; k < to.count; ++k) {
      const double value = start + static_cast<double>(k) * step;
      if (to.dtype == DType::F32) to.f32()[k] = static_cast<float>(value);
      else to.i32()[k] = to_i32(value);
    }
  });
}

}  // namespace ditkit
