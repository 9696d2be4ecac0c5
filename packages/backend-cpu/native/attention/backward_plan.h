// How a backward pass is cut into tasks, and which gradients need a second stage because several tasks add to them. A
// function of shapes (and of the offsets of a packed batch) alone.
#pragma once

#include <cstdint>
#include <vector>

#include "attention.h"
#include "units.h"

namespace ditkit {

// Where the gradient of the bias is added up.
enum class BiasGradient {
  None,
  // The bias has both a query and a key axis. Units that share it run one after another in one task and add to it in
  // place; where that leaves too few tasks, they are cut into parts with a copy of the bias' size each.
  InPlace,
  // A query or a key axis is broadcast: every unit sums into its own row, column or number.
  PerUnit,
};

// A run of units (samples x groups of heads, or a part of those that share a bias), over all chunks of keys or one of them.
struct BackwardTask {
  int64_t first_unit, unit_count;  // into BackwardPlan::order
  int64_t chunk;                   // -1 = all
  int64_t bias_copy;               // InPlace: which copy of the bias' gradient it adds to
};

struct BackwardUnit {
  int64_t sample, group;  // of heads
  int64_t chunk_keys, chunks;
  int64_t dq_partial;  // per chunk a block of floats, as BackwardJob has it, starts here; -1 = none
  int64_t dq_chunk_floats;
};

struct BackwardPlan {
  HeadGroups groups;
  BiasGradient bias = BiasGradient::None;
  std::vector<BackwardUnit> order;  // units that share a bias, or a factor that is added to in place, lie together
  std::vector<BackwardTask> tasks;
  bool chunks_apart = false;  // chunks of a unit are tasks of their own
  int64_t max_chunks = 1;
  int64_t bias_copies = 1;  // InPlace: per element, added up in order. 1 = straight into the result
  bool factor_key_in_place = false;  // units that share a key factor run one after another and add to its gradient
  int64_t dq_partial_floats = 0;
};

BackwardPlan plan_backward(const AttentionArgs& args, const AttentionGradient& gradient,
                           const std::vector<AttentionSample>& samples, Isa isa);

}  // namespace ditkit
