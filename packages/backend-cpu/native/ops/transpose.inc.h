// Transposes of 4-byte elements, through blocks that stay in the first-level cache.

namespace {

typedef uint32_t vu4 __attribute__((vector_size(16)));

inline vu4 load4(const uint32_t* p) {
  vu4 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

inline void store4(uint32_t* p, vu4 v) { __builtin_memcpy(p, &v, sizeof v); }

#if defined(__clang__)
#define DITKIT_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define DITKIT_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, vu4{i, j, k, l})
#endif

inline void transpose_4x4(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride) {
  const vu4 a = load4(from), b = load4(from + from_stride);
  const vu4 c = load4(from + 2 * from_stride), d = load4(from + 3 * from_stride);
  const vu4 ab0 = DITKIT_SHUFFLE(a, b, 0, 4, 1, 5), ab1 = DITKIT_SHUFFLE(a, b, 2, 6, 3, 7);
  const vu4 cd0 = DITKIT_SHUFFLE(c, d, 0, 4, 1, 5), cd1 = DITKIT_SHUFFLE(c, d, 2, 6, 3, 7);
  store4(to, DITKIT_SHUFFLE(ab0, cd0, 0, 1, 4, 5));
  store4(to + to_stride, DITKIT_SHUFFLE(ab0, cd0, 2, 3, 6, 7));
  store4(to + 2 * to_stride, DITKIT_SHUFFLE(ab1, cd1, 0, 1, 4, 5));
  store4(to + 3 * to_stride, DITKIT_SHUFFLE(ab1, cd1, 2, 3, 6, 7));
}

#undef DITKIT_SHUFFLE

}  // namespace

void transpose(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride, int64_t rows,
               int64_t columns) {
  constexpr int64_t kBlock = 16;  // a cache line of either side
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const int64_t i1 = rows - i0 < kBlock ? rows : i0 + kBlock;
    for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
      const int64_t j1 = columns - j0 < kBlock ? columns : j0 + kBlock;
      int64_t i = i0;
      for (; i + 4 <= i1; i += 4) {
        int64_t j = j0;
        for (; j + 4 <= j1; j += 4) transpose_4x4(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
        for (; j < j1; ++j) {
          for (int64_t k = i; k < i + 4; ++k) to[j * to_stride + k] = from[k * from_stride + j];
        }
      }
      for (; i < i1; ++i) {
        for (int64_t j = j0; j < j1; ++j) to[j * to_stride + i] = from[i * from_stride + j];
      }
    }
  }
}
