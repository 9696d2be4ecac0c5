#include "queue.h"

#include <chrono>
#include <exception>
#include <new>

#include "../kernels.h"
#include "../pause.h"

namespace ditkit {

namespace {

// Some tens of microseconds: a wake-up costs the JavaScript thread more than a whole call.
constexpr int kSpins = 400;

}  // namespace

CommandQueue::CommandQueue(int threads, Isa isa)
    : isa_(isa), pool_(threads), ring_(new Entry[kCapacity]), thread_([this] { execute(); }) {}

CommandQueue::~CommandQueue() { stop(); }

template <class Condition>
void CommandQueue::wait_for_executor(Condition condition) {
  std::unique_lock<std::mutex> lock(mutex_);
  producer_waits_.exchange(true);
  // The timeout only bounds how late a progress note that slipped by is noticed.
  while (!condition()) progress_.wait_for(lock, std::chrono::milliseconds(1));
  producer_waits_.store(false);
}

void CommandQueue::push_command(Entry entry) {
  if (pushed_ - executed_seen_ >= kCapacity) {
    executed_seen_ = executed_.load(std::memory_order_acquire);
    if (pushed_ - executed_seen_ >= kCapacity) {
      wait_for_executor([this] { return pushed_ - executed_.load() <= kCapacity / 2; });
    }
  }
  if (entry.bytes > 0) {
    if (held_bytes_.load() + entry.bytes > kMaxBytes) {
      wait_for_executor([this, &entry] { return held_bytes_.load() + entry.bytes <= kMaxBytes || idle(); });
    }
    held_bytes_.fetch_add(entry.bytes);
  }
  ring_[pushed_ % kCapacity] = entry;
  ++pushed_;
  // Written by an exchange, here and where a thread says that it sleeps: of a sequentially consistent store and the load after it an
  // emulator may let the load go first (QEMU does, of ARM64's stlr and ldar), and then neither thread sees the other. On x64 both are xchg.
  published_.exchange(pushed_);
  if (sleeping_.load()) {
    // Taking the lock orders this after the executor's last look at published_.
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_one();
  }
}

void CommandQueue::drop(const Entry& entry) {
  if (entry.memory_end == kOnHeap) {
    delete entry.command;
  } else {
    entry.command->~Command();
    memory_.give_back(entry.memory_end);
  }
}

void CommandQueue::drain() {
  if (stop_.load() || idle()) return;
  wait_for_executor([this] { return idle(); });
}

void CommandQueue::execute() {
  Faults faults;
  Executor executor{pool_, isa_, kernels_for(isa_), workspace_, faults};
  uint64_t next = 0;
  for (;;) {
    int spins = 0;
    while (published_.load(std::memory_order_acquire) == next && !stop_.load(std::memory_order_relaxed)) {
      if (++spins < kSpins) {
        pause_briefly();
        continue;
      }
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.exchange(true);
      wake_.wait(lock, [this, next] { return published_.load() != next || stop_.load(); });
      sleeping_.store(false);
    }
    if (stop_.load()) return;
    Entry& entry = ring_[next % kCapacity];
    try {
      entry.command->run(executor);
    } catch (const std::bad_alloc&) {
      faults.fail("out of memory for scratch space while running queued work");
    } catch (const std::exception& error) {
      faults.fail(error.what());
    }
    drop(entry);
    if (entry.bytes > 0) held_bytes_.fetch_sub(entry.bytes);
    executed_.store(++next, std::memory_order_release);
    if (producer_waits_.load()) progress_.notify_one();
  }
}

void CommandQueue::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_one();
  thread_.join();
  for (uint64_t next = executed_.load(); next != pushed_; ++next) drop(ring_[next % kCapacity]);
  executed_.store(pushed_);
}

}  // namespace ditkit
