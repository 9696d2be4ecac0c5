// Chunks are claimed by decrementing a counter. A job whose chunks are all claimed has counter 0, so a thread that
// claims one knows that the job is alive until it reports that chunk done: workers that wake late need no handshake,
// and a job never waits for a worker that took none of it.
#include "thread_pool.h"

#include <algorithm>

#include "pause.h"

namespace ditkit {

namespace {

// About 200 microseconds: longer than what one thread does alone between two ops of a small model's step, so that
// workers are not put to sleep within a step. Waking one costs more than the wait, and it may be woken on the caller's core.
constexpr int kSpins = 5000;

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(std::max(1, threads)) {
  workers_.reserve(threads_ - 1);
  try {
    for (int t = 1; t < threads_; ++t) workers_.emplace_back([this, t] { work(t); });
  } catch (...) {  // the system has no more threads: std::system_error is the caller's, once those that began have ended
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
  }
  wake_workers_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

bool ThreadPool::run_one(int thread) {
  int64_t left = unclaimed_.load(std::memory_order_relaxed);
  do {
    if (left <= 0) return false;
  } while (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed));
  const int64_t count = count_;
  fn_(ctx_, count - left, thread);
  if (done_.fetch_add(1) + 1 == count && caller_sleeps_.load()) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_caller_.notify_one();
  }
  return true;
}

void ThreadPool::work(int thread) {
  for (;;) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (run_one(thread)) spin = -1;
      pause_briefly();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_workers_.wait(lock, [this] { return unclaimed_.load() > 0 || stop_.load(); });
    sleepers_.fetch_sub(1);
    if (stop_.load()) return;
  }
}

void ThreadPool::parallel_for(int64_t n, void (*fn)(void*, int64_t, int), void* ctx) {
  if (n <= 0) return;
  if (threads_ == 1 || n == 1) {
    for (int64_t index = 0; index < n; ++index) fn(ctx, index, 0);
    return;
  }
  fn_ = fn;
  ctx_ = ctx;
  count_ = n;
  done_.store(0);
  unclaimed_.store(n);
  if (sleepers_.load() > 0) {
    // Taking the lock orders this after a worker's last look at unclaimed_, so the wake-up cannot be lost.
    { std::lock_guard<std::mutex> lock(mutex_); }
    if (n == 2) {
      wake_workers_.notify_one();
    } else {
      wake_workers_.notify_all();
    }
  }
  while (run_one(0)) {
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (done_.load() == n) return;
    pause_briefly();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_.store(true);
  wake_caller_.wait(lock, [this, n] { return done_.load() == n; });
  caller_sleeps_.store(false);
}

}  // namespace ditkit
