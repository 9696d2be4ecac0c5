// Walking strided memory: axes shared by several operands, merged where all of them allow it.
#pragma once

#include <cstdint>

#include "../view.h"

namespace ditkit {

// Axes with one stride per operand; axis 0 is outermost.
template <int kOperands>
struct Axes {
  int rank = 0;
  int64_t size[kMaxRank];
  int64_t stride[kOperands][kMaxRank];

  void add(int64_t length, const int64_t (&strides)[kOperands]) {
    if (length == 1) return;
    if (rank > 0) {
      bool merge = true;
      for (int o = 0; o < kOperands; ++o) merge = merge && stride[o][rank - 1] == strides[o] * length;
      if (merge) {
        size[rank - 1] *= length;
        for (int o = 0; o < kOperands; ++o) stride[o][rank - 1] = strides[o];
        return;
      }
    }
    size[rank] = length;
    for (int o = 0; o < kOperands; ++o) stride[o][rank] = strides[o];
    ++rank;
  }

  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= size[d];
    return n;
  }

  // Offset of operand `o` at the k-th position of a row-major walk over the first `axes` axes.
  int64_t offset(int o, int64_t k, int axes) const {
    int64_t at = 0;
    for (int d = axes - 1; d >= 0; --d) {
      at += k % size[d] * stride[o][d];
      k /= size[d];
    }
    return at;
  }
};

}  // namespace ditkit
