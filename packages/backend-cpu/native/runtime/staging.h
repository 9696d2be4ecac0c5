// Host bytes on their way to the device: copied at the call, so that JavaScript may change its array, and written when
// the queue gets there.
#pragma once

#include <mutex>

#include "allocator.h"

namespace ditkit {

class StagingPool {
 public:
  // A copy of some bytes, in pooled memory. Moved into the command that uses it, on whose thread it ends.
  class Copy {
   public:
    Copy(StagingPool* pool, Block block, size_t bytes) : pool_(pool), block_(block), bytes_(bytes) {}
    Copy(Copy&& other) noexcept : pool_(other.pool_), block_(other.block_), bytes_(other.bytes_) { other.pool_ = nullptr; }
    Copy(const Copy&) = delete;
    ~Copy() {
      if (pool_ != nullptr) pool_->release(block_, bytes_);
    }
    char* data() const { return block_.data; }

   private:
    StagingPool* pool_;
    Block block_;
    size_t bytes_;
  };

  // Memory for `bytes`; its data is null when there is none.
  Copy take(size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    Block block;
    return allocator_.allocate(bytes, &block) ? Copy(this, block, bytes) : Copy(nullptr, Block(), 0);
  }
  void trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    allocator_.trim();
  }

 private:
  void release(Block block, size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    allocator_.release(block, bytes);
  }

  std::mutex mutex_;
  Allocator allocator_{SIZE_MAX};  // the queue bounds what is under way
};

}  // namespace ditkit
