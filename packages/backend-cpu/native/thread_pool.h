// A pool that runs indexed chunks of one job at a time. It decides who runs a chunk, never how work is cut into
// chunks: that is the caller's, as a function of shape and instruction set only, so results do not depend on threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
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

  // Calls fn(ctx, index, thread) for index in [0, n) and returns when all are done. Each thread has a range of its own, the same for the
  // same n, and takes it in order, so that rows stay in the cache of one core from job to job; a thread that is done with its own helps the others.
  // `thread` in [0, threads()) names the running thread, 0 being the caller. `fn` must not throw and must not call the pool. One thread
  // at a time may call this.
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
  struct Worker;
  struct alignas(64) Range {
    std::atomic<int64_t> unclaimed{0};
    int64_t end = 0;  // as the job's
  };

  void work(int thread);
  void stop();
  int64_t run_chunks(int thread);
  int64_t run_range(Range& range, int thread);
  void call_workers(int wanted);
  void wait_for_workers(int64_t chunks);

  const int threads_;
  // The job. Written only while no chunk is outstanding; read only by a thread that has claimed one of its chunks.
  void (*fn_)(void*, int64_t, int) = nullptr;
  void* ctx_ = nullptr;
  std::unique_ptr<Range[]> ranges_;
  alignas(64) std::atomic<uint64_t> job_{0};
  alignas(64) std::atomic<int64_t> done_{0};  // chunks that workers have run
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_caller_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace ditkit
