// A pool that runs indexed chunks of one job at a time. It decides who runs a chunk, never how work is cut into
// chunks: that is the caller's, as a function of shape and instruction set only, so results do not depend on threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace ditkit {

class ThreadPool {
 public:
  // `threads` in all, the calling one included; at least 1. Throws std::system_error when the system gives fewer.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls fn(ctx, index, thread) for index in [0, n) and returns when all are done. Chunks are handed out in order to
  // whoever is free; `thread` in [0, threads()) names the running thread, 0 being the caller. `fn` must not throw and
  // must not call the pool. One thread at a time may call this.
  void parallel_for(int64_t n, void (*fn)(void*, int64_t index, int thread), void* ctx);

  // The same for a callable f(index, thread).
  template <class F>
  void run(int64_t n, F&& f) {
    using Callable = std::remove_reference_t<F>;
    parallel_for(
        n, [](void* ctx, int64_t index, int thread) { (*static_cast<Callable*>(ctx))(index, thread); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  void work(int thread);
  void stop();
  bool run_one(int thread);

  const int threads_;
  // The job. Written only while no chunk is outstanding; read only by a thread that has claimed one of its chunks.
  void (*fn_)(void*, int64_t, int) = nullptr;
  void* ctx_ = nullptr;
  int64_t count_ = 0;
  alignas(64) std::atomic<int64_t> unclaimed_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_workers_;
  std::condition_variable wake_caller_;
  std::vector<std::thread> workers_;
};

}  // namespace ditkit
