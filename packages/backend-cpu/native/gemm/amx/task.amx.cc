// A task of the AMX path: walks its blocks of c so that panels of one operand stay packed in cache while those of the
// other stream by, packing what comes next behind the products.
#include "task.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../gemm.h"
#include "../kernels.h"

namespace ditkit {
namespace {

#include "split.inc"
#include "pack.inc"
#include "exact.inc"
#include "background.inc"
#include "multiply.inc"

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// How the scratch of a task is divided.
struct Layout {
  bool rows_resident;
  int64_t resident, streamed;  // panels
  int64_t k_blocks;
  int64_t panel_bytes;
  int64_t blocks;  // of sums

  int64_t panels() const { return resident * (k_blocks > 1 ? 2 : 1) + 2; }
  int64_t flags_at() const { return blocks * kAmxBlockFloats * int64_t{sizeof(float)} + panels() * panel_bytes; }
  int64_t bytes() const { return flags_at() + resident + streamed; }
};

Layout layout_of(const AmxTask& task) {
  Layout layout;
  layout.rows_resident = task.rows <= task.columns;
  layout.resident = layout.rows_resident ? task.rows : task.columns;
  layout.streamed = layout.rows_resident ? task.columns : task.rows;
  layout.k_blocks = ceil_div(task.steps, task.k_block);
  layout.panel_bytes = smaller(task.k_block, task.steps) * task.parts * kAmxPartBytes;
  // Sums that are visited once are finished while the next block is multiplied: two blocks take turns.
  layout.blocks = task.sums != nullptr ? 0 : layout.k_blocks > 1 ? task.rows * task.columns : 2;
  return layout;
}

class Runner {
 public:
  explicit Runner(const AmxTask& task)
      : task_(task), args_(*task.args), layout_(layout_of(task)), background_(args_, task.parts) {
    a_ = {args_.a, args_.a_row, args_.a_col, args_.m, args_.k, false};
    b_ = {args_.b, args_.b_col, args_.b_row, args_.n, args_.k, true};
    sums_ = reinterpret_cast<float*>(task.scratch);
    panels_ = task.scratch + layout_.blocks * kAmxBlockFloats * int64_t{sizeof(float)};
    resident_not_finite_ = reinterpret_cast<bool*>(task.scratch + layout_.flags_at());
    streamed_not_finite_ = resident_not_finite_ + layout_.resident;
    for (int64_t i = 0; i < layout_.resident + layout_.streamed; ++i) resident_not_finite_[i] = false;
  }

  void run() {
    pack_resident(0, 0);
    pack_streamed(0, 0);
    for (int64_t r = 1; r < layout_.resident; ++r) pack_resident(0, r);
    for (int64_t block = 0; block < layout_.k_blocks; ++block) {
      for (int64_t s = 0; s < layout_.streamed; ++s) walk(block, s);
    }
    background_.wait_for_finish();
  }

 private:
  int64_t first_step(int64_t block) const { return task_.first_step + block * task_.k_block; }
  int64_t steps(int64_t block) const {
    return smaller(task_.k_block, task_.first_step + task_.steps - first_step(block));
  }
  int64_t values_of_k(int64_t first_step, int64_t steps) const {
    return smaller(steps * kAmxBlock, args_.k - first_step * kAmxBlock);
  }

  char* resident_panel(int64_t block, int64_t r) const {
    return panels_ + (2 + (block & 1) * layout_.resident + r) * layout_.panel_bytes;
  }
  char* streamed_panel(int64_t block, int64_t s) const {
    return panels_ + ((block * layout_.streamed + s) & 1) * layout_.panel_bytes;
  }

  void pack_resident(int64_t block, int64_t r) {
    const Operand& from = layout_.rows_resident ? a_ : b_;
    const int64_t panel = (layout_.rows_resident ? task_.first_row : task_.first_column) + r;
    resident_number_[block & 1][r] = pack(from, panel, block, resident_panel(block, r), &resident_not_finite_[r]);
  }
  void pack_streamed(int64_t block, int64_t s) {
    const Operand& from = layout_.rows_resident ? b_ : a_;
    const int64_t panel = (layout_.rows_resident ? task_.first_column : task_.first_row) + s;
    streamed_number_[(block * layout_.streamed + s) & 1] =
        pack(from, panel, block, streamed_panel(block, s), &streamed_not_finite_[s]);
  }
  int64_t pack(const Operand& from, int64_t panel, int64_t block, char* out, bool* not_finite) {
    const int64_t first = first_step(block);
    return background_.pack(from, panel, first * kAmxBlock, values_of_k(first, steps(block)), out, not_finite);
  }

