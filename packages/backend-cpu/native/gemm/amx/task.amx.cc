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

// c is nothing but the products, or these and a bias that sums taken in one visit begin with: tiles are stored in place.
bool is_plain(const AmxTask& task) {
  const GemmArgs& args = *task.args;
  return task.sums == nullptr && args.alpha == 1.0f && args.beta == 0.0f && (args.bias == nullptr || task.steps <= task.k_block) &&
         args.act == Activation::None && args.pre == nullptr && args.slope == nullptr && args.gate == nullptr &&
         args.residual == nullptr && args.c_col == 1;
}

// Rows of sums are kept a line more than whole pages apart, or 16 of them would share one set of L1.
constexpr int64_t kStripPadding = 16;

// How the scratch of a task is divided. Where columns are resident, sums are strips: a panel of rows by all columns of the
// task, so that the epilogue goes along rows of c.
struct Layout {
  int64_t resident, streamed;           // panels
  int64_t k_blocks;
  int64_t panel_bytes;
  bool strips;                          // of sums, else blocks
  int64_t sums_row;                     // floats from one row of sums to the next
  int64_t sums;                         // floats of all sums
  int64_t own_resident, own_streamed;   // panels packed here

  int64_t flags_at() const {
    return sums * int64_t{sizeof(float)} + (own_resident + own_streamed) * panel_bytes;
  }
  int64_t bytes() const { return flags_at() + resident + streamed; }
};

Layout layout_of(const AmxTask& task) {
  Layout layout;
  layout.resident = task.rows_resident ? task.rows : task.columns;
  layout.streamed = task.rows_resident ? task.columns : task.rows;
  layout.k_blocks = ceil_div(task.steps, task.k_block);
  layout.panel_bytes = smaller(task.k_block, task.steps) * task.parts * kAmxPartBytes;
  // Sums that are visited once are finished while the next ones are made: two strips, or blocks, take turns.
  layout.strips = task.sums == nullptr && !task.rows_resident && !is_plain(task);
  layout.sums_row = layout.strips ? task.columns * kAmxBlock + kStripPadding : kAmxBlock;
  const int64_t alive = layout.k_blocks > 1 ? task.rows * (layout.strips ? 1 : task.columns) : 2;
  layout.sums = task.sums != nullptr ? 0 : alive * kAmxBlock * layout.sums_row;
  const AmxPacked& resident = task.rows_resident ? task.a : task.b;
  const AmxPacked& streamed = task.rows_resident ? task.b : task.a;
  layout.own_resident = resident.data != nullptr ? 0 : layout.resident * (layout.k_blocks > 1 ? 2 : 1);
  layout.own_streamed = streamed.data != nullptr ? 0 : 2;
  return layout;
}

template <int kParts>
class Runner {
 public:
  explicit Runner(const AmxTask& task)
      : task_(task), args_(*task.args), layout_(layout_of(task)), background_(args_) {
    a_ = {args_.a, args_.a_row, args_.a_col, args_.m, args_.k, false};
    b_ = {args_.b, args_.b_col, args_.b_row, args_.n, args_.k, true};
    const Side rows{&a_, task.a, task.first_row}, columns{&b_, task.b, task.first_column};
    resident_ = task.rows_resident ? rows : columns;
    streamed_ = task.rows_resident ? columns : rows;
    panel_stride_ = ceil_div(args_.k, kAmxBlock) * kParts * kAmxPartBytes;
    sums_ = reinterpret_cast<float*>(task.scratch);
    panels_ = task.scratch + layout_.sums * int64_t{sizeof(float)};
    not_finite_ = reinterpret_cast<bool*>(task.scratch + layout_.flags_at());
    for (int64_t r = 0; r < layout_.resident; ++r) not_finite_[r] = known_not_finite(resident_, r);
    for (int64_t s = 0; s < layout_.streamed; ++s) not_finite_[layout_.resident + s] = known_not_finite(streamed_, s);
    plain_ = is_plain(task);
  }

  void run() {
    if (layout_.own_resident > 0) pack_resident(0, 0);
    if (layout_.own_streamed > 0) pack_streamed(0, 0);
    for (int64_t r = 1; r < layout_.resident && layout_.own_resident > 0; ++r) pack_resident(0, r);
    for (int64_t block = 0; block < layout_.k_blocks; ++block) {
      for (int64_t s = 0; s < layout_.streamed; ++s) walk(block, s);
    }
    background_.wait_for_finish();
  }

 private:
  struct Side {
    const Operand* from;
    AmxPacked packed;
    int64_t first;  // panel
  };

