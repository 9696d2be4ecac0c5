// The numbers here were measured (dev/NOTES.md); the bounds behind them are cache sizes.
#include "plan.h"

#include <algorithm>

namespace ditkit {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Steps of k between two visits of a tile of c. Both operands stream from L2 well, so a visit is as long as the block of
// b allows that stays there; a block of a that is packed has to stay there too.
constexpr int64_t kMaxSteps = 1536;
constexpr int64_t kMaxStepsOfPackedA = 384;
// Floats of b that a block of c goes over again and again: 1.1 MiB of a 2 MiB L2.
constexpr int64_t kMaxFloatsOfB = 192 * kMaxSteps;
// What a Wide task packs, and so how often a tile of a is read from L1.
constexpr int64_t kMaxFloatsOfWideB = int64_t{1} << 17;
constexpr int64_t kMinPanelsOfWide = 3;
// Floats of b that one task may pack for itself.
constexpr int64_t kMaxOwnFloatsOfB = int64_t{1} << 18;
constexpr int64_t kTargetTasks = 16;
constexpr int64_t kMinTaskProducts = int64_t{1} << 18;

}  // namespace

GemmPlan plan_gemm(int64_t batches, int64_t m, int64_t n, int64_t k, bool packs_a, int tile_rows, int tile_columns) {
  GemmPlan plan{};
  const int64_t max_steps = packs_a ? kMaxStepsOfPackedA : kMaxSteps;
  const int64_t tiles = std::max<int64_t>(1, ceil_div(m, tile_rows));
  const int64_t panels = ceil_div(n, tile_columns);
  const int64_t products = m * n * std::max<int64_t>(k, 1);
  const int64_t k_blocks = std::max<int64_t>(1, ceil_div(k, max_steps));
  plan.k_block = std::max<int64_t>(1, ceil_div(k, k_blocks));
  plan.panel_block = std::max<int64_t>(1, std::min(panels, kMaxFloatsOfB / (plan.k_block * tile_columns)));
  plan.panel_block = ceil_div(panels, ceil_div(panels, plan.panel_block));
  const int64_t column_blocks = ceil_div(panels, plan.panel_block);
  const int64_t tiles_of_block = std::clamp<int64_t>(tiles * column_blocks / kTargetTasks, 4, 16);
  plan.row_blocks = ceil_div(tiles, tiles_of_block);
  plan.row_blocks += plan.row_blocks % 2;  // two threads have equally much to do
  plan.row_blocks = std::min(plan.row_blocks, tiles);
  plan.row_block = tile_rows * ceil_div(tiles, plan.row_blocks);
  plan.batches_per_task = 1;
  plan.splits = 1;

  const bool fits_one_task = panels * tile_columns * k <= kMaxOwnFloatsOfB;
  if (fits_one_task && (products <= kMinTaskProducts || batches >= 8)) {
    plan.mode = GemmMode::Whole;
    plan.batches_per_task = std::clamp<int64_t>(kMinTaskProducts / products, 1, std::max<int64_t>(1, batches));
    return plan;
  }
  const int64_t outputs = m * n;
  if (outputs <= 65536 && k >= 1024 && k >= 2 * std::max(m, n)) {
    plan.mode = GemmMode::SplitK;
    plan.splits = std::clamp<int64_t>(k / 768, 2, 16);  // each writes and adds a part as large as c
    plan.k_block = ceil_div(ceil_div(k, plan.splits), ceil_div(ceil_div(k, plan.splits), max_steps));
    return plan;
  }
  if (packs_a && n > m) {
    plan.mode = GemmMode::Wide;
    plan.panel_block = std::min(panels, std::max(kMinPanelsOfWide, panels / kTargetTasks));
    const int64_t steps = std::min(kMaxSteps, kMaxFloatsOfWideB / (plan.panel_block * tile_columns));
    plan.k_block = ceil_div(k, ceil_div(k, std::max<int64_t>(1, steps)));
    return plan;
  }
  plan.mode = GemmMode::Blocked;
  return plan;
}

}  // namespace ditkit
