// Whether a product goes through AMX and how it is cut into tasks: a pure function of its shape, so that results do
// not depend on the number of threads.
#pragma once

#include <cstdint>

namespace ditkit {

struct AmxPlan {
  bool pays;             // false: the AVX-512 path is faster
  bool packs_rows;       // a is packed once for all tasks and every task packs its part of b; else the reverse
  int64_t row_parts;     // the panels of a are cut into so many ranges, those of b
  int64_t column_parts;  // into so many,
  int64_t splits;        // and k into so many; above 1 the parts are added in order
  int64_t k_block;       // steps of k between two visits of a block of sums
};

AmxPlan plan_amx(int64_t batches, int64_t m, int64_t n, int64_t k, int parts);

}  // namespace ditkit
