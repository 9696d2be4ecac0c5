// How one elementwise call is walked: operands over collapsed axes, cut into tiles that fit the first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../view.h"
#include "program.h"

namespace ditkit {

class ThreadPool;
struct Executor;

// Not initialised: a plan has room for many operands and most programs have two.
struct ElementwiseInput {
  const char* data;
  DType dtype;
  int64_t stride[kMaxRank];  // over the plan's axes
  bool linear;               // f32, element k of the walk is element k of memory: read in place
  bool unit;                 // f32, contiguous along the last axis: read in place when a tile stays within a row
};

struct ElementwiseOutput {
  char* data;  // null: nothing to store
  DType dtype;
  bool per_row;  // one value per row
  bool direct;   // the instruction that makes it writes straight to memory
};

struct ElementwisePlan {
  const ElementwiseProgram* program = nullptr;
  int rank = 1;
  int64_t shape[kMaxRank];
  int64_t count = 1;
  int64_t row = 1;            // length of the last axis
  bool empty_rows = false;    // the last axis has length 0, but values per row are wanted: it is walked as one element
  int64_t tile = 0;           // most elements of a tile
  int64_t tiles_per_row = 0;  // 0: tiles are consecutive stretches of `tile` elements; else tiles never leave a row
  int64_t tiles = 0;
  ElementwiseInput in[kMaxInputs];
  ElementwiseOutput out[kMaxOutputs];
  float scalar[kMaxScalars];

  // Floats of scratch that one thread needs.
  size_t scratch() const { return static_cast<size_t>(program->tiles) * ((tile + 15) / 16 * 16); }
};

// Views of `inputs` broadcast to `shape`; outputs contiguous, of `shape` or with last axis 1. All checked before.
ElementwisePlan plan_elementwise(const ElementwiseProgram& program, int rank, const int64_t* shape, const View* inputs,
                                 const double* scalars, const View* outputs);

void run_elementwise(const ElementwisePlan& plan, Executor& executor);

}  // namespace ditkit
