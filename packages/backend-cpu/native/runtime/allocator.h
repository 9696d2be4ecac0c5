// A caching allocator for tensor memory: freed blocks are kept by size class and handed out again. Page faults on fresh
// large buffers cost more than the arithmetic that fills them, so nothing goes back to the system before `trim`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ditkit {

struct Block {
  char* data = nullptr;
  size_t capacity = 0;
};

// Used from one thread only. A freed block may be handed out at once: whoever enqueues work in order may reuse memory
// that earlier work still reads. Only `trim` gives memory to the system, so the queue must be empty then.
class Allocator {
 public:
  explicit Allocator(size_t limit) : limit_(limit) {}
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // A block of at least `bytes`, aligned to 64 bytes; false when the limit or the system has no room for it.
  bool allocate(size_t bytes, Block* block);
  void release(Block block, size_t bytes);
  // The same for memory that is no tensor's: it counts towards the limit, not towards the live bytes.
  bool take(size_t bytes, Block* block);
  void give_back(Block block);
  // Gives the cache back to the system.
  void trim();

  size_t limit() const { return limit_; }
  size_t live_bytes() const { return live_bytes_; }
  size_t peak_bytes() const { return peak_bytes_; }
  size_t cached_bytes() const { return cached_; }

  // The smallest size class that holds `bytes`: 64 bytes, then four steps to each power of two.
  static size_t class_size(size_t bytes);

 private:
  static constexpr int kClasses = 64 * 4;
  static int class_index(size_t size);

  const size_t limit_;
  size_t reserved_ = 0;  // capacity of blocks handed out and cached
  size_t cached_ = 0;
  size_t live_bytes_ = 0;
  size_t peak_bytes_ = 0;
  std::vector<char*> free_[kClasses];
};

}  // namespace ditkit
