// The border between the driver, which runs everywhere, and the code for tile registers. Only plain types cross it: an
// inline function shared with code built for a newer instruction set could end up in code that must run everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ditkit {

struct GemmArgs;

// Operands are cut into panels of 32 lines (rows of a, columns of b), and panels into steps of 32 values of k.
constexpr int64_t kAmxBlock = 32;
constexpr int64_t kAmxBlockFloats = kAmxBlock * kAmxBlock;
// One part (of the bf16 parts of a value) of one step of a panel: two tiles of 16 lines.
constexpr int64_t kAmxPartBytes = 2048;
// Panels that a task can pack for itself and keep.
constexpr int64_t kAmxMaxOwnResident = 16;

// Panels of one operand, packed for all tasks: panel p starts at data + p * steps of k * parts * kAmxPartBytes.
struct AmxPacked {
  const char* data;        // null: every task packs its own
  const bool* not_finite;  // per panel: whether it holds values that have no parts
};

// A rectangle of blocks of c, over a range of k, computed by one thread. It goes over the panels of one operand for
// each panel of the other: those of the first are resident in cache, those of the second stream by.
struct AmxTask {
  const GemmArgs* args;           // batch offsets applied
  int parts;                      // 3: f32 operands, 1: bf16
  AmxPacked a, b;                 // one of them packed
  bool rows_resident;             // a is the resident operand, else b
  int64_t first_row, rows;        // panels of a
  int64_t first_column, columns;  // panels of b
  int64_t first_step, steps;      // of k
  int64_t k_block;                // steps that stay resident at a time
  float* sums;                    // null: the epilogue is applied; else blocks go here, row panel after row panel
  char* scratch;                  // amx_scratch_bytes of this task, aligned to 64
};

int64_t amx_scratch_bytes(const AmxTask& task);
void amx_run(const AmxTask& task);

// Packs `steps` steps of k from `first_step` of a panel of a or b as AmxPacked has it, at its place in the panel that
// starts at `out`. Returns whether all values have parts.
bool amx_pack(const GemmArgs& args, bool right, int64_t panel, int64_t first_step, int64_t steps, int parts, char* out);

// Adds `count` stretches of sums, `stride` floats apart, in order, and applies the epilogue to the block of c.
void amx_finish_split(const GemmArgs& args, int64_t row_panel, int64_t column_panel, float* sums, int64_t stride,
                      int64_t count);

}  // namespace ditkit
