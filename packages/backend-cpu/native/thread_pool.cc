// Chunks are claimed by decrementing the counter of a range. A job whose chunks are all claimed has counters 0, so a thread
// that claims one knows that the job is alive until it reports that chunk done: workers that wake late need no handshake,
// and a job never waits for a worker that took none of it.
#include "thread_pool.h"

#include <algorithm>
#include <thread>

#include "pause.h"
#include "thread_place.h"

namespace ditkit {

namespace {

// About 200 microseconds: longer than what one thread does alone between two ops of a small model's step, so that
// workers are not put to sleep within a step. Waking one costs more than the wait.
constexpr int kSpins = 5000;

}  // namespace

struct alignas(64) ThreadPool::Worker {
  ThreadPlace place;
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::thread thread;
};

ThreadPool::ThreadPool(int threads) : threads_(std::max(1, threads)), ranges_(new Range[threads_]) {
  for (int t = 1; t < threads_; ++t) workers_.push_back(std::make_unique<Worker>());
  try {
    for (int t = 1; t < threads_; ++t) workers_[t - 1]->thread = std::thread([this, t] { work(t); });
  } catch (...) {  // the system has no more threads: std::system_error is the caller's, once those that began have ended
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true);
  for (const auto& worker : workers_) {
    { std::lock_guard<std::mutex> lock(worker->mutex); }
    worker->wake.notify_one();
    if (worker->thread.joinable()) worker->thread.join();
  }
}

// Runs chunks of a range until none is left; returns how many.
int64_t ThreadPool::run_range(Range& range, int thread) {
  int64_t ran = 0;
  for (int64_t left = range.unclaimed.load(std::memory_order_relaxed); left > 0;) {
    if (!range.unclaimed.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed)) continue;
    fn_(ctx_, range.end - left, thread);
    ++ran;
    left = range.unclaimed.load(std::memory_order_relaxed);
  }
  return ran;
}

// Its own range first, then those of the threads behind it.
int64_t ThreadPool::run_chunks(int thread) {
  int64_t ran = 0;
  for (int i = 0; i < threads_; ++i) ran += run_range(ranges_[(thread + i) % threads_], thread);
  return ran;
}

void ThreadPool::work(int thread) {
  Worker& self = *workers_[thread - 1];
  self.place.begin();
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins; ++spin) {
      self.place.refresh();
      const uint64_t job = job_.load(std::memory_order_acquire);
      if (job == seen) {
        pause_briefly();
        continue;
      }
      seen = job;
      spin = 0;
      const int64_t ran = run_chunks(thread);
      if (ran == 0) continue;
      done_.fetch_add(ran);
      if (caller_sleeps_.load()) {
        std::lock_guard<std::mutex> lock(mutex_);
        wake_caller_.notify_one();
      }
    }
    std::unique_lock<std::mutex> lock(self.mutex);
    self.asleep.exchange(true);  // by an exchange: see CommandQueue::push_command
    self.wake.wait(lock, [&] { return job_.load() != seen || stop_.load(); });
    self.asleep.store(false);
    if (stop_.load()) return;
  }
}

// Wakes the first workers, and sees to it that none of them is on the caller's processor.
void ThreadPool::call_workers(int wanted) {
  const int here = current_processor();
  for (int w = 0; w < wanted; ++w) {
    Worker& worker = *workers_[w];
    const bool asleep = worker.asleep.load();
    if (asleep || worker.place.processor() == here) worker.place.keep_off(here, threads_);
    if (!asleep) continue;
    // Taking the lock orders this after the worker's last look at job_, so the wake-up cannot be lost.
    { std::lock_guard<std::mutex> lock(worker.mutex); }
    worker.wake.notify_one();
  }
}

void ThreadPool::wait_for_workers(int64_t chunks) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (done_.load() == chunks) return;
    pause_briefly();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_.exchange(true);  // by an exchange: see CommandQueue::push_command
  wake_caller_.wait(lock, [this, chunks] { return done_.load() == chunks; });
  caller_sleeps_.store(false);
}

void ThreadPool::parallel_for(int64_t n, void (*fn)(void*, int64_t, int), void* ctx) {
  if (n <= 0) return;
  if (threads_ == 1 || n == 1) {
    for (int64_t index = 0; index < n; ++index) fn(ctx, index, 0);
    return;
  }
  fn_ = fn;
  ctx_ = ctx;
  done_.store(0);
  const int64_t sharing = std::min<int64_t>(n, threads_);
  for (int64_t t = 0, begin = 0; t < sharing; ++t) {
    const int64_t end = (n * (t + 1) + sharing - 1) / sharing;  // rounded up: the caller, who is awake, has no less than others
    ranges_[t].end = end;
    ranges_[t].unclaimed.store(end - begin, std::memory_order_release);
    begin = end;
  }
  job_.fetch_add(1);
  call_workers(static_cast<int>(sharing) - 1);
  wait_for_workers(n - run_chunks(0));
}

}  // namespace ditkit
