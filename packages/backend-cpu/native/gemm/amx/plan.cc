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
constexpr int64_t kBlockBytes = 6 * 3 * kAmxPartBytes;
// Panels of the task's own operand where sums stay in cache between visits.
constexpr int64_t kOwnPanels = 8;
// Packing hides behind products when a panel is used at least so often; but reading it from L3 costs bandwidth whatever is done in
// the meantime, so that panels are packed twice only where tasks would be fewer than this.
constexpr int64_t kLeastUses = 6, kLeastTasks = 4;

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
                            : ceil_div(own, kOwnPanels);
  if (own_parts > 2) own_parts += own_parts & 1;  // two threads have as many each
  while (own_parts * shared_parts * batches < kLeastTasks && shared / (shared_parts + 1) >= kLeastUses) ++shared_parts;
  if (!whole && own_parts * shared_parts * batches < kLeastTasks) {
    plan.splits = std::min(ceil_div(kTargetTasks, 2 * own_parts * shared_parts * batches), steps / plan.k_block);
  }
  plan.row_parts = plan.packs_rows ? shared_parts : own_parts;
  plan.column_parts = plan.packs_rows ? own_parts : shared_parts;
  return plan;
}

}  // namespace ditkit
