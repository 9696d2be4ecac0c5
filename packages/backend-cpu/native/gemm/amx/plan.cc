#include "plan.h"

#include <algorithm>

#include "task.h"

namespace ditkit {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kMaxStepsAtOnce = 12;
constexpr int64_t kStepsPerBlock = 8;
constexpr int64_t kTargetTasks = 16;
constexpr int64_t kMaxResident = 6;
constexpr int64_t kMaxSums = 128;

}  // namespace

AmxPlan plan_amx(int64_t batches, int64_t m, int64_t n, int64_t k, int parts) {
  AmxPlan plan{};
  if (m < 16 || n < 16 || k < 16) return plan;
  const int64_t rows = ceil_div(m, kAmxBlock), columns = ceil_div(n, kAmxBlock), steps = ceil_div(k, kAmxBlock);
  plan.pays = true;
  plan.splits = 1;
  plan.row_parts = plan.column_parts = 1;
  const int64_t max_at_once = kMaxStepsAtOnce * (parts == 1 ? 2 : 1), per_block = kStepsPerBlock * (parts == 1 ? 2 : 1);
  plan.k_block = steps <= max_at_once ? steps : ceil_div(steps, ceil_div(steps, per_block));
  const int64_t work = batches * rows * columns * steps;
  const int64_t target = std::clamp<int64_t>(work / 96, 1, kTargetTasks);
  if (batches < target && rows * columns * batches <= 8 * target && steps >= 32) {
    plan.splits = std::clamp<int64_t>(std::min(steps / 16, ceil_div(target, batches)), 1, 16);
  }
  // The cut with the least packing: a task packs its rows and its columns, and has at least a sixteenth of the work.
  double best = 0;
  for (int64_t row_parts = 1; row_parts <= rows; ++row_parts) {
    const int64_t height = ceil_div(rows, row_parts);
    int64_t column_parts = std::max<int64_t>(1, ceil_div(target, row_parts * batches * plan.splits));
    column_parts = std::min(column_parts, columns);
    int64_t width = ceil_div(columns, column_parts);
    const auto too_large = [&] {
      return std::min(height, width) > kMaxResident || (steps > plan.k_block && height * width > kMaxSums);
    };
    while (too_large() && column_parts < columns) width = ceil_div(columns, ++column_parts);
    if (too_large()) continue;
    const double packed = static_cast<double>(row_parts * column_parts) * (height + width);
    if (best == 0 || packed < best) {
      best = packed;
      plan.row_parts = row_parts;
      plan.column_parts = column_parts;
    }
    if (row_parts * batches * plan.splits > 4 * target && column_parts == 1) break;
  }
  return plan;
}

}  // namespace ditkit