  static bool known_not_finite(const Side& side, int64_t panel) {
    return side.packed.data != nullptr && side.packed.not_finite[side.first + panel];
  }
  int64_t first_step(int64_t block) const { return task_.first_step + block * task_.k_block; }
  int64_t steps(int64_t block) const {
    return smaller(task_.k_block, task_.first_step + task_.steps - first_step(block));
  }
  int64_t values_of_k(int64_t first_step, int64_t steps) const {
    return smaller(steps * kAmxBlock, args_.k - first_step * kAmxBlock);
  }
  const char* shared_panel(const Side& side, int64_t block, int64_t panel) const {
    return side.packed.data + (side.first + panel) * panel_stride_ + first_step(block) * kParts * kAmxPartBytes;
  }
  char* own_resident_panel(int64_t block, int64_t r) const {
    return panels_ + (layout_.own_streamed + (block & 1) * layout_.resident + r) * layout_.panel_bytes;
  }
  char* own_streamed_panel(int64_t visit) const { return panels_ + (visit & 1) * layout_.panel_bytes; }
  int64_t visit(int64_t block, int64_t s) const { return block * layout_.streamed + s; }

  void pack_resident(int64_t block, int64_t r) {
    resident_number_[block & 1][r] = pack(resident_, r, block, own_resident_panel(block, r), &not_finite_[r]);
  }
  void pack_streamed(int64_t block, int64_t s) {
    streamed_number_[visit(block, s) & 1] = pack(streamed_, s, block, own_streamed_panel(visit(block, s)),
                                                 &not_finite_[layout_.resident + s]);
  }
  int64_t pack(const Side& side, int64_t panel, int64_t block, char* out, bool* not_finite) {
    const int64_t first = first_step(block);
    return background_.pack(*side.from, side.first + panel, first * kAmxBlock, values_of_k(first, steps(block)), out,
                            not_finite);
  }

  // Values that pack() will read.
  void fetch(const Side& side, int64_t panel, int64_t block) {
    const Operand& from = *side.from;
    const int64_t line = (side.first + panel) * kAmxBlock, first = first_step(block);
    const float* const data = from.data + line * from.line_stride + first * kAmxBlock * from.step_stride;
    const int64_t lines = smaller(kAmxBlock, from.lines - line), k = values_of_k(first, steps(block));
    if (from.step_stride == 1) {
      background_.fetch(data, from.line_stride, lines, k);
    } else if (from.line_stride == 1) {
      background_.fetch(data, from.step_stride, k, lines);
    }
  }
  // The streamed panel of this visit, once it is packed; from here on the one after next may be packed.
  const char* streamed_panel(int64_t block, int64_t s) {
    if (layout_.own_streamed == 0) return shared_panel(streamed_, block, s);
    background_.wait_for(streamed_number_[visit(block, s) & 1]);
    const int64_t ahead = (s + 2) / layout_.streamed, next = (s + 2) % layout_.streamed;
    if (block + ahead < layout_.k_blocks) fetch(streamed_, next, block + ahead);
    if (s + 1 < layout_.streamed) {
      pack_streamed(block, s + 1);
    } else if (block + 1 < layout_.k_blocks) {
      pack_streamed(block + 1, 0);
    }
    return own_streamed_panel(visit(block, s));
  }
  const char* resident_panel(int64_t block, int64_t r) {
    if (layout_.own_resident == 0) return shared_panel(resident_, block, r);
    background_.wait_for(resident_number_[block & 1][r]);
    return own_resident_panel(block, r);
  }