  // One streamed panel against all resident ones.
  void walk(int64_t block, int64_t s) {
    const bool last = block + 1 == layout_.k_blocks;
    background_.wait_for(streamed_number_[(block * layout_.streamed + s) & 1]);
    if (s + 1 < layout_.streamed) {
      pack_streamed(block, s + 1);
    } else if (!last) {
      pack_streamed(block + 1, 0);
    }
    if (!last) {  // the next block's resident panels, spread evenly over this one
      const int64_t begin = layout_.resident * s / layout_.streamed;
      const int64_t end = layout_.resident * (s + 1) / layout_.streamed;
      for (int64_t r = begin; r < end; ++r) pack_resident(block + 1, r);
    }
    for (int64_t r = 0; r < layout_.resident; ++r) {
      background_.wait_for(resident_number_[block & 1][r]);
      const char* const resident = resident_panel(block, r);
      const char* const streamed = streamed_panel(block, s);
      const int64_t i = task_.first_row + (layout_.rows_resident ? r : s);
      const int64_t j = task_.first_column + (layout_.rows_resident ? s : r);
      const int rows = static_cast<int>(smaller(kAmxBlock, args_.m - i * kAmxBlock));
      const int columns = static_cast<int>(smaller(kAmxBlock, args_.n - j * kAmxBlock));
      const Multiply multiply = choose_multiply(task_.parts, rows > 16 ? 2 : 1, columns > 16 ? 2 : 1);
      float* const sums = sums_of(i, j);
      multiply(steps(block), layout_.rows_resident ? resident : streamed, layout_.rows_resident ? streamed : resident,
               sums, block > 0, background_);
      if (!last) continue;
      if (resident_not_finite_[r] || streamed_not_finite_[s]) {
        multiply_exactly(a_, i, b_, j, task_.first_step * kAmxBlock, values_of_k(task_.first_step, task_.steps), sums);
      }
      if (task_.sums == nullptr) background_.finish(sums, i * kAmxBlock, j * kAmxBlock, rows, columns);
    }
  }

  float* sums_of(int64_t i, int64_t j) {
    if (task_.sums != nullptr) return task_.sums + (i * ceil_div(args_.n, kAmxBlock) + j) * kAmxBlockFloats;
    const int64_t index = (i - task_.first_row) * task_.columns + j - task_.first_column;
    return sums_ + (layout_.k_blocks > 1 ? index : turn_++ & 1) * kAmxBlockFloats;
  }

  const AmxTask& task_;
  const GemmArgs& args_;
  const Layout layout_;
  Operand a_, b_;
  float* sums_;
  char* panels_;
  bool* resident_not_finite_;
  bool* streamed_not_finite_;
  Background background_;
  int64_t turn_ = 0;
  int64_t resident_number_[2][kAmxMaxResident];
  int64_t streamed_number_[2];
};

}  // namespace

int64_t amx_scratch_bytes(const AmxTask& task) { return layout_of(task).bytes(); }

void amx_run(const AmxTask& task) {
  const TileConfig config;
  _tile_loadconfig(&config);
  Runner(task).run();
  _tile_release();  // a thread that holds tile state makes every context switch dearer
}

void amx_finish_split(const GemmArgs& args, int64_t row_panel, int64_t column_panel, float* sums, int64_t stride,
                      int64_t count) {
  for (int64_t part = 1; part < count; ++part) kGemmAvx512.add(sums, sums + part * stride, kAmxBlockFloats);
  const int64_t row = row_panel * kAmxBlock, column = column_panel * kAmxBlock;
  kGemmAvx512.epilogue(args, sums, kAmxBlock, row, column, static_cast<int>(smaller(kAmxBlock, args.m - row)),
                       static_cast<int>(smaller(kAmxBlock, args.n - column)));
}

}  // namespace ditkit
#endif
