#include "packed_weights.h"

namespace ditkit {

namespace {

// Below this a task packs b into its first-level cache, in no time.
constexpr int64_t kMinElements = int64_t{1} << 14;

bool worth_keeping(const GemmArgs& args, Isa isa) {
  bool shared = true;  // by the whole batch
  for (int64_t d = 0; d < args.batch_rank; ++d) shared = shared && args.b_batch[d] == 0;
  // In the gradient of a weight, where a is transposed, b is an activation.
  return shared && args.a_col == 1 && args.k * args.n >= kMinElements && keeps_packed_b(isa);
}

bool same_matrix(const PackedForm& form, const GemmArgs& args) {
  return form.of == args.b && form.k == args.k && form.n == args.n && form.row == args.b_row &&
         form.col == args.b_col && form.compute == args.compute;
}

}  // namespace

const float* PackedWeights::find(Storage& storage, const GemmArgs& args, CommandQueue& queue, Isa isa) {
  if (!worth_keeping(args, isa)) return nullptr;
  for (PackedForm& form : storage.packed) {
    if (!same_matrix(form, args)) continue;
    float* packed = reinterpret_cast<float*>(form.block.data);
    if (packed != nullptr) return packed;
    const size_t bytes = packed_b_floats(args.k, args.n, isa, args.compute) * sizeof(float);
    if (bytes_ + bytes > allocator_.limit() / 8 || !allocator_.take(bytes, &form.block)) return nullptr;
    bytes_ += form.block.capacity;
    packed = reinterpret_cast<float*>(form.block.data);
    queue.push([args, packed](Executor& executor) {
      pack_b(args.b, args.b_row, args.b_col, args.k, args.n, packed, executor.pool, executor.isa, args.compute);
    });
    return packed;
  }
  storage.packed.push_back({args.b, args.k, args.n, args.b_row, args.b_col, args.compute, Block()});
  return nullptr;
}

void PackedWeights::drop(Storage& storage) {
  for (PackedForm& form : storage.packed) {
    if (form.block.data == nullptr) continue;
    bytes_ -= form.block.capacity;
    allocator_.give_back(form.block);
  }
  storage.packed.clear();
}

}  // namespace ditkit