  // One streamed panel against all resident ones.
  void walk(int64_t block, int64_t s) {
    const bool last = block + 1 == layout_.k_blocks;
    const char* const streamed = streamed_panel(block, s);
    if (!last && layout_.own_resident > 0) {  // the next block's resident panels, spread evenly over this one
      const int64_t begin = layout_.resident * s / layout_.streamed;
      const int64_t end = layout_.resident * (s + 1) / layout_.streamed;
      for (int64_t r = begin; r < end; ++r) pack_resident(block + 1, r);
    }
    if (layout_.own_streamed == 0 && s + 1 < layout_.streamed) {
      background_.fetch(reinterpret_cast<const float*>(shared_panel(streamed_, block, s + 1)), 0, 1, steps(block) * kParts * kAmxPartBytes / 4);
    }
    const int64_t slices = steps(block) * kProducts<kParts>;
    background_.spread(slices * layout_.resident);
    for (int64_t r = 0; r < layout_.resident; ++r) {
      const char* const resident = resident_panel(block, r);
      const int64_t i = task_.first_row + (task_.rows_resident ? r : s);
      const int64_t j = task_.first_column + (task_.rows_resident ? s : r);
      const int rows = static_cast<int>(smaller(kAmxBlock, args_.m - i * kAmxBlock));
      const int columns = static_cast<int>(smaller(kAmxBlock, args_.n - j * kAmxBlock));
      const auto multiply = choose_multiply<kParts>(rows > 16 ? 2 : 1, columns > 16 ? 2 : 1);
      float* const sums = sums_of(i, j);
      const bool exact = last && (not_finite_[r] || not_finite_[layout_.resident + s]);
      const bool in_place = plain_ && last && !exact && rows == kAmxBlock && columns == kAmxBlock;
      float* const to = in_place ? args_.c + i * kAmxBlock * args_.c_row + j * kAmxBlock : sums;
      if (in_place) background_.fetch_block(to, args_.c_row, slices);
      const float* from = block > 0 ? sums : nullptr;
      if (in_place && args_.bias != nullptr) from = args_.bias + j * kAmxBlock;  // every row of the block starts as the bias
      multiply(steps(block), task_.rows_resident ? resident : streamed, task_.rows_resident ? streamed : resident, from,
               from == sums ? layout_.sums_row : 0, to, in_place ? args_.c_row : layout_.sums_row, background_);
      if (!last || in_place) continue;
      if (exact) {
        multiply_exactly(a_, i, b_, j, task_.first_step * kAmxBlock, values_of_k(task_.first_step, task_.steps), sums,
                         layout_.sums_row);
      }
      if (task_.sums == nullptr && !layout_.strips) finish(i, j, 1, slices);
    }
    if (last && layout_.strips) finish(task_.first_row + s, task_.first_column, task_.columns, slices * layout_.resident);
  }

  // Hands `columns` panels of sums from block (i, j) on to the background.
  void finish(int64_t i, int64_t j, int64_t columns, int64_t slices) {
    const int64_t row = i * kAmxBlock, column = j * kAmxBlock;
    background_.finish(sums_of(i, j), layout_.sums_row, row, column, smaller(kAmxBlock, args_.m - row),
                       smaller(columns * kAmxBlock, args_.n - column), slices);
    ++finished_;
  }

  float* sums_of(int64_t i, int64_t j) {
    if (task_.sums != nullptr) return task_.sums + (i * ceil_div(args_.n, kAmxBlock) + j) * kAmxBlockFloats;
    const bool one_visit = layout_.k_blocks == 1;
    const int64_t row = i - task_.first_row, column = j - task_.first_column;
    if (!layout_.strips) return sums_ + (one_visit ? finished_ & 1 : row * task_.columns + column) * kAmxBlockFloats;
    return sums_ + (one_visit ? finished_ & 1 : row) * kAmxBlock * layout_.sums_row + column * kAmxBlock;
  }

  const AmxTask& task_;
  const GemmArgs& args_;
  const Layout layout_;
  Operand a_, b_;
  Side resident_, streamed_;
  int64_t panel_stride_;  // of a packed operand
  float* sums_;
  char* panels_;
  bool* not_finite_;  // resident panels, then streamed ones
  bool plain_;
  Background<kParts> background_;
  int64_t finished_ = 0;  // blocks or strips handed to the background, which frees the one before
  int64_t resident_number_[2][kAmxMaxOwnResident];
  int64_t streamed_number_[2];
};

template <int kParts>
bool pack_steps(const GemmArgs& args, bool right, int64_t panel, int64_t first_step, int64_t steps, char* out) {
  const Operand from = right ? Operand{args.b, args.b_col, args.b_row, args.n, args.k, true}
                             : Operand{args.a, args.a_row, args.a_col, args.m, args.k, false};
  bool not_finite = false;
  PackJob job;
  Stage stage;
  start_pack(job, from, panel, first_step * kAmxBlock,
             smaller(steps * kAmxBlock, args.k - first_step * kAmxBlock), out + first_step * kParts * kAmxPartBytes,
             &not_finite);
  while (!pack_slice<kParts>(job, stage)) {
  }
  return !not_finite;
}

}  // namespace

bool amx_pack(const GemmArgs& args, bool right, int64_t panel, int64_t first_step, int64_t steps, int parts,
              char* out) {
  return parts == 3 ? pack_steps<3>(args, right, panel, first_step, steps, out)
                    : pack_steps<1>(args, right, panel, first_step, steps, out);
}

int64_t amx_scratch_bytes(const AmxTask& task) { return layout_of(task).bytes(); }

void amx_run(const AmxTask& task) {
  const TileConfig config;
  _tile_loadconfig(&config);
  if (task.parts == 3) {
    Runner<3>(task).run();
  } else {
    Runner<1>(task).run();
  }
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
