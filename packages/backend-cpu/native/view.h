// A checked strided view of tensor memory, as commands receive it.
#pragma once

#include <cstdint>

namespace ditkit {

enum class DType : uint8_t { F32 = 0, I32 = 1, Bool = 2 };

inline int64_t size_of(DType dtype) { return dtype == DType::Bool ? 1 : 4; }

constexpr int kMaxRank = 8;

struct View {
  char* data = nullptr;  // of element [0, …, 0]
  DType dtype = DType::F32;
  int rank = 0;
  int64_t shape[kMaxRank];
  int64_t stride[kMaxRank];  // in elements
  int64_t count = 1;         // product of shape

  float* f32() const { return reinterpret_cast<float*>(data); }
  int32_t* i32() const { return reinterpret_cast<int32_t*>(data); }
  uint8_t* u8() const { return reinterpret_cast<uint8_t*>(data); }

  // Row-major without gaps (axes of size 1 may have any stride).
  bool contiguous() const {
    if (count == 0) return true;
    int64_t expected = 1;
    for (int d = rank - 1; d >= 0; --d) {
      if (shape[d] != 1 && stride[d] != expected) return false;
      expected *= shape[d];
    }
    return true;
  }
};

}  // namespace ditkit
