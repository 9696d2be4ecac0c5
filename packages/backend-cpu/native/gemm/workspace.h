// Scratch memory that a command queue keeps between calls: fresh large buffers cost page faults, often more than the
// arithmetic that uses them.
#pragma once

#include <atomic>
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
    bytes_.fetch_sub(s.floats * sizeof(float), std::memory_order_relaxed);
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
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    return s.data;
  }

  // Of all slots; any thread may ask.
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Slot {
    float* data = nullptr;
    size_t floats = 0;
  };
  static constexpr size_t kHugePage = size_t{2} << 20;
  Slot slots_[kSlots];
  std::atomic<size_t> bytes_{0};
};

}  // namespace ditkit
