#if defined(DITKIT_AMX)
#include "driver.h"

#include <algorithm>
#include <vector>

#include "plan.h"
#include "task.h"

namespace ditkit {

namespace {

enum Slot { kPacked = 0, kParts = 1, kPerThread = 2 };

// Packed bytes of the operand that all tasks share, for as many batches as are computed together.
constexpr int64_t kMaxPackedBytes = int64_t{64} << 20;
// Most threads that pack it each for itself; more cores were not at hand to measure on.
constexpr int kMostPackers = 2;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

GemmArgs at_batch(GemmArgs args, int64_t batch) {
  for (int64_t d = args.batch_rank - 1; d >= 0; --d) {
    const int64_t index = batch % args.batch_shape[d];
    batch /= args.batch_shape[d];
    args.a += index * args.a_batch[d];
    args.b += index * args.b_batch[d];
    const int64_t c = index * args.c_batch[d];
    args.c += c;
    if (args.pre != nullptr) args.pre += c;
    if (args.slope != nullptr) args.slope += c;
    if (args.residual != nullptr) args.residual += c;
  }
  return args;
}

class AmxProduct {
 public:
  AmxProduct(const GemmArgs& args, int64_t batches, const AmxPlan& plan, ThreadPool& pool, Workspace& workspace)
      : args_(args), plan_(plan), pool_(pool), workspace_(workspace), batches_(batches) {
    parts_ = args.compute == Compute::Bf16 ? 1 : 3;
    rows_ = ceil_div(args.m, kAmxBlock);
    columns_ = ceil_div(args.n, kAmxBlock);
    steps_ = ceil_div(args.k, kAmxBlock);
    const int64_t* const strides = plan.packs_rows ? args.a_batch : args.b_batch;
    for (int64_t d = 0; d < args.batch_rank; ++d) shared_by_batches_ = shared_by_batches_ && strides[d] == 0;
    // Panels that stay in a thread's L2 through all of its tasks, it packs for itself: fetching what another core has packed, and has in its
    // own L2, costs more than packing it.
    const bool stays = (plan.packs_rows ? plan.row_parts : plan.column_parts) == 1 && plan.splits == 1 && plan.k_block == steps_;
    const bool several = pool.threads() > 1 && pool.threads() <= kMostPackers;
    by_thread_ = several && stays && (batches == 1 || shared_by_batches_);
  }

  void run() {
    const int64_t panels = plan_.packs_rows ? rows_ : columns_;
    packed_bytes_ = panels * steps_ * parts_ * kAmxPartBytes;
    // Each batch's flags lie behind its panels: one per panel and range of k that is packed by itself.
    const int64_t packed_floats = ceil_div(packed_bytes_ + panels, 256) * 64;
    packed_stride_ = packed_floats * int64_t{sizeof(float)};
    const int64_t at_once = shared_by_batches_ ? batches_ : std::clamp<int64_t>(kMaxPackedBytes / packed_stride_, 1, batches_);
    const int64_t slots = by_thread_ ? pool_.threads() : shared_by_batches_ ? 1 : at_once;
    packed_ = reinterpret_cast<char*>(workspace_.get(kPacked, slots * packed_floats));
    if (by_thread_) return multiply(0, batches_);
    for (int64_t first = 0; first < batches_; first += at_once) {
      const int64_t count = std::min(at_once, batches_ - first);
      if (first == 0 || !shared_by_batches_) pack(first, shared_by_batches_ ? 1 : count, panels);
      multiply(first, count);
    }
  }

 private:
  bool* flags(int64_t slot) const { return reinterpret_cast<bool*>(packed_ + slot * packed_stride_ + packed_bytes_); }

  void pack_panel(const GemmArgs& args, int64_t slot, int64_t panel) {
    char* const out = packed_ + slot * packed_stride_ + panel * steps_ * parts_ * kAmxPartBytes;
    flags(slot)[panel] = !amx_pack(args, !plan_.packs_rows, panel, 0, steps_, parts_, out);
  }

  void pack(int64_t first, int64_t batches, int64_t panels) {
    pool_.run(batches * panels, [&](int64_t index, int) {
      pack_panel(at_batch(args_, first + index / panels), index / panels, index % panels);
    });
  }

