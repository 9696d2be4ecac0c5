// Memory for commands on their way through the queue: a ring, taken by the pushing thread and given back by the executor in
// the same order. The heap would be asked by one thread and given back to by another for every command.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ditkit {

class CommandMemory {
 public:
  // Where a command lies, and what to give back after it. No data: the ring is full.
  struct Place {
    void* data = nullptr;
    uint64_t end = 0;
  };

  // Room for `bytes`, aligned to a cache line. It is not taken before `take`.
  Place find(size_t bytes) {
    const uint64_t size = (bytes + kLine - 1) / kLine * kLine;
    uint64_t begin = taken_;
    if (begin % kBytes + size > kBytes) begin += kBytes - begin % kBytes;  // a command lies in one piece
    if (begin + size - given_back_seen_ > kBytes) {
      given_back_seen_ = given_back_.load(std::memory_order_acquire);
      if (begin + size - given_back_seen_ > kBytes) return {};
    }
    return {&memory_[begin % kBytes / kLine], begin + size};
  }
  void take(Place place) { taken_ = place.end; }
  // On the executor thread, once the command is gone.
  void give_back(uint64_t end) { given_back_.store(end, std::memory_order_release); }

 private:
  static constexpr uint64_t kLine = 64;
  // Some hundred commands; it stays in the caches of both threads.
  static constexpr uint64_t kBytes = 512 << 10;
  struct alignas(kLine) Line {
    char bytes[kLine];
  };

  const std::unique_ptr<Line[]> memory_{new Line[kBytes / kLine]};
  uint64_t taken_ = 0;
  uint64_t given_back_seen_ = 0;  // what the pushing thread last saw of:
  alignas(kLine) std::atomic<uint64_t> given_back_{0};
};

}  // namespace ditkit
