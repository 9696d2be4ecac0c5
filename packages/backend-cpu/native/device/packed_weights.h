// Matrices that products read again and again, weights, kept in the packed form of the GEMM. A matrix is packed for
// itself at its second product with no write in between, so one optimizer step per forward pass keeps none, while
// gradient accumulation and sampling pack each weight once. The bits of a product do not depend on it.
#pragma once

#include "../gemm/gemm.h"
#include "../runtime/allocator.h"
#include "../runtime/queue.h"
#include "../runtime/storage_table.h"

namespace ditkit {

// Used from the thread that pushes: the queue runs in order, so what is dropped here is still whole for what was pushed.
class PackedWeights {
 public:
  explicit PackedWeights(Allocator& allocator) : allocator_(allocator) {}

  // The packed b of `args`, which lies in `storage`, for gemm_packed(); null when gemm() is to be used. Pushes the
  // packing. All packed forms of a device take at most an eighth of its memory limit; what comes later is not kept.
  const float* find(Storage& storage, const GemmArgs& args, CommandQueue& queue, Isa isa);
  // To be called before `storage` is written or freed.
  void drop(Storage& storage);

  size_t bytes() const { return bytes_; }

 private:
  Allocator& allocator_;
  size_t bytes_ = 0;
};

}  // namespace ditkit
