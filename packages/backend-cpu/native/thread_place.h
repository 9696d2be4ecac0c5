// Where a worker of a pool runs. Linux often wakes a thread on the processor of the thread that wakes it, where the two take turns
// for milliseconds while another processor is idle; so the waker keeps the worker off its own until it has begun to run.
#pragma once

#include <atomic>
#include <mutex>

#if defined(__linux__)
#include <sched.h>
#endif

namespace ditkit {

// The processor the calling thread runs on; −1 where the system does not tell.
int current_processor();

class ThreadPlace {
 public:
  // Of the worker, before anything else here.
  void begin();
  // Of the worker, often while it waits: notes where it runs, and gives back the processors that keep_off took.
  void refresh() {
    const int now = current_processor();
    if (now != processor_.load(std::memory_order_relaxed)) processor_.store(now, std::memory_order_relaxed);
    if (kept_off_.load(std::memory_order_relaxed)) release();
  }
  // Where it was last seen. A thread that finds it on its own processor knows that it does not run there.
  int processor() const { return processor_.load(std::memory_order_relaxed); }
  // Of another thread: moves the worker, or has it wake, anywhere else than on `processor`, if of the processors that it may use at least
  // `threads` are there. Never waits; does nothing where the system refuses.
  void keep_off(int processor, int threads);

 private:
  void release();

  std::atomic<int> processor_{-1};
  std::atomic<bool> kept_off_{false};
#if defined(__linux__)
  std::mutex mutex_;
  int thread_ = 0;
  cpu_set_t allowed_;  // what release gives back; set while kept_off_
#endif
};

}  // namespace ditkit