  void multiply(int64_t first_batch, int64_t batches) {
    AmxTask largest{};
    largest.args = &args_;
    largest.parts = parts_;
    (plan_.packs_rows ? largest.a : largest.b) = {packed_, flags(0)};
    largest.rows_resident = plan_.packs_rows;
    largest.rows = ceil_div(rows_, plan_.row_parts);
    largest.columns = ceil_div(columns_, plan_.column_parts);
    largest.steps = ceil_div(steps_, plan_.splits);
    largest.k_block = plan_.k_block;
    const int64_t sums = plan_.splits > 1 ? rows_ * columns_ * kAmxBlockFloats : 0;
    float* const split_sums = sums > 0 ? workspace_.get(kParts, batches * plan_.splits * sums) : nullptr;
    largest.sums = split_sums;
    const int64_t floats = ceil_div(amx_scratch_bytes(largest), 4096) * 1024;
    float* const scratch = workspace_.get(kPerThread, floats * pool_.threads());

    std::vector<char> has_packed(by_thread_ ? pool_.threads() : 0);
    const int64_t tasks = plan_.row_parts * plan_.column_parts * plan_.splits;
    pool_.run(batches * tasks, [&](int64_t index, int thread) {
      const int64_t batch = index / tasks, slot = by_thread_ ? thread : shared_by_batches_ ? 0 : batch;
      const GemmArgs args = at_batch(args_, first_batch + batch);
      if (by_thread_ && !has_packed[thread]) {
        for (int64_t panel = 0; panel < (plan_.packs_rows ? rows_ : columns_); ++panel) pack_panel(args, slot, panel);
        has_packed[thread] = true;
      }
      AmxTask task = largest;
      task.args = &args;
      (plan_.packs_rows ? task.a : task.b) = {packed_ + slot * packed_stride_, flags(slot)};
      // Neighbouring tasks share their packed panels, which stay in cache.
      const int64_t own_parts = plan_.packs_rows ? plan_.column_parts : plan_.row_parts;
      const int64_t own = index % tasks % own_parts, rest = index % tasks / own_parts;
      const int64_t shared_parts = plan_.packs_rows ? plan_.row_parts : plan_.column_parts;
      cut(rows_, plan_.row_parts, plan_.packs_rows ? rest % shared_parts : own, &task.first_row, &task.rows);
      cut(columns_, plan_.column_parts, plan_.packs_rows ? own : rest % shared_parts, &task.first_column,
          &task.columns);
      const int64_t split = rest / shared_parts;
      cut(steps_, plan_.splits, split, &task.first_step, &task.steps);
      task.sums = sums > 0 ? split_sums + (batch * plan_.splits + split) * sums : nullptr;
      task.scratch = reinterpret_cast<char*>(scratch + thread * floats);
      amx_run(task);
    });
    if (sums == 0) return;
    const int64_t blocks = rows_ * columns_;
    pool_.run(batches * blocks, [&](int64_t index, int) {
      const int64_t batch = index / blocks, block = index % blocks;
      amx_finish_split(at_batch(args_, first_batch + batch), block / columns_, block % columns_,
                       split_sums + batch * plan_.splits * sums + block * kAmxBlockFloats, sums, plan_.splits);
    });
  }

  static void cut(int64_t size, int64_t parts, int64_t part, int64_t* first, int64_t* count) {
    *first = size * part / parts;
    *count = size * (part + 1) / parts - *first;
  }

  const GemmArgs& args_;
  const AmxPlan plan_;
  ThreadPool& pool_;
  Workspace& workspace_;
  const int64_t batches_;
  int parts_;
  int64_t rows_, columns_, steps_;  // panels, and steps of k
  bool shared_by_batches_ = true;   // the packed operand is the same in all batches
  bool by_thread_ = false;          // every thread packs it for itself
  char* packed_ = nullptr;          // one slot per batch or thread, or one for all
  int64_t packed_bytes_ = 0, packed_stride_ = 0;
};

}  // namespace

bool gemm_amx(const GemmArgs& args, ThreadPool& pool, Workspace& workspace) {
  int64_t batches = 1;
  for (int64_t d = 0; d < args.batch_rank; ++d) batches *= args.batch_shape[d];
  if (batches == 0) return false;
  const AmxPlan plan = plan_amx(batches, args.m, args.n, args.k, args.compute == Compute::Bf16 ? 1 : 3);
  if (!plan.pays) return false;
  AmxProduct(args, batches, plan, pool, workspace).run();
  return true;
}

}  // namespace ditkit
#endif
