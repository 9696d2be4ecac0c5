// Scratch memory that a command queue keeps between calls: fresh large buffers cost page faults, often more than the
// arithmetic that uses them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ditkit {

// Numbered buffers that only grow. Owned by one queue and asked from its thread only, between parallel sections.
// gemm uses slots 0 to 2, 8 and 9 during a call; contents do not outlive the call.
class Workspace {
 public:
  static constexpr int kSlots = 10;

  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    for (Slot& slot : slots_) std::free(slot.data);
  }

  // At least `floats` uninitialised floats, aligned to a cache line. Invalidates what this slot gave before.
  // Throws std::bad_alloc and leaves the slot empty.
  float* get(int slot, size_t floats) {
    Slot& s = slots_[slot];
    if (floats <= s.floats) return s.data;
    std::free(s.data);
    s = Slot();
    const size_t alignment = floats * sizeof(float) >= kHugePage ? kHugePage : 64;
    const size_t bytes = (floats * sizeof(float) + alignment - 1) / alignment * alignment;
    if (bytes / sizeof(float) < floats) throw std::bad_alloc();
    void* data = nullptr;
    if (posix_memalign(&data, alignment, bytes) != 0) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == kHugePage) madvise(data, bytes, MADV_HUGEPAGE);  // only advice: refusal changes nothing
#endif
    s = {static_cast<float*>(data), bytes / sizeof(float)};
    return s.data;
  }

  size_t bytes() const {
    size_t total = 0;
    for (const Slot& slot : slots_) total += slot.floats * sizeof(float);
    return total;
  }

 private:
  struct Slot {
    float* data = nullptr;
    size_t floats = 0;
  };
  static constexpr size_t kHugePage = size_t{2} << 20;
  Slot slots_[kSlots];
};

}  // namespace ditkit
