#include "allocator.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ditkit {

namespace {

constexpr size_t kSmallest = 64;
constexpr size_t kHugePage = size_t{2} << 20;

int log2_floor(size_t value) { return 63 - __builtin_clzll(value); }

char* system_allocate(size_t size) {
  const size_t alignment = size >= kHugePage ? kHugePage : kSmallest;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, size) != 0) return nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(data, size, MADV_HUGEPAGE);  // only advice: refusal changes nothing
#endif
  return static_cast<char*>(data);
}

}  // namespace

size_t Allocator::class_size(size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = size_t{1} << (log2_floor(bytes) > 8 ? log2_floor(bytes) - 2 : 6);
  return (bytes + step - 1) / step * step;
}

int Allocator::class_index(size_t size) {
  const int power = log2_floor(size);
  return power * 4 + static_cast<int>((size - (size_t{1} << power)) >> (power - 2));
}

bool Allocator::take(size_t bytes, Block* block) {
  if (bytes > limit_) return false;
  const size_t size = class_size(bytes);
  std::vector<char*>& cached = free_[class_index(size)];
  if (!cached.empty()) {
    *block = {cached.back(), size};
    cached.pop_back();
    cached_ -= size;
  } else {
    if (size > limit_ - reserved_ || reserved_ > limit_) return false;
    char* data = system_allocate(size);
    if (data == nullptr) return false;
    reserved_ += size;
    *block = {data, size};
  }
  return true;
}

bool Allocator::allocate(size_t bytes, Block* block) {
  if (!take(bytes, block)) return false;
  live_bytes_ += bytes;
  if (live_bytes_ > peak_bytes_) peak_bytes_ = live_bytes_;
  return true;
}

void Allocator::release(Block block, size_t bytes) {
  live_bytes_ -= bytes;
  give_back(block);
}

void Allocator::give_back(Block block) {
  cached_ += block.capacity;
  free_[class_index(block.capacity)].push_back(block.data);
}

void Allocator::trim() {
  for (std::vector<char*>& cached : free_) {
    for (char* data : cached) std::free(data);
    std::vector<char*>().swap(cached);
  }
  reserved_ -= cached_;
  cached_ = 0;
}

Allocator::~Allocator() { trim(); }

}  // namespace ditkit
