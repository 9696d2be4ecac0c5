#include "plan.h"

#include <algorithm>

#include "task.h"

namespace ditkit {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kTargetTasks = 16;
// Bytes of packed panels that stay resident: half of a 2 MiB L2 and, where that spares packing the others twice, a little more.
constexpr int64_t kResidentBytes = int64_t{5} << 18;
// Longest panel that is packed and multiplied as a whole, in bytes.
constexpr int64_t kPanelBytes = 16 * 3 * kAmxPartBytes;
// Bytes of a panel between two visits of the sums, where it is longer.
constexpr int64_t kBlockBytes = 12 * 3 * kAmxPartBytes;
// Panels of the task's own operand where sums stay in cache between visits. In bf16 a panel is used more often than in f32.
int64_t own_panels(int parts) { return parts == 3 ? 8 : 4; }
// Packing hides behind products when a panel is used at least so often. In bf16 there is a sixth of the products to hide behind.
int64_t least_uses(int parts) { return parts == 3 ? 6 : 12; }

// Whether a product is faster here than with AVX-512, by measured nanoseconds: 165 floating-point operations in one
// there; a block's step and the packing of a panel's step here. Padding of the edges counts.
bool pays(int64_t m, int64_t n, int64_t k, int64_t rows, int64_t columns, int64_t steps, int parts) {
  const double product = parts == 3 ? 150 : 40, packing = parts == 3 ? 250 : 150;
  const double here = (static_cast<double>(rows * columns) * product + static_cast<double>(rows + columns) * packing) *
                      static_cast<double>(steps);
  return here < 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / 165;
}

}  // namespace

AmxPlan plan_amx(int64_t batches, int64_t m, int64_t n, int64_t k, int parts) {
  AmxPlan plan{};
  const int64_t rows = ceil_div(m, kAmxBlock), columns = ceil_div(n, kAmxBlock), steps = ceil_div(k, kAmxBlock);
  plan.pays = m > 0 && n > 0 && k > 0 && pays(m, n, k, rows, columns, steps, parts);
  if (!plan.pays) return plan;
  plan.packs_rows = columns > rows;
  const int64_t shared = std::min(rows, columns), own = std::max(rows, columns);
  const int64_t step_bytes = parts * kAmxPartBytes;
  const bool whole = steps <= kPanelBytes / step_bytes;
  plan.k_block = whole ? steps : ceil_div(steps, ceil_div(steps, kBlockBytes / step_bytes));
  plan.splits = 1;
  int64_t shared_parts = ceil_div(shared, std::max<int64_t>(1, kResidentBytes / (plan.k_block * step_bytes)));
  int64_t own_parts = whole ? std::clamp<int64_t>(ceil_div(kTargetTasks, shared_parts * batches), 1, ceil_div(own, 3))
                            : ceil_div(own, own_panels(parts));
  while (own_parts * shared_parts * batches < kTargetTasks && shared / (shared_parts + 1) >= least_uses(parts)) ++shared_parts;
  if (!whole && own_parts * shared_parts * batches < kTargetTasks / 4) {
    plan.splits = std::min(ceil_div(kTargetTasks, 2 * own_parts * shared_parts * batches), steps / plan.k_block);
  }
  plan.row_parts = plan.packs_rows ? shared_parts : own_parts;
  plan.column_parts = plan.packs_rows ? own_parts : shared_parts;
  return plan;
}

}  // namespace ditkit
