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
// Panels of the operand that a task keeps packed as a whole.
constexpr int64_t kAmxMaxResident = 16;

// A rectangle of blocks of c, over a range of k, computed by one thread.
struct AmxTask {
  const GemmArgs* args;             // batch offsets applied
  int parts;                        // 3: f32 operands, 1: bf16
  int64_t first_row, rows;          // panels of a
  int64_t first_column, columns;    // panels of b; the smaller of the two counts is at most kAmxMaxResident
  int64_t first_step, steps;        // of k
  int64_t k_block;                  // steps that are packed at a time
  float* sums;                      // null: the epilogue is applied; else blocks go here, row panel after row panel
  char* scratch;                    // amx_scratch_bytes of this task, aligned to 64
};

int64_t amx_scratch_bytes(const AmxTask& task);
void amx_run(const AmxTask& task);

// Adds `count` stretches of sums, `stride` floats apart, in order, and applies the epilogue to the block of c.
void amx_finish_split(const GemmArgs& args, int64_t row_panel, int64_t column_panel, float* sums, int64_t stride,
                      int64_t count);

}  // namespace ditkit
